/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON output: values by jansson, and a printer that needs no memory for the items of an array
 * that may be millions long.
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

/**
 * A string of arbitrary bytes. Each byte that is not part of valid UTF-8 becomes U+FFFD, as QEMU
 * does it; NUL and control characters are kept (JSON escapes them).
 */
json_t *json_bytes(const void *data, size_t len);
json_t *json_text(const char *text);

/**
 * An integer, or for 2^63 and above, which jansson cannot hold, a string of decimal digits.
 */
json_t *json_u64(uint64_t value);

/**
 * Print @value, indented by 4 spaces a level as qemu-img does, and a newline.
 *
 * @value  taken over, also on failure; NULL (a constructor ran out of memory) is a failure
 * Returns 0, or -1: out of memory, or the stream's error indicator is set.
 */
int json_print(FILE *out, json_t *value);

#define JSON_STREAM_DEPTH 8

/**
 * Prints nested arrays and objects piece by piece. Fields are private; zero-initialised by
 * json_stream_begin(). A failure sticks and is returned by json_stream_finish().
 */
struct json_stream {
	FILE *out;
	unsigned depth;
	char closer[JSON_STREAM_DEPTH];
	bool empty[JSON_STREAM_DEPTH + 1];
	bool failed;
};

void json_stream_begin(struct json_stream *stream, FILE *out);

/** Open an array or object; @key is NULL in arrays and at the top. */
void json_stream_open_array(struct json_stream *stream, const char *key);
void json_stream_open_object(struct json_stream *stream, const char *key);

/** One value, on one line. @key is NULL in arrays. @value is taken over, also on failure. */
void json_stream_value(struct json_stream *stream, const char *key, json_t *value);

/** As json_stream_value() for a caller in a hurry, who then prints one value, as JSON, to @out. */
void json_stream_raw(struct json_stream *stream, const char *key);

/** Close the innermost array or object. */
void json_stream_close(struct json_stream *stream);

/** Close all that is open and end the line. Returns 0, or -1 when anything failed. */
int json_stream_finish(struct json_stream *stream);

#endif
