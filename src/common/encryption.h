/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The encryption of a new image: from options and a passphrase to a LUKS header. */
#ifndef COMMON_ENCRYPTION_H
#define COMMON_ENCRYPTION_H

#include <q2s/crypt.h>
#include <q2s/plan.h>

#include "common/image_options.h"
#include "common/key_file.h"

/** @crypt: NULL without encryption; @area: the LUKS header. Zero-initialise. */
struct encryption {
	struct q2s_crypt *crypt;
	uint8_t *area;
};

/** Do the options of the image fit each other? Q2S_E_CONFLICT, Q2S_E_USAGE. */
enum q2s_err encryption_check(const struct image_options *image, struct q2s_diag *diag);

/**
 * Make an encryption with random keys, as the options say; this takes encrypt.iter-time and more.
 *
 * @key   what @path, for messages, holds
 * @spec  its @luks points into @out, which encryption_free() ends
 * Fails as q2s_luks_create() and q2s_spec_check() do; Q2S_E_UNSUPPORTED for a key that is no text.
 */
enum q2s_err encryption_make(const struct encrypt_options *options, const struct key_file *key,
			     const char *path, struct q2s_spec *spec, struct encryption *out,
			     struct q2s_diag *diag);
void encryption_free(struct encryption *encryption);

#endif
