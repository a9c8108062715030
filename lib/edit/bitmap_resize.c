/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Persistent bitmaps of a disk that changes its size. All are durably marked as in use before the
 * size changes, as a crash may leave tables that do not fit it, and nobody trusts those. New tables
 * and a new directory without the marks are written beside the old ones, and one write of the
 * header puts them in place. What a longer disk has new is clean, so the bitmaps learn nothing of
 * how it is made.
 */
#include "edit/bitmap.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"

/* ---- what is refused ------------------------------------------------------------------------- */

static uint64_t
bits_of(const struct q2s_bitmap *record, uint64_t size)
{
	return q2si_div_up(size, 1ull << record->granularity_bits);
}

/* Bits that one cluster holds. */
static uint64_t
cluster_bits(const struct q2s_edit *edit)
{
	return 8ull << edit->geom.cluster_bits;
}

static uint32_t
entries_of(const struct q2s_edit *edit, const struct q2s_bitmap *record, uint64_t size)
{
	return (uint32_t)q2si_div_up(bits_of(record, size), cluster_bits(edit));
}

static enum q2s_err
bitmap_check(const struct q2s_edit *edit, const struct q2si_bitmap *bitmap, uint64_t size,
	     struct q2s_diag *diag)
{
	const struct q2s_bitmap *record = &bitmap->record;
	const int shown = (int)q2si_min(record->name_len, 128);
	const char *name = (const char *)record->name;

	if (bitmap->lost || (record->flags & Q2S_BITMAP_IN_USE))
		return q2si_fail(diag, Q2S_E_BITMAP, "bitmap flags", bitmap->at, record->flags,
				 "bitmap '%.*s' is marked as in use, so nobody knows what it says of "
				 "another size: it has to be removed first", shown, name);
	if (bits_of(record, size) > 8 * Q2S_BITMAP_MAX_BYTES)
		return q2si_fail(diag, Q2S_E_LIMIT, "size", Q2S_NOWHERE, size,
				 "bitmap '%.*s' with its granularity of %llu bytes would take more "
				 "than 512 MiB: it has to be removed first", shown, name,
				 1ull << record->granularity_bits);
	return q2si_bitmap_table_fits(edit, entries_of(edit, record, size), diag);
}

enum q2s_err
q2si_bitmaps_resize_check(const struct q2s_edit *edit, uint64_t size, struct q2s_diag *diag)
{
	for (uint32_t i = 0; i < edit->bitmaps->count; i++)
		Q2SI_TRY(bitmap_check(edit, &edit->bitmaps->list[i], size, diag));
	return Q2S_OK;
}

/* ---- marks ----------------------------------------------------------------------------------- */

static void
mark_note(struct q2si_bitmap *bitmap, bool in_use)
{
	if (in_use)
		bitmap->record.flags |= Q2S_BITMAP_IN_USE;
	else
		bitmap->record.flags &= ~Q2S_BITMAP_IN_USE;
	bitmap->tracked = !in_use && (bitmap->record.flags & Q2S_BITMAP_AUTO);
}

/* In the file as it is now, in place. */
static enum q2s_err
marks_write(struct q2s_edit *edit, bool in_use, struct q2s_diag *diag)
{
	struct q2si_bitmaps *bitmaps = edit->bitmaps;

	for (uint32_t i = 0; i < bitmaps->count; i++) {
		const uint32_t flags = bitmaps->list[i].record.flags & ~Q2S_BITMAP_IN_USE;

		Q2SI_TRY(q2si_bitmap_flags_write(
			edit, &bitmaps->list[i], flags | (in_use ? Q2S_BITMAP_IN_USE : 0), diag));
	}
	return Q2SI_KEEPS(Q2SI_BITMAP_MARK_FIRST) || !in_use
		       ? q2si_barrier(edit, q2si_meta(edit), diag)
		       : Q2S_OK;
}

enum q2s_err
q2si_bitmaps_resize_begin(struct q2s_edit *edit, struct q2si_bitmaps_resize *resize,
			  struct q2s_diag *diag)
{
	struct q2si_bitmaps *bitmaps = edit->bitmaps;
	const size_t bytes = bitmaps->count * sizeof(*bitmaps->list);

	*resize = (struct q2si_bitmaps_resize){ .size = edit->geom.size };
	if (bitmaps->count == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_tracking_end(edit, diag)); /* what was learned is true of the old size */
	resize->was = malloc(bytes);
	if (!resize->was)
		return q2si_fail_nomem(diag, "bitmaps");
	for (uint32_t i = 0; i < bitmaps->count; i++)
		mark_note(&bitmaps->list[i], true);
	memcpy(resize->was, bitmaps->list, bytes);
	return marks_write(edit, true, diag);
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* Of the cluster of bits that @entry stands for only the first @count stay; others hold still. */
static enum q2s_err
entry_cut(struct q2s_edit *edit, uint64_t count, struct q2s_bitmap_table_entry *entry,
	  struct q2si_freed_list *later, struct q2s_diag *diag)
{
	const size_t size = edit->geom.cluster_size;
	Q2SI_AUTO_FREE uint8_t *old = malloc(size);
	Q2SI_AUTO_FREE uint8_t *new = calloc(1, size);
	struct q2s_bitmap_table_entry cut = { 0 };

	if (!old || !new)
		return q2si_fail_nomem(diag, "bitmap");
	memset(old, 0xff, size);
	if (entry->cluster.v)
		Q2SI_TRY(q2si_plain_read(edit, entry->cluster.v, old, size, diag));
	q2si_dirty_set(new, 0, count);
	for (size_t i = 0; i < size; i++)
		new[i] &= old[i];
	if (memcmp(old, new, size) == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_bitmap_merge(edit, new, false, &cut, later, diag));
	if (entry->cluster.v)
		Q2SI_TRY(q2si_later_add(edit, later, entry->cluster.v, size, Q2SI_FREED_REFERENCE,
					diag));
	*entry = cut;
	return Q2S_OK;
}

/* Entry @index, which says nothing of bits from @keep on; @raw: as it is stored. */
static enum q2s_err
entry_fit(struct q2s_edit *edit, const struct q2si_bitmap *bitmap, uint64_t index, uint64_t keep,
	  uint8_t *raw, struct q2si_freed_list *later, struct q2s_diag *diag)
{
	const uint64_t first = index * cluster_bits(edit);
	struct q2s_bitmap_table_entry entry;

	Q2SI_TRY(q2si_bitmap_entry(edit, bitmap, index, &entry, diag));
	if (!entry.cluster.v && !entry.ones)
		return Q2S_OK;
	if (first >= keep)
		return entry.cluster.v ? q2si_later_add(edit, later, entry.cluster.v,
							edit->geom.cluster_size,
							Q2SI_FREED_REFERENCE, diag)
				       : Q2S_OK;
	if (keep - first < cluster_bits(edit))
		Q2SI_TRY(entry_cut(edit, keep - first, &entry, later, diag));
	return q2s_bitmap_table_encode(&edit->geom, &entry,
				       raw + index * Q2S_BITMAP_TABLE_ENTRY_SIZE, diag);
}

/* A new table, for the size that the disk has now. */
static enum q2s_err
bitmap_fit(struct q2s_edit *edit, struct q2si_bitmap *bitmap, uint64_t was,
	   struct q2si_freed_list *later, struct q2s_diag *diag)
{
	const uint64_t keep = bits_of(&bitmap->record, q2si_min(was, edit->geom.size));
	const uint32_t had = bitmap->record.table_entries;
	struct q2s_bitmap record = bitmap->record;
	Q2SI_AUTO_FREE uint8_t *raw = NULL;

	record.table_entries = entries_of(edit, &record, edit->geom.size);
	raw = calloc(q2si_size(q2si_max(had, record.table_entries)), Q2S_BITMAP_TABLE_ENTRY_SIZE);
	if (!raw)
		return q2si_fail_nomem(diag, "bitmap table");
	for (uint64_t i = 0; i < had; i++)
		Q2SI_TRY(entry_fit(edit, bitmap, i, keep, raw, later, diag));
	Q2SI_TRY(q2si_bitmap_table_drop(edit, bitmap, later, diag));
	Q2SI_TRY(q2si_bitmap_table_make(edit, &record, raw, &record.table_offset.v, diag));
	bitmap->record = record;
	return Q2S_OK;
}

/* ---- the change ------------------------------------------------------------------------------ */

enum q2s_err
q2si_bitmaps_resize_fit(struct q2s_edit *edit, struct q2si_bitmaps_resize *resize,
			struct q2s_diag *diag)
{
	struct q2si_bitmaps *bitmaps = edit->bitmaps;

	if (bitmaps->count == 0)
		return Q2S_OK;
	for (uint32_t i = 0; i < bitmaps->count; i++) {
		Q2SI_TRY(bitmap_fit(edit, &bitmaps->list[i], resize->size, &resize->later, diag));
		mark_note(&bitmaps->list[i], false);
	}
	return q2si_bitmap_directory_write(edit, &resize->directory, diag);
}

enum q2s_err
q2si_bitmaps_resize_switch(struct q2s_edit *edit, struct q2si_bitmaps_resize *resize,
			   struct q2s_diag *diag)
{
	struct q2s_diag why = { 0 };
	enum q2s_err err;

	if (edit->bitmaps->count == 0)
		return Q2S_OK;
	err = q2si_bitmap_directory_switch(edit, &resize->directory, &resize->later,
					   &why);
	resize->done = err == Q2S_OK;
	if (err == Q2S_OK)
		return Q2S_OK;
	if (diag && diag->err == Q2S_OK)
		*diag = why;
	return q2si_stop(edit, err, &why);
}

/* The records are those of the file again. With the old size they are true, so the marks go. */
static void
undo(struct q2s_edit *edit, const struct q2si_bitmaps_resize *resize)
{
	struct q2si_bitmaps *bitmaps = edit->bitmaps;
	struct q2s_diag why = { 0 };
	enum q2s_err err;

	memcpy(bitmaps->list, resize->was, bitmaps->count * sizeof(*bitmaps->list));
	if (edit->geom.size != resize->size || q2si_stopped(edit, NULL) != Q2S_OK)
		return;
	err = marks_write(edit, false, &why);
	if (err != Q2S_OK) { /* some may be gone, so nothing may change that these do not learn of */
		q2si_stop(edit, err, &why);
		return;
	}
	for (uint32_t i = 0; i < bitmaps->count; i++)
		mark_note(&bitmaps->list[i], false);
}

void
q2si_bitmaps_resize_end(struct q2s_edit *edit, struct q2si_bitmaps_resize *resize)
{
	if (resize->was && !resize->done)
		undo(edit, resize);
	free(resize->was);
	free(resize->later.list);
	*resize = (struct q2si_bitmaps_resize){ 0 };
}
