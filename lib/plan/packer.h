/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packing compressed streams: one behind the other without alignment, except where one more
 * descriptor in a host cluster would exceed what a refcount can say.
 */
#ifndef Q2SI_PLAN_PACKER_H
#define Q2SI_PLAN_PACKER_H

#include <q2s/format.h>

#include "base/arith.h"

/** Where the next stream may begin, and how many share the host cluster that this is in. */
struct q2si_packer {
	uint64_t pos;
	uint64_t sharers;
};

/** Place a stream of @len bytes; returns its first byte. */
static inline uint64_t
q2si_packer_place(struct q2si_packer *packer, const struct q2s_geom *geom, uint32_t len)
{
	const uint64_t size = geom->cluster_size;

	if (packer->sharers == geom->refcount_max) {
		packer->pos = q2si_round_up(packer->pos, size);
		packer->sharers = 0;
	}
	const uint64_t at = packer->pos;
	const uint64_t end = at + len;

	if (q2si_is_aligned(end, size))
		packer->sharers = 0;
	else if (q2si_round_down(end, size) == q2si_round_down(at, size))
		packer->sharers++;
	else
		packer->sharers = 1; /* of those before, only this one reaches the new cluster */
	packer->pos = end;
	return at;
}

#endif
