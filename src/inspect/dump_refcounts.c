/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `dump`: the refcount table and the refcount blocks. */
#include "inspect/dump.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "common/fault.h"

/* Host bytes that one block counts. */
static uint64_t
block_span(const struct q2s_geom *geom)
{
	return (uint64_t)geom->block_entries << geom->cluster_bits;
}

/* ---- table ------------------------------------------------------------------------------- */

static const struct column table_columns[] = {
	{ "index", "index", CELL_COUNT, 8 },
	{ "at", "at", CELL_OFFSET, 12 },
	{ "raw", "entry", CELL_RAW, 18 },
	{ "offset", "block at", CELL_OFFSET, 12 },
	{ "counts-from", "counts from", CELL_OFFSET, 14 },
};
#define TABLE_COLUMNS (sizeof(table_columns) / sizeof(table_columns[0]))

static void
table_cells(struct dump *dump, const struct q2s_structure *in,
	    const struct q2s_table_entry *it, struct cell *cells)
{
	uint64_t from = 0;
	const bool counts = q2si_mul(it->index, block_span(dump->subject->geom), &from);

	(void)in;
	cells[0] = CELL_N(it->index);
	cells[1] = CELL_N(it->at.v);
	cells[2] = CELL_N(q2si_get_be64(it->raw));
	cells[3] = CELL_N_IF(it->known, it->to.v);
	cells[4] = CELL_N_IF(counts, from);
}

static void
table_title(struct dump *dump, const struct q2s_structure *it)
{
	sheet_title(&dump->sheet, "Refcount table at 0x%" PRIx64 ", %" PRIu64 " entries", it->at.v,
		    it->entries);
	sheet_open(&dump->sheet, "reftable");
	sheet_fact(&dump->sheet, "offset", u64_json(it->at.v));
	sheet_fact(&dump->sheet, "length", u64_json(it->len));
}

enum q2s_err
dump_reftable(struct dump *dump, struct q2s_diag *diag)
{
	static const struct dump_table table = { Q2S_STRUCTURE_REFCOUNT_TABLE,
						 table_columns,
						 TABLE_COLUMNS,
						 NULL,
						 table_title,
						 table_cells };

	return dump_tables(dump, &table, diag);
}

/* ---- blocks ------------------------------------------------------------------------------ */

static const struct column count_columns[] = {
	{ "offset", "host offset", CELL_OFFSET, 14 },
	{ "clusters", "clusters", CELL_COUNT, 10 },
	{ "count", "refcount", CELL_COUNT, 8 },
};
#define COUNT_COLUMNS (sizeof(count_columns) / sizeof(count_columns[0]))

/* Runs of equal counts. */
static void
show_counts(struct dump *dump, uint64_t first_cluster, const uint8_t *block)
{
	const struct q2s_geom *const geom = dump->subject->geom;
	uint32_t index = 0, end;

	sheet_table(&dump->sheet, "counts", count_columns, COUNT_COLUMNS);
	for (; index < geom->block_entries; index = end) {
		const uint64_t count = q2s_refcount_get(geom, block, index);

		for (end = index + 1; end < geom->block_entries; end++) {
			if (q2s_refcount_get(geom, block, end) != count)
				break;
		}
		sheet_row(&dump->sheet,
			  (struct cell[COUNT_COLUMNS]){
				  CELL_N((first_cluster + index) << geom->cluster_bits),
				  CELL_N(end - index), CELL_N(count) },
			  NULL);
	}
	sheet_table_end(&dump->sheet);
}

static enum q2s_err
show_block(void *opaque, const struct q2s_structure *it, struct q2s_diag *diag)
{
	struct dump *const dump = opaque;
	const struct q2s_geom *const geom = dump->subject->geom;
	uint8_t *buf;
	enum q2s_err err;

	/* Section reftable says where such a block would lie. */
	if (it->at.v >= q2s_store_size(dump->subject->file))
		return Q2S_OK;
	buf = malloc(geom->cluster_size);
	if (!buf)
		return fault_nomem(diag, "refcount block");
	sheet_title(&dump->sheet, "Refcount block %" PRIu64 " at 0x%" PRIx64, it->index, it->at.v);
	sheet_open(&dump->sheet, NULL);
	sheet_fact(&dump->sheet, "index", u64_json(it->index));
	sheet_fact(&dump->sheet, "offset", u64_json(it->at.v));
	err = q2s_store_read_padded(dump->subject->file, it->at.v, buf, geom->cluster_size, NULL,
				    diag);
	if (err == Q2S_OK)
		show_counts(dump, it->index * geom->block_entries, buf);
	sheet_close(&dump->sheet);
	free(buf);
	return err;
}

static const struct column repeat_columns[REPEATS_COLUMNS] = {
	{ "table", "", CELL_COUNT, 0 },
	{ "index", "first entry", CELL_COUNT, 11 },
	{ "count", "entries", CELL_COUNT, 8 },
	{ "offset", "block at", CELL_OFFSET, 12 },
	{ "counts-from", "counts from", CELL_OFFSET, 14 },
};

enum q2s_err
dump_refcounts(struct dump *dump, struct q2s_diag *diag)
{
	const struct q2s_walk_options how = {
		.size = sizeof(how),
		.kinds = Q2S_WALK_KIND(Q2S_STRUCTURE_REFCOUNT_BLOCK),
		.structure = show_block,
		.opaque = dump,
	};
	struct repeats repeats = {
		.sheet = &dump->sheet,
		.columns = repeat_columns,
		.key = "refcounts-repeated",
		.title = "Refcount table entries that lead to a block shown above",
		.span = block_span(dump->subject->geom),
		.end = q2s_store_size(dump->subject->file),
	};
	enum q2s_err err;

	sheet_open_list(&dump->sheet, "refcounts");
	err = q2s_walk(dump->subject->opened, &how, diag);
	sheet_close(&dump->sheet);
	if (err != Q2S_OK)
		return err;
	return dump_repeats(dump, &repeats, Q2S_STRUCTURE_REFCOUNT_BLOCK, diag);
}
