/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The allocation map: for each L2 table that is not empty, its runs of slots. */
#ifndef Q2SI_PLAN_ALLOC_H
#define Q2SI_PLAN_ALLOC_H

#include <q2s/plan.h>

#include "plan/slot_code.h"
#include "plan/store.h"

/** One L2 table of the new image; in order of @index. */
struct q2si_alloc_table {
	uint64_t code;     /* where its runs begin in the store */
	uint64_t clusters; /* host data clusters of all tables before it */
	uint32_t index;    /* of its L1 entry */
};

struct q2s_alloc {
	struct q2s_geom geom;
	struct q2si_store store;
	struct q2si_alloc_table *tables;
	size_t table_count, table_room;
	uint64_t clusters; /* host data clusters in all */

	/* while it is built */
	uint64_t next;             /* guest cluster that comes next, @run included */
	uint64_t coded;            /* guest clusters up to here are in the last table's code */
	struct q2si_slot_run run;  /* not yet coded: it may go on */
};

/** Code the last run: no q2s_alloc_add() after this. */
enum q2s_err q2si_alloc_finish(struct q2s_alloc *alloc, struct q2s_diag *diag);

/** A walk over the runs of one table. */
struct q2si_slot_walk {
	const struct q2s_alloc *alloc;
	uint64_t pos, end;  /* in the store */
	uint32_t entry;     /* L2 index of the next run */
	uint64_t clusters;  /* host data clusters before the next run, in the whole image */
};

/** Start at the first run of table number @rank (not its L1 index). */
void q2si_slot_walk_start(struct q2si_slot_walk *walk, const struct q2s_alloc *alloc, size_t rank);

/**
 * The next run.
 *
 * @entry     L2 index of its first cluster
 * @clusters  host data clusters before it
 * Returns false at the end; what the table has no run for is unallocated.
 */
bool q2si_slot_walk_next(struct q2si_slot_walk *walk, struct q2si_slot_run *run, uint32_t *entry,
			 uint64_t *clusters);

/** The rank of the first table whose L1 index is @index or more. */
size_t q2si_alloc_find(const struct q2s_alloc *alloc, uint64_t index);

#endif
