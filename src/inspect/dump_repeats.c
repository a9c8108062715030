/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `dump`: references to what is shown already, those of neighbours on one line. */
#include "inspect/dump.h"

#include <inttypes.h>

static void
flush(struct repeats *repeats)
{
	if (repeats->count == 0)
		return;
	if (!repeats->begun) {
		sheet_title(repeats->sheet, "%s", repeats->title);
		sheet_table(repeats->sheet, repeats->key, repeats->columns, REPEATS_COLUMNS);
	}
	repeats->begun = true;
	sheet_row(repeats->sheet,
		  (struct cell[REPEATS_COLUMNS]){ CELL_N_IF(repeats->has_table, repeats->table),
						  CELL_N(repeats->first), CELL_N(repeats->count),
						  CELL_N(repeats->at.v),
						  CELL_N(repeats->first * repeats->span) },
		  NULL);
	repeats->count = 0;
}

enum q2s_err
repeats_add(struct repeats *repeats, const uint32_t *table, uint64_t index, q2s_host at,
	    struct q2s_diag *diag)
{
	bool again = false;
	const enum q2s_err err = seen_add(&repeats->seen, at, 0, &again, diag);

	if (err != Q2S_OK || !again)
		return err;
	if (at.v != repeats->at.v || index != repeats->first + repeats->count ||
	    (table && *table != repeats->table)) {
		flush(repeats);
		repeats->has_table = table != NULL;
		repeats->table = table ? *table : 0;
		repeats->first = index;
		repeats->at = at;
	}
	repeats->count++;
	return Q2S_OK;
}

void
repeats_end(struct repeats *repeats)
{
	flush(repeats);
	if (repeats->begun)
		sheet_table_end(repeats->sheet);
	seen_free(&repeats->seen);
}

bool
dump_shown_above(struct dump *dump, const struct table *table, uint64_t fresh, const char *kind)
{
	if (fresh == table->count || table_at(table, fresh).v >= q2s_file_size(dump->subject->file))
		return false;
	sheet_note(&dump->sheet, "from entry %" PRIu64 " on it lies over %s that is shown above",
		   fresh, kind);
	sheet_fact(&dump->sheet, "shown-above-from", json_u64(fresh));
	return fresh == 0;
}
