/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Contiguous host clusters for what the format wants in one piece: L1 tables, the snapshot table.
 * They are taken from the first gap that is long enough, else at the end of the file. There
 * refcount blocks may be missing; these then lie in front of the area, so that they do not cut it
 * in two.
 */
#include "edit/edit.h"

#include <string.h>

#include "base/arith.h"
#include "base/diag.h"

/* The first cluster of a gap of @want; the last gap, at the end of the file, is as long as needed. */
static enum q2s_err
gap_find(struct q2s_edit *edit, uint64_t want, uint64_t *out, struct q2s_diag *diag)
{
	const uint64_t counts = (uint64_t)edit->cache.slice_size * 8 >> edit->geom.refcount_order;
	const uint64_t end = q2si_div_up(edit->file_end, edit->geom.cluster_size);
	uint64_t start = 0;

	for (uint64_t cluster = 0; cluster < end; cluster += counts) {
		struct q2si_slice *slice;

		Q2SI_TRY(q2si_refcount_slice(edit, cluster, &slice, diag));
		for (uint32_t i = 0; slice && i < counts && cluster + i < end; i++) {
			if (q2s_refcount_get(&edit->geom, slice->data, i) != 0)
				start = cluster + i + 1;
			else if (cluster + i + 1 - start >= want)
				break;
		}
		if (slice)
			q2si_cache_put(slice);
		else
			start = q2si_min(cluster + counts, end);
		if (start + want <= q2si_min(cluster + counts, end))
			break;
	}
	*out = start;
	return Q2S_OK;
}

/* Refcount blocks that [@start, @start + @n) lacks. */
static enum q2s_err
blocks_missing(struct q2s_edit *edit, uint64_t start, uint64_t n, uint64_t *out,
	       struct q2s_diag *diag)
{
	const uint32_t bits = edit->geom.block_bits;

	*out = 0;
	for (uint64_t i = start >> bits; i <= (start + n - 1) >> bits; i++) {
		struct q2si_slice *slice;

		Q2SI_TRY(q2si_refcount_slice(edit, i << bits, &slice, diag));
		if (slice)
			q2si_cache_put(slice);
		else
			++*out;
	}
	return Q2S_OK;
}

/* A gap with room for @want clusters and the blocks in front of them. */
static enum q2s_err
room_find(struct q2s_edit *edit, uint64_t want, uint64_t *start, uint64_t *blocks,
	  struct q2s_diag *diag)
{
	for (;;) {
		uint64_t before = 0;

		Q2SI_TRY(gap_find(edit, want, start, diag));
		*blocks = 0;
		do {
			before = *blocks;
			Q2SI_TRY(blocks_missing(edit, *start, want + before, blocks, diag));
		} while (*blocks > before);
		*blocks = before;
		if (*start + want + *blocks <= q2si_refcount_covers(edit))
			return Q2S_OK;
		Q2SI_TRY(q2si_refcount_grow_to(edit, *start + want + *blocks, diag));
	}
}

/* Make the blocks that [@start, @start + @n) lacks, from @start on. */
static enum q2s_err
blocks_make(struct q2s_edit *edit, uint64_t start, uint64_t n, struct q2s_diag *diag)
{
	const uint32_t bits = edit->geom.block_bits;
	uint64_t at = start;

	for (uint64_t i = start >> bits; i <= (start + n - 1) >> bits; i++) {
		struct q2si_slice *slice;

		Q2SI_TRY(q2si_refcount_slice(edit, i << bits, &slice, diag));
		if (slice)
			q2si_cache_put(slice);
		else
			Q2SI_TRY(q2si_refcount_block_link(edit, i << bits, at++, diag));
	}
	return Q2S_OK;
}

enum q2s_err
q2si_alloc_area(struct q2s_edit *edit, uint64_t bytes, uint64_t *host, struct q2s_diag *diag)
{
	const uint32_t bits = edit->geom.cluster_bits;
	const uint64_t want = q2si_max(q2si_div_up(bytes, edit->geom.cluster_size), 1);
	uint64_t start, blocks;
	enum q2s_err err;

	Q2SI_TRY(room_find(edit, want, &start, &blocks, diag));
	Q2SI_TRY(q2si_overlap_check(edit, start << bits, (want + blocks) << bits, "free cluster",
				    diag));
	Q2SI_TRY(blocks_make(edit, start, want + blocks, diag));
	err = q2si_refcount_fill(edit, start, want + blocks, 1, diag);
	edit->file_end = q2si_max(edit->file_end, (start + blocks + want) << bits);
	*host = (start + blocks) << bits;
	if (err == Q2S_OK)
		err = q2si_overlap_add(edit, *host, want << bits, diag);
	if (err != Q2S_OK) {
		q2si_alloc_undo(edit, *host, want);
		return err;
	}
	q2si_cache_forget(&edit->cache, *host, want << bits);
	return Q2S_OK;
}

void
q2si_area_undo(struct q2s_edit *edit, uint64_t host, uint64_t bytes)
{
	const uint64_t len = q2si_round_up(q2si_max(bytes, 1), edit->geom.cluster_size);

	q2si_cache_forget(&edit->cache, host, len);
	q2si_overlap_remove(edit, host, len);
	q2si_alloc_undo(edit, host, len >> edit->geom.cluster_bits);
}

enum q2s_err
q2si_area_free(struct q2s_edit *edit, uint64_t host, uint64_t bytes, struct q2s_diag *diag)
{
	const uint64_t len = q2si_round_up(bytes, edit->geom.cluster_size);

	if (len == 0)
		return Q2S_OK;
	return q2si_freed_add(edit, (struct q2si_freed){ Q2SI_FREED_TABLE, host, len, 0 }, diag);
}
