/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --verify: what is read must have the digest that somebody else says. */
#ifndef STREAM_VERIFY_H
#define STREAM_VERIFY_H

#include <q2s/io.h>

/** @algorithm is owned by nobody: it ends at the colon of the argument. Zero: not asked for. */
struct verify_options {
	bool given;
	char algorithm[16];
	struct q2s_digest digest;
};

/** "ALGORITHM:HEX". False after a message. */
bool verify_parse(struct verify_options *options, const char *arg);

/** A stream whose end is reached only if its digest is right. Zero-initialise, and do not move. */
struct verify {
	const struct verify_options *wanted;
	struct q2s_stream inner;
	struct q2s_digester *digester;
	bool ended;
};

/**
 * Put it between @stream, of which nothing was read, and its reader. The end of @stream is then
 * Q2S_E_CHANGED if the digest is another one.
 */
enum q2s_err verify_stream(struct verify *verify, const struct verify_options *wanted,
			   struct q2s_stream *stream, struct q2s_diag *diag);

/** Read all of @file, and judge it: Q2S_E_CHANGED. */
enum q2s_err verify_file(const struct verify_options *wanted, struct q2s_store *file,
			 struct q2s_diag *diag);

void verify_free(struct verify *verify);

#endif
