/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text that is safe on a terminal. */
#include "common/escape.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

#define ESCAPED_SIZE 4 /* \xNN */

/* Does this character move the cursor, start a control sequence, or reorder what is shown? */
static bool
is_dangerous(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
	       code == 0x200e || code == 0x200f || code == 0x61c ||
	       (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
	       code == 0xfeff;
}

/* The bytes at @at that belong together, and whether they may be shown as they are. */
static size_t
next_unit(const uint8_t *at, size_t len, bool *plain)
{
	uint32_t code;
	const size_t size = utf8_decode(at, len, &code);

	*plain = size != 0 && !is_dangerous(code);
	return size != 0 ? size : 1;
}

static char *
put_hex(char *to, uint8_t byte)
{
	static const char digits[] = "0123456789abcdef";

	*to++ = '\\';
	*to++ = 'x';
	*to++ = digits[byte >> 4];
	*to++ = digits[byte & 15];
	return to;
}

/* @to has room for ESCAPED_SIZE times @size. */
static char *
put_unit(char *to, const uint8_t *at, size_t size, bool plain)
{
	if (plain) {
		memcpy(to, at, size);
		return to + size;
	}
	for (size_t i = 0; i < size; i++)
		to = put_hex(to, at[i]);
	return to;
}

char *
escape_bytes(const void *data, size_t len)
{
	const uint8_t *at = data;
	char *text, *to;

	if (len > (SIZE_MAX - 1) / ESCAPED_SIZE)
		return NULL;
	text = to = malloc(len * ESCAPED_SIZE + 1);
	if (!text)
		return NULL;
	while (len > 0) {
		bool plain;
		const size_t size = next_unit(at, len, &plain);

		to = put_unit(to, at, size, plain);
		at += size;
		len -= size;
	}
	*to = '\0';
	return text;
}

char *
escape_text(const char *text)
{
	return escape_bytes(text, strlen(text));
}

void
escape_print(FILE *out, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len > 0) {
		char unit[4 * ESCAPED_SIZE];
		bool plain;
		const size_t size = next_unit(at, len, &plain);
		const char *end = put_unit(unit, at, size, plain);

		fwrite(unit, 1, (size_t)(end - unit), out);
		at += size;
		len -= size;
	}
}
