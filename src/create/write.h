/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing the new image: the same road as any other image, with a synthetic disk. */
#ifndef CREATE_WRITE_H
#define CREATE_WRITE_H

#include <q2s/crypt.h>

#include "create/options.h"

/**
 * Write the image that @spec describes, and its data file when it has one, filled as the options
 * say. On failure nothing new is left, and what was there before is still there.
 *
 * @crypt  how guest data is encrypted, or NULL
 */
enum q2s_err write_image(const struct create_options *options, const struct q2s_spec *spec,
			 const struct q2s_crypt *crypt, struct q2s_diag *diag);

#endif
