/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a passphrase to the master key of a LUKS image. */
#ifndef Q2SI_CRYPT_LUKS_H
#define Q2SI_CRYPT_LUKS_H

#include <q2s/crypt.h>

#include "crypt/cipher.h"

/**
 * Find the master key.
 *
 * @spec    how guest data is encrypted
 * @master  spec->key_bytes, at most Q2S_LUKS_KEY_MAX; wipe it. Written on success only.
 * Fails as q2s_crypt_open() does.
 */
enum q2s_err q2si_luks_unlock(const struct q2s_crypt_place *place, const void *key,
			      size_t key_len, struct q2si_cipher_spec *spec, uint8_t *master,
			      struct q2s_diag *diag);

#endif
