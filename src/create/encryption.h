/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The encryption of a new image: from options and a passphrase to a LUKS header. */
#ifndef CREATE_ENCRYPTION_H
#define CREATE_ENCRYPTION_H

#include <q2s/crypt.h>
#include <q2s/plan.h>

#include "create/options.h"

/** @crypt: NULL without encryption; @area: the LUKS header. Zero-initialise. */
struct encryption {
	struct q2s_crypt *crypt;
	uint8_t *area;
};

/** Do the options fit each other? Nothing is opened. */
enum q2s_err encryption_check(const struct create_options *options, struct q2s_diag *diag);

/**
 * Make what the options ask for, if they do; this takes encrypt.iter-time and more.
 *
 * @spec  its @luks points into @out, which encryption_free() ends
 */
enum q2s_err encryption_make(const struct create_options *options, struct q2s_spec *spec,
			     struct encryption *out, struct q2s_diag *diag);
void encryption_free(struct encryption *encryption, struct q2s_spec *spec);

#endif
