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
json_t *utf8_json(const void *data, size_t len);
json_t *text_json(const char *text);

/**
 * An integer, or for 2^63 and above, which jansson cannot hold, a string of decimal digits.
 */
json_t *u64_json(uint64_t value);

/**
 * Print @value, indented by 4 spaces a level as qemu-img does, and a newline.
 *
 * @value  taken over, also on failure; NULL (a constructor ran out of memory) is a failure
 * Returns 0, or -1: out of memory, or the stream's error indicator is set.
 */
int output_json(FILE *out, json_t *value);

#define JSTREAM_DEPTH 8

/**
 * Prints nested arrays and objects piece by piece. Fields are private; zero-initialised by
 * jstream_begin(). A failure sticks and is returned by jstream_finish().
 */
struct jstream {
	FILE *out;
	unsigned depth;
	char closer[JSTREAM_DEPTH];
	bool empty[JSTREAM_DEPTH + 1];
	bool failed;
};

void jstream_begin(struct jstream *stream, FILE *out);

/** Open an array or object; @key is NULL in arrays and at the top. */
void jstream_open_array(struct jstream *stream, const char *key);
void jstream_open_object(struct jstream *stream, const char *key);

/** One value, on one line. @key is NULL in arrays. @value is taken over, also on failure. */
void jstream_value(struct jstream *stream, const char *key, json_t *value);

/** As jstream_value() for a caller in a hurry, who then prints one value, as JSON, to @out. */
void jstream_raw(struct jstream *stream, const char *key);

/** Close the innermost array or object. */
void jstream_close(struct jstream *stream);

/** Close all that is open and end the line. Returns 0, or -1 when anything failed. */
int jstream_finish(struct jstream *stream);

#endif
