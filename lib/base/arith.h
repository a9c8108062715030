/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arithmetic on numbers that come from files: either checked, or on values known to be small. */
#ifndef Q2SI_BASE_ARITH_H
#define Q2SI_BASE_ARITH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** *out = a + b; false when that leaves 64 bits. */
static inline bool
q2si_add(uint64_t a, uint64_t b, uint64_t *out)
{
	return !__builtin_add_overflow(a, b, out);
}

/** *out = a * b; false when that leaves 64 bits. */
static inline bool
q2si_mul(uint64_t a, uint64_t b, uint64_t *out)
{
	return !__builtin_mul_overflow(a, b, out);
}

/** a / b, rounded up; b is not 0. Never overflows. */
static inline uint64_t
q2si_div_up(uint64_t a, uint64_t b)
{
	return a / b + (a % b != 0);
}

/** @a rounded down to a multiple of @unit, a power of two. */
static inline uint64_t
q2si_round_down(uint64_t a, uint64_t unit)
{
	return a & ~(unit - 1);
}

/** @a rounded up to a multiple of @unit, a power of two; the caller knows that it fits. */
static inline uint64_t
q2si_round_up(uint64_t a, uint64_t unit)
{
	return (a + unit - 1) & ~(unit - 1);
}

/** Is @a a multiple of @unit, a power of two? */
static inline bool
q2si_is_aligned(uint64_t a, uint64_t unit)
{
	return (a & (unit - 1)) == 0;
}

static inline uint64_t
q2si_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/**
 * A length as the size of an allocation. What does not fit where memory has 32 bits becomes
 * SIZE_MAX, which no allocation gets, rather than a small size.
 */
static inline size_t
q2si_size(uint64_t len)
{
	return len < SIZE_MAX ? (size_t)len : SIZE_MAX;
}

/** The smaller of a length and of a size in memory: a size, also where memory has 32 bits. */
static inline size_t
q2si_min_size(uint64_t len, size_t size)
{
	return len < size ? (size_t)len : size;
}

static inline uint64_t
q2si_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

#endif
