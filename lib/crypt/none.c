/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A build without libgcrypt: what is encrypted stays so, and the user is told why. */
#include <q2s/crypt.h>

#include "base/diag.h"

static enum q2s_err
missing(struct q2s_diag *diag)
{
	return q2si_fail_at(diag, Q2S_E_MISSING, "encryption", Q2S_NOWHERE,
			    "needs libgcrypt, which this build does not have");
}

enum q2s_err
q2s_crypt_open(const struct q2s_crypt_place *place, const void *key, size_t key_len,
	       struct q2s_crypt **out, struct q2s_diag *diag)
{
	(void)place;
	(void)key;
	(void)key_len;
	(void)out;
	return missing(diag);
}

enum q2s_err
q2s_luks_create(const struct q2s_luks_params *params, const void *key, size_t key_len,
		struct q2s_crypt **out, uint8_t **area, size_t *area_len, struct q2s_diag *diag)
{
	(void)params;
	(void)key;
	(void)key_len;
	(void)out;
	(void)area;
	(void)area_len;
	return missing(diag);
}

void
q2s_crypt_close(struct q2s_crypt *crypt)
{
	(void)crypt;
}

enum q2s_err
q2s_cipher_open(const struct q2s_crypt *crypt, struct q2s_cipher **out, struct q2s_diag *diag)
{
	(void)crypt;
	(void)out;
	return missing(diag);
}

void
q2s_cipher_close(struct q2s_cipher *cipher)
{
	(void)cipher;
}

enum q2s_err
q2s_cipher_decrypt(struct q2s_cipher *cipher, q2s_guest guest, q2s_host host, void *buf,
		   size_t len, struct q2s_diag *diag)
{
	(void)cipher;
	(void)guest;
	(void)host;
	(void)buf;
	(void)len;
	return missing(diag);
}

enum q2s_err
q2s_cipher_encrypt(struct q2s_cipher *cipher, q2s_guest guest, q2s_host host, void *buf,
		   size_t len, struct q2s_diag *diag)
{
	return q2s_cipher_decrypt(cipher, guest, host, buf, len, diag);
}
