/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `dump`: L1 and L2 tables, the active ones and those of snapshots. */
#include "inspect/dump.h"

#include <inttypes.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "inspect/l1_tables.h"
#include "inspect/show.h"
#include "inspect/table.h"

/* ---- L1 ---------------------------------------------------------------------------------- */

static const struct column l1_columns[] = {
	{ "index", "index", CELL_COUNT, 8 },  { "at", "at", CELL_OFFSET, 12 },
	{ "raw", "entry", CELL_RAW, 18 },     { "offset", "L2 table at", CELL_OFFSET, 12 },
	{ "copied", "COPIED", CELL_FLAG, 6 }, { "guest", "guest offset", CELL_OFFSET, 14 },
};
#define L1_COLUMNS (sizeof(l1_columns) / sizeof(l1_columns[0]))

static void
show_l1_entry(struct dump *dump, const struct l1_ref *ref, q2s_host at, uint64_t index,
	      const uint8_t *raw)
{
	const struct q2s_geom *const geom = &dump->subject->geom;
	struct q2s_diag fault = { 0 };
	struct q2s_l1_entry entry = { 0 };
	const bool ok = q2s_l1_decode(geom, raw, at, &entry, &fault) == Q2S_OK;
	const struct cell cells[L1_COLUMNS] = {
		CELL_N(index),
		CELL_N(at.v),
		CELL_N(q2si_get_be64(raw)),
		CELL_N_IF(ok, entry.l2.v),
		CELL_N_IF(ok, entry.copied),
		CELL_N_IF(index < ref->disk_entries, index * geom->l2_span),
	};

	if (ok && entry.l2.v >= q2s_file_size(dump->subject->file))
		fault = dump_past_end("L1 entry", at, entry.l2);
	sheet_row(&dump->sheet, cells, fault.err == Q2S_OK ? NULL : &fault);
}

static enum q2s_err
show_l1_entries(struct dump *dump, const struct l1_ref *ref, struct table *table,
		struct q2s_diag *diag)
{
	const struct l1_range range =
		l1_range(ref, &dump->subject->geom, dump->guest, dump->guest_end);
	uint64_t index = range.first;
	const uint8_t *raw;
	enum q2s_err err;

	if (dump_shown_above(dump, table, ref->fresh, "an L1 table"))
		return Q2S_OK;
	sheet_table(&dump->sheet, "entries", l1_columns, L1_COLUMNS);
	for (;; index++) {
		err = table_next(table, index, &index, diag);
		if (err != Q2S_OK || index >= range.end)
			break;
		err = table_get(table, index, &raw, diag);
		if (err != Q2S_OK)
			break;
		show_l1_entry(dump, ref, table_at(table, index), index, raw);
	}
	sheet_table_end(&dump->sheet);
	return err;
}

static void
title_l1(struct dump *dump, const struct l1_ref *ref)
{
	if (ref->owner == 0)
		sheet_title(&dump->sheet, "Active L1 table at 0x%" PRIx64 ", %" PRIu64 " %s",
			    ref->at.v, ref->entries, show_plural(ref->entries, "entry", "entries"));
	else
		sheet_title(&dump->sheet,
			    "L1 table of snapshot record %" PRIu32 " at 0x%" PRIx64 ", %" PRIu64
			    " %s",
			    ref->owner - 1, ref->at.v, ref->entries,
			    show_plural(ref->entries, "entry", "entries"));
}

static enum q2s_err
show_l1(void *opaque, const struct l1_ref *ref, struct q2s_diag *diag)
{
	struct dump *const dump = opaque;
	struct table table = { 0 };
	enum q2s_err err;

	title_l1(dump, ref);
	sheet_open(&dump->sheet, NULL);
	sheet_fact(&dump->sheet, "table", json_u64(ref->owner));
	sheet_fact(&dump->sheet, "offset", json_u64(ref->at.v));
	sheet_fact(&dump->sheet, "length", json_u64(ref->entries * Q2S_L1_ENTRY_SIZE));
	err = table_open(dump->subject->file, ref->at, ref->entries, Q2S_L1_ENTRY_SIZE, "L1 table",
			 &table, diag);
	if (err == Q2S_OK)
		err = show_l1_entries(dump, ref, &table, diag);
	err = dump_fault(dump, err, diag);
	table_close(&table);
	sheet_close(&dump->sheet);
	return err;
}

enum q2s_err
dump_l1(struct dump *dump, struct q2s_diag *diag)
{
	enum q2s_err err;

	sheet_open_list(&dump->sheet, "l1");
	err = l1_tables(dump->subject, show_l1, dump, diag);
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

static const char *
entry_kind(const struct q2s_geom *geom, const struct q2s_l2_entry *entry)
{
	if (entry->compressed)
		return "compressed";
	if (entry->alloc == geom->sub_mask)
		return "data";
	if (entry->zero == geom->sub_mask)
		return "zero";
	return entry->alloc | entry->zero ? "mixed" : "absent";
}

/* One character a subcluster, from the first on: D data, 0 zero, . absent. */
static void
draw_subclusters(const struct q2s_l2_entry *entry, char out[Q2S_SUBCLUSTERS + 1])
{
	static const char marks[] = { [Q2S_ABSENT] = '.', [Q2S_ZERO] = '0', [Q2S_DATA] = 'D' };

	for (uint32_t i = 0; i < Q2S_SUBCLUSTERS; i++)
		out[i] = marks[q2s_l2_state(entry, i)];
	out[Q2S_SUBCLUSTERS] = '\0';
}

/* Where the guest's bytes of @entry start in the image file; false when not there. */
static bool
entry_host(const struct q2s_l2_entry *entry, q2s_host *out)
{
	*out = entry->compressed ? entry->comp_at : entry->host;
	return entry->compressed || entry->has_host;
}

static void
show_l2_entry(struct dump *dump, q2s_host at, uint32_t index, uint64_t guest, const uint8_t *raw)
{
	const struct q2s_geom *const geom = &dump->subject->geom;
	struct q2s_diag fault = { 0 };
	struct q2s_l2_entry entry = { 0 };
	char drawn[Q2S_SUBCLUSTERS + 1];
	q2s_host host = { 0 };
	const bool legal = q2s_l2_decode(geom, raw, at, &entry, &fault) == Q2S_OK;
	const bool ok = legal || q2s_l2_decode_lenient(geom, raw, at, &entry, NULL) == Q2S_OK;
	const bool has_host = ok && entry_host(&entry, &host);
	const struct cell cells[L2_COLUMNS] = {
		CELL_N(index),
		CELL_N(at.v),
		CELL_N(guest),
		CELL_N(q2si_get_be64(raw)),
		CELL_W(ok ? entry_kind(geom, &entry) : "invalid"),
		CELL_N_IF(has_host, host.v),
		CELL_N_IF(ok, entry.copied),
		CELL_N_IF(ok && entry.compressed, entry.comp_bytes),
		CELL_N_IF(geom->extended, geom->extended ? q2si_get_be64(raw + 8) : 0),
		ok && geom->extended && !entry.compressed ? CELL_W(drawn) : CELL_NONE,
	};

	draw_subclusters(&entry, drawn);
	if (legal && has_host && !geom->data_file && host.v >= q2s_file_size(dump->subject->file))
		fault = dump_past_end("L2 entry", at, host);
	sheet_row(&dump->sheet, cells, fault.err == Q2S_OK ? NULL : &fault);
}

static enum q2s_err
show_l2_entries(struct dump *dump, uint64_t l1_index, struct table *table, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = &dump->subject->geom;
	const uint64_t start = l1_index * geom->l2_span;
	uint64_t index = dump->guest > start ? (dump->guest - start) >> geom->cluster_bits : 0;
	const uint8_t *raw;
	enum q2s_err err;

	sheet_table(&dump->sheet, "entries", l2_columns,
		    geom->extended ? L2_COLUMNS : L2_COLUMNS_STANDARD);
	for (;; index++) {
		err = table_next(table, index, &index, diag);
		if (err != Q2S_OK || index >= table->count ||
		    start + (index << geom->cluster_bits) >= dump->guest_end)
			break;
		err = table_get(table, index, &raw, diag);
		if (err != Q2S_OK)
			break;
		show_l2_entry(dump, table_at(table, index), (uint32_t)index,
			      start + (index << geom->cluster_bits), raw);
	}
	sheet_table_end(&dump->sheet);
	return err;
}

static enum q2s_err
show_l2(struct dump *dump, const struct l1_ref *ref, uint64_t index, q2s_host l2,
	struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = &dump->subject->geom;
	struct table table = { 0 };
	enum q2s_err err;

	sheet_title(&dump->sheet, "L2 table of %sL1 entry %" PRIu64 " at 0x%" PRIx64,
		    ref->owner ? "a snapshot's " : "", index, l2.v);
	sheet_open(&dump->sheet, NULL);
	sheet_fact(&dump->sheet, "table", json_u64(ref->owner));
	sheet_fact(&dump->sheet, "l1-index", json_u64(index));
	sheet_fact(&dump->sheet, "offset", json_u64(l2.v));
	err = table_open(dump->subject->file, l2, geom->l2_entries, geom->l2_entry_size, "L2 table",
			 &table, diag);
	if (err == Q2S_OK)
		err = show_l2_entries(dump, index, &table, diag);
	err = dump_fault(dump, err, diag);
	table_close(&table);
	sheet_close(&dump->sheet);
	return err;
}

/* What is done with an entry that leads to an L2 table. */
typedef enum q2s_err (*l2_fn)(void *opaque, const struct l1_ref *ref, uint64_t index, q2s_host l2,
			      struct q2s_diag *diag);

/** A walk over the L1 entries for the part of the disk that is shown. @opaque: of @fn. */
struct l1_walk {
	const struct dump *dump;
	l2_fn fn;
	void *opaque;
};

static enum q2s_err
walk_l1(void *opaque, const struct l1_ref *ref, struct q2s_diag *diag)
{
	const struct l1_walk *const walk = opaque;
	const struct dump *const dump = walk->dump;
	const struct l1_range range =
		l1_range(ref, &dump->subject->geom, dump->guest, dump->guest_end);
	uint64_t index = range.first;
	struct table table = { 0 };
	enum q2s_err err = table_open(dump->subject->file, ref->at, range.end, Q2S_L1_ENTRY_SIZE,
				      "L1 table", &table, NULL);

	if (err != Q2S_OK) /* section l1 says it */
		return err == Q2S_E_TRUNCATED ? Q2S_OK : err;
	for (; err == Q2S_OK; index++) {
		const uint8_t *raw;
		q2s_host l2;

		err = table_next(&table, index, &index, diag);
		if (err != Q2S_OK || index >= table.count)
			break;
		err = table_get(&table, index, &raw, diag);
		if (err == Q2S_OK && l1_target(&dump->subject->geom, raw, &l2))
			err = walk->fn(walk->opaque, ref, index, l2, diag);
	}
	table_close(&table);
	return err;
}

/** The section, while it is shown. */
struct l2_section {
	struct dump *dump;
	struct seen seen;
};

/* Each L2 table once: a snapshot shares those that did not change since it was taken. */
static enum q2s_err
show_new_l2(void *opaque, const struct l1_ref *ref, uint64_t index, q2s_host l2,
	    struct q2s_diag *diag)
{
	struct l2_section *const section = opaque;
	bool again = false;
	const enum q2s_err err = seen_add(&section->seen, l2, 0, &again, diag);

	return err == Q2S_OK && !again ? show_l2(section->dump, ref, index, l2, diag) : err;
}

static enum q2s_err
add_repeat(void *opaque, const struct l1_ref *ref, uint64_t index, q2s_host l2,
	   struct q2s_diag *diag)
{
	return repeats_add(opaque, &ref->owner, index, l2, diag);
}

static const struct column repeat_columns[REPEATS_COLUMNS] = {
	{ "table", "L1 table", CELL_COUNT, 8 },       { "index", "first entry", CELL_COUNT, 11 },
	{ "count", "entries", CELL_COUNT, 8 },        { "offset", "L2 table at", CELL_OFFSET, 12 },
	{ "guest", "guest offset", CELL_OFFSET, 14 },
};

static enum q2s_err
show_repeats(struct dump *dump, struct q2s_diag *diag)
{
	struct repeats repeats = { .sheet = &dump->sheet,
				   .columns = repeat_columns,
				   .key = "l2-repeated",
				   .title = "L1 entries that lead to an L2 table shown above",
				   .span = dump->subject->geom.l2_span };
	struct l1_walk walk = { .dump = dump, .fn = add_repeat, .opaque = &repeats };
	enum q2s_err err;

	err = l1_tables(dump->subject, walk_l1, &walk, diag);
	repeats_end(&repeats);
	return err;
}

enum q2s_err
dump_l2(struct dump *dump, struct q2s_diag *diag)
{
	struct l2_section section = { .dump = dump };
	struct l1_walk walk = { .dump = dump, .fn = show_new_l2, .opaque = &section };
	enum q2s_err err;

	sheet_open_list(&dump->sheet, "l2");
	err = l1_tables(dump->subject, walk_l1, &walk, diag);
	sheet_close(&dump->sheet);
	seen_free(&section.seen);
	return err == Q2S_OK ? show_repeats(dump, diag) : err;
}
