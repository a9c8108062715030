/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Adding, removing and changing persistent bitmaps: what q2s_edit_bitmap_...() do. */
#include "edit/bitmap.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"

/* ---- beginning ------------------------------------------------------------------------------ */

/* No guest data change, so no bitmap has to be marked; what was learned before is stored. */
enum q2s_err
q2si_change_begin(struct q2s_edit *edit, struct q2s_diag *diag)
{
	if (edit->flags & Q2S_EDIT_READ_ONLY)
		return q2si_fail_at(diag, Q2S_E_USAGE, "image", Q2S_NOWHERE,
				    "it is open for reading only");
	Q2SI_TRY(q2si_stopped(edit, diag));
	Q2SI_TRY(q2si_header_prepare(edit, diag));
	return q2si_tracking_end(edit, diag);
}

static enum q2s_err
find(struct q2s_edit *edit, struct q2s_bytes name, bool usable, struct q2si_bitmap **out,
     struct q2s_diag *diag)
{
	struct q2si_bitmap *bitmap = q2si_bitmap_find(edit, name);
	const int shown = (int)q2si_min(name.len, 128);

	if (!bitmap)
		return q2si_fail_at(diag, Q2S_E_USAGE, "bitmap", Q2S_NOWHERE,
				    "the image has no bitmap '%.*s'", shown,
				    (const char *)name.data);
	if (usable && (bitmap->record.flags & Q2S_BITMAP_IN_USE))
		return q2si_fail(diag, Q2S_E_BITMAP, "bitmap flags", bitmap->at,
				 bitmap->record.flags,
				 "bitmap '%.*s' is marked as in use, so it cannot be trusted: it can "
				 "only be removed",
				 shown, (const char *)name.data);
	*out = bitmap;
	return Q2S_OK;
}

/* Take the lock, and find the bitmap that is going to be changed. Returns with the lock, always. */
static enum q2s_err
change_open(struct q2s_edit *edit, struct q2s_bytes name, bool usable, struct q2si_bitmap **out,
	    struct q2s_diag *diag)
{
	pthread_mutex_lock(&edit->lock);
	Q2SI_TRY(q2si_change_begin(edit, diag));
	return find(edit, name, usable, out, diag);
}

/* ---- add ------------------------------------------------------------------------------------ */

static enum q2s_err
add_check(struct q2s_edit *edit, struct q2s_bytes name, uint32_t bits, struct q2s_diag *diag)
{
	const struct q2s_ext_bitmaps ext = { .count = 1 };
	const struct q2si_head_change change = { .bitmaps = &ext };
	const int shown = (int)q2si_min(name.len, 128);

	if (edit->geom.version < 3)
		return q2si_fail(diag, Q2S_E_UNSUPPORTED, "version", (q2s_host){ 4 },
				 edit->geom.version, "a version 2 image cannot have bitmaps");
	if (name.len == 0 || name.len > Q2S_BITMAP_NAME_MAX)
		return q2si_fail(diag, Q2S_E_USAGE, "bitmap name", Q2S_NOWHERE, name.len,
				 "not from 1 to %u bytes", Q2S_BITMAP_NAME_MAX);
	if (q2si_bitmap_find(edit, name))
		return q2si_fail_at(diag, Q2S_E_EXISTS, "bitmap", Q2S_NOWHERE,
				    "the image has a bitmap '%.*s' already", shown,
				    (const char *)name.data);
	if (bits < Q2S_BITMAP_GRANULARITY_BITS_MIN || bits > Q2S_BITMAP_GRANULARITY_BITS_MAX)
		return q2si_fail(diag, Q2S_E_USAGE, "granularity", Q2S_NOWHERE, bits,
				 "no power of two from 512 bytes to 2 GiB");
	if (edit->geom.size == 0)
		return q2si_fail_at(diag, Q2S_E_CONFLICT, "bitmap", Q2S_NOWHERE,
				    "the disk has no bytes");
	if (q2si_div_up(edit->geom.size, 1ull << bits) > 8 * Q2S_BITMAP_MAX_BYTES)
		return q2si_fail(diag, Q2S_E_LIMIT, "granularity", Q2S_NOWHERE, 1ull << bits,
				 "the bitmap would take more than 512 MiB: use a larger one");
	Q2SI_TRY(q2si_header_room(edit, &change, diag));
	if (edit->bitmaps->count >= Q2S_BITMAPS_MAX)
		return q2si_fail(diag, Q2S_E_LIMIT, "bitmaps", Q2S_NOWHERE, edit->bitmaps->count,
				 "no more than %u", Q2S_BITMAPS_MAX);
	return Q2S_OK;
}

static enum q2s_err
add(struct q2s_edit *edit, struct q2s_bytes name, uint32_t bits, bool enabled,
    struct q2s_diag *diag)
{
	struct q2si_bitmaps *bitmaps = edit->bitmaps;
	struct q2si_freed_list later = { 0 };
	struct q2si_bitmap bitmap = {
		.record = {
			.flags = enabled ? Q2S_BITMAP_AUTO : 0,
			.type = 1,
			.granularity_bits = (uint8_t)bits,
			.name_len = (uint16_t)name.len,
		},
		.tracked = enabled,
	};
	struct q2si_bitmap *list;

	bitmap.record.table_entries = (uint32_t)q2si_div_up(
		q2si_div_up(edit->geom.size, 1ull << bits), 8ull << edit->geom.cluster_bits);
	list = realloc(bitmaps->list, (bitmaps->count + 1) * sizeof(*list));
	if (list)
		bitmaps->list = list;
	bitmap.own = malloc(name.len);
	if (!list || !bitmap.own) {
		free(bitmap.own);
		return q2si_fail_nomem(diag, "bitmap");
	}
	memcpy(bitmap.own, name.data, name.len);
	bitmap.record.name = bitmap.own;
	const enum q2s_err err =
		q2si_bitmap_table_make(edit, &bitmap.record, NULL,
				       &bitmap.record.table_offset.v, diag);

	if (err != Q2S_OK) {
		free(bitmap.own);
		return err;
	}
	list[bitmaps->count++] = bitmap;
	return q2si_bitmaps_switch(edit, &later, diag);
}

enum q2s_err
q2s_edit_bitmap_add(struct q2s_edit *edit, struct q2s_bytes name, uint32_t granularity_bits,
		    bool enabled, struct q2s_diag *diag)
{
	enum q2s_err err;

	pthread_mutex_lock(&edit->lock);
	err = q2si_change_begin(edit, diag);
	if (err == Q2S_OK)
		err = add_check(edit, name, granularity_bits, diag);
	if (err == Q2S_OK)
		err = add(edit, name, granularity_bits, enabled, diag);
	pthread_mutex_unlock(&edit->lock);
	return err;
}

/* ---- remove, clear -------------------------------------------------------------------------- */

static enum q2s_err
remove_one(struct q2s_edit *edit, struct q2si_bitmap *bitmap, struct q2s_diag *diag)
{
	struct q2si_bitmaps *bitmaps = edit->bitmaps;
	const size_t index = (size_t)(bitmap - bitmaps->list);
	struct q2si_freed_list later = { 0 };
	enum q2s_err err = q2si_bitmap_drop(edit, bitmap, &later, diag);

	if (err != Q2S_OK) {
		free(later.list);
		return err;
	}
	free(bitmap->own);
	memmove(bitmap, bitmap + 1, (bitmaps->count - index - 1) * sizeof(*bitmap));
	bitmaps->count--;
	return q2si_bitmaps_switch(edit, &later, diag);
}

enum q2s_err
q2s_edit_bitmap_remove(struct q2s_edit *edit, struct q2s_bytes name, struct q2s_diag *diag)
{
	struct q2si_bitmap *bitmap = NULL;
	enum q2s_err err = change_open(edit, name, false, &bitmap, diag);

	if (err == Q2S_OK)
		err = remove_one(edit, bitmap, diag);
	pthread_mutex_unlock(&edit->lock);
	return err;
}

static enum q2s_err
remove_all(struct q2s_edit *edit, struct q2s_diag *diag)
{
	struct q2si_bitmaps *bitmaps = edit->bitmaps;
	struct q2si_freed_list later = { 0 };
	enum q2s_err err = Q2S_OK;

	for (uint32_t i = 0; i < bitmaps->count && err == Q2S_OK; i++)
		err = q2si_bitmap_drop(edit, &bitmaps->list[i], &later, diag);
	if (err != Q2S_OK) {
		free(later.list);
		return err;
	}
	while (bitmaps->count > 0)
		free(bitmaps->list[--bitmaps->count].own);
	return q2si_bitmaps_switch(edit, &later, diag);
}

enum q2s_err
q2s_edit_bitmap_remove_all(struct q2s_edit *edit, struct q2s_diag *diag)
{
	enum q2s_err err;

	pthread_mutex_lock(&edit->lock);
	err = q2si_change_begin(edit, diag);
	if (err == Q2S_OK && edit->bitmaps->count > 0)
		err = remove_all(edit, diag);
	pthread_mutex_unlock(&edit->lock);
	return err;
}

static enum q2s_err
clear(struct q2s_edit *edit, struct q2si_bitmap *bitmap, struct q2s_diag *diag)
{
	struct q2si_freed_list later = { 0 };
	uint64_t host;
	enum q2s_err err = q2si_bitmap_drop(edit, bitmap, &later, diag);

	if (err == Q2S_OK)
		err = q2si_bitmap_table_make(edit, &bitmap->record, NULL, &host, diag);
	if (err != Q2S_OK) {
		free(later.list);
		return err;
	}
	bitmap->record.table_offset.v = host;
	return q2si_bitmaps_switch(edit, &later, diag);
}

enum q2s_err
q2s_edit_bitmap_clear(struct q2s_edit *edit, struct q2s_bytes name, struct q2s_diag *diag)
{
	struct q2si_bitmap *bitmap = NULL;
	enum q2s_err err = change_open(edit, name, true, &bitmap, diag);

	if (err == Q2S_OK)
		err = clear(edit, bitmap, diag);
	pthread_mutex_unlock(&edit->lock);
	return err;
}

/* ---- enable, disable ------------------------------------------------------------------------ */

/* The flags lie in one sector, so this is one write in place. */
static enum q2s_err
enable(struct q2s_edit *edit, struct q2si_bitmap *bitmap, bool enabled, struct q2s_diag *diag)
{
	const uint32_t flags = enabled ? bitmap->record.flags | Q2S_BITMAP_AUTO
				       : bitmap->record.flags & ~Q2S_BITMAP_AUTO;

	if (flags == bitmap->record.flags)
		return Q2S_OK;
	Q2SI_TRY(q2si_bitmap_flags_write(edit, bitmap, flags, diag));
	bitmap->record.flags = flags;
	bitmap->tracked = enabled;
	return q2si_barrier(edit, q2si_meta(edit), diag);
}

enum q2s_err
q2s_edit_bitmap_enable(struct q2s_edit *edit, struct q2s_bytes name, bool enabled,
		       struct q2s_diag *diag)
{
	struct q2si_bitmap *bitmap = NULL;
	enum q2s_err err = change_open(edit, name, true, &bitmap, diag);

	if (err == Q2S_OK)
		err = enable(edit, bitmap, enabled, diag);
	pthread_mutex_unlock(&edit->lock);
	return err;
}

/* ---- merge ---------------------------------------------------------------------------------- */

/* Bits of [@start, @end) of the guest that @map calls dirty; false when none is. */
static enum q2s_err
bits_of(struct q2s_cursor *map, uint64_t start, uint64_t end, uint32_t shift, uint8_t *bits,
	bool *any, struct q2s_diag *diag)
{
	*any = false;
	for (uint64_t at = start; at < end;) {
		struct q2s_extent extent;

		Q2SI_TRY(q2s_cursor_extent(map, (q2s_guest){ at }, end - at, &extent, diag));
		if (extent.state == Q2S_DATA) {
			*any = true;
			q2si_dirty_set(bits, (at - start) >> shift,
				      ((at + extent.len - 1 - start) >> shift) + 1);
		}
		at += extent.len;
	}
	return Q2S_OK;
}

/* The entries that the table is going to have, as they are stored. */
static enum q2s_err
entries_merge(struct q2s_edit *edit, const struct q2si_bitmap *bitmap, struct q2s_cursor *map,
	      uint8_t *raw, uint8_t *bits, struct q2si_freed_list *later, struct q2s_diag *diag)
{
	const uint32_t shift = bitmap->record.granularity_bits;
	const uint64_t span = (8ull << edit->geom.cluster_bits) << shift;

	for (uint64_t i = 0; i < bitmap->record.table_entries; i++) {
		const uint64_t start = i * span;
		struct q2s_bitmap_table_entry entry;
		bool any;

		memset(bits, 0, edit->geom.cluster_size);
		Q2SI_TRY(q2si_bitmap_entry(edit, bitmap, i, &entry, diag));
		Q2SI_TRY(bits_of(map, start, q2si_min(edit->geom.size, start + span), shift, bits,
				 &any, diag));
		if (any)
			Q2SI_TRY(q2si_bitmap_merge(edit, bits, false, &entry, later, diag));
		Q2SI_TRY(q2s_bitmap_table_encode(&edit->geom, &entry,
						 raw + i * Q2S_BITMAP_TABLE_ENTRY_SIZE, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
merge(struct q2s_edit *edit, struct q2si_bitmap *bitmap, struct q2s_cursor *map,
      struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE uint8_t *raw = malloc(q2si_size(q2si_bitmap_table_bytes(&bitmap->record)));
	Q2SI_AUTO_FREE uint8_t *bits = malloc(edit->geom.cluster_size);
	struct q2si_freed_list later = { 0 };
	uint64_t host;
	enum q2s_err err = raw && bits ? Q2S_OK : q2si_fail_nomem(diag, "bitmap");

	if (err == Q2S_OK)
		err = entries_merge(edit, bitmap, map, raw, bits, &later, diag);
	if (err == Q2S_OK)
		err = q2si_bitmap_table_drop(edit, bitmap, &later, diag);
	if (err == Q2S_OK)
		err = q2si_bitmap_table_make(edit, &bitmap->record, raw, &host, diag);
	if (err != Q2S_OK) {
		free(later.list);
		return err; /* what was allocated is leaked */
	}
	bitmap->record.table_offset.v = host;
	return q2si_bitmaps_switch(edit, &later, diag);
}

enum q2s_err
q2s_edit_bitmap_merge(struct q2s_edit *edit, struct q2s_bytes name, struct q2s_disk *map,
		      struct q2s_diag *diag)
{
	struct q2si_bitmap *bitmap = NULL;
	struct q2s_cursor *cursor;
	enum q2s_err err;

	if (q2s_disk_size(map) != edit->geom.size)
		return q2si_fail(diag, Q2S_E_CONFLICT, "bitmap", Q2S_NOWHERE, q2s_disk_size(map),
				 "it is of a disk of another size than this one of %llu bytes",
				 (unsigned long long)edit->geom.size);
	Q2SI_TRY(q2s_cursor_open(map, &cursor, diag));
	err = change_open(edit, name, true, &bitmap, diag);
	if (err == Q2S_OK)
		err = merge(edit, bitmap, cursor, diag);
	pthread_mutex_unlock(&edit->lock);
	q2s_cursor_close(cursor);
	return err;
}
