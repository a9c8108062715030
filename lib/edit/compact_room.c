/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Room for a table that must lie together, where what is free is scattered: a window of clusters
 * below the limit, out of which data, L2 tables and refcount blocks are moved. The table then finds
 * it free.
 */
#include "edit/bitmap.h"
#include "edit/compact.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"

/* Clusters that no window may have. */
struct fixed_span {
	uint64_t first, end;
};

struct fixed_list {
	struct fixed_span *list;
	size_t count, room;
};

/* ---- what stays ------------------------------------------------------------------------------ */

static enum q2s_err
fixed_add(const struct q2s_edit *edit, struct fixed_list *fixed, uint64_t at, uint64_t len,
	  struct q2s_diag *diag)
{
	const uint32_t bits = edit->geom.cluster_bits;

	if (at == 0 && len == 0)
		return Q2S_OK;
	if (fixed->count == fixed->room) {
		const size_t room = fixed->room ? 2 * fixed->room : 64;
		struct fixed_span *more = reallocarray(fixed->list, room, sizeof(*more));

		if (!more)
			return q2si_fail_nomem(diag, "compact");
		fixed->list = more;
		fixed->room = room;
	}
	fixed->list[fixed->count++] = (struct fixed_span){
		at >> bits, q2si_div_up(at + len, edit->geom.cluster_size)
	};
	return Q2S_OK;
}

static enum q2s_err
bitmaps_add(struct q2s_edit *edit, struct fixed_list *fixed, struct q2s_diag *diag)
{
	const struct q2si_bitmaps *bitmaps = edit->bitmaps;

	Q2SI_TRY(fixed_add(edit, fixed, bitmaps->directory, bitmaps->directory_size, diag));
	for (uint32_t i = 0; i < bitmaps->count; i++) {
		const struct q2s_bitmap *record = &bitmaps->list[i].record;

		Q2SI_TRY(fixed_add(edit, fixed, record->table_offset.v,
				   q2si_bitmap_table_bytes(record), diag));
		for (uint64_t k = 0; k < record->table_entries; k++) {
			struct q2s_bitmap_table_entry entry;

			Q2SI_TRY(q2si_bitmap_entry(edit, &bitmaps->list[i], k, &entry, diag));
			if (entry.cluster.v)
				Q2SI_TRY(fixed_add(edit, fixed, entry.cluster.v,
						   edit->geom.cluster_size, diag));
		}
	}
	return Q2S_OK;
}

static int
by_first(const void *a, const void *b)
{
	const struct fixed_span *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

/* The header, what must lie together itself, and what would have to be written anew for it. */
static enum q2s_err
fixed_find(const struct q2si_round *round, struct fixed_list *fixed, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const struct q2s_ext_crypto *crypto = q2s_image_crypto(edit->image);
	struct q2s_snapshots all = { 0 };
	struct q2s_image *image;
	enum q2s_err err;

	Q2SI_TRY(fixed_add(edit, fixed, 0, edit->geom.cluster_size, diag));
	Q2SI_TRY(fixed_add(edit, fixed, edit->header.refcount_table_offset.v,
			   (uint64_t)edit->header.refcount_table_clusters
				   << edit->geom.cluster_bits,
			   diag));
	for (size_t r = 0; r < round->root_count; r++)
		Q2SI_TRY(fixed_add(edit, fixed, round->roots[r].at,
				   round->roots[r].entries * Q2S_L1_ENTRY_SIZE, diag));
	if (crypto)
		Q2SI_TRY(fixed_add(edit, fixed, crypto->offset.v, crypto->length, diag));
	Q2SI_TRY(bitmaps_add(edit, fixed, diag));
	Q2SI_TRY(q2s_image_open(q2si_meta(edit)->store, 0, &image, diag));
	err = q2s_image_snapshots(image, &all, diag);
	q2s_image_close(image);
	if (err == Q2S_OK)
		err = fixed_add(edit, fixed, edit->header.snapshots_offset.v, all.bytes, diag);
	q2s_snapshots_free(&all);
	if (err == Q2S_OK)
		qsort(fixed->list, fixed->count, sizeof(*fixed->list), by_first);
	return err;
}

/* ---- the window ------------------------------------------------------------------------------ */

/*
 * May @cluster be in a window, and is it in use? Nothing is moved to where there is no refcount
 * block.
 */
static enum q2s_err
cluster_look(struct q2si_round *round, uint64_t cluster, bool *has_block, bool *used,
	     struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	struct q2si_slice *slice;
	uint64_t count = 0;

	Q2SI_TRY(q2si_refcount_slice(edit, cluster, &slice, diag));
	*has_block = slice != NULL;
	if (slice) {
		q2si_cache_put(slice);
		Q2SI_TRY(q2si_refcount_get(edit, cluster, &count, diag));
	}
	*used = count != 0;
	return Q2S_OK;
}

/* Slide a window over all that is below the limit; @least: clusters in use in the best one. */
static enum q2s_err
slide(struct q2si_round *round, const struct fixed_list *fixed, uint64_t *least,
      uint64_t *free_count, struct q2s_diag *diag)
{
	uint64_t first = 0, used_count = 0;
	size_t next = 0;

	for (uint64_t cluster = 0; cluster < round->limit; cluster++) {
		bool has_block, used;

		Q2SI_TRY(cluster_look(round, cluster, &has_block, &used, diag));
		*free_count += has_block && !used;
		while (next < fixed->count && fixed->list[next].end <= cluster)
			next++;
		if (!has_block || (next < fixed->count && fixed->list[next].first <= cluster)) {
			first = cluster + 1;
			used_count = 0;
			continue;
		}
		used_count += used;
		if (cluster - first == round->wanted) {
			Q2SI_TRY(cluster_look(round, first++, &has_block, &used, diag));
			used_count -= used;
		}
		if (cluster + 1 - first == round->wanted && used_count < *least) {
			*least = used_count;
			round->window = first;
		}
	}
	return Q2S_OK;
}

enum q2s_err
q2si_window_choose(struct q2si_round *round, bool *out, struct q2s_diag *diag)
{
	struct fixed_list fixed = { 0 };
	uint64_t least = UINT64_MAX, free_count = 0;
	enum q2s_err err = fixed_find(round, &fixed, diag);

	if (err == Q2S_OK)
		err = slide(round, &fixed, &least, &free_count, diag);
	free(fixed.list);
	/* All that is free, but for what the window has of it, takes what is in use there. */
	*out = least != UINT64_MAX && free_count >= round->wanted;
	if (*out)
		round->window_len = round->wanted;
	return err;
}
