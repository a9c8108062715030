/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Persistent bitmaps: the directory, then all tables at once, then the clusters they hold. */
#include "checker.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "names.h"
#include "records.h"
#include "words.h"

/* @count  bitmaps so far; @tables and @names have room for all */
struct bitmap_walk {
	struct q2si_records records;
	struct q2si_words *tables;
	struct q2si_name *names;
	size_t count;
};

/* ---- directory --------------------------------------------------------------------------- */

static enum q2s_err
check_record(struct q2si_checker *ck, struct bitmap_walk *walk, q2s_host at, const uint8_t *raw,
	     const struct q2s_bitmap *bitmap)
{
	const uint64_t bytes = (uint64_t)bitmap->table_entries * Q2S_BITMAP_TABLE_ENTRY_SIZE;

	if (bitmap->flags & Q2S_BITMAP_IN_USE)
		q2si_report(ck, BITMAP_IN_USE, .host = at);
	if (bitmap->flags & Q2S_BITMAP_EXTRA_COMPATIBLE)
		q2si_report(ck, BITMAP_EXTRA, .host = at, Q2SI_VALUES(bitmap->extra_size, 0));
	walk->names[walk->count] =
		q2si_name_note(bitmap->name, bitmap->name_len,
			       (q2s_host){ at.v + (uint64_t)(bitmap->name - raw) });
	walk->tables[walk->count++] =
		(struct q2si_words){ bitmap->table_offset.v, bitmap->table_entries, 1 };
	return q2si_count_structure(ck, Q2S_STRUCTURE_BITMAP_TABLE, bitmap->table_offset.v, bytes,
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
	q2si_digest_add(ck, at.v, raw, q2si_min_size(used, len));
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
	q2si_check_names(ck, walk->names, walk->count, Q2SI_FOUND_BITMAP_NAME, "bitmap directory");
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
	return q2si_count_structure(ck, Q2S_STRUCTURE_BITMAP_DATA, entry.cluster.v,
				    ck->geom->cluster_size,
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
	Q2SI_TRY(q2si_count_structure(ck, Q2S_STRUCTURE_BITMAP_DIRECTORY, start, size,
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
