/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes as people write them on command lines, and as they like to read them. */
#include "common/size.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FRACTION_DIGITS 64 /* more cannot be a whole number of bytes in any unit */

static const char too_large[] = "too large for 64 bits";

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int
hex_value(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char lower = c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c;
	const char *found = c != '\0' ? strchr(digits, lower) : NULL;

	return found ? (int)(found - digits) : -1;
}

/* Digits of @base at *@text, advanced behind them. False when the value leaves 64 bits. */
static bool
parse_digits(const char **text, unsigned base, uint64_t *out)
{
	uint64_t value = 0;
	int digit;

	while ((digit = hex_value(**text)) >= 0 && (unsigned)digit < base) {
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit, &value))
			return false;
		(*text)++;
	}
	*out = value;
	return true;
}

static const char *
parse_hex(const char *text, uint64_t *out)
{
	uint64_t value;

	if (hex_value(*text) < 0)
		return "no digits after 0x";
	if (!parse_digits(&text, 16, &value))
		return too_large;
	if (*text)
		return "a hexadecimal number takes no unit";
	*out = value;
	return NULL;
}

/* The power of two of a unit: nothing, a letter, or a letter with "iB". */
static const char *
parse_unit(const char *text, unsigned *shift)
{
	static const char letters[] = "bkmgtpe";
	const char *found;

	*shift = 0;
	if (*text == '\0')
		return NULL;
	found = memchr(letters, *text | 0x20, sizeof(letters) - 1);
	if (!found)
		return "unknown unit; use b, k, M, G, T, P or E";
	if (text[1] != '\0' && (*found == 'b' || strcasecmp(text + 1, "iB") != 0))
		return strcasecmp(text + 1, "b") == 0
			       ? "KB and the like mean powers of 1000 elsewhere; use k or KiB"
			       : "unexpected characters after the unit";
	*shift = (unsigned)(found - letters) * 10;
	return NULL;
}

/*
 * The decimal fraction 0.DIGITS times 2^@shift: doubling a decimal number carries out one binary
 * digit. False when something is left, as then it is no whole number.
 */
static bool
scale_fraction(const char *digits, size_t count, unsigned shift, uint64_t *out)
{
	uint8_t place[FRACTION_DIGITS];

	*out = 0;
	for (size_t i = 0; i < count; i++)
		place[i] = (uint8_t)(digits[i] - '0');
	while (shift-- > 0) {
		unsigned carry = 0;

		for (size_t i = count; i-- > 0;) {
			const unsigned twice = place[i] * 2u + carry;

			place[i] = (uint8_t)(twice % 10);
			carry = twice / 10;
		}
		*out = *out << 1 | carry;
	}
	for (size_t i = 0; i < count; i++)
		if (place[i] != 0)
			return false;
	return true;
}

/* The length of the fraction's digits without trailing zeros; *@text advanced behind them all. */
static size_t
take_fraction(const char **text)
{
	size_t count = 0;

	for (size_t i = 0; is_digit((*text)[0]); i++, (*text)++)
		if (**text != '0')
			count = i + 1;
	return count;
}

static const char *
parse_decimal(const char *text, uint64_t *out)
{
	const char *const start = text, *fraction = "", *why;
	uint64_t whole, part;
	size_t count = 0;
	unsigned shift;

	if (!parse_digits(&text, 10, &whole))
		return too_large;
	if (*text == '.') {
		fraction = ++text;
		count = take_fraction(&text);
		if (text - start < 2)
			return "not a number";
	}
	why = parse_unit(text, &shift);
	if (why)
		return why;
	if (count > FRACTION_DIGITS || !scale_fraction(fraction, count, shift, &part))
		return "not a whole number of bytes";
	if (whole != 0 && (shift > 63 || whole > UINT64_MAX >> shift))
		return too_large;
	*out = (whole << shift) + part; /* part < 2^shift: no carry */
	return NULL;
}

const char *
size_parse(const char *text, uint64_t *out)
{
	if (*text == '\0')
		return "empty";
	if (*text == '-')
		return "negative";
	if (text[0] == '0' && (text[1] | 0x20) == 'x')
		return parse_hex(text + 2, out);
	if (!is_digit(*text) && *text != '.')
		return "not a number";
	return parse_decimal(text, out);
}

const char *
size_parse_number(const char *text, uint64_t *out)
{
	const size_t hex = text[0] == '0' && (text[1] | 0x20) == 'x' ? 2 : 0;

	if (*text == '\0')
		return "empty";
	if (*text == '-')
		return "negative";
	if (hex == 0 && text[strspn(text, "0123456789")] != '\0')
		return "not a whole number without unit";
	return size_parse(text, out);
}

const char *
size_human(uint64_t bytes, char buf[SIZE_TEXT])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	unsigned unit = 0;

	/* 999.5 would be shown as 1e+03 with three digits: the next unit reads better */
	while (value >= 999.5 && unit < 6) {
		value /= 1024;
		unit++;
	}
	snprintf(buf, SIZE_TEXT, "%0.3g %s", value, units[unit]);
	return buf;
}
