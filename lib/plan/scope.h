/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The part of a disk that a kept plan depends on, where that is not all of it. */
#ifndef Q2SI_PLAN_SCOPE_H
#define Q2SI_PLAN_SCOPE_H

#include "plan/bits.h"

/**
 * The granules that hold what is not absent in @where: of @unit bytes, or larger ones where a
 * bitmap of these would be too large. Fails as q2s_bits_new() does, or as the disk.
 */
enum q2s_err q2si_scope_take(struct q2s_disk *where, uint32_t unit, struct q2s_bits **out,
			     struct q2s_diag *diag);

/** A disk as it is in a scope, and absent elsewhere. Zero-initialise. */
struct q2si_scoped {
	struct q2s_disk *map;
	struct q2s_disk *disk;
};

/** @disk as it is in @scope, which must outlive this; it is never asked about the rest. */
enum q2s_err q2si_scoped_open(struct q2si_scoped *scoped, struct q2s_disk *disk,
			      const struct q2s_bits *scope, struct q2s_diag *diag);
void q2si_scoped_close(struct q2si_scoped *scoped);

#endif
