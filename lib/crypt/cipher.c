/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sectors through libgcrypt: each starts anew with the IV of its number. */
#include "crypt/cipher.h"

#include <endian.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"

#define IV_MAX 16u

static enum q2s_err
handle_open(int cipher, int mode, const uint8_t *key, size_t key_bytes, gcry_cipher_hd_t *out,
	    struct q2s_diag *diag)
{
	gcry_error_t error = q2si_gcrypt.cipher_open(out, cipher, mode, 0);

	if (error == 0)
		error = q2si_gcrypt.cipher_setkey(*out, key, key_bytes);
	return error == 0 ? Q2S_OK :
			    q2si_gcrypt_fail(diag, error, "cipher",
					     q2si_gcrypt.cipher_algo_name(cipher));
}

static enum q2s_err
essiv_open(struct q2si_sectors *sectors, const uint8_t *key, struct q2s_diag *diag)
{
	const struct q2si_cipher_spec *spec = &sectors->spec;
	uint8_t digest[64];
	enum q2s_err err;

	q2si_gcrypt.md_hash_buffer(spec->iv_hash, digest, key, spec->key_bytes);
	err = handle_open(spec->iv_cipher, GCRY_CIPHER_MODE_ECB, digest,
			  q2si_gcrypt.md_get_algo_dlen(spec->iv_hash), &sectors->iv, diag);
	explicit_bzero(digest, sizeof(digest));
	return err;
}

enum q2s_err
q2si_sectors_open(const struct q2si_cipher_spec *spec, const uint8_t *key,
		  struct q2si_sectors *out, struct q2s_diag *diag)
{
	*out = (struct q2si_sectors){ .spec = *spec };
	Q2SI_TRY(q2si_gcrypt_start(diag));
	Q2SI_TRY(handle_open(spec->cipher, spec->mode, key, spec->key_bytes, &out->data, diag));
	return spec->ivgen == Q2SI_IV_ESSIV ? essiv_open(out, key, diag) : Q2S_OK;
}

void
q2si_sectors_close(struct q2si_sectors *sectors)
{
	if (sectors->data)
		q2si_gcrypt.cipher_close(sectors->data);
	if (sectors->iv)
		q2si_gcrypt.cipher_close(sectors->iv);
	*sectors = (struct q2si_sectors){ 0 };
}

/* The IV of sector @number: spec.iv_bytes of it. */
static gcry_error_t
iv_make(struct q2si_sectors *sectors, uint64_t number, uint8_t iv[IV_MAX])
{
	const uint64_t shown = sectors->spec.ivgen == Q2SI_IV_PLAIN ? (uint32_t)number : number;
	const uint64_t little = htole64(shown);

	memset(iv, 0, IV_MAX);
	memcpy(iv, &little, sizeof(little));
	if (sectors->spec.ivgen != Q2SI_IV_ESSIV)
		return 0;
	return q2si_gcrypt.cipher_encrypt(sectors->iv, iv, sectors->spec.iv_block, NULL, 0);
}

static gcry_error_t
iv_set(struct q2si_sectors *sectors, uint64_t number)
{
	uint8_t iv[IV_MAX];
	const gcry_error_t error = iv_make(sectors, number, iv);

	if (error)
		return error;
	if (sectors->spec.mode == GCRY_CIPHER_MODE_CTR)
		return q2si_gcrypt.cipher_setctr(sectors->data, iv, sectors->spec.iv_bytes);
	return q2si_gcrypt.cipher_setiv(sectors->data, iv, sectors->spec.iv_bytes);
}

typedef gcry_error_t (*direction)(gcry_cipher_hd_t, void *, size_t, const void *, size_t);

static enum q2s_err
sectors_turn(struct q2si_sectors *sectors, uint64_t first, uint8_t *buf, size_t len,
	     direction turn, struct q2s_diag *diag)
{
	gcry_error_t error = 0;

	while (len > 0 && error == 0) {
		const size_t n = q2si_min_size(len, Q2S_SECTOR);

		if (sectors->spec.iv_bytes > 0)
			error = iv_set(sectors, first);
		if (error == 0)
			error = turn(sectors->data, buf, n, NULL, 0);
		first++;
		buf += n;
		len -= n;
	}
	return error == 0 ? Q2S_OK :
			    q2si_gcrypt_fail(diag, error, "cipher",
					     q2si_gcrypt.cipher_algo_name(sectors->spec.cipher));
}

enum q2s_err
q2si_sectors_decrypt(struct q2si_sectors *sectors, uint64_t first, uint8_t *buf, size_t len,
		     struct q2s_diag *diag)
{
	return sectors_turn(sectors, first, buf, len, q2si_gcrypt.cipher_decrypt, diag);
}

enum q2s_err
q2si_sectors_encrypt(struct q2si_sectors *sectors, uint64_t first, uint8_t *buf, size_t len,
		     struct q2s_diag *diag)
{
	return sectors_turn(sectors, first, buf, len, q2si_gcrypt.cipher_encrypt, diag);
}
