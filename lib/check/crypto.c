/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The encryption header: where it lies, and whether anybody could open the image with it. */
#include "checker.h"

#include <string.h>

#include <q2s/crypt.h>

#include "base/arith.h"
#include "base/diag.h"
#include "format/luks.h"

/* What a LUKS header says of algorithms, in the words of QEMU and cryptsetup. */
static const char *const ciphers[] = { "aes", "serpent", "twofish", "cast5", NULL };
static const char *const modes[] = { "xts", "cbc", "ecb", "ctr", NULL };
static const char *const ivgens[] = { "plain", "plain64", "essiv", NULL };
static const char *const hashes[] = { "sha256", "sha512",    "sha1",      "sha384", "sha224",
				      "md5",    "ripemd160", "whirlpool", "sm3",    NULL };

static bool
is_one_of(const char *const *words, const char *word)
{
	while (*words && strcmp(*words, word) != 0)
		words++;
	return *words != NULL;
}

static void
check_algorithms(struct q2si_checker *ck, q2s_host at, const struct q2s_luks *luks)
{
	struct q2s_luks_words words;

	q2s_luks_words(luks, &words);
	if (!is_one_of(ciphers, luks->cipher_name))
		q2si_report(ck, CRYPTO_ALGORITHM, .host = { at.v + AT_LUKS_CIPHER_NAME },
			    .detail = "cipher-name");
	if (!is_one_of(modes, words.mode) || !is_one_of(ivgens, words.ivgen))
		q2si_report(ck, CRYPTO_ALGORITHM, .host = { at.v + AT_LUKS_CIPHER_MODE },
			    .detail = "cipher-mode");
	if (!is_one_of(hashes, luks->hash))
		q2si_report(ck, CRYPTO_ALGORITHM, .host = { at.v + AT_LUKS_HASH },
			    .detail = "hash-spec");
}

/* Both the slots and the master key are derived with as many iterations as the header asks for. */
static void
check_iterations(struct q2si_checker *ck, q2s_host at, const struct q2s_luks *luks)
{
	uint64_t most = luks->master_iterations;

	for (uint32_t i = 0; i < Q2S_LUKS_SLOTS; i++) {
		if (luks->slots[i].active)
			most = q2si_max(most, luks->slots[i].iterations);
	}
	if (most > Q2S_LUKS_ITERATIONS_MAX)
		q2si_report(ck, CRYPTO_ITERATIONS, .host = at,
			    Q2SI_VALUES(most, Q2S_LUKS_ITERATIONS_MAX));
}

static void
check_luks(struct q2si_checker *ck, const struct q2s_ext_crypto *crypto)
{
	uint8_t raw[Q2S_LUKS_SIZE];
	struct q2s_diag diag = { 0 };
	struct q2s_luks luks;
	enum q2s_err err;

	if (!q2si_read(ck, crypto->offset.v, raw, sizeof(raw), "encryption header"))
		return;
	if (memcmp(raw, q2si_luks_magic, sizeof(q2si_luks_magic)) != 0) {
		q2si_report(ck, CRYPTO_HEADER_MAGIC, .host = crypto->offset);
		return;
	}
	if (crypto->length < sizeof(raw)) {
		q2si_report(ck, CRYPTO_HEADER_BAD, .host = crypto->offset,
			    Q2SI_VALUES(crypto->length, sizeof(raw)),
			    .detail = "shorter than a LUKS header");
		return;
	}
	err = q2s_luks_decode(raw, crypto->offset, &luks, &diag);
	if (err == Q2S_OK) {
		check_algorithms(ck, crypto->offset, &luks);
		check_iterations(ck, crypto->offset, &luks);
		err = q2s_luks_check(&luks, crypto->offset, crypto->length, &diag);
	}
	if (err != Q2S_OK)
		q2si_report(ck, CRYPTO_HEADER_BAD, .host = diag.at, .detail = diag.text);
}

enum q2s_err
q2si_check_crypto(struct q2si_checker *ck)
{
	const struct q2s_ext_crypto *crypto = q2s_image_crypto(ck->image);

	if (!crypto)
		return Q2S_OK;
	if (crypto->offset.v < ck->file_size)
		check_luks(ck, crypto);
	return q2si_count_structure(ck, Q2S_STRUCTURE_CRYPTO, crypto->offset.v, crypto->length,
				    Q2SI_FOUND_CRYPTO_HEADER_PAST_END);
}
