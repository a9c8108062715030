/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the data of a disk is, in few bytes: a hash of each stretch that holds any. So a part of an
 * image can tell whether the data that it is made of is still the same, without the rest.
 */
#ifndef Q2SI_PLAN_SUMS_H
#define Q2SI_PLAN_SUMS_H

#include <stdlib.h>

#include <q2s/plan.h>

/** Guest bytes of a stretch: 1 << this. */
#define Q2SI_STRETCH_BITS 21u

/** The hash of stretch number @stretch; what is no data in it counts as zeros. */
struct q2si_sum {
	uint64_t stretch;
	uint64_t hash;
};

/** In ascending order. Zero-initialise. */
struct q2si_sums {
	struct q2si_sum *list;
	size_t count;
};

static inline void
q2si_sums_free(struct q2si_sums *sums)
{
	free(sums->list);
	*sums = (struct q2si_sums){ 0 };
}

/** The first of @sums that is not before @stretch. */
size_t q2si_sums_find(const struct q2si_sums *sums, uint64_t stretch);

/** Read all data of @disk. Fails as the disk does, or with Q2S_E_CANCELLED. */
enum q2s_err q2si_sums_take(struct q2s_disk *disk, const struct q2s_plan_look *look,
			    struct q2si_sums *out, struct q2s_diag *diag);

/**
 * Read those stretches of @disk whose place in @wanted is set. Q2S_E_CHANGED names one that is not
 * what it was; holes may have become stored zeros, and the other way round.
 *
 * @rest  where there was no data there must be none but zeros; else nobody looks there
 */
enum q2s_err q2si_sums_check(struct q2s_disk *disk, const struct q2s_plan_look *look,
			     const struct q2si_sums *sums, const bool *wanted, bool rest,
			     struct q2s_diag *diag);

#endif
