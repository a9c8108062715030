/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Internal snapshots: their records one by one, and then all their L1 tables at once. */
#include "checker.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "l1.h"
#include "records.h"

/* @tables  the L1 tables of the snapshots so far, @count of them, with room for all */
struct snapshot_walk {
	struct q2si_records records;
	struct q2si_words *tables;
	size_t count;
};

/*
 * Decode one record; what only a lack of extra data makes illegal is reported and used all the
 * same, as in QEMU: the references of the snapshot are known.
 */
static enum q2s_err
decode(struct q2si_checker *ck, const uint8_t *raw, size_t len, q2s_host at,
       struct q2s_snapshot *out, size_t *used, struct q2s_diag *diag)
{
	struct q2s_geom version2 = *ck->geom;
	enum q2s_err err = q2s_snapshot_decode(ck->geom, raw, len, at, out, used, diag);

	if (err != Q2S_E_SNAPSHOT)
		return err;
	version2.version = 2;
	*diag = (struct q2s_diag){ 0 };
	err = q2s_snapshot_decode(&version2, raw, len, at, out, used, diag);
	if (err == Q2S_OK)
		q2si_report(ck, SNAPSHOT_EXTRA, .host = at, Q2SI_VALUES(out->extra_size, 16));
	return err;
}

static enum q2s_err
check_record(struct q2si_checker *ck, struct snapshot_walk *walk,
	     const struct q2s_snapshot *snapshot)
{
	const uint64_t at = snapshot->l1_offset.v;
	const uint64_t bytes = (uint64_t)snapshot->l1_entries * Q2S_L1_ENTRY_SIZE;

	walk->tables[walk->count++] = q2si_l1_words(ck, at, snapshot->l1_entries, 1);
	return q2si_count_structure(ck, Q2SI_EXTENT_SNAPSHOT_L1, at, bytes,
				    Q2SI_FOUND_SNAPSHOT_L1_PAST_END);
}

/* The table goes on where nothing of it can be. */
static void
report_end(struct q2si_checker *ck, const struct q2si_records *records)
{
	const q2s_host at = { records->start };

	if (records->end < ck->file_size)
		q2si_report(ck, SNAPSHOT_TABLE_TOO_LARGE, .host = at);
	else
		q2si_report(ck, SNAPSHOT_TABLE_PAST_END, .host = at,
			    Q2SI_VALUES(records->pos, ck->file_size));
}

/* One record. *@more turns false when where the next one starts cannot be known. */
static enum q2s_err
walk_record(struct q2si_checker *ck, struct snapshot_walk *walk, bool *more)
{
	const q2s_host at = { walk->records.pos };
	struct q2s_diag diag = { 0 };
	struct q2s_snapshot snapshot;
	const uint8_t *raw;
	size_t len, used;
	enum q2s_err err;

	raw = q2si_record(ck, &walk->records, &len, "snapshot table");
	if (!raw) {
		*more = false;
		return Q2S_OK;
	}
	err = decode(ck, raw, len, at, &snapshot, &used, &diag);
	if (err == Q2S_E_OFFSET)
		q2si_report(ck, SNAPSHOT_L1_OFFSET, .host = at, Q2SI_VALUES(diag.value, 0));
	else if (err == Q2S_E_SHORT)
		report_end(ck, &walk->records);
	else if (err != Q2S_OK)
		q2si_report(ck, SNAPSHOT_RECORD, .host = at, .detail = diag.text);
	*more = err != Q2S_E_SHORT && err != Q2S_E_SNAPSHOT;
	if (*more)
		walk->records.pos += used;
	return err == Q2S_OK ? check_record(ck, walk, &snapshot) : Q2S_OK;
}

static enum q2s_err
walk_records(struct q2si_checker *ck, struct snapshot_walk *walk, uint32_t count)
{
	bool more = true;

	for (uint32_t i = 0; more && i < count; i++) {
		if (walk->records.pos >= walk->records.end) {
			report_end(ck, &walk->records);
			break;
		}
		Q2SI_TRY(walk_record(ck, walk, &more));
	}
	return Q2S_OK;
}

static enum q2s_err
visit_entry(struct q2si_checker *ck, void *opaque, q2s_host at, const uint8_t *raw, uint64_t weight)
{
	struct q2s_l1_entry entry;
	struct q2si_table table;

	(void)opaque;
	if (!q2si_l1_entry(ck, at, raw, &entry) || entry.l2.v == 0)
		return Q2S_OK;
	table = (struct q2si_table){ .cluster = entry.l2.v >> ck->geom->cluster_bits,
				     .refs = weight,
				     .l1_index = Q2SI_NO_INDEX };
	return q2si_tables_add(&ck->tables, &table);
}

static enum q2s_err
check_table(struct q2si_checker *ck, struct snapshot_walk *walk, uint32_t count)
{
	const struct q2si_records *records = &walk->records;

	Q2SI_TRY(walk_records(ck, walk, count));
	/* Padding of the last record may not be there. */
	Q2SI_TRY(q2si_count_structure(
		ck, Q2SI_EXTENT_SNAPSHOT_TABLE, records->start,
		q2si_max(records->start, q2si_min(records->pos, records->end)) - records->start,
		Q2SI_FOUND_SNAPSHOT_TABLE_PAST_END));
	return q2si_visit_words(ck, walk->tables, walk->count, "snapshot L1 table", visit_entry,
				NULL);
}

enum q2s_err
q2si_check_snapshots(struct q2si_checker *ck)
{
	const q2s_host at = ck->header->snapshots_offset;
	uint32_t count = ck->header->nb_snapshots;
	const uint64_t file_end = ck->file_clusters << ck->geom->cluster_bits;
	struct snapshot_walk walk = { .records = { .start = at.v, .pos = at.v } };
	enum q2s_err err;

	if (!q2si_is_aligned(at.v, ck->geom->cluster_size) || at.v > INT64_MAX ||
	    (count && at.v == 0)) {
		q2si_report(ck, SNAPSHOT_TABLE_OFFSET, .host = at);
		return Q2S_OK;
	}
	if (count == 0)
		return Q2S_OK;
	if (ck->geom->data_file)
		q2si_report(ck, SNAPSHOT_DATA_FILE, .host = at, Q2SI_VALUES(count, 0));
	if (count > Q2S_SNAPSHOTS_MAX) {
		q2si_report(ck, SNAPSHOT_COUNT, .host = at, Q2SI_VALUES(count, Q2S_SNAPSHOTS_MAX));
		count = Q2S_SNAPSHOTS_MAX;
	}
	walk.records.end = q2si_min(at.v + Q2S_SNAPSHOT_TABLE_MAX_BYTES, file_end);
	walk.tables = calloc(count, sizeof(*walk.tables));
	err = walk.tables ? check_table(ck, &walk, count) : Q2S_E_NOMEM;
	free(walk.tables);
	return err;
}
