/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Persistent bitmaps move below the limit: their clusters, their tables, and the directory. */
#include "edit/bitmap.h"
#include "edit/compact.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"

/* Copies of the clusters that are high; @raw is what the table is to hold. */
static enum q2s_err
entries_move(struct q2si_round *round, const struct q2si_bitmap *bitmap, uint8_t *raw,
	     struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const size_t size = edit->geom.cluster_size;
	Q2SI_AUTO_FREE uint8_t *buf = malloc(size);

	if (!buf)
		return q2si_fail_nomem(diag, "bitmap");
	for (uint64_t i = 0; i < bitmap->record.table_entries; i++) {
		struct q2s_bitmap_table_entry entry;
		uint64_t to = 0;

		Q2SI_TRY(q2si_bitmap_entry(edit, bitmap, i, &entry, diag));
		if (entry.cluster.v && q2si_is_high(round, entry.cluster.v))
			Q2SI_TRY(q2si_low_alloc(round, 1, 1, &to, diag));
		if (to) {
			Q2SI_TRY(q2si_plain_read(edit, entry.cluster.v, buf, size, diag));
			Q2SI_TRY(q2si_plain_write(edit, to, buf, size, diag));
			Q2SI_TRY(q2si_round_drop(round, entry.cluster.v, size, 1,
						 Q2SI_FREED_REFERENCE, diag));
			entry.cluster.v = to;
			round->moved++;
		}
		Q2SI_TRY(q2s_bitmap_table_encode(&edit->geom, &entry,
						 raw + i * Q2S_BITMAP_TABLE_ENTRY_SIZE, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
has_high(struct q2si_round *round, const struct q2si_bitmap *bitmap, bool *out,
	 struct q2s_diag *diag)
{
	struct q2s_bitmap_table_entry entry;
	const uint64_t table = bitmap->record.table_offset.v;
	const uint64_t bytes = q2si_bitmap_table_bytes(&bitmap->record);

	*out = q2si_is_high(round, table + bytes - 1);
	for (uint64_t i = 0; !*out && i < bitmap->record.table_entries; i++) {
		Q2SI_TRY(q2si_bitmap_entry(round->edit, bitmap, i, &entry, diag));
		*out = entry.cluster.v && q2si_is_high(round, entry.cluster.v);
	}
	return Q2S_OK;
}

/* A table whose entries change is a new one; without room for it all of the bitmap stays. */
static enum q2s_err
bitmap_move(struct q2si_round *round, struct q2si_bitmap *bitmap, bool *moved,
	    struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const uint64_t bytes = q2si_bitmap_table_bytes(&bitmap->record);
	const uint64_t clusters = q2si_div_up(bytes, edit->geom.cluster_size);
	const uint64_t len = clusters << edit->geom.cluster_bits;
	Q2SI_AUTO_FREE uint8_t *raw = malloc(q2si_size(bytes));
	uint64_t to;
	bool high;

	Q2SI_TRY(has_high(round, bitmap, &high, diag));
	if (!high)
		return Q2S_OK;
	if (!raw)
		return q2si_fail_nomem(diag, "bitmap table");
	Q2SI_TRY(q2si_low_alloc(round, clusters, 1, &to, diag));
	if (to == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_overlap_add(edit, to, len, diag));
	Q2SI_TRY(entries_move(round, bitmap, raw, diag));
	Q2SI_TRY(q2si_plain_write(edit, to, raw, bytes, diag));
	Q2SI_TRY(q2si_round_drop(round, bitmap->record.table_offset.v, len, 1, Q2SI_FREED_TABLE,
				 diag));
	bitmap->record.table_offset.v = to;
	round->moved += clusters;
	*moved = true;
	return Q2S_OK;
}

/* Is the directory high, and is there room for it below? */
static enum q2s_err
directory_can_move(struct q2si_round *round, bool *out, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const struct q2si_bitmaps *bitmaps = edit->bitmaps;
	const uint64_t clusters = q2si_div_up(bitmaps->directory_size, edit->geom.cluster_size);
	uint64_t to;

	*out = false;
	if (!q2si_is_high(round, bitmaps->directory + bitmaps->directory_size - 1))
		return Q2S_OK;
	Q2SI_TRY(q2si_low_alloc(round, clusters, 1, &to, diag));
	if (to == 0)
		return Q2S_OK;
	q2si_alloc_undo(edit, to, clusters);
	round->low = 0;
	round->moved += clusters;
	*out = true;
	return Q2S_OK;
}

enum q2s_err
q2si_bitmaps_move(struct q2si_round *round, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	struct q2si_freed_list none = { 0 };
	bool moved = false, directory;

	if (edit->bitmaps->count == 0)
		return Q2S_OK;
	for (uint32_t i = 0; i < edit->bitmaps->count; i++) {
		const enum q2s_err err = bitmap_move(round, &edit->bitmaps->list[i], &moved, diag);

		/* Records that the file does not have must not be built on. */
		if (err != Q2S_OK)
			return q2si_stop(edit, err, diag);
	}
	Q2SI_TRY(directory_can_move(round, &directory, diag));
	if (!moved && !directory)
		return Q2S_OK;
	edit->pool_count = 0;
	edit->next = 0;
	return q2si_bitmaps_switch(edit, &none, diag);
}
