/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a plan is made of, for the files of this floor. */
#ifndef Q2SI_PLAN_PLAN_H
#define Q2SI_PLAN_PLAN_H

#include <q2s/plan.h>

#include "plan/alloc.h"
#include "plan/bitmaps.h"
#include "plan/sums.h"

struct q2s_plan {
	struct q2s_spec spec; /* its strings point into @strings, its bitmaps are @bitmaps' */
	uint8_t *strings;
	struct q2s_alloc *alloc;
	struct q2s_layout layout;
	struct q2si_bitmaps bitmaps;
	uint8_t *header; /* cluster 0, ready to write */
	/* of a kept plan: no times prove that the source is what it was, so its data has to */
	bool doubtful;
	struct q2si_sums sums;
	struct q2s_bits *scope; /* what @sums is about, or NULL: all of the disk */
};

/**
 * Make cluster 0: header, extensions, backing file name.
 *
 * @layout  where the tables lie
 * @buf     cluster_size bytes
 * Q2S_E_LIMIT when the names do not fit.
 */
enum q2s_err q2si_header_cluster(const struct q2s_spec *spec, const struct q2s_layout *layout,
				 uint8_t *buf, struct q2s_diag *diag);

/**
 * Clusters behind the header that are reserved where the data comes first: for the L1 table of a
 * disk whose size is not known yet. Those that it does not need, or all if it does not fit, are
 * free.
 */
uint64_t q2si_front_clusters(const struct q2s_geom *geom);

/** Compute the place of everything. */
enum q2s_err q2si_layout_make(const struct q2s_spec *spec, const struct q2s_alloc *alloc,
			      const struct q2si_bitmaps *bitmaps, struct q2s_layout *out,
			      struct q2s_diag *diag);

/** Make host cluster number @cluster, which is metadata: cluster_size bytes at @buf. */
enum q2s_err q2si_metadata_cluster(const struct q2s_plan *plan, uint64_t cluster, uint8_t *buf,
				   struct q2s_diag *diag);

#endif
