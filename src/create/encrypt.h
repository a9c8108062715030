/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An encrypted image, and what q2s-create can write into it. */
#ifndef CREATE_ENCRYPT_H
#define CREATE_ENCRYPT_H

#include "common/encryption.h"
#include "create/options.h"

/** Do the options fit each other? Nothing is opened. */
enum q2s_err encrypt_check(const struct create_options *options, struct q2s_diag *diag);

/** encryption_make() with the key file, if that is asked for. */
enum q2s_err encrypt_make(const struct create_options *options, struct q2s_spec *spec,
			  struct encryption *out, struct q2s_diag *diag);

#endif
