/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The anti-forensic splitter of LUKS: a key blown up, so that losing any part of it loses all. */
#ifndef Q2SI_CRYPT_SPLIT_H
#define Q2SI_CRYPT_SPLIT_H

#include <stddef.h>
#include <stdint.h>

/**
 * Turn @stripes times @len bytes at @material back into the key.
 *
 * @hash  of libgcrypt
 * @out   @len bytes, at most Q2S_LUKS_KEY_MAX
 */
void q2si_split_merge(int hash, const uint8_t *material, size_t len, uint32_t stripes,
		      uint8_t *out);

/** The way there: all stripes but the last hold random bytes already; make the last one. */
void q2si_split_close(int hash, uint8_t *material, size_t len, uint32_t stripes,
		      const uint8_t *key);

#endif
