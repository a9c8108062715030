/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the new image holds: the regions that were asked for, as a disk and an allocation map. */
#ifndef CREATE_FILL_H
#define CREATE_FILL_H

#include <q2s/emit.h>

#include "create/regions.h"

/**
 * @disk   the guest content; absent where nothing is written
 * @alloc  NULL once a plan has taken it over
 * @spool  the compressed clusters, or NULL
 */
struct fill {
	struct q2s_disk *disk;
	struct q2s_alloc *alloc;
	struct q2s_spool *spool;
};

/**
 * Prepare the content of an image.
 *
 * @base  what a cluster is before anything is written to it
 * @out   to be freed with fill_free() on success
 */
enum q2s_err fill_make(const struct q2s_spec *image, const struct q2s_slot *base,
		       const struct regions *regions, struct fill *out, struct q2s_diag *diag);
void fill_free(struct fill *fill);

#endif
