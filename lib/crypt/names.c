/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The names that a LUKS header uses, and what libgcrypt calls the same things. */
#include <string.h>

#include "base/diag.h"
#include "crypt/cipher.h"
#include "format/luks.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define XTS_BLOCK 16u /* XTS is defined for blocks of 128 bits alone */

/* Twofish with 192 bits is missing, because libgcrypt has none. */
static const struct cipher {
	const char *name;
	size_t key_bytes;
	int id;
} ciphers[] = {
	{ "aes", 16, GCRY_CIPHER_AES128 },
	{ "aes", 24, GCRY_CIPHER_AES192 },
	{ "aes", 32, GCRY_CIPHER_AES256 },
	{ "serpent", 16, GCRY_CIPHER_SERPENT128 },
	{ "serpent", 24, GCRY_CIPHER_SERPENT192 },
	{ "serpent", 32, GCRY_CIPHER_SERPENT256 },
	{ "twofish", 16, GCRY_CIPHER_TWOFISH128 },
	{ "twofish", 32, GCRY_CIPHER_TWOFISH },
	{ "cast5", 16, GCRY_CIPHER_CAST5 },
};

static const struct name {
	const char *name;
	int id;
} modes[] = {
	{ "xts", GCRY_CIPHER_MODE_XTS },
	{ "cbc", GCRY_CIPHER_MODE_CBC },
	{ "ecb", GCRY_CIPHER_MODE_ECB },
	{ "ctr", GCRY_CIPHER_MODE_CTR },
}, hashes[] = {
	{ "sha256", GCRY_MD_SHA256 },  { "sha512", GCRY_MD_SHA512 },    { "sha1", GCRY_MD_SHA1 },
	{ "sha384", GCRY_MD_SHA384 },  { "sha224", GCRY_MD_SHA224 },    { "md5", GCRY_MD_MD5 },
	{ "ripemd160", GCRY_MD_RMD160 },
#if GCRYPT_VERSION_NUMBER >= 0x010900
	{ "sm3", GCRY_MD_SM3 },
#endif
}, ivgens[] = {
	{ "plain64", Q2SI_IV_PLAIN64 },
	{ "plain", Q2SI_IV_PLAIN },
	{ "essiv", Q2SI_IV_ESSIV },
};

/* The number of @name, or -1. */
static int
name_find(const struct name *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].id;
	return -1;
}

static const struct cipher *
cipher_find(const char *name, size_t key_bytes)
{
	for (size_t i = 0; i < COUNT(ciphers); i++)
		if (ciphers[i].key_bytes == key_bytes && strcmp(ciphers[i].name, name) == 0)
			return &ciphers[i];
	return NULL;
}

/* A header that is only being made lies nowhere. */
static q2s_host
field_at(q2s_host at, uint32_t offset)
{
	return at.v == Q2S_NOWHERE.v ? at : (q2s_host){ at.v + offset };
}

static enum q2s_err
refuse(struct q2s_diag *diag, const char *field, q2s_host at, uint32_t offset, const char *name)
{
	return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, field, field_at(at, offset),
			    "'%s' is not supported", name);
}

/* ESSIV takes the cipher of the same name whose key has the length of the digest. */
static enum q2s_err
essiv_find(const struct q2s_luks *luks, const char *hash, q2s_host at,
	   struct q2si_cipher_spec *spec, struct q2s_diag *diag)
{
	const struct cipher *cipher;

	spec->iv_hash = name_find(hashes, COUNT(hashes), hash);
	if (spec->iv_hash < 0)
		return refuse(diag, "LUKS cipher-mode", at, AT_LUKS_CIPHER_MODE,
			      luks->cipher_mode);
	cipher = cipher_find(luks->cipher_name, q2si_gcrypt.md_get_algo_dlen(spec->iv_hash));
	if (!cipher)
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "LUKS cipher-mode",
				    field_at(at, AT_LUKS_CIPHER_MODE),
				    "'%s': %s has no keys of the length of that digest",
				    luks->cipher_mode, luks->cipher_name);
	spec->iv_cipher = cipher->id;
	spec->iv_block = q2si_gcrypt.cipher_get_algo_blklen(cipher->id);
	return Q2S_OK;
}

static enum q2s_err
mode_find(const struct q2s_luks *luks, const struct q2s_luks_words *words, q2s_host at,
	  struct q2si_cipher_spec *spec, struct q2s_diag *diag)
{
	const int ivgen = name_find(ivgens, COUNT(ivgens), words->ivgen);

	spec->mode = name_find(modes, COUNT(modes), words->mode);
	if (spec->mode < 0 || ivgen < 0)
		return refuse(diag, "LUKS cipher-mode", at, AT_LUKS_CIPHER_MODE,
			      luks->cipher_mode);
	spec->ivgen = (enum q2si_ivgen)ivgen;
	return spec->ivgen == Q2SI_IV_ESSIV ? essiv_find(luks, words->ivhash, at, spec, diag) :
					      Q2S_OK;
}

enum q2s_err
q2si_cipher_find(const struct q2s_luks *luks, q2s_host at, struct q2si_cipher_spec *out,
		 struct q2s_diag *diag)
{
	struct q2si_cipher_spec spec = { .key_bytes = luks->key_bytes };
	const struct cipher *cipher;
	struct q2s_luks_words words;
	bool xts;

	Q2SI_TRY(q2si_gcrypt_start(diag));
	q2s_luks_words(luks, &words);
	Q2SI_TRY(mode_find(luks, &words, at, &spec, diag));
	xts = spec.mode == GCRY_CIPHER_MODE_XTS;
	cipher = xts && spec.key_bytes % 2 ? NULL :
					     cipher_find(luks->cipher_name,
							 spec.key_bytes / (xts ? 2 : 1));
	if (!cipher || (xts && q2si_gcrypt.cipher_get_algo_blklen(cipher->id) != XTS_BLOCK))
		return q2si_fail(diag, Q2S_E_UNSUPPORTED, "LUKS cipher-name",
				 field_at(at, AT_LUKS_CIPHER_NAME), luks->key_bytes,
				 "'%s' in mode %s with a key of %u bytes is not supported",
				 luks->cipher_name, words.mode, luks->key_bytes);
	spec.cipher = cipher->id;
	if (spec.mode != GCRY_CIPHER_MODE_ECB)
		spec.iv_bytes = q2si_gcrypt.cipher_get_algo_blklen(cipher->id);
	*out = spec;
	return Q2S_OK;
}

enum q2s_err
q2si_hash_find(const struct q2s_luks *luks, q2s_host at, int *out, struct q2s_diag *diag)
{
	*out = name_find(hashes, COUNT(hashes), luks->hash);
	return *out < 0 ? refuse(diag, "LUKS hash-spec", at, AT_LUKS_HASH, luks->hash) : Q2S_OK;
}

struct q2si_cipher_spec
q2si_cipher_legacy(void)
{
	return (struct q2si_cipher_spec){ .cipher = GCRY_CIPHER_AES128,
					  .mode = GCRY_CIPHER_MODE_CBC,
					  .key_bytes = 16,
					  .iv_bytes = 16,
					  .ivgen = Q2SI_IV_PLAIN64 };
}
