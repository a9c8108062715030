/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way out: DEST or standard output, and what stands in the way of the bytes there: a limit, a
 * digest, and whoever wants to know their number first.
 */
#ifndef STREAM_OUTLET_H
#define STREAM_OUTLET_H

#include <stdbool.h>

#include <q2s/io.h>

#include "common/output.h"

/** What messages call what is written. */
#define OUTLET_NAME "output"

/**
 * --digest, --limit-rate and --size-fd. Zero: none of them.
 *
 * @digest      algorithm, or NULL
 * @limit_rate  bytes a second, or 0
 * @size_fd     descriptor, if @has_size_fd
 * @flags       of output_open(), for DEST; those about space count for standard output too
 */
struct outlet_options {
	const char *digest;
	uint64_t limit_rate;
	bool has_size_fd;
	int size_fd;
	unsigned flags;
};

/** Parse an argument. False with a message. */
bool outlet_parse_digest(struct outlet_options *options, const char *arg);
bool outlet_parse_limit_rate(struct outlet_options *options, const char *arg);
/** Call before anything is opened: a descriptor that is not open would soon be ours. */
bool outlet_parse_size_fd(struct outlet_options *options, const char *arg);

/** Do they go with what else is asked for? False with a usage message. */
bool outlet_check(const struct outlet_options *options, bool writes, bool to_stdout);

/**
 * Open the sink for @length bytes, and tell that number to --size-fd.
 *
 * @dest    NULL: standard output
 * @digest  receives the digest when the output is committed; must live until then
 * @out     end it with output_commit() or output_abort()
 */
enum q2s_err outlet_open(const struct outlet_options *options, const char *dest, uint64_t length,
			 struct q2s_digest *digest, struct output *out, struct q2s_diag *diag);

/**
 * Print what --digest asks for on stderr; as JSON among JSON lines of progress. Returns an exit
 * code: whoever waits for a digest must not take silence for success.
 */
int outlet_print_digest(const struct outlet_options *options, const struct q2s_digest *digest,
			bool json);

#endif
