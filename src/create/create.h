/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One new image, from options to the finished file. */
#ifndef CREATE_CREATE_H
#define CREATE_CREATE_H

#include <q2s/plan.h>

#include "create/options.h"

/**
 * Create the image that the options describe.
 *
 * @spec  receives what was made; its strings are those of @options
 */
enum q2s_err create_image(struct create_options *options, struct q2s_spec *spec,
			  struct q2s_diag *diag);

#endif
