/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which bytes are UTF-8. */
#include "common/utf8.h"

#include <stdbool.h>

/* The length that a lead byte announces, and the payload bits that it carries. */
static size_t
lead(uint8_t byte, uint32_t *bits)
{
	static const struct {
		uint8_t mask, value;
	} forms[] = { { 0x80, 0x00 }, { 0xe0, 0xc0 }, { 0xf0, 0xe0 }, { 0xf8, 0xf0 } };

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if ((byte & forms[i].mask) == forms[i].value) {
			*bits = byte & (uint8_t)~forms[i].mask;
			return i + 1;
		}
	}
	return 0;
}

static bool
is_allowed(uint32_t code, size_t size)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };

	return code >= smallest[size] && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
}

size_t
utf8_decode(const uint8_t *at, size_t len, uint32_t *code)
{
	uint32_t value;
	const size_t size = lead(at[0], &value);

	if (size == 0 || size > len)
		return 0;
	for (size_t i = 1; i < size; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (at[i] & 0x3f);
	}
	if (!is_allowed(value, size))
		return 0;
	*code = value;
	return size;
}
