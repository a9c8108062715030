/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the sections of `dump` share. */
#ifndef INSPECT_DUMP_H
#define INSPECT_DUMP_H

#include "inspect/seen.h"
#include "inspect/sheet.h"
#include "inspect/subject.h"
#include "inspect/table.h"

/** One dump in progress. @guest, @guest_end: the part of the disk that L1 and L2 are shown for. */
struct dump {
	const struct subject *subject;
	struct sheet sheet;
	uint64_t guest;
	uint64_t guest_end;
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
 * Pass on what keeps the tool from working; show everything else as a fault of the structure that
 * is being shown, and clear it.
 */
enum q2s_err dump_fault(struct dump *dump, enum q2s_err err, struct q2s_diag *diag);

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
 * @seen     what entries led to so far
 */
#define REPEATS_COLUMNS 5
struct repeats {
	struct sheet *sheet;
	const struct column *columns;
	const char *key;
	const char *title;
	uint64_t span;
	struct seen seen;
	/* The row in progress: @count entries from @first on, all leading to @at. */
	bool has_table;
	uint32_t table;
	uint64_t first;
	uint64_t count;
	q2s_host at;
	bool begun;
};

/** Entry @index of @table (NULL: there is but one) leads to @at: told when it is not the first. */
enum q2s_err repeats_add(struct repeats *repeats, const uint32_t *table, uint64_t index,
			 q2s_host at, struct q2s_diag *diag);
void repeats_end(struct repeats *repeats);

/**
 * Say so if from entry @fresh on @table lies over a table of its kind, @kind, that was shown
 * already. (What lies past the end of the file is not there to be shown.) True when nothing is left
 * of it.
 */
bool dump_shown_above(struct dump *dump, const struct table *table, uint64_t fresh,
		      const char *kind);

/** A fault of ours: "lies past the end of the file". */
struct q2s_diag dump_past_end(const char *what, q2s_host at, q2s_host target);

#endif
