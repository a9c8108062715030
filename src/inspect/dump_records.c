/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `dump`: the snapshot table, and bitmaps with their tables. */
#include "inspect/dump.h"

#include <inttypes.h>

#include "base/bytes.h"

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
show_snapshot(struct dump *dump, uint32_t index, const struct q2s_stored_record *record,
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
show_bad_record(struct dump *dump, uint32_t index, const struct q2s_stored_record *record)
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
	struct q2s_records walk = q2s_records_snapshots(dump->subject->opened);
	const uint32_t count = walk.left;
	struct q2s_snapshot snapshot;
	struct q2s_stored_record record;
	enum q2s_err err = Q2S_OK;

	sheet_open(&dump->sheet, "snapshots");
	sheet_fact(&dump->sheet, "offset", u64_json(walk.at.v));
	sheet_fact(&dump->sheet, "count", u64_json(count));
	if (count) {
		sheet_title(&dump->sheet, "Snapshot table at 0x%" PRIx64 ", %" PRIu32 " records",
			    walk.at.v, count);
		sheet_table(&dump->sheet, "records", snapshot_columns, SNAPSHOT_COLUMNS);
		for (uint32_t i = 0;
		     q2s_records_next_snapshot(&walk, &record, &snapshot, &err, diag); i++) {
			if (record.fault.err == Q2S_OK)
				show_snapshot(dump, i, &record, &snapshot);
			else
				show_bad_record(dump, i, &record);
		}
		sheet_table_end(&dump->sheet);
	}
	q2s_records_end(&walk);
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
show_bitmap(struct dump *dump, uint32_t index, const struct q2s_stored_record *record,
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
	struct q2s_records walk = q2s_records_bitmaps(dump->subject->opened, bitmaps);
	struct q2s_bitmap bitmap;
	struct q2s_stored_record record;
	enum q2s_err err = Q2S_OK;

	sheet_table(&dump->sheet, "records", bitmap_columns, BITMAP_COLUMNS);
	for (uint32_t i = 0; q2s_records_next_bitmap(&walk, &record, &bitmap, &err, diag); i++) {
		if (record.fault.err == Q2S_OK)
			show_bitmap(dump, i, &record, &bitmap);
		else
			show_bad_record(dump, i, &record);
	}
	sheet_table_end(&dump->sheet);
	q2s_records_end(&walk);
	return err;
}

static void
entry_cells(struct dump *dump, const struct q2s_structure *in,
	    const struct q2s_table_entry *it, struct cell *cells)
{
	(void)dump;
	(void)in;
	cells[0] = CELL_N(it->index);
	cells[1] = CELL_N(it->at.v);
	cells[2] = CELL_N(q2si_get_be64(it->raw));
	cells[3] = CELL_W(!it->known ? "invalid" : it->ones ? "all ones" : "stored");
	cells[4] = CELL_N_IF(it->known && !it->ones, it->to.v);
}

static void
table_title(struct dump *dump, const struct q2s_structure *it)
{
	sheet_title(&dump->sheet,
		    "Table of bitmap %" PRIu32 " at 0x%" PRIx64 ", %" PRIu64 " entries", it->owner,
		    it->at.v, it->entries);
	sheet_open(&dump->sheet, NULL);
	sheet_fact(&dump->sheet, "bitmap", u64_json(it->owner));
	sheet_fact(&dump->sheet, "offset", u64_json(it->at.v));
}

static const struct dump_table bitmap_table = { Q2S_STRUCTURE_BITMAP_TABLE,
						entry_columns,
						ENTRY_COLUMNS,
						"a bitmap table",
						table_title,
						entry_cells };

enum q2s_err
dump_bitmaps(struct dump *dump, struct q2s_diag *diag)
{
	const bool consistent = dump->subject->header->autoclear_features & Q2S_AUTOCLEAR_BITMAPS;
	struct q2s_ext_bitmaps bitmaps;
	struct q2s_diag fault = { 0 };
	enum q2s_err err = Q2S_OK;

	if (q2s_image_find_bitmaps(dump->subject->opened, &bitmaps, &fault)) {
		sheet_title(&dump->sheet, "Bitmap directory at 0x%" PRIx64 ", %" PRIu64 " bytes%s",
			    bitmaps.directory_offset.v, bitmaps.directory_size,
			    consistent ? "" : " (autoclear bit 0 is clear: not consistent)");
		sheet_open(&dump->sheet, "bitmaps");
		sheet_fact(&dump->sheet, "offset", u64_json(bitmaps.directory_offset.v));
		sheet_fact(&dump->sheet, "length", u64_json(bitmaps.directory_size));
		sheet_fact(&dump->sheet, "consistent", json_boolean(consistent));
		err = show_directory(dump, &bitmaps, diag);
		sheet_open_list(&dump->sheet, "tables");
		if (err == Q2S_OK)
			err = dump_tables(dump, &bitmap_table, diag);
		sheet_close(&dump->sheet);
		sheet_close(&dump->sheet);
	} else if (fault.err != Q2S_OK) {
		sheet_title(&dump->sheet, "Bitmaps");
		sheet_open(&dump->sheet, "bitmaps");
		sheet_fault(&dump->sheet, &fault);
		sheet_close(&dump->sheet);
	}
	return err;
}
