/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packing compressed streams: one behind the other without alignment, except where one more
 * descriptor in a host cluster would exceed what a refcount can say.
 */
#ifndef Q2SI_PLAN_PACKER_H
#define Q2SI_PLAN_PACKER_H

#include <q2s/format.h>

#include "base/arith.h"

/** Where the next stream may begin, and the references so far to the host cluster it is in. */
struct q2si_packer {
	uint64_t pos;
	uint64_t references;
};

/** @references: descriptors that tell of it; each counts for all host clusters that it touches. */
struct q2si_stream {
	uint32_t len;
	uint32_t references;
};

/**
 * Place a stream; returns its first byte.
 *
 * @size  of a host cluster
 * @max   references that one may have; no stream has more
 */
static inline uint64_t
q2si_packer_place(struct q2si_packer *packer, uint64_t size, uint64_t max,
		  const struct q2si_stream *stream)
{
	if (stream->references > max - packer->references) {
		packer->pos = q2si_round_up(packer->pos, size);
		packer->references = 0;
	}
	const uint64_t at = packer->pos;
	const uint64_t end = at + stream->len;

	if (q2si_is_aligned(end, size))
		packer->references = 0;
	else if (q2si_round_down(end, size) == q2si_round_down(at, size))
		packer->references += stream->references;
	else
		packer->references = stream->references; /* only this one reaches the new cluster */
	packer->pos = end;
	return at;
}

#endif
