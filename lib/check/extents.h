/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which host clusters hold which structure: sorted extents, to name who shares a cluster. */
#ifndef Q2SI_CHECK_EXTENTS_H
#define Q2SI_CHECK_EXTENTS_H

#include <q2s/walk.h>

#include "counts.h"

/** Clusters [@first, @first + @n). */
struct q2si_extent {
	uint64_t first;
	uint32_t n;
	enum q2s_structure_kind kind;
};

struct q2si_extents {
	struct q2si_extent *list;
	size_t count;
	size_t room;
	struct q2si_budget *budget; /* borrowed */
};

void q2si_extents_init(struct q2si_extents *extents, struct q2si_budget *budget);
void q2si_extents_free(struct q2si_extents *extents);

/** Add clusters; neighbours of one kind become one extent. Q2S_E_LIMIT, Q2S_E_NOMEM. */
enum q2s_err q2si_extents_add(struct q2si_extents *extents, enum q2s_structure_kind kind,
			      uint64_t first, uint64_t n);

/** Sort by first cluster, as q2si_extents_find() needs it. */
void q2si_extents_sort(struct q2si_extents *extents);

/** Index of the first extent that ends after @cluster, in a list without overlaps; or the count. */
size_t q2si_extents_find(const struct q2si_extents *extents, uint64_t cluster);

#endif
