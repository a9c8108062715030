/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `dump`: the snapshot table, and bitmaps with their tables. */
#include "inspect/dump.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "inspect/extensions.h"
#include "inspect/records.h"
#include "inspect/table.h"

/* ---- snapshots --------------------------------------------------------------------------- */

static const struct column snapshot_columns[] = {
	{ "index", "index", CELL_COUNT, 5 },
	{ "at", "at", CELL_OFFSET, 12 },
	{ "length", "bytes", CELL_COUNT, 6 },
	{ "l1-offset", "L1 table at", CELL_OFFSET, 12 },
	{ "l1-entries", "entries", CELL_COUNT, 8 },
	{ "date-sec", "date s", CELL_COUNT, 11 },
	{ "date-nsec", "date ns", CELL_COUNT, 10 },
	{ "vm-clock-nsec", "VM clock ns", CELL_COUNT, 14 },
	{ "vm-state-size", "VM state", CELL_COUNT, 11 },
	{ "disk-size", "disk size", CELL_COUNT, 14 },
	{ "icount", "icount", CELL_COUNT, 8 },
	{ "extra-size", "extra", CELL_COUNT, 5 },
	{ "id", "ID", CELL_TEXT, 5 },
	{ "name", "name", CELL_TEXT, 1 },
};
#define SNAPSHOT_COLUMNS (sizeof(snapshot_columns) / sizeof(snapshot_columns[0]))

static void
show_snapshot(struct dump *dump, uint32_t index, const struct record *record,
	      const struct q2s_snapshot *it)
{
	const struct cell cells[SNAPSHOT_COLUMNS] = {
		CELL_N(index),
		CELL_N(record->at.v),
		CELL_N(record->bytes),
		CELL_N(it->l1_offset.v),
		CELL_N(it->l1_entries),
		CELL_N(it->date_sec),
		CELL_N(it->date_nsec),
		CELL_N(it->vm_clock_nsec),
		CELL_N(it->vm_state_size),
		CELL_N_IF(it->has_disk_size, it->disk_size),
		CELL_N_IF(it->has_icount, it->icount),
		CELL_N(it->extra_size),
		CELL_B(it->id, it->id_len),
		CELL_B(it->name, it->name_len),
	};

	sheet_row(&dump->sheet, cells, NULL);
}

/* A record of which nothing is known but its place and, perhaps, its length. */
static void
show_bad_record(struct dump *dump, uint32_t index, const struct record *record)
{
	const struct cell cells[SNAPSHOT_COLUMNS] = {
		CELL_N(index),
		CELL_N(record->at.v),
		CELL_N_IF(record->bytes != 0, record->bytes),
	};

	sheet_row(&dump->sheet, cells, &record->fault);
}

enum q2s_err
dump_snapshots(struct dump *dump, struct q2s_diag *diag)
{
	struct record_walk walk = snapshot_walk_begin(dump->subject);
	const uint32_t count = walk.left;
	struct q2s_snapshot snapshot;
	struct record record;
	enum q2s_err err = Q2S_OK;

	sheet_open(&dump->sheet, "snapshots");
	sheet_fact(&dump->sheet, "offset", json_u64(walk.at.v));
	sheet_fact(&dump->sheet, "count", json_u64(count));
	if (count) {
		sheet_title(&dump->sheet, "Snapshot table at 0x%" PRIx64 ", %" PRIu32 " records",
			    walk.at.v, count);
		sheet_table(&dump->sheet, "records", snapshot_columns, SNAPSHOT_COLUMNS);
		for (uint32_t i = 0; snapshot_walk_next(&walk, &record, &snapshot, &err, diag);
		     i++) {
			if (record.fault.err == Q2S_OK)
				show_snapshot(dump, i, &record, &snapshot);
			else
				show_bad_record(dump, i, &record);
		}
		sheet_table_end(&dump->sheet);
	}
	record_walk_end(&walk);
	sheet_close(&dump->sheet);
	return err;
}

/* ---- bitmaps ----------------------------------------------------------------------------- */

static const struct column bitmap_columns[] = {
	{ "index", "index", CELL_COUNT, 5 },
	{ "at", "at", CELL_OFFSET, 12 },
	{ "length", "bytes", CELL_COUNT, 6 },
	{ "table-offset", "table at", CELL_OFFSET, 12 },
	{ "table-entries", "entries", CELL_COUNT, 8 },
	{ "flags", "flags", CELL_RAW, 10 },
	{ "in-use", "in-use", CELL_FLAG, 6 },
	{ "auto", "auto", CELL_FLAG, 4 },
	{ "type", "type", CELL_COUNT, 4 },
	{ "granularity-bits", "granularity bits", CELL_COUNT, 16 },
	{ "extra-size", "extra", CELL_COUNT, 5 },
	{ "name", "name", CELL_TEXT, 1 },
};
#define BITMAP_COLUMNS (sizeof(bitmap_columns) / sizeof(bitmap_columns[0]))
_Static_assert(BITMAP_COLUMNS <= SNAPSHOT_COLUMNS, "show_bad_record() serves both");

static const struct column entry_columns[] = {
	{ "index", "index", CELL_COUNT, 8 },      { "at", "at", CELL_OFFSET, 12 },
	{ "raw", "entry", CELL_RAW, 18 },         { "kind", "bits", CELL_WORD, 8 },
	{ "offset", "bits at", CELL_OFFSET, 12 },
};
#define ENTRY_COLUMNS (sizeof(entry_columns) / sizeof(entry_columns[0]))

static void
show_bitmap(struct dump *dump, uint32_t index, const struct record *record,
	    const struct q2s_bitmap *it)
{
	const struct cell cells[BITMAP_COLUMNS] = {
		CELL_N(index),
		CELL_N(record->at.v),
		CELL_N(record->bytes),
		CELL_N(it->table_offset.v),
		CELL_N(it->table_entries),
		CELL_N(it->flags),
		CELL_N((it->flags & Q2S_BITMAP_IN_USE) != 0),
		CELL_N((it->flags & Q2S_BITMAP_AUTO) != 0),
		CELL_N(it->type),
		CELL_N(it->granularity_bits),
		CELL_N(it->extra_size),
		CELL_B(it->name, it->name_len),
	};

	sheet_row(&dump->sheet, cells, NULL);
}

static enum q2s_err
show_directory(struct dump *dump, const struct q2s_ext_bitmaps *bitmaps, struct q2s_diag *diag)
{
	struct record_walk walk = bitmap_walk_begin(dump->subject, bitmaps);
	struct q2s_bitmap bitmap;
	struct record record;
	enum q2s_err err = Q2S_OK;

	sheet_table(&dump->sheet, "records", bitmap_columns, BITMAP_COLUMNS);
	for (uint32_t i = 0; bitmap_walk_next(&walk, &record, &bitmap, &err, diag); i++) {
		if (record.fault.err == Q2S_OK)
			show_bitmap(dump, i, &record, &bitmap);
		else
			show_bad_record(dump, i, &record);
	}
	sheet_table_end(&dump->sheet);
	record_walk_end(&walk);
	return err;
}

static void
show_table_entry(struct dump *dump, q2s_host at, uint64_t index, const uint8_t *raw)
{
	struct q2s_diag fault = { 0 };
	struct q2s_bitmap_table_entry entry = { 0 };
	const bool ok =
		q2s_bitmap_table_decode(&dump->subject->geom, raw, at, &entry, &fault) == Q2S_OK;
	const struct cell cells[ENTRY_COLUMNS] = {
		CELL_N(index),
		CELL_N(at.v),
		CELL_N(q2si_get_be64(raw)),
		CELL_W(!ok          ? "invalid"
		       : entry.ones ? "all ones"
				    : "stored"),
		CELL_N_IF(ok && !entry.ones, entry.cluster.v),
	};

	if (ok && entry.cluster.v >= q2s_file_size(dump->subject->file))
		fault = dump_past_end("bitmap table entry", at, entry.cluster);
	sheet_row(&dump->sheet, cells, fault.err == Q2S_OK ? NULL : &fault);
}

/* The first @count entries; behind them the table lies over one that is shown already. */
static enum q2s_err
show_entries(struct dump *dump, struct table *table, uint64_t count, struct q2s_diag *diag)
{
	uint64_t index = 0;
	const uint8_t *raw;
	enum q2s_err err;

	if (dump_shown_above(dump, table, count, "a bitmap table"))
		return Q2S_OK;
	sheet_table(&dump->sheet, "entries", entry_columns, ENTRY_COLUMNS);
	for (;; index++) {
		err = table_next(table, index, &index, diag);
		if (err != Q2S_OK || index >= count)
			break;
		err = table_get(table, index, &raw, diag);
		if (err != Q2S_OK)
			break;
		show_table_entry(dump, table_at(table, index), index, raw);
	}
	sheet_table_end(&dump->sheet);
	return err;
}

static enum q2s_err
show_bitmap_table(struct dump *dump, struct seen *seen, uint32_t index,
		  const struct q2s_bitmap *bitmap, struct q2s_diag *diag)
{
	const struct seen_table place = { .at = bitmap->table_offset,
					  .count = bitmap->table_entries,
					  .entry_size = Q2S_BITMAP_TABLE_ENTRY_SIZE };
	struct table table = { 0 };
	uint64_t fresh = 0;
	enum q2s_err err;

	sheet_title(&dump->sheet,
		    "Table of bitmap %" PRIu32 " at 0x%" PRIx64 ", %" PRIu32 " entries", index,
		    bitmap->table_offset.v, bitmap->table_entries);
	sheet_open(&dump->sheet, NULL);
	sheet_fact(&dump->sheet, "bitmap", json_u64(index));
	sheet_fact(&dump->sheet, "offset", json_u64(bitmap->table_offset.v));
	err = seen_add_table(seen, dump->subject->file, &dump->subject->geom, &place, &fresh, diag);
	if (err == Q2S_OK)
		err = table_open(dump->subject->file, place.at, place.count, place.entry_size,
				 "bitmap table", &table, diag);
	if (err == Q2S_OK)
		err = show_entries(dump, &table, fresh, diag);
	err = dump_fault(dump, err, diag);
	table_close(&table);
	sheet_close(&dump->sheet);
	return err;
}

static enum q2s_err
show_bitmap_tables(struct dump *dump, const struct q2s_ext_bitmaps *bitmaps, struct q2s_diag *diag)
{
	struct record_walk walk = bitmap_walk_begin(dump->subject, bitmaps);
	struct q2s_bitmap bitmap;
	struct seen seen = { 0 };
	struct record record;
	enum q2s_err err = Q2S_OK;

	sheet_open_list(&dump->sheet, "tables");
	for (uint32_t i = 0; bitmap_walk_next(&walk, &record, &bitmap, &err, diag); i++) {
		if (record.fault.err != Q2S_OK)
			continue;
		err = show_bitmap_table(dump, &seen, i, &bitmap, diag);
		if (err != Q2S_OK)
			break;
	}
	record_walk_end(&walk);
	seen_free(&seen);
	sheet_close(&dump->sheet);
	return err;
}

/* From the extensions, so that also bitmaps are shown that are not marked consistent. */
static bool
find_bitmaps(const struct subject *subject, struct q2s_ext_bitmaps *out, struct q2s_diag *fault)
{
	struct extension_walk walk =
		extension_walk_begin(&subject->header, subject->head, subject->head_size);
	struct q2s_ext ext;

	while (extension_walk_next(&walk, &ext, NULL)) {
		if (ext.type == Q2S_EXT_BITMAPS)
			return q2s_ext_bitmaps_decode(&subject->geom, &ext, out, fault) == Q2S_OK;
	}
	return false;
}

enum q2s_err
dump_bitmaps(struct dump *dump, struct q2s_diag *diag)
{
	const bool consistent = dump->subject->header.autoclear_features & Q2S_AUTOCLEAR_BITMAPS;
	struct q2s_ext_bitmaps bitmaps;
	struct q2s_diag fault = { 0 };
	enum q2s_err err = Q2S_OK;

	if (find_bitmaps(dump->subject, &bitmaps, &fault)) {
		sheet_title(&dump->sheet, "Bitmap directory at 0x%" PRIx64 ", %" PRIu64 " bytes%s",
			    bitmaps.directory_offset.v, bitmaps.directory_size,
			    consistent ? "" : " (autoclear bit 0 is clear: not consistent)");
		sheet_open(&dump->sheet, "bitmaps");
		sheet_fact(&dump->sheet, "offset", json_u64(bitmaps.directory_offset.v));
		sheet_fact(&dump->sheet, "length", json_u64(bitmaps.directory_size));
		sheet_fact(&dump->sheet, "consistent", json_boolean(consistent));
		err = show_directory(dump, &bitmaps, diag);
		if (err == Q2S_OK)
			err = show_bitmap_tables(dump, &bitmaps, diag);
		sheet_close(&dump->sheet);
	} else if (fault.err != Q2S_OK) {
		sheet_title(&dump->sheet, "Bitmaps");
		sheet_open(&dump->sheet, "bitmaps");
		sheet_fault(&dump->sheet, &fault);
		sheet_close(&dump->sheet);
	}
	return err;
}
