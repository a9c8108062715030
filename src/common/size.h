/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes as people write them on command lines, and as they like to read them. */
#ifndef COMMON_SIZE_H
#define COMMON_SIZE_H

#include <stdint.h>

/**
 * Parse a size: decimal digits, with a fraction where the result is a whole number of bytes
 * ("1.5G"), then nothing or one of `b k M G T P E` in either case, or "KiB" to "EiB"; all are
 * powers of 1024. Or hexadecimal digits behind "0x", without a unit.
 *
 * "KB" is refused, because it means 1000 elsewhere.
 *
 * @out  bytes; written on success only
 * Returns NULL, or why @text is not a size (static storage).
 */
const char *size_parse(const char *text, uint64_t *out);

/** As size_parse(), for a count: no unit, no fraction. */
const char *size_parse_number(const char *text, uint64_t *out);

#define SIZE_TEXT 48

/** "1.5 GiB", with three digits, as QEMU shows it. Returns @buf. */
const char *size_human(uint64_t bytes, char buf[SIZE_TEXT]);

#endif
