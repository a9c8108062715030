/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON output on top of jansson. */
#include "common/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

#define INDENT 4
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define REPLACEMENT_SIZE (sizeof(REPLACEMENT) - 1)

json_t *
utf8_json(const void *data, size_t len)
{
	const uint8_t *at = data;
	char *text, *to;
	json_t *value;

	if (len > (SIZE_MAX - 1) / REPLACEMENT_SIZE)
		return NULL;
	text = to = malloc(len * REPLACEMENT_SIZE + 1);
	if (!text)
		return NULL;
	while (len > 0) {
		uint32_t code;
		const size_t size = utf8_decode(at, len, &code), step = size ? size : 1;

		to = size ? mempcpy(to, at, size) : mempcpy(to, REPLACEMENT, REPLACEMENT_SIZE);
		at += step;
		len -= step;
	}
	value = json_stringn(text, (size_t)(to - text));
	free(text);
	return value;
}

json_t *
text_json(const char *text)
{
	return utf8_json(text, strlen(text));
}

json_t *
u64_json(uint64_t value)
{
	char digits[24];

	if (value <= INT64_MAX)
		return json_integer((json_int_t)value);
	snprintf(digits, sizeof(digits), "%" PRIu64, value);
	return json_string(digits);
}

int
output_json(FILE *out, json_t *value)
{
	const int failed =
		!value || json_dumpf(value, out, JSON_INDENT(INDENT) | JSON_ENCODE_ANY) != 0;

	json_decref(value);
	if (failed || fputc('\n', out) == EOF || ferror(out))
		return -1;
	return 0;
}

void
jstream_begin(struct jstream *stream, FILE *out)
{
	*stream = (struct jstream){ .out = out, .empty[0] = true };
}

/* What goes before a value or a closer: the comma and the start of its line. */
static void
lead_in(struct jstream *stream, bool comma)
{
	if (comma)
		fputc(',', stream->out);
	if (stream->depth > 0)
		fprintf(stream->out, "\n%*s", (int)(stream->depth * INDENT), "");
}

static void
put_key(struct jstream *stream, const char *key)
{
	json_t *name;

	lead_in(stream, !stream->empty[stream->depth]);
	stream->empty[stream->depth] = false;
	if (!key)
		return;
	name = text_json(key);
	if (!name || json_dumpf(name, stream->out, JSON_ENCODE_ANY) != 0)
		stream->failed = true;
	json_decref(name);
	fputs(": ", stream->out);
}

static void
open_level(struct jstream *stream, const char *key, const char *brackets)
{
	if (stream->depth == JSTREAM_DEPTH) {
		stream->failed = true;
		return;
	}
	put_key(stream, key);
	fputc(brackets[0], stream->out);
	stream->closer[stream->depth++] = brackets[1];
	stream->empty[stream->depth] = true;
}

void
jstream_open_array(struct jstream *stream, const char *key)
{
	open_level(stream, key, "[]");
}

void
jstream_open_object(struct jstream *stream, const char *key)
{
	open_level(stream, key, "{}");
}

void
jstream_value(struct jstream *stream, const char *key, json_t *value)
{
	put_key(stream, key);
	if (!value || json_dumpf(value, stream->out, JSON_ENCODE_ANY) != 0)
		stream->failed = true;
	json_decref(value);
}

void
jstream_raw(struct jstream *stream, const char *key)
{
	put_key(stream, key);
}

void
jstream_close(struct jstream *stream)
{
	if (stream->depth == 0) {
		stream->failed = true;
		return;
	}
	if (!stream->empty[stream->depth--]) {
		if (stream->depth == 0)
			fputc('\n', stream->out);
		else
			lead_in(stream, false);
	}
	fputc(stream->closer[stream->depth], stream->out);
}

int
jstream_finish(struct jstream *stream)
{
	while (stream->depth > 0)
		jstream_close(stream);
	fputc('\n', stream->out);
	return stream->failed || ferror(stream->out) ? -1 : 0;
}
