/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Refcounts: the table's entries, and the counts of a block in all seven widths. Widths under a
 * byte are packed from the least significant bit on; wider ones are big-endian.
 */
#include <q2s/format.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "format/check.h"

#define REFTABLE_RESERVED 0x1ffull

enum q2s_err
q2s_reftable_decode(const struct q2s_geom *geom, const uint8_t *raw, q2s_host at, q2s_host *block,
		    struct q2s_diag *diag)
{
	const uint64_t entry = q2si_get_be64(raw);

	if (entry & REFTABLE_RESERVED)
		return q2si_fail(diag, Q2S_E_RESERVED, "refcount table entry", at, entry,
				 "reserved bit set");
	Q2SI_TRY(q2si_check_cluster(geom, (q2s_host){ entry }, "refcount table entry", at, entry,
				    diag));
	block->v = entry;
	return Q2S_OK;
}

enum q2s_err
q2s_reftable_encode(const struct q2s_geom *geom, q2s_host block, uint8_t *raw,
		    struct q2s_diag *diag)
{
	Q2SI_TRY(q2si_check_cluster(geom, block, "refcount table entry", Q2S_NOWHERE, block.v,
				    diag));
	q2si_put_be64(raw, block.v);
	return Q2S_OK;
}

/* ---- counts -------------------------------------------------------------------------------- */

/* Counts narrower than a byte: log2 of how many share one, and where in it count @index lies. */
static uint32_t
per_byte_bits(const struct q2s_geom *geom)
{
	return 3 - geom->refcount_order;
}

static uint32_t
shift_in_byte(const struct q2s_geom *geom, uint32_t index)
{
	return (index & ((1u << per_byte_bits(geom)) - 1)) << geom->refcount_order;
}

uint64_t
q2s_refcount_get(const struct q2s_geom *geom, const uint8_t *block, uint32_t index)
{
	const size_t i = index;

	switch (geom->refcount_order) {
	case 3:
		return block[i];
	case 4:
		return q2si_get_be16(block + i * 2);
	case 5:
		return q2si_get_be32(block + i * 4);
	case 6:
		return q2si_get_be64(block + i * 8);
	default:
		return (uint64_t)block[i >> per_byte_bits(geom)] >> shift_in_byte(geom, index) &
		       geom->refcount_max;
	}
}

static void
put_in_byte(const struct q2s_geom *geom, uint8_t *block, uint32_t index, uint8_t count)
{
	uint8_t *byte = block + (index >> per_byte_bits(geom));
	const uint32_t shift = shift_in_byte(geom, index);
	const uint32_t mask = (uint32_t)geom->refcount_max << shift;

	*byte = (uint8_t)((*byte & ~mask) | (uint32_t)count << shift);
}

static void
put(const struct q2s_geom *geom, uint8_t *block, uint32_t index, uint64_t count)
{
	const size_t i = index;

	switch (geom->refcount_order) {
	case 3:
		block[i] = (uint8_t)count;
		break;
	case 4:
		q2si_put_be16(block + i * 2, (uint16_t)count);
		break;
	case 5:
		q2si_put_be32(block + i * 4, (uint32_t)count);
		break;
	case 6:
		q2si_put_be64(block + i * 8, count);
		break;
	default:
		put_in_byte(geom, block, index, (uint8_t)count);
	}
}

static enum q2s_err
check_range(const struct q2s_geom *geom, uint32_t index, uint32_t n, uint64_t count,
	    struct q2s_diag *diag)
{
	if (count > geom->refcount_max)
		return q2si_fail(diag, Q2S_E_REFCOUNT, "refcount", Q2S_NOWHERE, count,
				 "does not fit %u bits", geom->refcount_bits);
	if (index > geom->block_entries || n > geom->block_entries - index)
		return q2si_fail(diag, Q2S_E_USAGE, "refcount block", Q2S_NOWHERE,
				 (uint64_t)index + n, "has %u counts", geom->block_entries);
	return Q2S_OK;
}

enum q2s_err
q2s_refcount_set(const struct q2s_geom *geom, uint8_t *block, uint32_t index, uint64_t count,
		 struct q2s_diag *diag)
{
	Q2SI_TRY(check_range(geom, index, 1, count, diag));
	put(geom, block, index, count);
	return Q2S_OK;
}

/* Repeat the first @unit bytes of @bytes over all @len: what is done doubles with each copy. */
static void
repeat(uint8_t *bytes, size_t unit, size_t len)
{
	for (size_t done = unit; done < len;) {
		const size_t n = q2si_min_size(done, len - done);

		memcpy(bytes + done, bytes, n);
		done += n;
	}
}

/* One by one up to a byte's edge, whole bytes in one go, one by one behind the last edge. */
static void
fill_in_bytes(const struct q2s_geom *geom, uint8_t *block, uint32_t index, uint32_t end,
	      uint8_t count)
{
	const uint32_t per_byte = 1u << per_byte_bits(geom);
	const uint32_t all = count * (0xffu / (uint32_t)geom->refcount_max);
	uint32_t whole;

	for (; index < end && index % per_byte; index++)
		put_in_byte(geom, block, index, count);
	whole = (end - index) / per_byte;
	memset(block + index / per_byte, (int)all, whole);
	for (index += whole * per_byte; index < end; index++)
		put_in_byte(geom, block, index, count);
}

enum q2s_err
q2s_refcount_fill(const struct q2s_geom *geom, uint8_t *block, uint32_t index, uint32_t n,
		  uint64_t count, struct q2s_diag *diag)
{
	Q2SI_TRY(check_range(geom, index, n, count, diag));
	if (geom->refcount_order < 3) {
		fill_in_bytes(geom, block, index, index + n, (uint8_t)count);
	} else if (n > 0) {
		const size_t unit = geom->refcount_bits / 8;

		put(geom, block, index, count);
		repeat(block + index * unit, unit, n * unit);
	}
	return Q2S_OK;
}
