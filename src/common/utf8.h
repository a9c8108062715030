/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which bytes are UTF-8: names in images are arbitrary bytes, terminals and JSON want text. */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stddef.h>
#include <stdint.h>

/**
 * Decode one character of UTF-8 (RFC 3629: no overlong form, no surrogate, at most U+10FFFF).
 *
 * @len  bytes available, at least 1
 * @code receives the code point on success
 * Returns the bytes that it takes, or 0 when there is no valid character at @at.
 */
size_t utf8_decode(const uint8_t *at, size_t len, uint32_t *code);

#endif
