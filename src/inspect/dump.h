/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the sections of `dump` share. */
#ifndef INSPECT_DUMP_H
#define INSPECT_DUMP_H

#include "inspect/sheet.h"
#include "inspect/subject.h"

/**
 * One dump in progress.
 *
 * @guest, @guest_end  the part of the disk that L1 and L2 are shown for
 * @drawn              the subclusters of the row in progress
 */
struct dump {
	const struct subject *subject;
	struct sheet sheet;
	uint64_t guest;
	uint64_t guest_end;
	char drawn[Q2S_SUBCLUSTERS + 1];
};

/**
 * A section shows one kind of structure. What is wrong in the image is shown in place; only what
 * keeps the tool from working (I/O, memory) is returned.
 */
typedef enum q2s_err (*dump_section)(struct dump *dump, struct q2s_diag *diag);

enum q2s_err dump_header(struct dump *dump, struct q2s_diag *diag);
enum q2s_err dump_extensions(struct dump *dump, struct q2s_diag *diag);
enum q2s_err dump_luks(struct dump *dump, struct q2s_diag *diag);
enum q2s_err dump_l1(struct dump *dump, struct q2s_diag *diag);
enum q2s_err dump_l2(struct dump *dump, struct q2s_diag *diag);
enum q2s_err dump_reftable(struct dump *dump, struct q2s_diag *diag);
enum q2s_err dump_refcounts(struct dump *dump, struct q2s_diag *diag);
enum q2s_err dump_snapshots(struct dump *dump, struct q2s_diag *diag);
enum q2s_err dump_bitmaps(struct dump *dump, struct q2s_diag *diag);

/**
 * The entries that lead to what is shown already, as an earlier entry leads there, too: shown once
 * and referred to, a dump is no longer than the tables in the file. Start with the first five. The
 * list is there only when it is not empty.
 *
 * @columns  of the list: index of a table (left out in a list without tables), first entry, number
 *           of entries, where what they lead to lies, and what the first stands for
 * @key      of the list, in JSON
 * @title    for people
 * @span     how much of the disk or of the file each entry stands for
 * @end      what lies from here on is left out
 */
#define REPEATS_COLUMNS 5
struct repeats {
	struct sheet *sheet;
	const struct column *columns;
	const char *key;
	const char *title;
	uint64_t span;
	uint64_t end;
	/* The row in progress: @count entries from @first on, all leading to @at. */
	bool has_table;
	uint32_t table;
	uint64_t first;
	uint64_t count;
	q2s_host at;
	bool begun;
};

/** Show all that entries lead to once more, of the structures of @kind, as @repeats. */
enum q2s_err dump_repeats(struct dump *dump, struct repeats *repeats,
			  enum q2s_structure_kind kind, struct q2s_diag *diag);

/** More columns than a table of entries has. */
#define ENTRY_CELLS 10

/**
 * One kind of table.
 *
 * @columns  of its entries, @column_count of them
 * @lies_over  a table of its kind, for one that shares its clusters with an earlier one; or NULL
 * @title    say where it is, for people and for scripts
 * @cells    fill in the row of an entry
 */
struct dump_table {
	enum q2s_structure_kind kind;
	const struct column *columns;
	size_t column_count;
	const char *lies_over;
	void (*title)(struct dump *dump, const struct q2s_structure *it);
	void (*cells)(struct dump *dump, const struct q2s_structure *in,
		      const struct q2s_table_entry *it, struct cell *cells);
};

/** Show all tables of a kind that the walk over the image comes across, each once. */
enum q2s_err dump_tables(struct dump *dump, const struct dump_table *table,
			 struct q2s_diag *diag);

#endif
