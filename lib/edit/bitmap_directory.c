/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The directory of persistent bitmaps, and their tables. What changes is written to new clusters,
 * with a new directory; when all of it is durable the header refers to it, by one write, and then
 * the old clusters are given back. So a crash leaves the old bitmaps or the new ones, and leaks at
 * worst.
 */
#include "edit/bitmap.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"

/* ---- the directory -------------------------------------------------------------------------- */

static uint64_t
record_bytes(const struct q2s_bitmap *record)
{
	return q2si_round_up(Q2S_BITMAP_FIXED_SIZE + (uint64_t)record->extra_size +
				     record->name_len,
			     8);
}

static uint64_t
directory_bytes(const struct q2si_bitmaps *bitmaps)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < bitmaps->count; i++)
		bytes += record_bytes(&bitmaps->list[i].record);
	return bytes;
}

enum q2s_err
q2si_bitmap_directory_write(struct q2s_edit *edit, struct q2s_ext_bitmaps *out,
			    struct q2s_diag *diag)
{
	struct q2si_bitmaps *bitmaps = edit->bitmaps;
	const uint64_t bytes = directory_bytes(bitmaps);
	Q2SI_AUTO_FREE uint8_t *buf = NULL;
	uint64_t host;
	size_t done = 0, used;

	*out = (struct q2s_ext_bitmaps){ .count = bitmaps->count, .directory_size = bytes };
	if (bitmaps->count == 0)
		return Q2S_OK;
	buf = calloc(1, q2si_size(bytes));
	if (!buf)
		return q2si_fail_nomem(diag, "bitmap directory");
	Q2SI_TRY(q2si_alloc_contiguous(edit, q2si_div_up(bytes, edit->geom.cluster_size), &host,
				       diag));
	out->directory_offset.v = host;
	for (uint32_t i = 0; i < bitmaps->count; i++) {
		bitmaps->list[i].at.v = host + done;
		Q2SI_TRY(q2s_bitmap_encode(&edit->geom, &bitmaps->list[i].record, buf + done,
					   bytes - done, &used, diag));
		done += used;
	}
	return q2si_plain_write(edit, host, buf, bytes, diag);
}

enum q2s_err
q2si_bitmap_directory_switch(struct q2s_edit *edit, const struct q2s_ext_bitmaps *ext,
			     struct q2si_freed_list *later, struct q2s_diag *diag)
{
	struct q2si_bitmaps *bitmaps = edit->bitmaps;
	const struct q2si_head_change change = { .bitmaps = ext };

	Q2SI_TRY(q2si_flush(edit, diag));
	q2si_flush_turn_take(edit);
	const enum q2s_err err = q2si_header_change(edit, &change, diag);

	q2si_flush_turn_give(edit);
	Q2SI_TRY(err);
	if (bitmaps->directory_size > 0) /* without memory: leaked */
		(void)q2si_later_add(edit, later, bitmaps->directory,
				     q2si_round_up(bitmaps->directory_size,
						   edit->geom.cluster_size),
				     Q2SI_FREED_TABLE, NULL);
	bitmaps->directory = ext->directory_offset.v;
	bitmaps->directory_size = ext->directory_size;
	q2si_later_release(edit, later);
	return q2si_flush(edit, diag);
}

enum q2s_err
q2si_bitmaps_switch(struct q2s_edit *edit, struct q2si_freed_list *later,
		    struct q2s_diag *diag)
{
	struct q2s_diag why = { 0 };
	struct q2s_ext_bitmaps ext;
	enum q2s_err err = q2si_bitmap_directory_write(edit, &ext, &why);

	if (err == Q2S_OK)
		err = q2si_bitmap_directory_switch(edit, &ext, later, &why);
	free(later->list);
	*later = (struct q2si_freed_list){ 0 };
	if (err == Q2S_OK)
		return Q2S_OK;
	if (diag && diag->err == Q2S_OK)
		*diag = why;
	return q2si_stop(edit, err, &why);
}

/* ---- tables --------------------------------------------------------------------------------- */

enum q2s_err
q2si_bitmap_table_drop(struct q2s_edit *edit, const struct q2si_bitmap *bitmap,
		       struct q2si_freed_list *later, struct q2s_diag *diag)
{
	const uint64_t bytes = q2si_bitmap_table_bytes(&bitmap->record);

	return q2si_later_add(edit, later, bitmap->record.table_offset.v,
			      q2si_round_up(bytes, edit->geom.cluster_size), Q2SI_FREED_TABLE,
			      diag);
}

enum q2s_err
q2si_bitmap_drop(struct q2s_edit *edit, const struct q2si_bitmap *bitmap,
		 struct q2si_freed_list *later, struct q2s_diag *diag)
{
	const uint64_t size = edit->geom.cluster_size;
	struct q2s_bitmap_table_entry entry;

	for (uint64_t i = 0; i < bitmap->record.table_entries; i++) {
		Q2SI_TRY(q2si_bitmap_entry(edit, bitmap, i, &entry, diag));
		if (entry.cluster.v)
			Q2SI_TRY(q2si_later_add(edit, later, entry.cluster.v, size,
						Q2SI_FREED_REFERENCE, diag));
	}
	return q2si_bitmap_table_drop(edit, bitmap, later, diag);
}

enum q2s_err
q2si_bitmap_table_make(struct q2s_edit *edit, const struct q2s_bitmap *record, const uint8_t *raw,
		       uint64_t *host, struct q2s_diag *diag)
{
	const uint64_t bytes = q2si_bitmap_table_bytes(record);
	Q2SI_AUTO_FREE uint8_t *zeros = raw ? NULL : calloc(1, q2si_size(bytes));

	if (!raw && !zeros)
		return q2si_fail_nomem(diag, "bitmap table");
	Q2SI_TRY(q2si_alloc_contiguous(edit, q2si_div_up(bytes, edit->geom.cluster_size), host,
				       diag));
	return q2si_plain_write(edit, *host, raw ? raw : zeros, bytes, diag);
}
