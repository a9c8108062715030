/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A cipher with its mode and IV generator, by LUKS's names, applied to sectors by number. */
#ifndef Q2SI_CRYPT_CIPHER_H
#define Q2SI_CRYPT_CIPHER_H

#include <q2s/format.h>

#include "base/gcrypt.h"

enum q2si_ivgen {
	Q2SI_IV_PLAIN,   /* the sector's number, 32 bits of it */
	Q2SI_IV_PLAIN64, /* the sector's number */
	Q2SI_IV_ESSIV,   /* the same, encrypted with a hash of the key */
};

/**
 * What is applied, in libgcrypt's numbers.
 *
 * @key_bytes  of the whole key (XTS: of both)
 * @iv_bytes   0: the mode takes none
 * @iv_hash, @iv_cipher, @iv_block  of ESSIV: what hashes the key, what encrypts the number, and
 *             the bytes of its block
 */
struct q2si_cipher_spec {
	int cipher;
	int mode;
	size_t key_bytes;
	size_t iv_bytes;
	enum q2si_ivgen ivgen;
	int iv_hash;
	int iv_cipher;
	size_t iv_block;
};

/**
 * names.c: find what a LUKS header names, as libgcrypt, which is started here, knows it.
 *
 * @at  host offset of the header
 * Q2S_E_UNSUPPORTED names the field; Q2S_E_MISSING: see q2si_gcrypt_start().
 */
enum q2s_err q2si_cipher_find(const struct q2s_luks *luks, q2s_host at,
			      struct q2si_cipher_spec *out, struct q2s_diag *diag);
enum q2s_err q2si_hash_find(const struct q2s_luks *luks, q2s_host at, int *out,
			    struct q2s_diag *diag);

/** names.c: AES-128 in CBC mode over plain64, the encryption of crypt_method 1. */
struct q2si_cipher_spec q2si_cipher_legacy(void);

/** A key in use. Zero-initialise. */
struct q2si_sectors {
	struct q2si_cipher_spec spec;
	gcry_cipher_hd_t data;
	gcry_cipher_hd_t iv; /* ESSIV only */
};

/** @key  spec->key_bytes; copied. Close it also after a failure. */
enum q2s_err q2si_sectors_open(const struct q2si_cipher_spec *spec, const uint8_t *key,
			       struct q2si_sectors *out, struct q2s_diag *diag);
void q2si_sectors_close(struct q2si_sectors *sectors);

/**
 * Decrypt or encrypt @len bytes in place, of which the first belongs to the start of sector
 * @first. The last sector may be cut at a block of the cipher, as the key material of LUKS is.
 */
enum q2s_err q2si_sectors_decrypt(struct q2si_sectors *sectors, uint64_t first, uint8_t *buf,
				  size_t len, struct q2s_diag *diag);
enum q2s_err q2si_sectors_encrypt(struct q2si_sectors *sectors, uint64_t first, uint8_t *buf,
				  size_t len, struct q2s_diag *diag);

#endif
