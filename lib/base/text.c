/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bounded text, and the escaping that keeps an image's bytes from steering a terminal. */
#include "base/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct q2si_text
q2si_text_init(char *buf, size_t size)
{
	if (size > 0)
		buf[0] = '\0';
	return (struct q2si_text){ .buf = buf, .size = size };
}

void
q2si_text_add(struct q2si_text *text, const char *fmt, ...)
{
	const size_t room = text->size - text->used;
	va_list args;
	int len;

	if (room == 0)
		return;
	va_start(args, fmt);
	len = vsnprintf(text->buf + text->used, room, fmt, args);
	va_end(args);
	if (len > 0)
		text->used += (size_t)len < room ? (size_t)len : room - 1;
}

/* Append all of @len bytes or none: half an escape would read as something else. */
static void
add_whole(struct q2si_text *text, const char *bytes, size_t len)
{
	if (text->size - text->used <= len)
		return;
	memcpy(text->buf + text->used, bytes, len);
	text->used += len;
	text->buf[text->used] = '\0';
}

/* The length that a UTF-8 lead byte announces; 0 for a byte that cannot lead (RFC 3629). */
static size_t
utf8_len(uint8_t lead)
{
	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead <= 0xdf)
		return 2;
	if (lead >= 0xe0 && lead <= 0xef)
		return 3;
	return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

/* Bytes of the printable character at @bytes; 0 when it is a control character or not UTF-8. */
static size_t
printable_len(const uint8_t *bytes)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const size_t len = utf8_len(bytes[0]);
	uint32_t code = len > 1 ? bytes[0] & (0x7fu >> len) : bytes[0];

	for (size_t i = 1; i < len; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (bytes[i] & 0x3f);
	}
	if (len == 0 || code < smallest[len] || code > 0x10ffff)
		return 0;
	if (code >= 0xd800 && code <= 0xdfff)
		return 0;
	return code < 0x20 || (code >= 0x7f && code < 0xa0) ? 0 : len;
}

void
q2si_text_add_escaped(struct q2si_text *text, const char *bytes)
{
	while (*bytes) {
		const size_t len = printable_len((const uint8_t *)bytes);
		char hex[sizeof("\\xNN")];

		if (len > 0) {
			add_whole(text, bytes, len);
			bytes += len;
			continue;
		}
		snprintf(hex, sizeof(hex), "\\x%02x", (uint8_t)*bytes);
		add_whole(text, hex, strlen(hex));
		bytes++;
	}
}
