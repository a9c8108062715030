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

static enum q2s_err
add(void *opaque, const struct q2s_structure *it, struct q2s_diag *diag)
{
	struct repeats *const repeats = opaque;

	(void)diag;
	if (!it->again || it->at.v >= repeats->end)
		return Q2S_OK;
	if (it->at.v != repeats->at.v || it->index != repeats->first + repeats->count ||
	    it->owner != repeats->table) {
		flush(repeats);
		repeats->table = it->owner;
		repeats->first = it->index;
		repeats->at = it->at;
	}
	repeats->count++;
	return Q2S_OK;
}

enum q2s_err
dump_repeats(struct dump *dump, struct repeats *repeats, enum q2s_structure_kind kind,
	     struct q2s_diag *diag)
{
	const struct q2s_walk_options how = { .size = sizeof(how), .kinds = Q2S_WALK_KIND(kind),
					      .guest = dump->guest,
					      .guest_end = dump->guest_end,
					      .all = true,
					      .structure = add,
					      .opaque = repeats };
	const enum q2s_err err = q2s_walk(dump->subject->opened, &how, diag);

	flush(repeats);
	if (repeats->begun)
		sheet_table_end(repeats->sheet);
	return err;
}
