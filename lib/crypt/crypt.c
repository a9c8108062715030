/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The encryption of one image: opened by a passphrase, used by any number of threads. */
#include <stdlib.h>
#include <string.h>

#include <q2s/crypt.h>

#include "base/arith.h"
#include "base/diag.h"
#include "crypt/luks.h"

struct q2s_crypt {
	struct q2si_cipher_spec spec;
	bool by_guest; /* sectors are counted on the guest's disk, not in the file */
	uint8_t key[Q2S_LUKS_KEY_MAX];
};

struct q2s_cipher {
	struct q2si_sectors sectors;
	bool by_guest;
};

static enum q2s_err
key_find(const struct q2s_crypt_place *place, const void *key, size_t key_len,
	 struct q2s_crypt *crypt, struct q2s_diag *diag)
{
	if (place->method == Q2S_CRYPT_LUKS)
		return q2si_luks_unlock(place, key, key_len, &crypt->spec, crypt->key, diag);
	if (place->method != Q2S_CRYPT_AES)
		return q2si_fail(diag, Q2S_E_UNSUPPORTED, "crypt_method", Q2S_NOWHERE,
				 place->method, "unknown encryption method");
	crypt->spec = q2si_cipher_legacy();
	crypt->by_guest = true;
	memcpy(crypt->key, key, q2si_min_size(key_len, crypt->spec.key_bytes));
	return Q2S_OK;
}

enum q2s_err
q2s_crypt_open(const struct q2s_crypt_place *place, const void *key, size_t key_len,
	       struct q2s_crypt **out, struct q2s_diag *diag)
{
	struct q2s_crypt *crypt = calloc(1, sizeof(*crypt));
	enum q2s_err err;

	if (!crypt)
		return q2si_fail_nomem(diag, "encryption");
	err = key_find(place, key, key_len, crypt, diag);
	if (err != Q2S_OK) {
		q2s_crypt_close(crypt);
		return err;
	}
	*out = crypt;
	return Q2S_OK;
}

static enum q2s_err
luks_of(const struct q2s_luks_params *params, struct q2s_luks *out, struct q2s_diag *diag)
{
	struct q2s_luks luks = { .key_bytes = params->key_bytes };

	if (strlen(params->cipher_name) > Q2S_LUKS_NAME_SIZE ||
	    strlen(params->cipher_mode) > Q2S_LUKS_NAME_SIZE ||
	    strlen(params->hash) > Q2S_LUKS_NAME_SIZE)
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "LUKS header", Q2S_NOWHERE,
				    "a name is too long");
	strcpy(luks.cipher_name, params->cipher_name);
	strcpy(luks.cipher_mode, params->cipher_mode);
	strcpy(luks.hash, params->hash);
	*out = luks;
	return Q2S_OK;
}

enum q2s_err
q2s_luks_create(const struct q2s_luks_params *params, const void *key, size_t key_len,
		struct q2s_crypt **out, uint8_t **area, size_t *area_len, struct q2s_diag *diag)
{
	struct q2s_crypt *crypt;
	struct q2s_luks luks;
	enum q2s_err err;

	Q2SI_TRY(luks_of(params, &luks, diag));
	crypt = calloc(1, sizeof(*crypt));
	if (!crypt)
		return q2si_fail_nomem(diag, "encryption");
	err = q2si_cipher_find(&luks, Q2S_NOWHERE, &crypt->spec, diag);
	/* As QEMU has it. */
	if (err == Q2S_OK && luks.key_bytes == 24 && strcmp(luks.cipher_name, "aes") == 0)
		err = q2si_fail(diag, Q2S_E_UNSUPPORTED, "encryption", Q2S_NOWHERE, luks.key_bytes,
				"aes-192 is for mode xts alone");
	if (err == Q2S_OK)
		err = q2si_luks_fill(&luks, params->iter_time, key, key_len, &crypt->spec,
				     crypt->key, area, area_len, diag);
	if (err != Q2S_OK) {
		q2s_crypt_close(crypt);
		return err;
	}
	*out = crypt;
	return Q2S_OK;
}

void
q2s_crypt_close(struct q2s_crypt *crypt)
{
	if (!crypt)
		return;
	explicit_bzero(crypt, sizeof(*crypt));
	free(crypt);
}

enum q2s_err
q2s_cipher_open(const struct q2s_crypt *crypt, struct q2s_cipher **out, struct q2s_diag *diag)
{
	struct q2s_cipher *cipher = calloc(1, sizeof(*cipher));
	enum q2s_err err;

	if (!cipher)
		return q2si_fail_nomem(diag, "cipher");
	cipher->by_guest = crypt->by_guest;
	err = q2si_sectors_open(&crypt->spec, crypt->key, &cipher->sectors, diag);
	if (err != Q2S_OK) {
		q2s_cipher_close(cipher);
		return err;
	}
	*out = cipher;
	return Q2S_OK;
}

void
q2s_cipher_close(struct q2s_cipher *cipher)
{
	if (!cipher)
		return;
	q2si_sectors_close(&cipher->sectors);
	free(cipher);
}

typedef enum q2s_err (*direction)(struct q2si_sectors *, uint64_t, uint8_t *, size_t,
				  struct q2s_diag *);

static enum q2s_err
apply(struct q2s_cipher *cipher, q2s_guest guest, q2s_host host, void *buf, size_t len,
      direction turn, struct q2s_diag *diag)
{
	const uint64_t at = cipher->by_guest ? guest.v : host.v;

	if (at % Q2S_SECTOR != 0 || len % Q2S_SECTOR != 0)
		return q2si_fail(diag, Q2S_E_USAGE, "encrypted sectors", Q2S_NOWHERE,
				 at % Q2S_SECTOR ? at : len, "not whole ones");
	return turn(&cipher->sectors, at / Q2S_SECTOR, buf, len, diag);
}

enum q2s_err
q2s_cipher_decrypt(struct q2s_cipher *cipher, q2s_guest guest, q2s_host host, void *buf,
		   size_t len, struct q2s_diag *diag)
{
	return apply(cipher, guest, host, buf, len, q2si_sectors_decrypt, diag);
}

enum q2s_err
q2s_cipher_encrypt(struct q2s_cipher *cipher, q2s_guest guest, q2s_host host, void *buf,
		   size_t len, struct q2s_diag *diag)
{
	return apply(cipher, guest, host, buf, len, q2si_sectors_encrypt, diag);
}
