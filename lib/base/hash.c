/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Four lanes of multiply and rotate, so that the multiplications of a processor overlap: as fast
 * as memory. Whoever needs certainty compares the bytes; this only says where that is worth it.
 */
#include "base/hash.h"

#include <endian.h>
#include <string.h>

#define LANES 4u
#define ODD 0x9e3779b97f4a7c15ull /* 2^64 by the golden ratio */

static uint64_t
word_at(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return le64toh(word);
}

static uint64_t
step(uint64_t lane, uint64_t word)
{
	lane ^= word;
	return (lane << 29 | lane >> 35) * ODD;
}

/* Let each bit of @x decide half of the others. */
static uint64_t
spread(uint64_t x)
{
	x = (x ^ x >> 32) * ODD;
	x = (x ^ x >> 29) * ODD;
	return x ^ x >> 32;
}

uint64_t
q2si_hash(const void *data, size_t len, uint64_t seed)
{
	const uint8_t *at = data;
	uint64_t lanes[LANES] = { seed, ~seed, seed + ODD, seed ^ len * ODD };
	uint8_t tail[8] = { 0 };
	size_t left = len;
	uint64_t hash = 0;

	for (; left >= LANES * 8; left -= LANES * 8, at += LANES * 8) {
		for (size_t i = 0; i < LANES; i++)
			lanes[i] = step(lanes[i], word_at(at + i * 8));
	}
	for (; left >= 8; left -= 8, at += 8)
		lanes[left / 8 % LANES] = step(lanes[left / 8 % LANES], word_at(at));
	memcpy(tail, at, left);
	lanes[0] = step(lanes[0], word_at(tail));
	for (size_t i = 0; i < LANES; i++)
		hash = spread(hash ^ lanes[i]);
	return hash;
}
