/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Different clusters that later ones may turn out to be the same as: found by a hash, within a
 * stated amount of memory. The first that come are kept, so that the result depends on nothing but
 * the disk.
 */
#ifndef Q2SI_PLAN_CANDIDATES_H
#define Q2SI_PLAN_CANDIDATES_H

#include <q2s/plan.h>

/**
 * @cluster  guest cluster
 * @tag      part of the hash of its content and bitmaps
 * @sharers  guest clusters that share it already
 * @alloc, @zero  its bitmaps
 */
struct q2si_candidate {
	uint64_t cluster;
	uint32_t tag;
	uint32_t sharers;
	uint32_t alloc;
	uint32_t zero;
};

/** Set @max, and zero all else; end with q2si_candidates_free(). */
struct q2si_candidates {
	uint32_t max; /* how many may be kept */
	uint32_t count;
	size_t room;
	struct q2si_candidate *list;
	size_t places;   /* in @index: a power of two, at least twice @count */
	uint32_t *index; /* number of a candidate and 1; 0: empty */
};

void q2si_candidates_free(struct q2si_candidates *candidates);

/** Where to begin looking for this tag. */
size_t q2si_candidates_start(const struct q2si_candidates *candidates, uint32_t tag);

/** The next candidate with this tag from *@place on, which is moved behind it; NULL: no more. */
struct q2si_candidate *q2si_candidates_next(const struct q2si_candidates *candidates, uint32_t tag,
					    size_t *place);

/** Keep a copy of @candidate if there is room for it. Q2S_E_NOMEM. */
enum q2s_err q2si_candidates_add(struct q2si_candidates *candidates,
				 const struct q2si_candidate *candidate, struct q2s_diag *diag);

#endif
