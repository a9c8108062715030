/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The clusters that others share: what L2 entries and refcounts have to know of them when those
 * others come later in the image. A cluster that nobody shares has no record.
 */
#ifndef Q2SI_PLAN_OWNERS_H
#define Q2SI_PLAN_OWNERS_H

#include <q2s/plan.h>

struct q2s_alloc;

/**
 * @cluster  guest cluster
 * @sharers  guest clusters that have its content beside itself
 * @at       from here on: what q2si_owners_resolve() found. Byte in the data area
 * @comp_bytes, @alloc, @zero  as in its slot
 */
struct q2si_owner {
	uint64_t cluster;
	uint64_t at;
	uint32_t sharers;
	uint32_t comp_bytes;
	uint32_t alloc;
	uint32_t zero;
};

/** In ascending order of @cluster. Zero-initialise; free @list. */
struct q2si_owners {
	struct q2si_owner *list;
	size_t count;
};

/** The index of the first owner at or behind guest cluster @cluster. */
size_t q2si_owners_find(const struct q2si_owners *owners, uint64_t cluster);

/** References to guest cluster @cluster: 1, and one for each sharer. */
static inline uint32_t
q2si_owners_references(const struct q2si_owners *owners, uint64_t cluster)
{
	if (owners->count == 0)
		return 1;
	const size_t i = q2si_owners_find(owners, cluster);

	return i < owners->count && owners->list[i].cluster == cluster ?
		       owners->list[i].sharers + 1 : 1;
}

/**
 * Let @alloc know who is shared, before anything compressed is added: its place depends on it, as a
 * refcount holds only so much. Copies the list.
 *
 * Q2S_E_USAGE when they are not in order, or one has no sharers or more than a refcount holds.
 */
enum q2s_err q2si_alloc_set_owners(struct q2s_alloc *alloc, const struct q2si_owners *owners,
				   struct q2s_diag *diag);

/**
 * Find the place of each owner, when all is added. Q2S_E_USAGE when one is not a cluster of data,
 * when a cluster shares what is no owner, or when sharers are not as many as was said.
 */
enum q2s_err q2si_owners_resolve(struct q2s_alloc *alloc, struct q2s_diag *diag);

#endif
