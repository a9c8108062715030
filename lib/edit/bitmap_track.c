/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What enabled bitmaps learn of guest writes. */
#include "edit/bitmap.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/search.h"

/* Bytes of a page, unless clusters are smaller; and how many wait, of all bitmaps together. */
#define PAGE_BYTES 4096u
#define PAGES_MAX 2048u

static uint32_t
page_size(const struct q2s_edit *edit)
{
	return (uint32_t)q2si_min(PAGE_BYTES, edit->geom.cluster_size);
}

/* ---- pages ----------------------------------------------------------------------------------- */

void
q2si_pages_free(struct q2si_pages *pages)
{
	for (size_t i = 0; i < pages->count; i++)
		free(pages->list[i].bits);
	free(pages->list);
	*pages = (struct q2si_pages){ 0 };
}

static enum q2s_err
page_make(struct q2s_edit *edit, struct q2si_pages *pages, size_t index, uint64_t number,
	  struct q2s_diag *diag)
{
	uint8_t *bits;

	if (pages->count == pages->room) {
		const size_t room = pages->room ? 2 * pages->room : 16;
		struct q2si_page *list = realloc(pages->list, room * sizeof(*list));

		if (!list)
			return q2si_fail_nomem(diag, "bitmap");
		pages->list = list;
		pages->room = room;
	}
	bits = calloc(1, page_size(edit));
	if (!bits)
		return q2si_fail_nomem(diag, "bitmap");
	memmove(pages->list + index + 1, pages->list + index,
		(pages->count - index) * sizeof(*pages->list));
	pages->list[index] = (struct q2si_page){ number, bits };
	pages->count++;
	edit->bitmaps->pages++;
	return Q2S_OK;
}

/* The bits of page @number. */
static enum q2s_err
page_get(struct q2s_edit *edit, struct q2si_pages *pages, uint64_t number, uint8_t **out,
	 struct q2s_diag *diag)
{
	const size_t i = Q2SI_COUNT_FIRST(k, pages->count, pages->list[k].number < number);

	if (i == pages->count || pages->list[i].number != number)
		Q2SI_TRY(page_make(edit, pages, i, number, diag));
	*out = pages->list[i].bits;
	return Q2S_OK;
}

void
q2si_dirty_set(uint8_t *bits, uint64_t first, uint64_t end)
{
	while (first < end && (first & 7) != 0) {
		bits[first / 8] |= (uint8_t)(1u << (first & 7));
		first++;
	}
	if (end - first >= 8) {
		memset(bits + first / 8, 0xff, (end - first) / 8);
		first = q2si_round_down(end, 8);
	}
	for (; first < end; first++)
		bits[first / 8] |= (uint8_t)(1u << (first & 7));
}

/* ---- the clusters of a bitmap --------------------------------------------------------------- */

enum q2s_err
q2si_bitmap_entry(struct q2s_edit *edit, const struct q2si_bitmap *bitmap, uint64_t index,
		  struct q2s_bitmap_table_entry *out, struct q2s_diag *diag)
{
	const uint64_t at =
		bitmap->record.table_offset.v + index * Q2S_BITMAP_TABLE_ENTRY_SIZE;
	uint8_t raw[Q2S_BITMAP_TABLE_ENTRY_SIZE];

	Q2SI_TRY(q2si_plain_read(edit, at, raw, sizeof(raw), diag));
	return q2s_bitmap_table_decode(&edit->geom, raw, (q2s_host){ at }, out, diag);
}

/* A cluster for bits, which is written whole. */
static enum q2s_err
bits_alloc(struct q2s_edit *edit, const uint8_t *bits, uint64_t *host, struct q2s_diag *diag)
{
	struct q2s_diag why = { 0 };
	struct q2si_run run;
	enum q2s_err err;

	while ((err = q2si_alloc(edit, 1, &run, &why)) != Q2S_OK && edit->need_grow) {
		why = (struct q2s_diag){ 0 };
		Q2SI_TRY(q2si_refcount_grow(edit, diag));
	}
	if (err != Q2S_OK) {
		if (diag && diag->err == Q2S_OK)
			*diag = why;
		return err;
	}
	q2si_cache_forget(&edit->cache, run.host, edit->geom.cluster_size);
	err = q2si_plain_write(edit, run.host, bits, edit->geom.cluster_size, diag);
	if (err != Q2S_OK)
		q2si_alloc_undo(edit, run.host, 1);
	*host = run.host;
	return err;
}

enum q2s_err
q2si_bitmap_merge(struct q2s_edit *edit, uint8_t *bits, bool in_place,
		  struct q2s_bitmap_table_entry *entry, struct q2si_freed_list *later,
		  struct q2s_diag *diag)
{
	const size_t size = edit->geom.cluster_size;
	Q2SI_AUTO_FREE uint8_t *old = NULL;
	uint64_t count = 0, host;

	if (entry->ones)
		return Q2S_OK;
	if (entry->cluster.v) {
		old = malloc(size);
		if (!old)
			return q2si_fail_nomem(diag, "bitmap");
		Q2SI_TRY(q2si_plain_read(edit, entry->cluster.v, old, size, diag));
		for (size_t i = 0; i < size; i++)
			bits[i] |= old[i];
		if (memcmp(old, bits, size) == 0)
			return Q2S_OK;
		Q2SI_TRY(q2si_refcount_get(edit, entry->cluster.v >> edit->geom.cluster_bits,
					   &count, diag));
		if (in_place && count == 1)
			return q2si_plain_write(edit, entry->cluster.v, bits, size, diag);
	}
	Q2SI_TRY(bits_alloc(edit, bits, &host, diag));
	if (entry->cluster.v) /* without memory it is leaked */
		(void)q2si_later_add(edit, later, entry->cluster.v, size, Q2SI_FREED_REFERENCE,
				     NULL);
	entry->cluster.v = host;
	return Q2S_OK;
}

/* ---- storing pages -------------------------------------------------------------------------- */

/* An entry of a table that has to be written when what it refers to is durable. */
struct change {
	uint64_t at;
	struct q2s_bitmap_table_entry entry;
};

struct changes {
	struct change *list; /* room for each page */
	size_t count;
	struct q2si_freed_list later;
};

/* All pages of one cluster of bits, from *@i on. */
static enum q2s_err
cluster_store(struct q2s_edit *edit, const struct q2si_bitmap *bitmap,
	      const struct q2si_pages *pages, size_t *i, uint8_t *bits, struct changes *changes,
	      struct q2s_diag *diag)
{
	const uint32_t size = page_size(edit), per = edit->geom.cluster_size / size;
	const uint64_t index = pages->list[*i].number / per;
	struct q2s_bitmap_table_entry entry, was;

	memset(bits, 0, edit->geom.cluster_size);
	for (; *i < pages->count && pages->list[*i].number / per == index; ++*i)
		memcpy(bits + pages->list[*i].number % per * size, pages->list[*i].bits, size);
	Q2SI_TRY(q2si_bitmap_entry(edit, bitmap, index, &entry, diag));
	was = entry;
	Q2SI_TRY(q2si_bitmap_merge(edit, bits, true, &entry, &changes->later, diag));
	if (entry.cluster.v != was.cluster.v)
		changes->list[changes->count++] = (struct change){
			bitmap->record.table_offset.v + index * Q2S_BITMAP_TABLE_ENTRY_SIZE, entry
		};
	return Q2S_OK;
}

static enum q2s_err
bitmap_store(struct q2s_edit *edit, const struct q2si_bitmap *bitmap,
	     const struct q2si_pages *pages, struct changes *changes, struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE uint8_t *bits = malloc(edit->geom.cluster_size);

	if (!bits)
		return q2si_fail_nomem(diag, "bitmap");
	for (size_t i = 0; i < pages->count;)
		Q2SI_TRY(cluster_store(edit, bitmap, pages, &i, bits, changes, diag));
	return Q2S_OK;
}

/* The new clusters and their counts are durable before an entry refers to them. */
static enum q2s_err
changes_write(struct q2s_edit *edit, struct changes *changes, struct q2s_diag *diag)
{
	Q2SI_TRY(q2si_flush(edit, diag));
	for (size_t i = 0; i < changes->count; i++) {
		uint8_t raw[Q2S_BITMAP_TABLE_ENTRY_SIZE];

		Q2SI_TRY(q2s_bitmap_table_encode(&edit->geom, &changes->list[i].entry, raw, diag));
		Q2SI_TRY(q2si_plain_write(edit, changes->list[i].at, raw, sizeof(raw), diag));
	}
	Q2SI_TRY(q2si_barrier(edit, q2si_meta(edit), diag));
	q2si_later_release(edit, &changes->later);
	return Q2S_OK;
}

/* What is marked meanwhile goes to new pages. */
static enum q2s_err
pages_store_one(struct q2s_edit *edit, uint32_t index, struct q2s_diag *diag)
{
	struct q2si_bitmap *bitmap = &edit->bitmaps->list[index];
	struct q2si_pages pages = bitmap->pages;
	struct changes changes = { .list = calloc(pages.count, sizeof(struct change)) };
	enum q2s_err err;

	bitmap->pages = (struct q2si_pages){ 0 };
	edit->bitmaps->pages -= pages.count;
	err = changes.list ? bitmap_store(edit, bitmap, &pages, &changes, diag)
			   : q2si_fail_nomem(diag, "bitmap");
	if (err == Q2S_OK)
		err = changes_write(edit, &changes, diag);
	if (err != Q2S_OK)
		bitmap->lost = true;
	free(changes.later.list);
	free(changes.list);
	q2si_pages_free(&pages);
	return err;
}

/* Have all pages in the file. Releases the lock meanwhile. */
static enum q2s_err
pages_store(struct q2s_edit *edit, struct q2s_diag *diag)
{
	struct q2si_bitmaps *bitmaps = edit->bitmaps;
	enum q2s_err err = Q2S_OK;

	while (bitmaps->busy)
		q2si_active_wait(edit);
	bitmaps->busy = true;
	for (uint32_t i = 0; i < bitmaps->count && err == Q2S_OK; i++)
		if (bitmaps->list[i].pages.count > 0)
			err = pages_store_one(edit, i, diag);
	bitmaps->busy = false;
	if (edit->waiting > 0)
		pthread_cond_broadcast(&edit->moved);
	return err;
}

/* ---- marks ---------------------------------------------------------------------------------- */

static enum q2s_err
flags_write(struct q2s_edit *edit, bool in_use, struct q2s_diag *diag)
{
	struct q2si_bitmaps *bitmaps = edit->bitmaps;

	for (uint32_t i = 0; i < bitmaps->count; i++) {
		const struct q2si_bitmap *bitmap = &bitmaps->list[i];

		if (bitmap->tracked && !bitmap->lost)
			Q2SI_TRY(q2si_bitmap_flags_write(
				edit, bitmap,
				bitmap->record.flags | (in_use ? Q2S_BITMAP_IN_USE : 0), diag));
	}
	return Q2SI_KEEPS(Q2SI_BITMAP_MARK_FIRST) || !in_use
		       ? q2si_barrier(edit, q2si_meta(edit), diag)
		       : Q2S_OK;
}

/* A table that two bitmaps have cannot learn of one of them. */
static enum q2s_err
tables_check(struct q2s_edit *edit, struct q2s_diag *diag)
{
	for (uint32_t i = 0; i < edit->bitmaps->count; i++) {
		const struct q2si_bitmap *bitmap = &edit->bitmaps->list[i];
		const q2s_host at = bitmap->record.table_offset;
		uint64_t count;

		if (!bitmap->tracked)
			continue;
		Q2SI_TRY(q2si_refcount_get(edit, at.v >> edit->geom.cluster_bits, &count, diag));
		if (count != 1)
			return q2si_fail(diag, Q2S_E_BITMAP, "bitmap table", at, count,
					 "its refcount is not 1, so it cannot be changed");
	}
	return Q2S_OK;
}

static bool
has_tracked(const struct q2si_bitmaps *bitmaps)
{
	for (uint32_t i = 0; i < bitmaps->count; i++)
		if (bitmaps->list[i].tracked)
			return true;
	return false;
}

enum q2s_err
q2si_tracking_begin(struct q2s_edit *edit, struct q2s_diag *diag)
{
	struct q2s_diag why = { 0 };
	enum q2s_err err;

	if (edit->bitmaps->in_use || !has_tracked(edit->bitmaps))
		return Q2S_OK;
	Q2SI_TRY(tables_check(edit, diag));
	err = flags_write(edit, true, &why);
	if (err == Q2S_OK) {
		edit->bitmaps->in_use = true;
		return Q2S_OK;
	}
	if (diag && diag->err == Q2S_OK)
		*diag = why;
	return q2si_stop(edit, err, &why);
}

static enum q2s_err
bitmap_mark(struct q2s_edit *edit, struct q2si_bitmap *bitmap, uint64_t *at, uint64_t end,
	    struct q2s_diag *diag)
{
	const uint64_t per = 8ull * page_size(edit); /* bits of a page */
	const uint32_t shift = bitmap->record.granularity_bits;
	const uint64_t limit = ((end - 1) >> shift) + 1;
	uint64_t bit = *at >> shift;

	while (bit < limit && edit->bitmaps->pages < PAGES_MAX) {
		const uint64_t first = q2si_round_down(bit, per);
		const uint64_t stop = q2si_min(limit, first + per);
		uint8_t *bits;

		Q2SI_TRY(page_get(edit, &bitmap->pages, bit / per, &bits, diag));
		q2si_dirty_set(bits, bit - first, stop - first);
		bit = stop;
	}
	*at = bit < limit ? q2si_max(*at, bit << shift) : end;
	return Q2S_OK;
}

enum q2s_err
q2si_tracking_mark(struct q2s_edit *edit, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	const uint64_t end = at + len;

	if (len == 0 || !edit->bitmaps || edit->bitmaps->count == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_may_change(edit, diag));
	for (uint32_t i = 0; i < edit->bitmaps->count; i++) {
		for (uint64_t next = at; edit->bitmaps->list[i].tracked && next < end;) {
			if (edit->bitmaps->pages >= PAGES_MAX)
				Q2SI_TRY(pages_store(edit, diag));
			Q2SI_TRY(bitmap_mark(edit, &edit->bitmaps->list[i], &next, end, diag));
		}
	}
	return Q2S_OK;
}

enum q2s_err
q2si_tracking_learn(struct q2s_edit *edit, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	enum q2s_err err;

	if (!edit->bitmaps || edit->bitmaps->count == 0) /* that changes only while nobody writes */
		return Q2S_OK;
	pthread_mutex_lock(&edit->lock);
	err = q2si_tracking_mark(edit, at, len, diag);
	pthread_mutex_unlock(&edit->lock);
	return err;
}

enum q2s_err
q2si_tracking_end(struct q2s_edit *edit, struct q2s_diag *diag)
{
	if (!edit->bitmaps || !edit->bitmaps->in_use)
		return Q2S_OK;
	while (edit->bitmaps->pages > 0)
		Q2SI_TRY(pages_store(edit, diag));
	/* The guest's data too: a bitmap that is not in use speaks of them. */
	Q2SI_TRY(q2si_flush(edit, diag));
	if (edit->bitmaps->pages > 0)
		return q2si_tracking_end(edit, diag);
	Q2SI_TRY(flags_write(edit, false, diag));
	edit->bitmaps->in_use = false;
	return Q2S_OK;
}
