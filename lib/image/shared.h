/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A metadata cache that any number of readers share: slices of the tables of files that nobody
 * changes. One budget for all layers of a disk and all who read it.
 */
#ifndef Q2SI_IMAGE_SHARED_H
#define Q2SI_IMAGE_SHARED_H

#include <q2s/format.h>

#include "cache.h"

struct q2si_shared;

/** @bytes  budget, as q2si_cache_init() has it */
enum q2s_err q2si_shared_open(size_t bytes, struct q2si_shared **out, struct q2s_diag *diag);
void q2si_shared_close(struct q2si_shared *shared); /* NULL is fine */

/**
 * Pin the slice that holds byte @at of @store, which outlives the cache. It is read unless it is
 * there, with zeros behind the end; nobody waits for that but who needs it.
 *
 * @size   of the slices of this store: q2si_shared_slice(). Small clusters have small ones: what
 *         lies behind a table may be data that is arriving, or was, and is gone
 * @bytes  receives a pointer to byte @at of @store; the slice goes on from there to the next
 *         multiple of @size
 */
enum q2s_err q2si_shared_get(struct q2si_shared *shared, struct q2s_store *store, uint64_t at,
			     uint32_t size, enum q2si_slice_kind kind, struct q2si_slice **out,
			     const uint8_t **bytes, struct q2s_diag *diag);
static inline uint32_t
q2si_shared_slice(const struct q2s_geom *geom)
{
	return geom->cluster_size < Q2SI_SLICE_MAX ? geom->cluster_size : Q2SI_SLICE_MAX;
}

void q2si_shared_put(struct q2si_shared *shared, struct q2si_slice *slice);

#endif
