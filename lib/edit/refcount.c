/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counts of host clusters. What stands in the cache may be written at any time: a count rises
 * before anything refers to the cluster, and falls when nothing durable does any more.
 */
#include "edit/edit.h"

#include <inttypes.h>

#include "base/arith.h"
#include "base/diag.h"

uint64_t
q2si_refcount_covers(const struct q2s_edit *edit)
{
	const uint64_t bytes = (uint64_t)edit->header.refcount_table_clusters
			       << edit->geom.cluster_bits;

	return bytes / Q2S_REFTABLE_ENTRY_SIZE << edit->geom.block_bits;
}

/* The refcount table's entry for @cluster, which the table covers. */
static enum q2s_err
table_entry(struct q2s_edit *edit, uint64_t cluster, struct q2si_slice **slice, uint64_t *at,
	    struct q2s_diag *diag)
{
	*at = edit->header.refcount_table_offset.v +
	      (cluster >> edit->geom.block_bits) * Q2S_REFTABLE_ENTRY_SIZE;
	return q2si_cache_get(&edit->cache, *at, Q2SI_SLICE_REFTABLE, slice, diag);
}

/* Where the block that describes @cluster lies; 0: there is none. */
static enum q2s_err
block_find(struct q2s_edit *edit, uint64_t cluster, q2s_host *block, struct q2s_diag *diag)
{
	struct q2si_slice *slice;
	uint64_t at;
	enum q2s_err err;

	block->v = 0;
	if (cluster >= q2si_refcount_covers(edit))
		return Q2S_OK;
	Q2SI_TRY(table_entry(edit, cluster, &slice, &at, diag));
	err = q2s_reftable_decode(&edit->geom, q2si_slice_at(&edit->cache, slice, at),
				  (q2s_host){ at }, block, diag);
	q2si_cache_put(slice);
	return err;
}

/* The first byte of a block that holds the count of @cluster. */
static uint64_t
in_block(const struct q2s_edit *edit, uint64_t cluster)
{
	return (cluster & (edit->geom.block_entries - 1)) << edit->geom.refcount_order >> 3;
}

static uint32_t
slice_counts(const struct q2s_edit *edit)
{
	return edit->cache.slice_size * 8 >> edit->geom.refcount_order;
}

/* Index of the count of @cluster within its slice. */
static uint32_t
in_slice(const struct q2s_edit *edit, uint64_t cluster)
{
	return (uint32_t)(cluster & (slice_counts(edit) - 1));
}

enum q2s_err
q2si_refcount_slice(struct q2s_edit *edit, uint64_t cluster, struct q2si_slice **out,
		    struct q2s_diag *diag)
{
	q2s_host block;

	*out = NULL;
	Q2SI_TRY(block_find(edit, cluster, &block, diag));
	if (block.v == 0)
		return Q2S_OK;
	return q2si_cache_get(&edit->cache, block.v + in_block(edit, cluster), Q2SI_SLICE_REFCOUNT,
			      out, diag);
}

enum q2s_err
q2si_refcount_get(struct q2s_edit *edit, uint64_t cluster, uint64_t *out, struct q2s_diag *diag)
{
	struct q2si_slice *slice;

	*out = 0;
	Q2SI_TRY(q2si_refcount_slice(edit, cluster, &slice, diag));
	if (!slice)
		return Q2S_OK;
	*out = q2s_refcount_get(&edit->geom, slice->data, in_slice(edit, cluster));
	q2si_cache_put(slice);
	return Q2S_OK;
}

enum q2s_err
q2si_refcount_run(struct q2s_edit *edit, uint64_t cluster, uint64_t end, uint64_t *count,
		  uint64_t *until, struct q2s_diag *diag)
{
	const uint32_t first = in_slice(edit, cluster);
	const uint32_t most = (uint32_t)q2si_min(end - cluster, slice_counts(edit) - first);
	struct q2si_slice *slice;
	uint32_t n = 1;

	*count = 0;
	*until = cluster + most;
	Q2SI_TRY(q2si_refcount_slice(edit, cluster, &slice, diag));
	if (!slice)
		return Q2S_OK;
	*count = q2s_refcount_get(&edit->geom, slice->data, first);
	while (n < most && q2s_refcount_get(&edit->geom, slice->data, first + n) == *count)
		n++;
	*until = cluster + n;
	q2si_cache_put(slice);
	return Q2S_OK;
}

/* The counts of @n clusters from @cluster on, which are in @slice. */
static enum q2s_err
counts_put(struct q2s_edit *edit, struct q2si_slice *slice, uint64_t cluster, uint32_t n,
	   uint64_t count, struct q2s_diag *diag)
{
	const uint32_t first = in_slice(edit, cluster), order = edit->geom.refcount_order;
	const uint64_t start = (uint64_t)first << order >> 3;
	const uint64_t end = q2si_div_up((uint64_t)(first + n) << order, 8);

	Q2SI_TRY(q2si_cache_change(&edit->cache, slice, slice->at + start, end - start, diag));
	for (uint32_t i = 0; i < n; i++)
		Q2SI_TRY(q2s_refcount_set(&edit->geom, slice->data, first + i, count, diag));
	return Q2S_OK;
}

enum q2s_err
q2si_refcount_fill(struct q2s_edit *edit, uint64_t cluster, uint64_t clusters, uint64_t count,
		   struct q2s_diag *diag)
{
	const uint64_t end = cluster + clusters;

	while (cluster < end) {
		const uint32_t n = (uint32_t)q2si_min(end - cluster,
						      slice_counts(edit) - in_slice(edit, cluster));
		const q2s_host at = { cluster << edit->geom.cluster_bits };
		struct q2si_slice *slice;
		enum q2s_err err;

		Q2SI_TRY(q2si_refcount_slice(edit, cluster, &slice, diag));
		if (!slice)
			return q2si_fail(diag, Q2S_E_REFCOUNT, "refcount table", at, count,
					 "no block describes a cluster that is in use");
		err = counts_put(edit, slice, cluster, n, count, diag);
		q2si_cache_put(slice);
		Q2SI_TRY(err);
		cluster += n;
	}
	return Q2S_OK;
}

enum q2s_err
q2si_refcount_set(struct q2s_edit *edit, uint64_t cluster, uint64_t count, struct q2s_diag *diag)
{
	return q2si_refcount_fill(edit, cluster, 1, count, diag);
}

/* ---- new blocks ---------------------------------------------------------------------------- */

/* The block's own count, which lies within it, is also what makes it reach the store. */
static enum q2s_err
block_fill(struct q2s_edit *edit, uint64_t cluster, struct q2s_diag *diag)
{
	const uint64_t host = cluster << edit->geom.cluster_bits;
	struct q2si_slice *slice;
	enum q2s_err err;

	q2si_cache_forget(&edit->cache, host, edit->geom.cluster_size);
	Q2SI_TRY(q2si_cache_new(&edit->cache, host + in_block(edit, cluster), Q2SI_SLICE_REFCOUNT,
				&slice, diag));
	err = counts_put(edit, slice, cluster, 1, 1, diag);
	q2si_cache_put(slice);
	return err;
}

static enum q2s_err
block_link(struct q2s_edit *edit, uint64_t cluster, uint64_t block, struct q2s_diag *diag)
{
	struct q2si_slice *slice;
	uint64_t at;
	enum q2s_err err;

	Q2SI_TRY(table_entry(edit, cluster, &slice, &at, diag));
	err = q2si_cache_change(&edit->cache, slice, at, Q2S_REFTABLE_ENTRY_SIZE, diag);
	if (err == Q2S_OK)
		err = q2s_reftable_encode(&edit->geom,
					  (q2s_host){ block << edit->geom.cluster_bits },
					  q2si_slice_at(&edit->cache, slice, at), diag);
	q2si_cache_put(slice);
	return err;
}

enum q2s_err
q2si_refcount_block_make(struct q2s_edit *edit, uint64_t cluster, struct q2s_diag *diag)
{
	const uint64_t host = cluster << edit->geom.cluster_bits;
	const uint64_t size = edit->geom.cluster_size;
	enum q2s_err err;

	Q2SI_TRY(q2si_overlap_check(edit, host, size, "refcount block", diag));
	if (host >= edit->file_end || Q2SI_KEEPS(Q2SI_ZERO_NEW_TABLES))
		Q2SI_TRY(q2si_table_reserve(edit, host, diag));
	edit->file_end = q2si_max(edit->file_end, host + size);
	Q2SI_TRY(q2si_overlap_add(edit, host, size, diag));
	err = block_fill(edit, cluster, diag);
	if (err == Q2S_OK)
		err = block_link(edit, cluster, cluster, diag);
	if (err != Q2S_OK) {
		q2si_cache_forget(&edit->cache, host, size);
		q2si_overlap_remove(edit, host, size);
	}
	return err;
}

/* All of it is written, as none of its counts need be used. */
enum q2s_err
q2si_refcount_block_link(struct q2s_edit *edit, uint64_t cluster, uint64_t at,
			 struct q2s_diag *diag)
{
	const uint64_t host = at << edit->geom.cluster_bits;
	const uint64_t size = edit->geom.cluster_size;
	enum q2s_err err;

	q2si_cache_forget(&edit->cache, host, size);
	Q2SI_TRY(q2si_table_reserve(edit, host, diag));
	edit->file_end = q2si_max(edit->file_end, host + size);
	Q2SI_TRY(q2si_overlap_add(edit, host, size, diag));
	err = block_link(edit, cluster, at, diag);
	if (err != Q2S_OK)
		q2si_overlap_remove(edit, host, size);
	return err;
}
