/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A sink that knows what went through it: who sends an image away can say what must arrive. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arith.h"
#include "base/diag.h"
#include "io/sink.h"

#ifdef HAVE_LIBGCRYPT

#include "base/gcrypt.h"

static const struct {
	const char *name;
	int id;
} algorithms[] = {
	{ "md5", GCRY_MD_MD5 },           { "sha1", GCRY_MD_SHA1 },
	{ "sha224", GCRY_MD_SHA224 },     { "sha256", GCRY_MD_SHA256 },
	{ "sha384", GCRY_MD_SHA384 },     { "sha512", GCRY_MD_SHA512 },
	{ "sha3-256", GCRY_MD_SHA3_256 }, { "sha3-512", GCRY_MD_SHA3_512 },
	{ "blake2b", GCRY_MD_BLAKE2B_512 },
};

#define COUNT (sizeof(algorithms) / sizeof(algorithms[0]))

const char *
q2s_digest_names(void)
{
	return "md5, sha1, sha224, sha256, sha384, sha512, sha3-256, sha3-512, blake2b";
}

static enum q2s_err
hash_open(const char *algorithm, gcry_md_hd_t *out, int *id, struct q2s_diag *diag)
{
	gcry_error_t error;
	size_t i = 0;

	while (i < COUNT && strcasecmp(algorithms[i].name, algorithm) != 0)
		i++;
	if (i == COUNT)
		return q2si_fail_at(diag, Q2S_E_USAGE, "digest", Q2S_NOWHERE,
				    "unknown algorithm '%.64s'; known: %s", algorithm,
				    q2s_digest_names());
	Q2SI_TRY(q2si_gcrypt_start(diag));
	*id = algorithms[i].id;
	error = q2si_gcrypt.md_open(out, *id, 0);
	if (error == 0)
		return Q2S_OK;
	return q2si_gcrypt_fail(diag, error, "digest", algorithms[i].name);
}

enum q2s_err
q2s_digest_check(const char *algorithm, struct q2s_diag *diag)
{
	gcry_md_hd_t hash;
	int id;

	Q2SI_TRY(hash_open(algorithm, &hash, &id, diag));
	q2si_gcrypt.md_close(hash);
	return Q2S_OK;
}

struct q2s_digester {
	gcry_md_hd_t hash;
	int id;
};

enum q2s_err
q2s_digest_begin(const char *algorithm, struct q2s_digester **out, struct q2s_diag *diag)
{
	struct q2s_digester *digester = calloc(1, sizeof(*digester));
	enum q2s_err err;

	if (!digester)
		return q2si_fail_nomem(diag, "digest");
	err = hash_open(algorithm, &digester->hash, &digester->id, diag);
	if (err == Q2S_OK)
		*out = digester;
	else
		free(digester);
	return err;
}

void
q2s_digest_add(struct q2s_digester *digester, const void *buf, size_t len)
{
	q2si_gcrypt.md_write(digester->hash, buf, len);
}

void
q2s_digest_end(struct q2s_digester *digester, struct q2s_digest *result)
{
	if (result) {
		result->len = q2si_gcrypt.md_get_algo_dlen(digester->id);
		memcpy(result->bytes, q2si_gcrypt.md_read(digester->hash, digester->id),
		       result->len);
	}
	q2si_gcrypt.md_close(digester->hash);
	free(digester);
}

struct digest_sink {
	struct q2si_wrapper wrapper;
	struct q2s_digester *digester;
	struct q2s_digest *result;
};

static struct digest_sink *
digest_of(struct q2s_sink *sink)
{
	return (struct digest_sink *)sink;
}

static enum q2s_err
digest_write(struct q2s_sink *sink, const void *buf, size_t len, struct q2s_diag *diag)
{
	Q2SI_TRY(q2s_sink_write(digest_of(sink)->wrapper.inner, buf, len, diag));
	q2s_digest_add(digest_of(sink)->digester, buf, len);
	return Q2S_OK;
}

static enum q2s_err
write_ahead(struct q2s_sink *sink, uint64_t ahead, const void *buf, size_t len,
	    struct q2s_diag *diag)
{
	(void)ahead; /* the inner sink counts for itself */
	return digest_write(sink, buf, len, diag);
}

/* The kernel would move the bytes without showing them to us. */
static enum q2s_err
digest_copy(struct q2s_sink *sink, struct q2s_store *file, uint64_t at, uint64_t len,
	    struct q2s_diag *diag)
{
	return q2si_copy_by_hand(sink, file, at, len, write_ahead, diag);
}

static enum q2s_err
digest_zero(struct q2s_sink *sink, uint64_t len, struct q2s_diag *diag)
{
	struct digest_sink *digest = digest_of(sink);

	Q2SI_TRY(q2s_sink_zero(digest->wrapper.inner, len, diag));
	for (uint64_t left = len; left > 0;) {
		const size_t n = q2si_min_size(left, Q2SI_ZEROS_SIZE);

		q2s_digest_add(digest->digester, q2si_zeros, n);
		left -= n;
	}
	return Q2S_OK;
}

static enum q2s_err
digest_commit(struct q2s_sink *sink, struct q2s_diag *diag)
{
	struct digest_sink *digest = digest_of(sink);

	Q2SI_TRY(q2si_wrapper_commit(sink, diag));
	q2s_digest_end(digest->digester, digest->result);
	digest->digester = NULL;
	return Q2S_OK;
}

static void
digest_close(struct q2s_sink *sink)
{
	if (digest_of(sink)->digester)
		q2s_digest_end(digest_of(sink)->digester, NULL);
	q2si_wrapper_close(sink);
}

static const struct q2si_sink_ops digest_ops = {
	.write = digest_write,
	.copy = digest_copy,
	.zero = digest_zero,
	.commit = digest_commit,
	.temp_path = q2si_wrapper_temp_path,
	.close = digest_close,
};

enum q2s_err
q2s_sink_digest(struct q2s_sink *inner, const char *algorithm, struct q2s_digest *result,
		struct q2s_sink **out, struct q2s_diag *diag)
{
	struct digest_sink *digest = calloc(1, sizeof(*digest));
	enum q2s_err err;

	if (!digest)
		return q2si_fail_nomem(diag, "sink");
	err = q2s_digest_begin(algorithm, &digest->digester, diag);
	if (err == Q2S_OK)
		err = q2si_wrapper_init(&digest->wrapper, &digest_ops, inner, diag);
	if (err != Q2S_OK) {
		if (digest->digester)
			q2s_digest_end(digest->digester, NULL);
		free(digest);
		return err;
	}
	digest->result = result;
	digest->wrapper.sink.by_hand = true; /* the bytes have to be seen */
	*out = &digest->wrapper.sink;
	return Q2S_OK;
}

#else

const char *
q2s_digest_names(void)
{
	return "none";
}

enum q2s_err
q2s_digest_check(const char *algorithm, struct q2s_diag *diag)
{
	(void)algorithm;
	return q2si_fail_at(diag, Q2S_E_MISSING, "digest", Q2S_NOWHERE,
			    "needs libgcrypt, which this build does not have");
}

enum q2s_err
q2s_digest_begin(const char *algorithm, struct q2s_digester **out, struct q2s_diag *diag)
{
	(void)out;
	return q2s_digest_check(algorithm, diag);
}

void
q2s_digest_add(struct q2s_digester *digester, const void *buf, size_t len)
{
	(void)digester, (void)buf, (void)len;
}

void
q2s_digest_end(struct q2s_digester *digester, struct q2s_digest *result)
{
	(void)digester, (void)result;
}

enum q2s_err
q2s_sink_digest(struct q2s_sink *inner, const char *algorithm, struct q2s_digest *result,
		struct q2s_sink **out, struct q2s_diag *diag)
{
	(void)inner;
	(void)result;
	(void)out;
	return q2s_digest_check(algorithm, diag);
}

#endif
