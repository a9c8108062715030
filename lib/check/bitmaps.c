/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Persistent bitmaps: the directory, then all tables at once, then the clusters they hold. */
#include "checker.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "records.h"
#include "words.h"

/* Where a name is, and a number that equal names share. */
struct bitmap_name {
	uint64_t hash;
	uint64_t at;
	uint16_t len;
};

/* @count  bitmaps so far; @tables and @names have room for all */
struct bitmap_walk {
	struct q2si_records records;
	struct q2si_words *tables;
	struct bitmap_name *names;
	size_t count;
};

/* ---- names ------------------------------------------------------------------------------- */

/* FNV-1a: only to find candidates, which are then compared. */
static uint64_t
name_hash(const uint8_t *name, size_t len)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ name[i]) * 0x100000001b3u;
	return hash;
}

static int
by_hash(const void *a, const void *b)
{
	const struct bitmap_name *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

static bool
same_name(struct q2si_checker *ck, const struct bitmap_name *a, const struct bitmap_name *b)
{
	uint8_t bytes[2][Q2S_BITMAP_NAME_MAX];

	return a->hash == b->hash && a->len == b->len &&
	       q2si_read(ck, a->at, bytes[0], a->len, "bitmap directory") &&
	       q2si_read(ck, b->at, bytes[1], b->len, "bitmap directory") &&
	       memcmp(bytes[0], bytes[1], a->len) == 0;
}

static void
check_names(struct q2si_checker *ck, struct bitmap_walk *walk)
{
	qsort(walk->names, walk->count, sizeof(*walk->names), by_hash);
	for (size_t i = 1; i < walk->count; i++)
		if (same_name(ck, &walk->names[i - 1], &walk->names[i]))
			q2si_report(ck, BITMAP_NAME, .host = { walk->names[i].at });
}

/* ---- directory --------------------------------------------------------------------------- */

static enum q2s_err
check_record(struct q2si_checker *ck, struct bitmap_walk *walk, q2s_host at, const uint8_t *raw,
	     const struct q2s_bitmap *bitmap)
{
	const uint64_t bytes = (uint64_t)bitmap->table_entries * Q2S_BITMAP_TABLE_ENTRY_SIZE;

	if (bitmap->flags & Q2S_BITMAP_IN_USE)
		q2si_report(ck, BITMAP_IN_USE, .host = at);
	walk->names[walk->count] = (struct bitmap_name){
		.hash = name_hash(bitmap->name, bitmap->name_len),
		.at = at.v + (uint64_t)(bitmap->name - raw),
		.len = bitmap->name_len,
	};
	walk->tables[walk->count++] =
		(struct q2si_words){ bitmap->table_offset.v, bitmap->table_entries, 1 };
	return q2si_count_structure(ck, Q2SI_EXTENT_BITMAP_TABLE, bitmap->table_offset.v, bytes,
				    Q2SI_FOUND_BITMAP_TABLE_PAST_END);
}

static enum q2s_err
walk_record(struct q2si_checker *ck, struct bitmap_walk *walk, bool *more)
{
	const q2s_host at = { walk->records.pos };
	struct q2s_diag diag = { 0 };
	struct q2s_bitmap bitmap;
	const uint8_t *raw;
	size_t len, used;
	enum q2s_err err;

	*more = false;
	raw = q2si_record(ck, &walk->records, &len, "bitmap directory");
	if (!raw)
		return Q2S_OK;
	err = q2s_bitmap_decode(ck->geom, raw, len, at, &bitmap, &used, &diag);
	if (err == Q2S_E_SHORT) {
		q2si_report(ck, BITMAP_DIRECTORY_SIZE, .host = at);
		return Q2S_OK;
	}
	if (err != Q2S_OK)
		q2si_report(ck, BITMAP_RECORD, .host = at, .detail = diag.text);
	*more = used <= len;
	walk->records.pos += q2si_min(used, len);
	return err == Q2S_OK ? check_record(ck, walk, at, raw, &bitmap) : Q2S_OK;
}

static enum q2s_err
walk_directory(struct q2si_checker *ck, struct bitmap_walk *walk, uint32_t count)
{
	const struct q2si_records *records = &walk->records;
	bool more = true;
	uint32_t i;

	for (i = 0; more && i < count && records->pos < records->end; i++)
		Q2SI_TRY(walk_record(ck, walk, &more));
	if (more && (i < count || records->pos != records->end))
		q2si_report(
			ck, BITMAP_DIRECTORY_SIZE, .host = { records->pos },
			Q2SI_VALUES(records->end - records->start, records->pos - records->start));
	check_names(ck, walk);
	return Q2S_OK;
}

/* ---- tables ------------------------------------------------------------------------------ */

static enum q2s_err
visit_entry(struct q2si_checker *ck, void *opaque, q2s_host at, const uint8_t *raw, uint64_t weight)
{
	struct q2s_bitmap_table_entry entry;
	struct q2s_diag diag = { 0 };

	(void)opaque;
	(void)weight; /* tables that share entries are reported as overlapping */
	if (q2s_bitmap_table_decode(ck->geom, raw, at, &entry, &diag) != Q2S_OK) {
		q2si_report(ck, BITMAP_TABLE_ENTRY, .host = at, Q2SI_VALUES(diag.value, 0),
			    .detail = diag.text);
		return Q2S_OK;
	}
	if (entry.cluster.v == 0)
		return Q2S_OK;
	return q2si_count_structure(ck, Q2SI_EXTENT_BITMAP, entry.cluster.v, ck->geom->cluster_size,
				    Q2SI_FOUND_BITMAP_DATA_PAST_END);
}

static enum q2s_err
check_all(struct q2si_checker *ck, struct bitmap_walk *walk, uint32_t count)
{
	Q2SI_TRY(walk_directory(ck, walk, count));
	return q2si_visit_words(ck, walk->tables, walk->count, "bitmap table", visit_entry, NULL);
}

enum q2s_err
q2si_check_bitmaps(struct q2si_checker *ck)
{
	const struct q2s_ext_bitmaps *bitmaps = q2s_image_bitmaps(ck->image);
	struct bitmap_walk walk = { .count = 0 };
	enum q2s_err err = Q2S_E_NOMEM;
	uint64_t start, size;

	if (!bitmaps)
		return Q2S_OK;
	start = bitmaps->directory_offset.v;
	size = bitmaps->directory_size;
	Q2SI_TRY(q2si_count_structure(ck, Q2SI_EXTENT_BITMAP_DIRECTORY, start, size,
				      Q2SI_FOUND_BITMAP_DIRECTORY_PAST_END));
	if (q2si_past_end(ck, start, size))
		return Q2S_OK;
	walk.records = (struct q2si_records){ .start = start, .end = start + size, .pos = start };
	walk.tables = calloc(bitmaps->count, sizeof(*walk.tables));
	walk.names = calloc(bitmaps->count, sizeof(*walk.names));
	if (walk.tables && walk.names)
		err = check_all(ck, &walk, bitmaps->count);
	free(walk.tables);
	free(walk.names);
	return err;
}
