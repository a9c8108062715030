/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/runs.h"

#include <stdlib.h>

#include "base/diag.h"

enum q2s_err
q2si_runs_add(struct q2si_runs *runs, const struct q2s_slot *slot, uint64_t count,
	      struct q2s_diag *diag)
{
	struct q2si_slot_run *last = runs->count ? &runs->list[runs->count - 1] : NULL;

	if (last && q2si_slot_same(&last->slot, slot)) {
		last->count += count;
		return Q2S_OK;
	}
	if (runs->count == runs->room) {
		const size_t room = runs->room ? 2 * runs->room : 64;
		struct q2si_slot_run *list = reallocarray(runs->list, room, sizeof(*list));

		if (!list)
			return q2si_fail_nomem(diag, "list of runs");
		runs->list = list;
		runs->room = room;
	}
	runs->list[runs->count++] = (struct q2si_slot_run){ .slot = *slot, .count = count };
	return Q2S_OK;
}
