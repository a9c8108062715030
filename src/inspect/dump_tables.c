/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `dump`: tables of entries, as the walk over the image comes across them. */
#include "inspect/dump.h"

#include <inttypes.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "inspect/show.h"

/* ---- any table --------------------------------------------------------------------------- */

/** The tables of one kind, while they are shown. @is_open: one that has rows, still to be ended. */
struct showing {
	struct dump *dump;
	const struct dump_table *table;
	bool any;
	bool is_open;
};

static void
end_table(struct showing *showing)
{
	if (showing->is_open)
		sheet_table_end(&showing->dump->sheet);
	if (showing->any)
		sheet_close(&showing->dump->sheet);
	showing->is_open = showing->any = false;
}

/* Say so if it lies over a table of its kind that was shown already. True when nothing is left. */
static bool
is_shown_above(struct dump *dump, const struct dump_table *table, const struct q2s_structure *it)
{
	const uint32_t size = it->entries ? (uint32_t)(it->len / it->entries) : 0;

	/* What lies past the end of the file is not there to be shown. */
	if (!table->lies_over || it->fresh == it->entries ||
	    it->at.v + it->fresh * size >= q2s_store_size(dump->subject->file))
		return false;
	sheet_note(&dump->sheet, "from entry %" PRIu64 " on it lies over %s that is shown above",
		   it->fresh, table->lies_over);
	sheet_fact(&dump->sheet, "shown-above-from", u64_json(it->fresh));
	return it->fresh == 0;
}

static enum q2s_err
begin_table(void *opaque, const struct q2s_structure *it, struct q2s_diag *diag)
{
	struct showing *const showing = opaque;
	struct sheet *const sheet = &showing->dump->sheet;

	(void)diag;
	if (it->again)
		return Q2S_OK;
	end_table(showing);
	showing->any = true;
	showing->table->title(showing->dump, it);
	if (it->fault) {
		sheet_fault(sheet, it->fault);
	} else if (!is_shown_above(showing->dump, showing->table, it)) {
		sheet_table(sheet, "entries", showing->table->columns,
			    showing->table->column_count);
		showing->is_open = true;
	}
	return Q2S_OK;
}

static enum q2s_err
add_row(void *opaque, const struct q2s_structure *in, const struct q2s_table_entry *it,
	struct q2s_diag *diag)
{
	const struct showing *const showing = opaque;
	struct cell cells[ENTRY_CELLS];

	(void)diag;
	showing->table->cells(showing->dump, in, it, cells);
	sheet_row(&showing->dump->sheet, cells, it->fault);
	return Q2S_OK;
}

enum q2s_err
dump_tables(struct dump *dump, const struct dump_table *table, struct q2s_diag *diag)
{
	struct showing showing = { .dump = dump, .table = table };
	const struct q2s_walk_options how = { .size = sizeof(how),
					      .kinds = Q2S_WALK_KIND(table->kind),
					      .guest = dump->guest,
					      .guest_end = dump->guest_end,
					      .all = true,
					      .structure = begin_table,
					      .entry = add_row,
					      .opaque = &showing };
	const enum q2s_err err = q2s_walk(dump->subject->opened, &how, diag);

	end_table(&showing);
	return err;
}

/* ---- L1 ---------------------------------------------------------------------------------- */

static const struct column l1_columns[] = {
	{ "index", "index", CELL_COUNT, 8 },  { "at", "at", CELL_OFFSET, 12 },
	{ "raw", "entry", CELL_RAW, 18 },     { "offset", "L2 table at", CELL_OFFSET, 12 },
	{ "copied", "COPIED", CELL_FLAG, 6 }, { "guest", "guest offset", CELL_OFFSET, 14 },
};
#define L1_COLUMNS (sizeof(l1_columns) / sizeof(l1_columns[0]))

static void
l1_cells(struct dump *dump, const struct q2s_structure *in, const struct q2s_table_entry *it,
	 struct cell *cells)
{
	(void)dump;
	cells[0] = CELL_N(it->index);
	cells[1] = CELL_N(it->at.v);
	cells[2] = CELL_N(q2si_get_be64(it->raw));
	cells[3] = CELL_N_IF(it->known, it->to.v);
	cells[4] = CELL_N_IF(it->known, it->copied);
	cells[5] = CELL_N_IF(it->index < in->disk_entries, it->guest);
}

static void
l1_title(struct dump *dump, const struct q2s_structure *it)
{
	struct sheet *const sheet = &dump->sheet;
	const char *const entries = show_plural(it->entries, "entry", "entries");

	if (it->owner == 0)
		sheet_title(sheet, "Active L1 table at 0x%" PRIx64 ", %" PRIu64 " %s", it->at.v,
			    it->entries, entries);
	else
		sheet_title(sheet,
			    "L1 table of snapshot record %" PRIu32 " at 0x%" PRIx64 ", %" PRIu64
			    " %s",
			    it->owner - 1, it->at.v, it->entries, entries);
	sheet_open(sheet, NULL);
	sheet_fact(sheet, "table", u64_json(it->owner));
	sheet_fact(sheet, "offset", u64_json(it->at.v));
	sheet_fact(sheet, "length", u64_json(it->len));
}

enum q2s_err
dump_l1(struct dump *dump, struct q2s_diag *diag)
{
	static const struct dump_table table = { Q2S_STRUCTURE_L1, l1_columns, L1_COLUMNS,
						 "an L1 table",    l1_title,   l1_cells };
	enum q2s_err err;

	sheet_open_list(&dump->sheet, "l1");
	err = dump_tables(dump, &table, diag);
	sheet_close(&dump->sheet);
	return err;
}

/* ---- L2 ---------------------------------------------------------------------------------- */

static const struct column l2_columns[] = {
	{ "index", "index", CELL_COUNT, 7 },
	{ "at", "at", CELL_OFFSET, 12 },
	{ "guest", "guest offset", CELL_OFFSET, 14 },
	{ "raw", "entry", CELL_RAW, 18 },
	{ "kind", "kind", CELL_WORD, 10 },
	{ "offset", "host offset", CELL_OFFSET, 13 },
	{ "copied", "COPIED", CELL_FLAG, 6 },
	{ "compressed-bytes", "bytes", CELL_COUNT, 7 },
	/* Extended L2 only. */
	{ "bitmap", "bitmap", CELL_RAW, 18 },
	{ "subclusters", "subclusters", CELL_WORD, 32 },
};
#define L2_COLUMNS (sizeof(l2_columns) / sizeof(l2_columns[0]))
#define L2_COLUMNS_STANDARD (L2_COLUMNS - 2)
_Static_assert(L2_COLUMNS <= ENTRY_CELLS, "a row has room for the widest table");

/* One character a subcluster, from the first on: D data, 0 zero, . unallocated. */
static void
draw_subclusters(const struct q2s_l2_entry *entry, char out[Q2S_SUBCLUSTERS + 1])
{
	static const char marks[] = { [Q2S_ABSENT] = '.', [Q2S_ZERO] = '0', [Q2S_DATA] = 'D' };

	for (uint32_t i = 0; i < Q2S_SUBCLUSTERS; i++)
		out[i] = marks[q2s_l2_state(entry, i)];
	out[Q2S_SUBCLUSTERS] = '\0';
}

static void
l2_cells(struct dump *dump, const struct q2s_structure *in, const struct q2s_table_entry *it,
	 struct cell *cells)
{
	const struct q2s_geom *const geom = dump->subject->geom;

	(void)in;
	draw_subclusters(&it->l2, dump->drawn);
	cells[0] = CELL_N(it->index);
	cells[1] = CELL_N(it->at.v);
	cells[2] = CELL_N(it->guest);
	cells[3] = CELL_N(q2si_get_be64(it->raw));
	cells[4] = CELL_W(it->known ? show_l2_kind(geom, &it->l2) : "invalid");
	cells[5] = CELL_N_IF(it->has_to, it->to.v);
	cells[6] = CELL_N_IF(it->known, it->copied);
	cells[7] = CELL_N_IF(it->l2.compressed, it->l2.comp_bytes);
	cells[8] = CELL_N_IF(geom->extended, geom->extended ? q2si_get_be64(it->raw + 8) : 0);
	cells[9] = it->known && geom->extended && !it->l2.compressed ? CELL_W(dump->drawn)
								      : CELL_NONE;
}

static void
l2_title(struct dump *dump, const struct q2s_structure *it)
{
	sheet_title(&dump->sheet, "L2 table of %sL1 entry %" PRIu64 " at 0x%" PRIx64,
		    it->owner ? "a snapshot's " : "", it->index, it->at.v);
	sheet_open(&dump->sheet, NULL);
	sheet_fact(&dump->sheet, "table", u64_json(it->owner));
	sheet_fact(&dump->sheet, "l1-index", u64_json(it->index));
	sheet_fact(&dump->sheet, "offset", u64_json(it->at.v));
}

static const struct column repeat_columns[REPEATS_COLUMNS] = {
	{ "table", "L1 table", CELL_COUNT, 8 },       { "index", "first entry", CELL_COUNT, 11 },
	{ "count", "entries", CELL_COUNT, 8 },        { "offset", "L2 table at", CELL_OFFSET, 12 },
	{ "guest", "guest offset", CELL_OFFSET, 14 },
};

enum q2s_err
dump_l2(struct dump *dump, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = dump->subject->geom;
	const struct dump_table table = { Q2S_STRUCTURE_L2,
					  l2_columns,
					  geom->extended ? L2_COLUMNS : L2_COLUMNS_STANDARD,
					  NULL,
					  l2_title,
					  l2_cells };
	struct repeats repeats = { .sheet = &dump->sheet,
				   .columns = repeat_columns,
				   .key = "l2-repeated",
				   .title = "L1 entries that lead to an L2 table shown above",
				   .has_table = true,
				   .span = geom->l2_span,
				   .end = UINT64_MAX };
	enum q2s_err err;

	sheet_open_list(&dump->sheet, "l2");
	err = dump_tables(dump, &table, diag);
	sheet_close(&dump->sheet);
	return err == Q2S_OK ? dump_repeats(dump, &repeats, Q2S_STRUCTURE_L2, diag) : err;
}
