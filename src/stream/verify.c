/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/progress.h"
#include "common/tool.h"

#define STEP (1u << 20)

/* ---- the option ---------------------------------------------------------------------------- */

static int
hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *const at = c ? strchr(digits, c) : NULL;

	return at ? (int)((at - digits) % 16) : -1;
}

/* False: not hexadecimal, or not @digest->len bytes. */
static bool
parse_hex(const char *hex, struct q2s_digest *digest)
{
	if (strlen(hex) != 2 * digest->len)
		return false;
	for (size_t i = 0; i < digest->len; i++) {
		const int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		digest->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* How many bytes has such a digest? */
static enum q2s_err
learn_length(struct verify_options *options, struct q2s_diag *diag)
{
	struct q2s_digester *digester;
	const enum q2s_err err = q2s_digest_begin(options->algorithm, &digester, diag);

	if (err == Q2S_OK)
		q2s_digest_end(digester, &options->digest);
	return err;
}

bool
verify_parse(struct verify_options *options, const char *arg)
{
	const size_t len = strcspn(arg, ":");
	struct q2s_diag diag = { 0 };
	enum q2s_err err;

	(void)snprintf(options->algorithm, sizeof(options->algorithm), "%.*s", (int)len, arg);
	if (len >= sizeof(options->algorithm) || arg[len] != ':') {
		(void)tool_usage_error("--verify is ALGORITHM:HEX, as in sha256:e3b0...; algorithms: %s",
				       q2s_digest_names());
		return false;
	}
	err = learn_length(options, &diag);
	if (err == Q2S_E_USAGE)
		(void)tool_usage_fail(&diag);
	else if (err != Q2S_OK)
		(void)tool_fail(NULL, &diag);
	else if (!parse_hex(arg + len + 1, &options->digest))
		(void)tool_usage_error("--verify: a %s is %zu hexadecimal digits", options->algorithm,
				       2 * options->digest.len);
	else
		return options->given = true;
	return false;
}

/* ---- judging ------------------------------------------------------------------------------- */

static enum q2s_err
judge(const struct verify_options *wanted, const struct q2s_digest *found, struct q2s_diag *diag)
{
	char hex[2 * Q2S_DIGEST_MAX + 1] = "";

	if (memcmp(found->bytes, wanted->digest.bytes, found->len) == 0)
		return Q2S_OK;
	for (size_t i = 0; i < found->len; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", found->bytes[i]);
	return fault(diag, Q2S_E_CHANGED, "--verify", "its %s is another one: %s",
		     wanted->algorithm, hex);
}

static enum q2s_err
read_verified(void *self, void *buf, size_t len, size_t *got, struct q2s_diag *diag)
{
	struct verify *verify = self;
	struct q2s_digest found;
	enum q2s_err err;

	*got = 0;
	if (verify->ended)
		return Q2S_OK;
	err = q2s_stream_read(&verify->inner, buf, len, got, diag);
	if (err != Q2S_OK)
		return err;
	if (*got > 0) {
		q2s_digest_add(verify->digester, buf, *got);
		return Q2S_OK;
	}
	verify->ended = true;
	q2s_digest_end(verify->digester, &found);
	verify->digester = NULL;
	return judge(verify->wanted, &found, diag);
}

enum q2s_err
verify_stream(struct verify *verify, const struct verify_options *wanted,
	      struct q2s_stream *stream, struct q2s_diag *diag)
{
	verify->wanted = wanted;
	verify->inner = *stream;
	stream->read = read_verified;
	stream->self = verify;
	return q2s_digest_begin(wanted->algorithm, &verify->digester, diag);
}

void
verify_free(struct verify *verify)
{
	if (verify->digester)
		q2s_digest_end(verify->digester, NULL);
	verify->digester = NULL;
}

static enum q2s_err
add_all(struct q2s_store *file, struct q2s_digester *digester, uint8_t *buf, struct q2s_diag *diag)
{
	const struct q2s_observer *observer = progress_observer();
	const uint64_t size = q2s_store_size(file);

	for (uint64_t at = 0; at < size;) {
		const size_t n = size - at < STEP ? (size_t)(size - at) : STEP;
		const enum q2s_err err = q2s_store_read(file, at, buf, n, diag);

		if (err != Q2S_OK)
			return err;
		q2s_digest_add(digester, buf, n);
		at += n;
		if (observer && !observer->step(observer->opaque, Q2S_PHASE_VERIFY, at, size))
			return fault(diag, Q2S_E_CANCELLED, "source", "stopped on request");
	}
	return Q2S_OK;
}

enum q2s_err
verify_file(const struct verify_options *wanted, struct q2s_store *file, struct q2s_diag *diag)
{
	struct q2s_digester *digester;
	struct q2s_digest found;
	enum q2s_err err = q2s_digest_begin(wanted->algorithm, &digester, diag);
	uint8_t *buf;

	if (err != Q2S_OK)
		return err;
	buf = malloc(STEP);
	err = buf ? add_all(file, digester, buf, diag) : fault_nomem(diag, "--verify");
	free(buf);
	q2s_digest_end(digester, &found);
	return err == Q2S_OK ? judge(wanted, &found, diag) : err;
}
