/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compressed descriptors. The low q2s_comp_offset_bits() bits hold the byte where the stream
 * starts, the bits above, up to 61, the number of 512-byte sectors behind the one that holds it.
 * The exact length is not stored: a decoder gets all bytes up to the end of the last sector.
 */
#include "format/l2.h"

#include <inttypes.h>

#include "base/arith.h"
#include "base/diag.h"
#include "format/check.h"

#define ENTRY "L2 entry"
#define FLAGS (Q2S_ENTRY_COPIED | Q2S_ENTRY_COMPRESSED)

struct q2s_comp_range
q2s_comp_sectors(q2s_host at, uint64_t len)
{
	const uint64_t skew = at.v % Q2S_SECTOR;

	return (struct q2s_comp_range){
		.first = { at.v - skew },
		.bytes = len ? q2si_round_up(skew + len, Q2S_SECTOR) : 0,
	};
}

struct q2si_clusters
q2si_l2_clusters(const struct q2s_geom *geom, const struct q2s_l2_entry *entry)
{
	const uint32_t bits = geom->cluster_bits;
	struct q2s_comp_range range;
	uint64_t first;

	if (!entry->compressed)
		return (struct q2si_clusters){ entry->host.v >> bits, entry->has_host };
	range = q2s_comp_sectors(entry->comp_at, entry->comp_bytes);
	first = range.first.v >> bits;
	return (struct q2si_clusters){ first,
				       ((range.first.v + range.bytes - 1) >> bits) - first + 1 };
}

static struct q2s_l2_entry
unpack(const struct q2s_geom *geom, uint64_t desc)
{
	const uint32_t offset_bits = q2s_comp_offset_bits(geom);
	const uint64_t at = desc & ((1ull << offset_bits) - 1);
	const uint64_t more_sectors = (desc & ~FLAGS) >> offset_bits;
	const uint64_t bytes = (more_sectors + 1) * Q2S_SECTOR - at % Q2S_SECTOR;

	return (struct q2s_l2_entry){
		.compressed = true,
		.comp_at = { at },
		.comp_bytes = (uint32_t)bytes, /* at most 4 MiB */
	};
}

enum q2s_err
q2si_l2_compressed_decode(const struct q2s_geom *geom, const struct q2si_l2_raw *raw, q2s_host at,
			  bool lenient, struct q2s_l2_entry *out, struct q2s_diag *diag)
{
	const struct q2s_l2_entry entry = unpack(geom, raw->desc);

	if (geom->data_file)
		return q2si_fail(diag, Q2S_E_COMPRESSED, ENTRY, at, raw->desc,
				 "compressed cluster in an image with a data file");
	if (!lenient && raw->desc & Q2S_ENTRY_COPIED)
		return q2si_fail(diag, Q2S_E_COPIED, ENTRY, at, raw->desc,
				 "COPIED on a compressed cluster");
	if (!lenient && raw->map)
		return q2si_fail(diag, Q2S_E_COMPRESSED, "subcluster bitmap", q2si_field_at(at, 8),
				 raw->map, "bitmap of a compressed cluster not zero");
	if (entry.comp_at.v + entry.comp_bytes > Q2S_HOST_OFFSET_LIMIT)
		return q2si_fail(diag, Q2S_E_COMPRESSED, ENTRY, at, raw->desc,
				 "compressed data beyond 2^56");
	*out = entry;
	return Q2S_OK;
}

/* Only comp_at and comp_bytes have a place in a compressed descriptor. */
static enum q2s_err
check_unused(const struct q2s_geom *geom, const struct q2s_l2_entry *in, struct q2s_diag *diag)
{
	if (geom->data_file)
		return q2si_fail(diag, Q2S_E_COMPRESSED, ENTRY, Q2S_NOWHERE, in->comp_at.v,
				 "compressed cluster in an image with a data file");
	if (in->copied)
		return q2si_fail(diag, Q2S_E_COPIED, ENTRY, Q2S_NOWHERE, in->comp_at.v,
				 "COPIED on a compressed cluster");
	if (in->has_host || in->alloc || in->zero)
		return q2si_fail(diag, Q2S_E_COMPRESSED, ENTRY, Q2S_NOWHERE, in->comp_at.v,
				 "compressed cluster with a host cluster or subclusters");
	return Q2S_OK;
}

static enum q2s_err
check_range(const struct q2s_geom *geom, const struct q2s_l2_entry *in, struct q2s_diag *diag)
{
	const struct q2s_comp_range sectors = q2s_comp_sectors(in->comp_at, in->comp_bytes);
	const uint64_t sectors_max = 1ull << (geom->cluster_bits - 8);

	if (in->comp_at.v >> q2s_comp_offset_bits(geom))
		return q2si_fail(diag, Q2S_E_COMPRESSED, ENTRY, Q2S_NOWHERE, in->comp_at.v,
				 "compressed data starts beyond what the descriptor can hold");
	if (in->comp_at.v + in->comp_bytes > Q2S_HOST_OFFSET_LIMIT)
		return q2si_fail(diag, Q2S_E_COMPRESSED, ENTRY, Q2S_NOWHERE, in->comp_at.v,
				 "compressed data beyond 2^56");
	if (in->comp_bytes == 0 || sectors.bytes / Q2S_SECTOR > sectors_max)
		return q2si_fail(diag, Q2S_E_COMPRESSED, ENTRY, Q2S_NOWHERE, in->comp_bytes,
				 "compressed length not in 1..%" PRIu64 " sectors", sectors_max);
	return Q2S_OK;
}

enum q2s_err
q2si_l2_compressed_encode(const struct q2s_geom *geom, const struct q2s_l2_entry *in,
			  struct q2si_l2_raw *out, struct q2s_diag *diag)
{
	const struct q2s_comp_range sectors = q2s_comp_sectors(in->comp_at, in->comp_bytes);
	const uint64_t more_sectors = sectors.bytes / Q2S_SECTOR - 1;

	Q2SI_TRY(check_unused(geom, in, diag));
	Q2SI_TRY(check_range(geom, in, diag));
	*out = (struct q2si_l2_raw){
		.desc = Q2S_ENTRY_COMPRESSED | more_sectors << q2s_comp_offset_bits(geom) |
			in->comp_at.v,
	};
	return Q2S_OK;
}
