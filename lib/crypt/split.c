/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypt/split.h"

#include <string.h>

#include <q2s/format.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/gcrypt.h"

#define DIGEST_MAX 64u

/* Replace each piece of @block of the digest's length by its hash, with its number before it. */
static void
diffuse(int hash, uint8_t *block, size_t len)
{
	const size_t digest_len = q2si_gcrypt.md_get_algo_dlen(hash);
	uint8_t digest[DIGEST_MAX], number[4];

	for (uint32_t i = 0; i * digest_len < len; i++) {
		uint8_t *const piece = block + i * digest_len;
		const size_t n = q2si_min_size(digest_len, len - i * digest_len);
		gcry_buffer_t parts[2] = { { .len = sizeof(number), .data = number },
					   { .len = n, .data = piece } };

		q2si_put_be32(number, i);
		(void)q2si_gcrypt.md_hash_buffers(hash, 0, digest, parts, 2);
		memcpy(piece, digest, n);
	}
	explicit_bzero(digest, sizeof(digest));
}

static void
mix(uint8_t *block, const uint8_t *stripe, size_t len)
{
	for (size_t i = 0; i < len; i++)
		block[i] ^= stripe[i];
}

/* What the last stripe has to be mixed with to give the key. */
static void
gather(int hash, const uint8_t *material, size_t len, uint32_t stripes, uint8_t *block)
{
	memset(block, 0, len);
	for (uint32_t i = 0; i + 1 < stripes; i++) {
		mix(block, material + i * len, len);
		diffuse(hash, block, len);
	}
}

void
q2si_split_merge(int hash, const uint8_t *material, size_t len, uint32_t stripes, uint8_t *out)
{
	gather(hash, material, len, stripes, out);
	mix(out, material + (stripes - 1) * len, len);
}

void
q2si_split_close(int hash, uint8_t *material, size_t len, uint32_t stripes, const uint8_t *key)
{
	uint8_t *const last = material + (stripes - 1) * len;

	gather(hash, material, len, stripes, last);
	mix(last, key, len);
}
