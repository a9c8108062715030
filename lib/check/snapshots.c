/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Internal snapshots: their records one by one, and then all their L1 tables at once. */
#include "checker.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "l1.h"
#include "names.h"
#include "records.h"

#define EXTRA_VERSION_3 16u /* bytes of extra data that a record of version 3 has at least */

/* @tables, @ids  of the snapshots so far, with room for all */
struct snapshot_walk {
	struct q2si_records records;
	struct q2si_words *tables;
	size_t count;
	struct q2si_name *ids;
	size_t id_count;
};

static bool
is_long_enough(const struct q2si_checker *ck, const struct q2s_snapshot *snapshot)
{
	return ck->header->version < 3 || snapshot->extra_size >= EXTRA_VERSION_3;
}

/*
 * What makes a record illegal but leaves its references known is reported, and the record used all
 * the same, as in QEMU.
 */
static void
report_values(struct q2si_checker *ck, q2s_host at, const struct q2s_snapshot *snapshot)
{
	if (!is_long_enough(ck, snapshot))
		q2si_report(ck, SNAPSHOT_EXTRA, .host = at,
			    Q2SI_VALUES(snapshot->extra_size, EXTRA_VERSION_3));
	if (snapshot->has_disk_size && snapshot->disk_size >= Q2S_SIZE_LIMIT)
		q2si_report(ck, SNAPSHOT_DISK_SIZE, .host = at,
			    Q2SI_VALUES(snapshot->disk_size, ck->geom->size));
}

/* The disk comes first, then the state of the machine, in L1 entries of its own. */
static void
check_reach(struct q2si_checker *ck, q2s_host at, const struct q2s_snapshot *snapshot)
{
	const uint64_t disk = snapshot->has_disk_size ? snapshot->disk_size : ck->geom->size;
	const uint64_t need = q2si_div_up(disk, ck->geom->l2_span) +
			      q2si_div_up(snapshot->vm_state_size, ck->geom->l2_span);

	if (disk < Q2S_SIZE_LIMIT && need > snapshot->l1_entries)
		q2si_report(ck, SNAPSHOT_L1_SHORT, .host = at,
			    Q2SI_VALUES(snapshot->l1_entries, need));
}

static enum q2s_err
check_record(struct q2si_checker *ck, struct snapshot_walk *walk, q2s_host at, const uint8_t *raw,
	     const struct q2s_snapshot *snapshot)
{
	const uint64_t l1 = snapshot->l1_offset.v;
	const uint64_t bytes = (uint64_t)snapshot->l1_entries * Q2S_L1_ENTRY_SIZE;

	report_values(ck, at, snapshot);
	if (is_long_enough(ck, snapshot)) { /* else it may be anything */
		check_reach(ck, at, snapshot);
		walk->ids[walk->id_count++] =
			q2si_name_note(snapshot->id, snapshot->id_len,
				       (q2s_host){ at.v + (uint64_t)(snapshot->id - raw) });
	}
	walk->tables[walk->count++] = q2si_l1_words(ck, l1, snapshot->l1_entries, 1);
	return q2si_count_structure(ck, Q2S_STRUCTURE_SNAPSHOT_L1, l1, bytes,
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
	err = q2s_snapshot_decode_lenient(ck->geom, raw, len, at, &snapshot, &used, &diag);
	q2si_digest_add(ck, at.v, raw, q2si_min_size(used, len));
	if (err == Q2S_E_OFFSET)
		q2si_report(ck, SNAPSHOT_L1_OFFSET, .host = at, Q2SI_VALUES(diag.value, 0));
	else if (err == Q2S_E_SHORT)
		report_end(ck, &walk->records);
	else if (err != Q2S_OK)
		q2si_report(ck, SNAPSHOT_RECORD, .host = at, .detail = diag.text);
	*more = err != Q2S_E_SHORT && err != Q2S_E_SNAPSHOT;
	if (*more)
		walk->records.pos += used;
	return err == Q2S_OK ? check_record(ck, walk, at, raw, &snapshot) : Q2S_OK;
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
	if (!q2si_l1_entry(ck, at, raw, NULL, &entry))
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
	q2si_check_names(ck, walk->ids, walk->id_count, Q2SI_FOUND_SNAPSHOT_ID, "snapshot table");
	/* Padding of the last record may not be there. */
	Q2SI_TRY(q2si_count_structure(
		ck, Q2S_STRUCTURE_SNAPSHOT_TABLE, records->start,
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
	enum q2s_err err = Q2S_E_NOMEM;

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
	walk.ids = calloc(count, sizeof(*walk.ids));
	if (walk.tables && walk.ids)
		err = check_table(ck, &walk, count);
	free(walk.tables);
	free(walk.ids);
	return err;
}
