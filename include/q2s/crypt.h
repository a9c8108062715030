/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 3: the encryption of guest data. A key opens the encryption of an image once; what comes
 * of it then turns stored sectors into the guest's, and back. All of it needs libgcrypt: a build
 * without it fails with Q2S_E_MISSING.
 */
#ifndef Q2S_CRYPT_H
#define Q2S_CRYPT_H

#include <q2s/format.h>
#include <q2s/io.h>

Q2S_BEGIN_DECLS

/**
 * The most PBKDF2 iterations that opening an image may cost, over all key slots that are tried:
 * a header can ask for 2^32 of each. A slot that qemu-img makes costs about 9 million on a fast
 * machine.
 */
#define Q2S_LUKS_ITERATIONS_MAX (1u << 27)

/**
 * What an image says of its encryption.
 *
 * @method  Q2S_CRYPT_AES or Q2S_CRYPT_LUKS
 * @file    LUKS: the image
 * @header  LUKS: where its header lies in @file
 */
struct q2s_crypt_place {
	uint32_t method;
	struct q2s_store *file;
	struct q2s_ext_crypto header;
};

/** The encryption of one image, opened: holds the master key. Immutable; may be shared. */
struct q2s_crypt;

/**
 * Open the encryption of an image with a passphrase.
 *
 * LUKS: the master key is in the first active key slot that the passphrase opens. AES, the method
 * of old: the first 16 bytes of the passphrase are the key, and nothing tells a wrong one.
 *
 * @key  @key_len bytes, any; needed during the call only
 *
 * Returns Q2S_OK, or
 *   Q2S_E_KEY          opens no slot
 *   Q2S_E_CRYPTO       see q2s_luks_decode() and q2s_luks_check()
 *   Q2S_E_UNSUPPORTED  a cipher, mode, IV generator or hash that is not known, or not computed by
 *                      libgcrypt
 *   Q2S_E_LIMIT        more than Q2S_LUKS_ITERATIONS_MAX
 *   Q2S_E_MISSING      a build without libgcrypt, or it cannot be loaded
 * or that the header cannot be read.
 */
enum q2s_err q2s_crypt_open(const struct q2s_crypt_place *place, const void *key, size_t key_len,
			    struct q2s_crypt **out, struct q2s_diag *diag);
void q2s_crypt_close(struct q2s_crypt *crypt); /* NULL is fine; wipes the key */

/**
 * What a new LUKS encryption shall be, in LUKS's own words.
 *
 * @cipher_mode  with the IV generator: "xts-plain64"
 * @key_bytes    of the master key; for xts two keys
 * @iter_time    milliseconds of processor time that opening a key slot shall cost on this machine;
 *               1000 iterations at least
 */
struct q2s_luks_params {
	const char *cipher_name;
	const char *cipher_mode;
	const char *hash;
	uint32_t key_bytes;
	uint32_t iter_time;
};

/**
 * Make a new encryption with a random master key, which one key slot holds for this passphrase.
 *
 * @area  receives the LUKS header and the room for all key slots, as they are to lie in the image;
 *        free() it. *@area_len bytes, as many as QEMU takes
 *
 * Returns Q2S_OK, Q2S_E_UNSUPPORTED (what is not known or not computed by libgcrypt), Q2S_E_LIMIT
 * (opening it would exceed Q2S_LUKS_ITERATIONS_MAX), Q2S_E_MISSING, Q2S_E_NOMEM.
 */
enum q2s_err q2s_luks_create(const struct q2s_luks_params *params, const void *key, size_t key_len,
			     struct q2s_crypt **out, uint8_t **area, size_t *area_len,
			     struct q2s_diag *diag);

/** One thread's means to use an encryption. Not shared. */
struct q2s_cipher;

/**
 * @crypt must outlive it. Q2S_E_NOMEM, Q2S_E_MISSING, or Q2S_E_UNSUPPORTED where libgcrypt
 * refuses.
 */
enum q2s_err q2s_cipher_open(const struct q2s_crypt *crypt, struct q2s_cipher **out,
			     struct q2s_diag *diag);
void q2s_cipher_close(struct q2s_cipher *cipher); /* NULL is fine */

/**
 * Decrypt whole sectors of 512 bytes, in place.
 *
 * Each sector is encrypted for its place: with LUKS that is where it lies in the file that holds
 * the data (so a cluster that two snapshots share reads alike in both), with AES where it lies on
 * the guest's disk.
 *
 * @guest, @host  of the first byte, multiples of 512
 * @len           bytes, a multiple of 512 (Q2S_E_USAGE otherwise)
 */
enum q2s_err q2s_cipher_decrypt(struct q2s_cipher *cipher, q2s_guest guest, q2s_host host,
				void *buf, size_t len, struct q2s_diag *diag);
/** The way back; fails likewise (Q2S_E_USAGE). */
enum q2s_err q2s_cipher_encrypt(struct q2s_cipher *cipher, q2s_guest guest, q2s_host host,
				void *buf, size_t len, struct q2s_diag *diag);

Q2S_END_DECLS
#endif
