/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A count for each host cluster of a file, as small as the counts allow: a page of clusters whose
 * counts are all alike costs nothing, any other page 1, 2, 4 ... 64 bits a cluster, as its largest
 * count needs. That is what lets a checker hold the references of a terabyte in two megabytes.
 */
#ifndef Q2SI_CHECK_COUNTS_H
#define Q2SI_CHECK_COUNTS_H

#include <q2s/base.h>

/** Bytes that the check may still allocate: shared by all that grows with the image. */
struct q2si_budget {
	uint64_t left;
};

/** Take @bytes from the budget: Q2S_OK, or Q2S_E_LIMIT when so many are not left. */
enum q2s_err q2si_budget_take(struct q2si_budget *budget, uint64_t bytes);

struct q2si_count_node;

/** Counts of clusters 0 .. @limit - 1; all 0 at first. */
struct q2si_counts {
	uint64_t limit;
	struct q2si_count_node **nodes;
	uint64_t node_count;
	struct q2si_budget *budget; /* borrowed */
};

/** Q2S_E_LIMIT: more clusters than the budget has room for; Q2S_E_NOMEM. */
enum q2s_err q2si_counts_init(struct q2si_counts *counts, uint64_t limit,
			      struct q2si_budget *budget);
void q2si_counts_free(struct q2si_counts *counts);

/** The count of a cluster; 0 at @limit and above. */
uint64_t q2si_counts_get(const struct q2si_counts *counts, uint64_t cluster);

/**
 * Add @k, not 0, to the counts of @n clusters from @first on, all below @limit. Counts stay at
 * UINT64_MAX once they get there.
 *
 * @touched  set to true when one of them was not 0 before, else left alone
 *
 * Returns Q2S_OK, Q2S_E_LIMIT (the budget is used up), Q2S_E_NOMEM.
 */
enum q2s_err q2si_counts_add(struct q2si_counts *counts, uint64_t first, uint64_t n, uint64_t k,
			     bool *touched);

/** The count of this cluster will be needed soon: have it in the processor's cache by then. */
void q2si_counts_prefetch(const struct q2si_counts *counts, uint64_t cluster);

/** Are the counts of [@first, @first + @n) all @value? */
bool q2si_counts_all(const struct q2si_counts *counts, uint64_t first, uint64_t n, uint64_t value);
/** Is none of the counts of [@first, @first + @n) @value? */
bool q2si_counts_none(const struct q2si_counts *counts, uint64_t first, uint64_t n, uint64_t value);

/** One past the last cluster whose count is not 0; 0 when all are. */
uint64_t q2si_counts_end(const struct q2si_counts *counts);

/** A cluster whose counts differ in two sets. */
struct q2si_count_diff {
	uint64_t cluster;
	uint64_t a, b;
};

/**
 * The first cluster at or after @from where two sets of the same limit differ.
 *
 * Pages that are alike are compared as a whole. False when there is none.
 */
bool q2si_counts_next_diff(const struct q2si_counts *a, const struct q2si_counts *b, uint64_t from,
			   struct q2si_count_diff *out);

#endif
