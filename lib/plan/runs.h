/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A list of runs of slots in guest order, as one thread found them. */
#ifndef Q2SI_PLAN_RUNS_H
#define Q2SI_PLAN_RUNS_H

#include "plan/slot_code.h"

/** Zero-initialise; free @list. */
struct q2si_runs {
	struct q2si_slot_run *list;
	size_t count, room;
};

/** Append @count equal slots, merged with the last run where they are the same. */
enum q2s_err q2si_runs_add(struct q2si_runs *runs, const struct q2s_slot *slot, uint64_t count,
			   struct q2s_diag *diag);

#endif
