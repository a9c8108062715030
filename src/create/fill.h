/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the new image holds: the regions that were asked for, as a disk and an allocation map. */
#ifndef CREATE_FILL_H
#define CREATE_FILL_H

#include <q2s/builder.h>

#include "create/regions.h"

/**
 * Prepare the image.
 *
 * @crypt  how guest data is encrypted, or NULL; must outlive @out
 * @base   what a cluster is before anything is written to it
 */
enum q2s_err fill_make(const struct q2s_spec *image, const struct q2s_crypt *crypt,
		       const struct q2s_slot *base, const struct regions *regions,
		       struct q2s_builder **out, struct q2s_diag *diag);

#endif
