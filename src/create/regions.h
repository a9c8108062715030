/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From what was written, in any order and overlapping, to sorted and disjoint regions. */
#ifndef CREATE_REGIONS_H
#define CREATE_REGIONS_H

#include <q2s/plan.h>

#include "common/spec.h"

/** Sorted by start, disjoint, not empty. The texts stay the spec list's. */
struct regions {
	struct region *list;
	size_t count;
};

/**
 * Where regions overlap the later one wins. Each must fit the image: inside the disk, on the
 * boundaries of subclusters (compressed: of clusters; the disk's end counts as one), and of a
 * kind that this image can hold.
 *
 * Returns Q2S_OK, Q2S_E_USAGE, Q2S_E_CONFLICT, Q2S_E_NOMEM; @out is to be freed on success.
 */
enum q2s_err regions_make(const struct spec_list *specs, const struct q2s_spec *image,
			  struct regions *out, struct q2s_diag *diag);
void regions_free(struct regions *regions);

/** The region that holds guest offset @at, or NULL. */
const struct region *regions_at(const struct regions *regions, uint64_t at);

#endif
