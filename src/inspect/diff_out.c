/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Items of a difference: printed, or collected. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "inspect/diff.h"
#include "inspect/show.h"

#define LINE 2048 /* two names of a kilobyte are cut before */

void
diff_section(struct diff_out *out, const char *key, const char *title)
{
	out->key = key;
	out->title = title;
	out->items = out->all = 0;
	if (out->root)
		json_object_set_new(out->root, key, json_array());
	if (out->lines)
		json_array_append_new(out->lines, json_pack("{s:s, s:s, s:[]}", "key", key, "title",
							    title, "items"));
}

/* The section that was begun last, of those that are lines. */
static json_t *
last_section(const struct diff_out *out)
{
	return json_array_get(out->lines, json_array_size(out->lines) - 1);
}

/* A number of @from as hexadecimal digits: a script's numbers do not hold 64 bits. */
static void
copy_number(json_t *to, const char *key, const json_t *from)
{
	char text[24];

	if (!json_is_integer(from))
		return;
	snprintf(text, sizeof(text), "%" PRIx64, (uint64_t)json_integer_value(from));
	json_object_set_new(to, key, json_string(text));
}

static void
add_line(const struct diff_out *out, json_t *object, const char *text)
{
	json_t *const line = json_pack("{s:o}", "text", text_json(text));

	copy_number(line, "host", json_object_get(object, "host-offset"));
	copy_number(line, "guest", json_object_get(object, "guest-offset"));
	copy_number(line, "clusters", json_object_get(object, "clusters"));
	copy_number(line, "length", json_object_get(object, "length"));
	json_array_append_new(json_object_get(last_section(out), "items"), line);
	json_decref(object);
}

void
diff_item(struct diff_out *out, json_t *object, const char *fmt, ...)
{
	char text[LINE];
	va_list args;

	out->any = true;
	if (out->all++ >= out->limit) {
		json_decref(object);
		return;
	}
	if (out->root) {
		json_array_append_new(json_object_get(out->root, out->key), object);
		out->items++;
		return;
	}
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	out->items++;
	if (out->lines) {
		add_line(out, object, text);
		return;
	}
	json_decref(object);
	if (out->items == 1)
		fprintf(out->out, "\n%s\n", out->title);
	fprintf(out->out, "   %s\n", text);
}

void
diff_section_end(struct diff_out *out)
{
	const uint64_t omitted = out->all - out->items;
	char key[64];

	if (omitted == 0)
		return;
	if (out->root) {
		snprintf(key, sizeof(key), "%s-omitted", out->key);
		json_object_set_new(out->root, key, u64_json(omitted));
	} else if (out->lines) {
		json_object_set_new(last_section(out), "omitted", u64_json(omitted));
	} else {
		if (out->items == 0)
			fprintf(out->out, "\n%s\n", out->title);
		fprintf(out->out, "   and %" PRIu64 " more\n", omitted);
	}
}

void
diff_event(struct diff *diff, const char *id, const char *fmt, ...)
{
	char text[LINE];
	va_list args;
	char *copy;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	diff->events_all++;
	copy = diff->event_count < DIFF_EVENTS ? strdup(text) : NULL;
	if (copy)
		diff->events[diff->event_count++] = (struct diff_event){ id, copy };
}
