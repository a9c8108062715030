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

/** PBKDF2: @len bytes from a secret and a salt of Q2S_LUKS_SALT_SIZE bytes. */
enum q2s_err q2si_luks_derive(int hash, const void *secret, size_t secret_len, const uint8_t *salt,
			      uint32_t iterations, uint8_t *out, size_t len, struct q2s_diag *diag);

/**
 * The random bytes, the master key and the key slot of a new header.
 *
 * @luks    names and key_bytes are filled in; receives the rest
 * @master  receives the key
 * @area    receives header and key material; free() it
 */
enum q2s_err q2si_luks_fill(struct q2s_luks *luks, uint32_t iter_time, const void *key,
			    size_t key_len, const struct q2si_cipher_spec *spec, uint8_t *master,
			    uint8_t **area, size_t *area_len, struct q2s_diag *diag);

#endif
