/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `dump`: the refcount table and the refcount blocks. */
#include "inspect/dump.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "common/fault.h"
#include "inspect/table.h"

static uint64_t
table_entries(const struct subject *subject)
{
	const uint64_t bytes = (uint64_t)subject->header.refcount_table_clusters
			       << subject->geom.cluster_bits;

	return q2si_min(bytes, Q2S_REFTABLE_MAX_BYTES) / Q2S_REFTABLE_ENTRY_SIZE;
}

/* Host bytes that one block counts. */
static uint64_t
block_span(const struct q2s_geom *geom)
{
	return (uint64_t)geom->block_entries << geom->cluster_bits;
}

static enum q2s_err
open_table(const struct dump *dump, struct table *out, struct q2s_diag *diag)
{
	return table_open(dump->subject->file, dump->subject->header.refcount_table_offset,
			  table_entries(dump->subject), Q2S_REFTABLE_ENTRY_SIZE, "refcount table",
			  out, diag);
}

typedef enum q2s_err (*entry_fn)(void *opaque, const struct table *table, uint64_t index,
				 const uint8_t *raw, struct q2s_diag *diag);

/* Call @fn for each entry that is not all zeros. */
static enum q2s_err
for_each_entry(struct table *table, entry_fn fn, void *opaque, struct q2s_diag *diag)
{
	uint64_t index = 0;
	const uint8_t *raw;

	for (;; index++) {
		enum q2s_err err = table_next(table, index, &index, diag);

		if (err != Q2S_OK || index >= table->count)
			return err;
		err = table_get(table, index, &raw, diag);
		if (err == Q2S_OK)
			err = fn(opaque, table, index, raw, diag);
		if (err != Q2S_OK)
			return err;
	}
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

static enum q2s_err
show_table_entry(void *opaque, const struct table *table, uint64_t index, const uint8_t *raw,
		 struct q2s_diag *diag)
{
	struct dump *const dump = opaque;
	const q2s_host at = table_at(table, index);
	struct q2s_diag fault = { 0 };
	q2s_host block = { 0 };
	uint64_t from = 0;
	const bool ok =
		q2s_reftable_decode(&dump->subject->geom, raw, at, &block, &fault) == Q2S_OK;
	const bool counts = q2si_mul(index, block_span(&dump->subject->geom), &from);
	const struct cell cells[TABLE_COLUMNS] = {
		CELL_N(index),
		CELL_N(at.v),
		CELL_N(q2si_get_be64(raw)),
		CELL_N_IF(ok, block.v),
		CELL_N_IF(counts, from),
	};

	(void)diag;
	if (ok && block.v >= q2s_file_size(dump->subject->file))
		fault = dump_past_end("refcount table entry", at, block);
	sheet_row(&dump->sheet, cells, fault.err == Q2S_OK ? NULL : &fault);
	return Q2S_OK;
}

enum q2s_err
dump_reftable(struct dump *dump, struct q2s_diag *diag)
{
	const struct q2s_header *const header = &dump->subject->header;
	struct table table = { 0 };
	enum q2s_err err;

	sheet_title(&dump->sheet, "Refcount table at 0x%" PRIx64 ", %" PRIu64 " entries",
		    header->refcount_table_offset.v, table_entries(dump->subject));
	sheet_open(&dump->sheet, "reftable");
	sheet_fact(&dump->sheet, "offset", json_u64(header->refcount_table_offset.v));
	sheet_fact(&dump->sheet, "length",
		   json_u64(table_entries(dump->subject) * Q2S_REFTABLE_ENTRY_SIZE));
	err = open_table(dump, &table, diag);
	if (err == Q2S_OK) {
		sheet_table(&dump->sheet, "entries", table_columns, TABLE_COLUMNS);
		err = for_each_entry(&table, show_table_entry, dump, diag);
		sheet_table_end(&dump->sheet);
	}
	err = dump_fault(dump, err, diag);
	table_close(&table);
	sheet_close(&dump->sheet);
	return err;
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
	const struct q2s_geom *const geom = &dump->subject->geom;
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
show_block(struct dump *dump, uint64_t index, q2s_host block, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = &dump->subject->geom;
	uint8_t *const buf = malloc(geom->cluster_size);
	enum q2s_err err = Q2S_OK;

	if (!buf)
		return fault_nomem(diag, "refcount block");
	sheet_title(&dump->sheet, "Refcount block %" PRIu64 " at 0x%" PRIx64, index, block.v);
	sheet_open(&dump->sheet, NULL);
	sheet_fact(&dump->sheet, "index", json_u64(index));
	sheet_fact(&dump->sheet, "offset", json_u64(block.v));
	err = q2s_file_read_padded(dump->subject->file, block.v, buf, geom->cluster_size, NULL,
				   diag);
	if (err == Q2S_OK)
		show_counts(dump, index * geom->block_entries, buf);
	sheet_close(&dump->sheet);
	free(buf);
	return err;
}

/* Where a block lies that there is something to show of; of others section reftable tells. */
static bool
block_in_file(const struct subject *subject, const uint8_t *raw, q2s_host *out)
{
	return q2s_reftable_decode(&subject->geom, raw, Q2S_NOWHERE, out, NULL) == Q2S_OK &&
	       out->v < q2s_file_size(subject->file);
}

/** The section, while it is shown. */
struct section {
	struct dump *dump;
	struct seen seen;
	struct repeats repeats;
};

static enum q2s_err
show_new_block(void *opaque, const struct table *table, uint64_t index, const uint8_t *raw,
	       struct q2s_diag *diag)
{
	struct section *const section = opaque;
	enum q2s_err err = Q2S_OK;
	bool again = true;
	q2s_host block;

	(void)table;
	if (block_in_file(section->dump->subject, raw, &block))
		err = seen_add(&section->seen, block, 0, &again, diag);
	return err == Q2S_OK && !again ? show_block(section->dump, index, block, diag) : err;
}

static enum q2s_err
add_repeat(void *opaque, const struct table *table, uint64_t index, const uint8_t *raw,
	   struct q2s_diag *diag)
{
	struct section *const section = opaque;
	q2s_host block;

	(void)table;
	if (!block_in_file(section->dump->subject, raw, &block))
		return Q2S_OK;
	return repeats_add(&section->repeats, NULL, index, block, diag);
}

static const struct column repeat_columns[REPEATS_COLUMNS] = {
	{ "table", "", CELL_COUNT, 0 },
	{ "index", "first entry", CELL_COUNT, 11 },
	{ "count", "entries", CELL_COUNT, 8 },
	{ "offset", "block at", CELL_OFFSET, 12 },
	{ "counts-from", "counts from", CELL_OFFSET, 14 },
};

static enum q2s_err
show_blocks(struct section *section, struct table *table, struct q2s_diag *diag)
{
	struct sheet *const sheet = &section->dump->sheet;
	enum q2s_err err;

	sheet_open_list(sheet, "refcounts");
	err = for_each_entry(table, show_new_block, section, diag);
	sheet_close(sheet);
	seen_free(&section->seen);
	if (err != Q2S_OK)
		return err;
	err = for_each_entry(table, add_repeat, section, diag);
	repeats_end(&section->repeats);
	return err;
}

enum q2s_err
dump_refcounts(struct dump *dump, struct q2s_diag *diag)
{
	struct section section = {
		.dump = dump,
		.repeats = { .sheet = &dump->sheet,
			     .columns = repeat_columns,
			     .key = "refcounts-repeated",
			     .title = "Refcount table entries that lead to a block shown above",
			     .span = block_span(&dump->subject->geom) },
	};
	struct table table = { 0 };
	enum q2s_err err = open_table(dump, &table, NULL);

	if (err == Q2S_E_TRUNCATED) { /* section reftable says it */
		table = (struct table){ 0 };
		err = Q2S_OK;
	}
	if (err == Q2S_OK)
		err = show_blocks(&section, &table, diag);
	table_close(&table);
	return err;
}
