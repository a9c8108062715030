/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/bits.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/zero.h"
#include "disk/disk.h"

#define CHUNK_BITS (8ull * Q2SI_BITS_CHUNK)
#define COUNT_MAX (8ull * Q2S_BITMAP_MAX_BYTES)

/* The chunk that is all dirty; nobody writes to it. */
static const uint8_t all_ones;
#define ONES ((uint8_t *)(uintptr_t)&all_ones)

enum q2s_err
q2s_bits_new(uint64_t size, uint32_t granularity_bits, struct q2s_bits **out,
	     struct q2s_diag *diag)
{
	struct q2s_bits *bits;

	if (granularity_bits < Q2S_BITMAP_GRANULARITY_BITS_MIN ||
	    granularity_bits > Q2S_BITMAP_GRANULARITY_BITS_MAX)
		return q2si_fail(diag, Q2S_E_USAGE, "bitmap granularity", Q2S_NOWHERE,
				 granularity_bits, "not from 2^9 to 2^31 bytes");
	const uint64_t count = q2si_div_up(size, 1ull << granularity_bits);

	if (count > COUNT_MAX)
		return q2si_fail(diag, Q2S_E_LIMIT, "bitmap granularity", Q2S_NOWHERE,
				 1ull << granularity_bits,
				 "the bitmap would take more than 512 MiB; use a larger one");
	bits = calloc(1, sizeof(*bits));
	if (!bits)
		return q2si_fail_nomem(diag, "bitmap");
	atomic_init(&bits->references, 1);
	bits->granularity_bits = granularity_bits;
	bits->count = count;
	bits->chunk_count = q2si_div_up(count, CHUNK_BITS);
	bits->chunks = calloc(q2si_size(bits->chunk_count + 1), sizeof(*bits->chunks));
	if (!bits->chunks) {
		free(bits);
		return q2si_fail_nomem(diag, "bitmap");
	}
	*out = bits;
	return Q2S_OK;
}

struct q2s_bits *
q2s_bits_ref(struct q2s_bits *bits)
{
	atomic_fetch_add_explicit(&bits->references, 1, memory_order_relaxed);
	return bits;
}

void
q2s_bits_unref(struct q2s_bits *bits)
{
	if (!bits || atomic_fetch_sub_explicit(&bits->references, 1, memory_order_acq_rel) != 1)
		return;
	for (uint64_t i = 0; i < bits->chunk_count; i++)
		if (bits->chunks[i] != ONES)
			free(bits->chunks[i]);
	free(bits->chunks);
	free(bits);
}

/* ---- chunks -------------------------------------------------------------------------------- */

/* Bits of chunk @index. */
static uint64_t
chunk_len(const struct q2s_bits *bits, uint64_t index)
{
	return q2si_min(bits->count - index * CHUNK_BITS, CHUNK_BITS);
}

/* Are the first @len bits of @bytes all set? */
static bool
are_ones(const uint8_t *bytes, uint64_t len)
{
	for (uint64_t i = 0; i < len / 8; i++)
		if (bytes[i] != 0xff)
			return false;
	const uint8_t rest = (uint8_t)((1u << (len & 7)) - 1);

	return rest == 0 || (bytes[len / 8] & rest) == rest;
}

static void
set_in(uint8_t *bytes, uint64_t first, uint64_t end)
{
	while (first < end) {
		if ((first & 7) == 0 && end - first >= 8) {
			memset(bytes + first / 8, 0xff, (end - first) / 8);
			first += q2si_round_down(end - first, 8);
		} else {
			bytes[first / 8] |= (uint8_t)(1u << (first & 7));
			first++;
		}
	}
}

/* Bits [@first, @end) of chunk @index. */
static enum q2s_err
chunk_set(struct q2s_bits *bits, uint64_t index, uint64_t first, uint64_t end,
	  struct q2s_diag *diag)
{
	const uint64_t len = chunk_len(bits, index);
	uint8_t *chunk = bits->chunks[index];

	if (chunk == ONES)
		return Q2S_OK;
	if (!chunk && !(first == 0 && end == len)) {
		chunk = calloc(1, Q2SI_BITS_CHUNK);
		if (!chunk)
			return q2si_fail_nomem(diag, "bitmap");
		bits->chunks[index] = chunk;
	}
	if (chunk)
		set_in(chunk, first, end);
	/* only once a chunk, as they are mostly filled from the start */
	if (end == len && (!chunk || are_ones(chunk, len))) {
		free(chunk);
		bits->chunks[index] = ONES;
	}
	return Q2S_OK;
}

enum q2s_err
q2si_bits_set(struct q2s_bits *bits, uint64_t first, uint64_t end, struct q2s_diag *diag)
{
	while (first < end) {
		const uint64_t index = first / CHUNK_BITS, start = index * CHUNK_BITS;
		const uint64_t until = q2si_min(end, start + CHUNK_BITS);

		Q2SI_TRY(chunk_set(bits, index, first - start, until - start, diag));
		first = until;
	}
	return Q2S_OK;
}

enum q2s_err
q2s_bits_set(struct q2s_bits *bits, q2s_guest start, uint64_t len, struct q2s_diag *diag)
{
	const uint32_t shift = bits->granularity_bits;
	uint64_t end;

	if (len == 0)
		return Q2S_OK;
	if (!q2si_add(start.v, len - 1, &end))
		return q2si_fail(diag, Q2S_E_OVERFLOW, "bitmap", Q2S_NOWHERE, len,
				 "the range ends behind 2^64");
	return q2si_bits_set(bits, start.v >> shift, q2si_min((end >> shift) + 1, bits->count), diag);
}

static enum q2s_err
copy_map(struct q2s_cursor *cursor, uint64_t size, struct q2s_bits *bits, struct q2s_diag *diag)
{
	struct q2s_extent extent;

	for (uint64_t at = 0; at < size; at += extent.len) {
		Q2SI_TRY(q2s_cursor_extent(cursor, (q2s_guest){ at }, size - at, &extent, diag));
		if (extent.state == Q2S_DATA)
			Q2SI_TRY(q2s_bits_set(bits, (q2s_guest){ at }, extent.len, diag));
	}
	return Q2S_OK;
}

enum q2s_err
q2s_bits_from_map(struct q2s_disk *map, uint64_t size, uint32_t granularity_bits,
		  struct q2s_bits **out, struct q2s_diag *diag)
{
	struct q2s_cursor *cursor;
	struct q2s_bits *bits;
	enum q2s_err err;

	Q2SI_TRY(q2s_bits_new(size, granularity_bits, &bits, diag));
	err = q2s_cursor_open(map, &cursor, diag);
	if (err == Q2S_OK) {
		err = copy_map(cursor, q2si_min(size, q2s_disk_size(map)), bits, diag);
		q2s_cursor_close(cursor);
	}
	if (err != Q2S_OK) {
		q2s_bits_unref(bits);
		return err;
	}
	*out = bits;
	return Q2S_OK;
}

/* ---- looking ------------------------------------------------------------------------------- */

/* Of bits [@first, @end) of chunk @index. */
static enum q2si_bits_kind
chunk_kind(const struct q2s_bits *bits, uint64_t index, uint64_t first, uint64_t end)
{
	const uint8_t *chunk = bits->chunks[index];

	if (!chunk || chunk == ONES)
		return chunk ? Q2SI_BITS_DIRTY : Q2SI_BITS_CLEAN;
	if (q2si_is_zero(chunk + first / 8, (size_t)q2si_div_up(end - first, 8)))
		return Q2SI_BITS_CLEAN;
	return are_ones(chunk + first / 8, end - first) ? Q2SI_BITS_DIRTY : Q2SI_BITS_MIXED;
}

enum q2si_bits_kind
q2si_bits_kind(const struct q2s_bits *bits, uint64_t first, uint64_t end)
{
	enum q2si_bits_kind kind = Q2SI_BITS_MIXED;

	for (uint64_t at = first; at < end;) {
		const uint64_t index = at / CHUNK_BITS, start = index * CHUNK_BITS;
		const uint64_t until = q2si_min(end, start + CHUNK_BITS);
		const enum q2si_bits_kind this = chunk_kind(bits, index, at - start, until - start);

		if (this == Q2SI_BITS_MIXED || (at != first && this != kind))
			return Q2SI_BITS_MIXED;
		kind = this;
		at = until;
	}
	return kind;
}

void
q2si_bits_copy(const struct q2s_bits *bits, uint64_t at, uint8_t *buf, size_t len)
{
	while (len > 0) {
		const uint64_t index = at / Q2SI_BITS_CHUNK;
		const size_t skip = at % Q2SI_BITS_CHUNK;
		const size_t n = q2si_min_size(len, Q2SI_BITS_CHUNK - skip);
		const uint8_t *chunk = index < bits->chunk_count ? bits->chunks[index] : NULL;

		memset(buf, 0, n);
		if (chunk == ONES && chunk_len(bits, index) > 8 * skip)
			set_in(buf, 0, q2si_min(chunk_len(bits, index) - 8 * skip, 8 * n));
		else if (chunk && chunk != ONES)
			memcpy(buf, chunk + skip, n);
		buf += n;
		at += n;
		len -= n;
	}
}

static bool
is_dirty(const uint8_t *chunk, uint64_t bit)
{
	return chunk == ONES || (chunk && chunk[bit / 8] >> (bit & 7) & 1);
}

/* The first bit at @at or behind it that is @dirty; the count when there is none. */
static uint64_t
find(const struct q2s_bits *bits, uint64_t at, bool dirty)
{
	const uint8_t other = dirty ? 0 : 0xff;

	while (at < bits->count) {
		const uint8_t *chunk = bits->chunks[at / CHUNK_BITS];
		const uint64_t bit = at % CHUNK_BITS;

		if (is_dirty(chunk, bit) == dirty)
			return at;
		if (!chunk || chunk == ONES)
			at += CHUNK_BITS - bit;
		else
			at += (bit & 7) == 0 && chunk[bit / 8] == other ? 8 : 1;
	}
	return bits->count;
}

bool
q2si_bits_next(const struct q2s_bits *bits, uint64_t from, uint64_t *start, uint64_t *end)
{
	*start = find(bits, from, true);
	*end = find(bits, *start, false);
	return *start < bits->count;
}
