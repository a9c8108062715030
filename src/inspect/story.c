/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Telling an explanation, or collecting it. */
#include "inspect/story.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "common/json.h"

#define LINE 1024
#define BYTES_A_LINE 16

void
story_begin(struct story *story, FILE *out)
{
	*story = (struct story){ .out = out, .list = out ? NULL : json_array() };
}

json_t *
story_take(struct story *story)
{
	json_t *const list = story->list;

	story->step = NULL;
	if (!story->out)
		story->list = json_array();
	return list;
}

/* Append @value to the array @key of the step, which is made when it is not there yet. */
static void
append(struct story *story, const char *key, json_t *value)
{
	if (!json_object_get(story->step, key))
		json_object_set_new(story->step, key, json_array());
	json_array_append_new(json_object_get(story->step, key), value);
}

/* One line of kind @key: to people with the label @label. */
__attribute__((format(printf, 4, 0))) static void
say(struct story *story, const char *key, const char *label, const char *fmt, va_list args)
{
	char line[LINE];

	vsnprintf(line, sizeof(line), fmt, args);
	if (story->out)
		fprintf(story->out, "   %-8s %s\n", label, line);
	else
		append(story, key, text_json(line));
}

void
story_step(struct story *story, const char *id, const char *fmt, ...)
{
	char title[LINE];
	va_list args;

	va_start(args, fmt);
	vsnprintf(title, sizeof(title), fmt, args);
	va_end(args);
	story->count++;
	if (story->out) {
		fprintf(story->out, "\n%u. %s\n", story->count, title);
		return;
	}
	story->step = json_pack("{s:s, s:o}", "id", id, "title", text_json(title));
	json_array_append_new(story->list, story->step);
}

void
story_formula(struct story *story, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(story, "formulas", "", fmt, args);
	va_end(args);
}

void
story_rule(struct story *story, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(story, "rules", "rule:", fmt, args);
	va_end(args);
}

static void
print_bytes(FILE *out, const char *what, q2s_host at, const uint8_t *raw, size_t len)
{
	fprintf(out, "   read     %s at 0x%" PRIx64 ":", what, at.v);
	for (size_t i = 0; i < len; i++)
		fprintf(out, "%s%02x", i && i % BYTES_A_LINE == 0 ? "\n            " : " ", raw[i]);
	fputc('\n', out);
}

static json_t *
bytes_json(const char *what, q2s_host at, const uint8_t *raw, size_t len)
{
	char *const hex = malloc(2 * len + 1);
	json_t *node;

	if (!hex)
		return NULL;
	hex[0] = '\0';
	for (size_t i = 0; i < len; i++)
		snprintf(hex + 2 * i, 3, "%02x", raw[i]);
	node = json_pack("{s:s, s:o, s:s}", "what", what, "offset", u64_json(at.v), "hex", hex);
	free(hex);
	return node;
}

void
story_bytes(struct story *story, const char *what, q2s_host at, const uint8_t *raw, size_t len)
{
	if (story->out)
		print_bytes(story->out, what, at, raw, len);
	else
		append(story, "read", bytes_json(what, at, raw, len));
}

void
story_bits(struct story *story, const char *bits, uint64_t value, const char *fmt, ...)
{
	char meaning[LINE];
	va_list args;

	va_start(args, fmt);
	vsnprintf(meaning, sizeof(meaning), fmt, args);
	va_end(args);
	if (story->out)
		fprintf(story->out, "   %-11s = 0x%-12" PRIx64 " %s\n", bits, value, meaning);
	else
		append(story, "bits",
		       json_pack("{s:s, s:o, s:o}", "bits", bits, "value", u64_json(value),
				 "meaning", text_json(meaning)));
}

void
story_offset(struct story *story, const char *bits, unsigned shift, uint64_t value,
	     const char *meaning)
{
	const uint64_t number = value >> shift;

	if (story->out)
		fprintf(story->out,
			"   %-11s = 0x%-12" PRIx64 " 0x%" PRIx64 " << %u = 0x%" PRIx64 ", %s\n", bits,
			number, number, shift, value, meaning);
	else
		append(story, "bits",
		       json_pack("{s:s, s:o, s:i, s:o, s:s}", "bits", bits, "number",
				 u64_json(number), "shift", (int)shift, "value", u64_json(value),
				 "meaning", meaning));
}

void
story_fault(struct story *story, const struct q2s_diag *fault)
{
	char line[LINE];

	q2s_diag_format(fault, line, sizeof(line));
	if (story->out)
		fprintf(story->out, "   wrong:   %s\n", line);
	else
		json_object_set_new(story->step, "error",
				    json_pack("{s:s, s:o}", "id", q2s_err_name(fault->err), "text",
					      text_json(line)));
}

void
story_result(struct story *story, const char *key, uint64_t value)
{
	if (!story->out)
		json_object_set_new(story->step, key, u64_json(value));
}

void
story_result_text(struct story *story, const char *key, const char *text)
{
	if (!story->out)
		json_object_set_new(story->step, key, text_json(text));
}
