/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How runs of slots are kept: a byte of class and count for most, a few more for subcluster
 * bitmaps. A disk of alternating full and empty clusters costs one byte a cluster, a full disk
 * nothing. Clusters that share what lies at the same distance before each are one run.
 */
#ifndef Q2SI_PLAN_SLOT_CODE_H
#define Q2SI_PLAN_SLOT_CODE_H

#include <q2s/plan.h>

#include "plan/store.h"

/** @count equal slots in a row. */
struct q2si_slot_run {
	struct q2s_slot slot;
	uint64_t count;
};

static inline bool
q2si_slot_same(const struct q2s_slot *a, const struct q2s_slot *b)
{
	return a->host == b->host && a->alloc == b->alloc && a->zero == b->zero &&
	       a->comp_bytes == b->comp_bytes && a->back == b->back;
}

/** No run's code is longer: a first byte and three numbers. */
#define Q2SI_SLOT_CODE_MAX 32u

/** Append a run; @mask is the geometry's sub_mask. */
enum q2s_err q2si_slot_put(struct q2si_store *store, const struct q2si_slot_run *run,
			   uint32_t mask, struct q2s_diag *diag);

/** Read the run at *@pos and step over it. */
void q2si_slot_get(const struct q2si_store *store, uint64_t *pos, uint32_t mask,
		   struct q2si_slot_run *out);

#endif
