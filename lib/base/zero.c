/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Zero detection. Data clusters nearly always show a non-zero word at one of a few places, so those
 * are looked at first; a zero cluster must be read to its end. For that the C library's memcmp(),
 * which knows the widest vectors of the processor, compares the buffer with itself one step on:
 * when the first step is zero, so is everything that equals its predecessor. Measured, it is as
 * fast as hand-written vectors, in cache and in memory, under gcc and clang.
 */
#include "base/zero.h"

#include <stdint.h>
#include <string.h>

#define STEP 16u

static uint64_t
word_at(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static bool
is_zero_short(const uint8_t *bytes, size_t len)
{
	uint8_t any = 0;

	for (size_t i = 0; i < len; i++)
		any |= bytes[i];
	return any == 0;
}

bool
q2si_is_zero(const void *buf, size_t len)
{
	const uint8_t *bytes = buf;

	if (len < STEP)
		return is_zero_short(bytes, len);
	if (word_at(bytes) | word_at(bytes + 8))
		return false;
	if (word_at(bytes + len / 2) | word_at(bytes + len - 8))
		return false;
	return memcmp(bytes, bytes + STEP, len - STEP) == 0;
}
