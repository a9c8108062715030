/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where everything lies: header, refcount table, refcount blocks, LUKS header, L1, bitmaps, the L2
 * tables that are not empty, data in guest order. All counts are known before the first offset, so
 * the metadata can come first and the file can be written in one sequence. Data that has to be
 * written before it is known how much there is comes first instead, but for the L1 table: some
 * readers (nbdkit's qcow2dec) refuse one that lies behind as many bytes as the disk has.
 */
#include "base/arith.h"
#include "base/diag.h"
#include "plan/plan.h"

/* Host cluster numbers handed out one after the other. */
static q2s_host
take(uint64_t *next, uint64_t clusters, const struct q2s_geom *geom)
{
	const q2s_host at = { *next << geom->cluster_bits };

	*next += clusters;
	return at;
}

/* Enough for a disk of 4 TiB with clusters of 64 KiB, of 16 GiB with 4 KiB. */
#define FRONT_BYTES (64u << 10)

uint64_t
q2si_front_clusters(const struct q2s_geom *geom)
{
	return q2si_max(FRONT_BYTES >> geom->cluster_bits, 1);
}

enum q2s_err
q2si_layout_make(const struct q2s_spec *spec, const struct q2s_alloc *alloc,
		 const struct q2si_bitmaps *bitmaps, struct q2s_layout *out, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &spec->geom;
	const uint64_t l1_clusters =
		q2si_div_up(geom->l1_entries * Q2S_L1_ENTRY_SIZE, geom->cluster_size);
	const uint64_t luks = q2si_div_up(spec->luks.len, geom->cluster_size);
	const uint64_t data = geom->data_file ? 0 : alloc->clusters;
	const uint64_t front = spec->data_first ? q2si_front_clusters(geom) : 0;
	const uint64_t l1_behind = l1_clusters <= front ? 0 : l1_clusters;
	struct q2s_refcount_size refs;
	uint64_t next = 1 + front; /* behind the header */

	Q2SI_TRY(q2s_refcount_size_solve(geom, next + luks + l1_behind + bitmaps->clusters +
						       alloc->table_count + data,
					 &refs, diag));
	*out = (struct q2s_layout){
		.refcount_table_clusters = refs.table_clusters,
		.refcount_block_count = refs.blocks,
		.luks_clusters = luks,
		.l1_clusters = l1_clusters,
		.bitmap_clusters = bitmaps->clusters,
		.bitmap_directory_bytes = bitmaps->directory_bytes,
		.l2_tables = alloc->table_count,
		.data_clusters = data,
	};
	if (spec->data_first)
		out->data = take(&next, data, geom);
	out->refcount_table = take(&next, refs.table_clusters, geom);
	out->refcount_blocks = take(&next, refs.blocks, geom);
	out->luks = take(&next, luks, geom);
	out->l1 = l1_behind || !front ? take(&next, l1_clusters, geom)
				      : (q2s_host){ geom->cluster_size };
	out->bitmaps = take(&next, bitmaps->clusters, geom);
	out->bitmap_directory.v = out->bitmaps.v + (bitmaps->directory << geom->cluster_bits);
	out->l2 = take(&next, alloc->table_count, geom);
	if (!spec->data_first)
		out->data = take(&next, data, geom);
	out->length = next << geom->cluster_bits;
	return Q2S_OK;
}
