/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The records of persistent bitmaps, and space for their tables. */
#include "edit/bitmap.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"

#define AT_FLAGS 12 /* of a record */

/* ---- records --------------------------------------------------------------------------------- */

static enum q2s_err
record_keep(struct q2si_bitmap *bitmap, const struct q2s_bitmap *record, q2s_host at,
	    struct q2s_diag *diag)
{
	bitmap->own = malloc(record->name_len + (size_t)record->extra_size);
	if (!bitmap->own)
		return q2si_fail_nomem(diag, "bitmap");
	memcpy(bitmap->own, record->name, record->name_len);
	if (record->extra_size > 0)
		memcpy(bitmap->own + record->name_len, record->extra, record->extra_size);
	bitmap->record = *record;
	bitmap->record.name = bitmap->own;
	bitmap->record.extra = bitmap->own + record->name_len;
	bitmap->at = at;
	bitmap->tracked = (record->flags & Q2S_BITMAP_AUTO) && !(record->flags & Q2S_BITMAP_IN_USE);
	return Q2S_OK;
}

enum q2s_err
q2si_tracking_load(struct q2s_edit *edit, struct q2s_diag *diag)
{
	const struct q2s_ext_bitmaps *ext = q2s_image_bitmaps(edit->image);
	struct q2si_bitmaps *bitmaps = calloc(1, sizeof(*bitmaps));
	struct q2s_bitmaps all;
	enum q2s_err err = Q2S_OK;

	edit->bitmaps = bitmaps;
	if (!bitmaps)
		return q2si_fail_nomem(diag, "bitmaps");
	if (!ext)
		return Q2S_OK;
	Q2SI_TRY(q2s_image_bitmap_directory(edit->image, &all, diag));
	bitmaps->list = calloc(all.count, sizeof(*bitmaps->list));
	if (!bitmaps->list)
		err = q2si_fail_nomem(diag, "bitmaps");
	while (err == Q2S_OK && bitmaps->count < all.count) {
		const uint32_t i = bitmaps->count++;

		err = record_keep(&bitmaps->list[i], &all.list[i], all.at[i], diag);
	}
	q2s_bitmaps_free(&all);
	bitmaps->directory = ext->directory_offset.v;
	bitmaps->directory_size = ext->directory_size;
	return err;
}

void
q2si_tracking_free(struct q2s_edit *edit)
{
	for (uint32_t i = 0; edit->bitmaps && i < edit->bitmaps->count; i++) {
		free(edit->bitmaps->list[i].own);
		q2si_pages_free(&edit->bitmaps->list[i].pages);
	}
	if (edit->bitmaps)
		free(edit->bitmaps->list);
	free(edit->bitmaps);
	edit->bitmaps = NULL;
}

struct q2si_bitmap *
q2si_bitmap_find(struct q2s_edit *edit, struct q2s_bytes name)
{
	for (uint32_t i = 0; i < edit->bitmaps->count; i++) {
		const struct q2s_bitmap *record = &edit->bitmaps->list[i].record;

		if (record->name_len == name.len && memcmp(record->name, name.data, name.len) == 0)
			return &edit->bitmaps->list[i];
	}
	return NULL;
}

enum q2s_err
q2si_bitmap_flags_write(struct q2s_edit *edit, const struct q2si_bitmap *bitmap, uint32_t flags,
			struct q2s_diag *diag)
{
	uint8_t raw[4];

	q2si_put_be32(raw, flags);
	return q2si_plain_write(edit, bitmap->at.v + AT_FLAGS, raw, sizeof(raw), diag);
}

/* ---- the file -------------------------------------------------------------------------------- */

enum q2s_err
q2si_plain_read(struct q2s_edit *edit, uint64_t at, void *buf, size_t len, struct q2s_diag *diag)
{
	return q2s_store_read_padded(q2si_meta(edit)->store, at, buf, len, NULL, diag);
}

enum q2s_err
q2si_plain_write(struct q2s_edit *edit, uint64_t at, const void *buf, size_t len,
		 struct q2s_diag *diag)
{
	const enum q2s_err err = q2s_store_write(q2si_meta(edit)->store, at, buf, len, diag);

	q2si_wrote(q2si_meta(edit));
	return err;
}

/* ---- space ----------------------------------------------------------------------------------- */

/* Runs that were taken on the way to one that is long enough. */
struct runs {
	struct q2si_span *list; /* host offset, clusters */
	size_t count, room;
};

static enum q2s_err
runs_add(struct runs *runs, uint64_t host, uint64_t clusters, struct q2s_diag *diag)
{
	if (runs->count == runs->room) {
		const size_t room = runs->room ? 2 * runs->room : 16;
		struct q2si_span *more = realloc(runs->list, room * sizeof(*more));

		if (!more)
			return q2si_fail_nomem(diag, "list of clusters");
		runs->list = more;
		runs->room = room;
	}
	runs->list[runs->count++] = (struct q2si_span){ host, clusters };
	return Q2S_OK;
}

static void
runs_undo(struct q2s_edit *edit, struct runs *runs)
{
	for (size_t i = 0; i < runs->count; i++)
		q2si_alloc_undo(edit, runs->list[i].start, runs->list[i].end);
	free(runs->list);
	*runs = (struct runs){ 0 };
}

/* Take runs until one of @clusters is among them; those that are shorter are given back. */
static enum q2s_err
contiguous_try(struct q2s_edit *edit, uint64_t clusters, uint64_t *host, struct q2s_diag *diag)
{
	struct runs shorter = { 0 };
	struct q2si_run more;
	uint64_t have = 0;
	enum q2s_err err = Q2S_OK;

	while (have < clusters && err == Q2S_OK) {
		err = q2si_alloc(edit, clusters - have, &more, diag);
		if (err != Q2S_OK)
			break;
		if (have > 0 && more.host != *host + (have << edit->geom.cluster_bits)) {
			err = runs_add(&shorter, *host, have, diag);
			if (err != Q2S_OK)
				q2si_alloc_undo(edit, *host, have);
			have = 0;
		}
		*host = have == 0 ? more.host : *host;
		have += more.clusters;
	}
	if (err != Q2S_OK && have > 0)
		q2si_alloc_undo(edit, *host, have);
	runs_undo(edit, &shorter);
	return err;
}

/* A block that describes new space lies in it, so no run is longer than one describes. */
static enum q2s_err
contiguous_check(const struct q2s_edit *edit, uint64_t clusters, struct q2s_diag *diag)
{
	if (clusters >= edit->geom.block_entries)
		return q2si_fail(diag, Q2S_E_LIMIT, "bitmap table", Q2S_NOWHERE, clusters,
				 "so many clusters cannot lie together: use a larger granularity");
	return Q2S_OK;
}

enum q2s_err
q2si_bitmap_table_fits(const struct q2s_edit *edit, uint32_t entries, struct q2s_diag *diag)
{
	const uint64_t bytes = (uint64_t)entries * Q2S_BITMAP_TABLE_ENTRY_SIZE;

	return contiguous_check(edit, q2si_div_up(bytes, edit->geom.cluster_size), diag);
}

enum q2s_err
q2si_alloc_contiguous(struct q2s_edit *edit, uint64_t clusters, uint64_t *host,
		      struct q2s_diag *diag)
{
	const uint64_t len = clusters << edit->geom.cluster_bits;
	struct q2s_diag why = { 0 };
	enum q2s_err err;

	Q2SI_TRY(contiguous_check(edit, clusters, diag));
	while ((err = contiguous_try(edit, clusters, host, &why)) != Q2S_OK && edit->need_grow) {
		why = (struct q2s_diag){ 0 };
		Q2SI_TRY(q2si_refcount_grow(edit, diag));
	}
	if (err != Q2S_OK) {
		if (diag && diag->err == Q2S_OK)
			*diag = why;
		return err;
	}
	q2si_cache_forget(&edit->cache, *host, len);
	err = q2si_overlap_add(edit, *host, len, diag);
	if (err != Q2S_OK)
		q2si_alloc_undo(edit, *host, clusters);
	return err;
}

enum q2s_err
q2si_later_add(struct q2s_edit *edit, struct q2si_freed_list *later, uint64_t host, uint64_t len,
	       enum q2si_freed_kind kind, struct q2s_diag *diag)
{
	const struct q2si_freed_list now = edit->freed;
	enum q2s_err err;

	edit->freed = *later;
	err = q2si_freed_add(edit, (struct q2si_freed){ kind, host, len, 0 }, diag);
	*later = edit->freed;
	edit->freed = now;
	return err;
}

void
q2si_later_release(struct q2s_edit *edit, struct q2si_freed_list *later)
{
	for (size_t i = 0; i < later->count; i++)
		(void)q2si_freed_add(edit, later->list[i], NULL); /* without memory: leaked */
	free(later->list);
	*later = (struct q2si_freed_list){ 0 };
}
