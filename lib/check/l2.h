/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One L2 table under check. l2.c finds runs of entries that need no second look, l2_run.c judges
 * and counts a run, l2_entry.c takes the entries that are anything else.
 */
#ifndef Q2SI_CHECK_L2_H
#define Q2SI_CHECK_L2_H

#include "checker.h"

struct q2si_decoder;

/**
 * @table       which, and how often it is referred to
 * @at, @raw    its place and bytes
 * @follows     where the next data cluster would lie if it followed its predecessor; 0 at first
 * @one_run     all its entries are one run
 * @inactive_copied  entries of an inactive table with COPIED and other owners
 */
struct q2si_l2_walk {
	struct q2si_checker *ck;
	const struct q2si_table *table;
	struct q2si_decoder *decoder;
	uint64_t at;
	const uint8_t *raw;
	uint64_t follows;
	bool one_run;
	uint64_t inactive_copied;
};

/**
 * Entries @index .. @index + @n - 1, whose data clusters lie side by side from @host on.
 *
 * @host  cluster-aligned; COPIED is the same in all of them
 */
struct q2si_l2_run {
	uint32_t index;
	uint32_t n;
	uint64_t host;
	bool copied;
};

/** Count a run; Q2S_E_LIMIT, Q2S_E_NOMEM. */
enum q2s_err q2si_l2_count_run(struct q2si_l2_walk *walk, const struct q2si_l2_run *run);

/** Judge COPIED of a run's clusters, from host cluster @first on. */
void q2si_l2_check_copied(struct q2si_l2_walk *walk, const struct q2si_l2_run *run, uint64_t first,
			  uint32_t n);

/** Count @n clusters of the guest in a row from @host on, as allocated and, perhaps, fragmented. */
void q2si_l2_count_blocks(struct q2si_l2_walk *walk, uint64_t host, uint32_t n);

/** Judge and count one entry that is not empty. */
enum q2s_err q2si_l2_count_entry(struct q2si_l2_walk *walk, uint32_t index);

/** Host offset of an entry. */
static inline q2s_host
q2si_l2_entry_at(const struct q2si_l2_walk *walk, uint32_t index)
{
	return (q2s_host){ walk->at + (uint64_t)index * walk->ck->geom->l2_entry_size };
}

/**
 * Report entry @index: at its place, or the host offset among the arguments, and, in an active
 * table, its guest offset; the values and the detail are those of the further arguments.
 */
void q2si_l2_report_entry(struct q2si_l2_walk *walk, enum q2si_finding_id id, uint32_t index,
			  struct q2si_place place);
#define q2si_l2_report(walk, name, index, ...)               \
	q2si_l2_report_entry(walk, Q2SI_FOUND_##name, index, \
			     (struct q2si_place){ .has_guest = false, ##__VA_ARGS__ })

/**
 * Report each of @n clusters from @first on that holds metadata, though guest data lies on it.
 *
 * @step  1: the clusters belong to entries from @index on; 0: all to that entry
 * Returns whether there was one.
 */
bool q2si_l2_report_metadata(struct q2si_l2_walk *walk, uint32_t index, uint32_t step,
			     uint64_t first, uint64_t n);

#endif
