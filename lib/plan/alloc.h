/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The allocation map: for each L2 table that is not empty, its runs of slots, and where in the
 * data area what it maps lies. A table's compressed streams come first, packed; its whole clusters
 * follow. So every table begins on a host cluster, and can be laid out without its predecessors.
 */
#ifndef Q2SI_PLAN_ALLOC_H
#define Q2SI_PLAN_ALLOC_H

#include <q2s/plan.h>

#include "plan/owners.h"
#include "plan/packer.h"
#include "plan/slot_code.h"
#include "plan/store.h"

/** One L2 table of the new image; in order of @index. */
struct q2si_alloc_table {
	uint64_t code;            /* where its runs begin in the store */
	uint64_t clusters;        /* host clusters of the data area before it */
	uint64_t streams;         /* bytes of compressed streams before it */
	uint32_t stream_clusters; /* host clusters that its own streams fill */
	uint32_t index;           /* of its L1 entry */
};

struct q2s_alloc {
	struct q2s_geom geom;
	struct q2si_store store;
	struct q2si_alloc_table *tables;
	size_t table_count, table_room;
	uint64_t clusters; /* host clusters of the data area */
	uint64_t streams;  /* bytes of compressed streams */
	uint64_t spare;    /* host clusters that q2s_alloc_fill() added: nothing is in them yet */
	struct q2si_owners owners; /* whose clusters are shared */
	uint64_t references_max;   /* that streams in one host cluster may have together */
	bool shares;               /* there is a slot that shares */

	/* while it is built */
	uint64_t next;             /* guest cluster that comes next, @run included */
	uint64_t coded;            /* guest clusters up to here are in the last table's code */
	struct q2si_slot_run run;  /* not yet coded: it may go on */
	uint64_t whole;            /* whole host clusters of the last table so far */
	struct q2si_packer packer; /* of the last table */
};

/** Code the last run: no q2s_alloc_add() after this. Doing it again changes nothing. */
enum q2s_err q2si_alloc_finish(struct q2s_alloc *alloc, struct q2s_diag *diag);

/** A run with its place. A compressed run is a single cluster. */
struct q2si_placed_run {
	struct q2s_slot slot;
	uint32_t count;
	uint32_t entry;  /* L2 index of the first cluster */
	uint64_t at;     /* byte in the data area where the first cluster (or the stream) begins */
	uint64_t stream; /* compressed: bytes of all streams before it */
};

/** A walk over the runs of one table. */
struct q2si_slot_walk {
	const struct q2s_alloc *alloc;
	uint64_t pos, end;         /* in the store */
	uint64_t first;            /* guest cluster of the table's first entry */
	uint32_t entry;            /* L2 index of the next run */
	uint64_t base;             /* byte of the data area where the table's streams begin */
	uint64_t whole;            /* byte of the data area where the next whole cluster lies */
	uint64_t stream;           /* bytes of all streams so far */
	struct q2si_packer packer;
	struct q2si_slot_run same; /* what is left of equal compressed slots */
};

/** Start at the first run of table number @rank (not its L1 index). */
void q2si_slot_walk_start(struct q2si_slot_walk *walk, const struct q2s_alloc *alloc, size_t rank);

/** The next run; false at the end. What a table has no run for is unallocated. */
bool q2si_slot_walk_next(struct q2si_slot_walk *walk, struct q2si_placed_run *out);

/** The rank of the first table whose L1 index is @index or more. */
size_t q2si_alloc_find(const struct q2s_alloc *alloc, uint64_t index);

/** The rank of the last table whose data begins at or before host cluster @cluster of the data
 * area; 0 when there is none. */
size_t q2si_alloc_find_data(const struct q2s_alloc *alloc, uint64_t cluster);

#endif
