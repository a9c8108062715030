/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/encrypt_options.h"

#include <inttypes.h>
#include <string.h>

#include "common/fault.h"
#include "common/keyval.h"

#define ALL_TOOLS 1u
#define ITER_TIME_MS 2000u

static const char *const formats[] = { "luks", "aes", NULL };
static const char *const ciphers[] = { "aes-128",     "aes-192",     "aes-256",
				       "serpent-128", "serpent-192", "serpent-256",
				       "twofish-128", "twofish-256", "cast5-128", NULL };
static const char *const modes[] = { "xts", "cbc", "ecb", "ctr", NULL };
static const char *const ivgens[] = { "plain64", "plain", "essiv", NULL };
static const char *const hashes[] = { "sha256", "sha1",   "sha224",    "sha384",
				      "sha512", "md5",    "ripemd160", NULL };

/* In the order of the table. */
enum option {
	OPTION_FORMAT,
	OPTION_KEY_SECRET,
	OPTION_CIPHER,
	OPTION_MODE,
	OPTION_IVGEN,
	OPTION_IVGEN_HASH,
	OPTION_HASH,
	OPTION_ITER_TIME,
};

static const struct keyval_key table[] = {
	{ "encrypt.format", KEYVAL_CHOICE, NULL, "encrypt guest data; needs a key file", formats,
	  ALL_TOOLS },
	{ "encrypt.key-secret", KEYVAL_TEXT, NULL, "of QEMU: here --key-file names the passphrase",
	  NULL, ALL_TOOLS },
	{ "encrypt.cipher-alg", KEYVAL_CHOICE, "aes-256", "cipher and bits of its key", ciphers,
	  ALL_TOOLS },
	{ "encrypt.cipher-mode", KEYVAL_CHOICE, "xts", "mode of the cipher", modes, ALL_TOOLS },
	{ "encrypt.ivgen-alg", KEYVAL_CHOICE, "plain64", "what sectors begin with", ivgens,
	  ALL_TOOLS },
	{ "encrypt.ivgen-hash-alg", KEYVAL_CHOICE, "sha256", "hash of the key, for essiv", hashes,
	  ALL_TOOLS },
	{ "encrypt.hash-alg", KEYVAL_CHOICE, "sha256", "hash for key slots", hashes, ALL_TOOLS },
	{ "encrypt.iter-time", KEYVAL_NUMBER, "2000",
	  "milliseconds that trying a passphrase shall cost", NULL, ALL_TOOLS },
};

#define TABLE_SIZE (sizeof(table) / sizeof(table[0]))

struct encrypt_options
encrypt_options_preset(void)
{
	return (struct encrypt_options){ .cipher = "aes-256",
					 .mode = "xts",
					 .ivgen = "plain64",
					 .hash = "sha256",
					 .iter_time = ITER_TIME_MS };
}

bool
encrypt_options_knows(const char *key)
{
	return strncmp(key, "encrypt.", 8) == 0;
}

static enum q2s_err
set_format(struct encrypt_options *options, const struct keyval_value *value,
	   struct q2s_diag *diag)
{
	if (strcmp(formats[value->number], "luks") != 0)
		return fault(diag, Q2S_E_UNSUPPORTED, "encrypt.format",
			     "aes is only read: it is weak, and QEMU's guests cannot use it; "
			     "take luks");
	options->luks = true;
	return Q2S_OK;
}

enum q2s_err
encrypt_options_set(struct encrypt_options *options, const char *key, const char *value,
		    struct q2s_diag *diag)
{
	const struct keyval_key *row = NULL;
	struct keyval_value judged;
	enum q2s_err err = keyval_find(table, TABLE_SIZE, ALL_TOOLS, key, &row, diag);

	if (err == Q2S_OK)
		err = keyval_judge(row, value, &judged, diag);
	if (err != Q2S_OK)
		return err;
	options->any = true;
	switch ((enum option)(row - table)) {
	case OPTION_FORMAT:
		return set_format(options, &judged, diag);
	case OPTION_KEY_SECRET:
		return fault(diag, Q2S_E_UNSUPPORTED, key,
			     "there are no secret objects here: --key-file names the file with "
			     "the passphrase");
	case OPTION_CIPHER:
		options->cipher = ciphers[judged.number];
		break;
	case OPTION_MODE:
		options->mode = modes[judged.number];
		break;
	case OPTION_IVGEN:
		options->ivgen = ivgens[judged.number];
		break;
	case OPTION_IVGEN_HASH:
		options->ivgen_hash = hashes[judged.number];
		break;
	case OPTION_HASH:
		options->hash = hashes[judged.number];
		break;
	case OPTION_ITER_TIME:
		options->iter_time = judged.number;
		break;
	}
	return Q2S_OK;
}

void
encrypt_options_help(FILE *out)
{
	keyval_help(out, table, TABLE_SIZE, ALL_TOOLS);
}

void
encrypt_options_print(FILE *out, const struct encrypt_options *options)
{
	if (!options->luks)
		return;
	fprintf(out, " encrypt.format=luks encrypt.cipher-alg=%s encrypt.cipher-mode=%s",
		options->cipher, options->mode);
	fprintf(out, " encrypt.ivgen-alg=%s", options->ivgen);
	if (options->ivgen_hash)
		fprintf(out, " encrypt.ivgen-hash-alg=%s", options->ivgen_hash);
	fprintf(out, " encrypt.hash-alg=%s encrypt.iter-time=%" PRIu64, options->hash,
		options->iter_time);
}
