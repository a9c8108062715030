/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/guard.h"
#include "common/progress.h"
#include "common/size.h"
#include "common/tool.h"

/* ---- options ------------------------------------------------------------------------------- */

bool
outlet_parse_digest(struct outlet_options *options, const char *arg)
{
	struct q2s_diag diag = { 0 };
	const enum q2s_err err = q2s_digest_check(arg, &diag);

	options->digest = arg;
	if (err == Q2S_E_USAGE)
		(void)tool_usage_fail(&diag);
	else if (err != Q2S_OK)
		(void)tool_fail(NULL, &diag);
	return err == Q2S_OK;
}

bool
outlet_parse_limit_rate(struct outlet_options *options, const char *arg)
{
	const char *why = size_parse(arg, &options->limit_rate);

	if (!why && options->limit_rate == 0)
		why = "nothing would ever be written";
	if (why)
		(void)tool_usage_error("--limit-rate: %s", why);
	return !why;
}

bool
outlet_parse_size_fd(struct outlet_options *options, const char *arg)
{
	uint64_t fd = 0;
	const char *why = size_parse_number(arg, &fd);
	const int flags = !why && fd <= INT_MAX ? fcntl((int)fd, F_GETFL) : -1;

	options->size_fd = (int)fd;
	options->has_size_fd = true;
	if (!why && flags < 0)
		why = "no such descriptor is open";
	else if (!why && (flags & O_ACCMODE) == O_RDONLY)
		why = "the descriptor is not open for writing";
	if (why)
		(void)tool_usage_error("--size-fd: %s", why);
	else if (options->size_fd > STDERR_FILENO)
		/* no helper that we start shall keep its reader waiting */
		(void)fcntl(options->size_fd, F_SETFD, FD_CLOEXEC);
	return !why;
}

bool
outlet_check(const struct outlet_options *options, bool writes, bool to_stdout)
{
	if (!writes && (options->digest || options->limit_rate || options->has_size_fd))
		(void)tool_usage_error("--digest, --limit-rate and --size-fd are about what is "
				       "written; --measure and --compare write nothing");
	else if (options->has_size_fd && options->size_fd == STDOUT_FILENO && to_stdout)
		(void)tool_usage_error("--size-fd: descriptor 1 is where the image goes");
	else
		return true;
	return false;
}

/* ---- the length ---------------------------------------------------------------------------- */

/* After a failed write: is it worth trying again? Waits where the descriptor does not. */
static bool
may_retry(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLOUT };

	if (errno == EINTR)
		return true;
	return (errno == EAGAIN || errno == EWOULDBLOCK) && poll(&wait, 1, -1) >= 0;
}

static enum q2s_err
tell_length(int fd, uint64_t length, struct q2s_diag *diag)
{
	char line[24];
	const char *at = line;
	size_t left = (size_t)snprintf(line, sizeof(line), "%" PRIu64 "\n", length);

	while (left > 0) {
		const ssize_t n = write(fd, at, left);

		if (n < 0 && !may_retry(fd))
			return fault_errno(diag, "--size-fd", "writing to descriptor %d failed",
					   fd);
		if (n > 0) {
			at += n;
			left -= (size_t)n;
		}
	}
	return Q2S_OK;
}

/* ---- the sink ------------------------------------------------------------------------------ */

static enum q2s_err
open_plain(const char *dest, unsigned flags, uint64_t length, struct output *out, struct q2s_diag *diag)
{
	if (!dest) {
		const enum q2s_err err = output_check_fd(STDOUT_FILENO, "standard output", diag);

		if (err != Q2S_OK)
			return err;
		return q2s_sink_from_fd(STDOUT_FILENO, "standard output",
					flags & (Q2S_SINK_ALLOCATE | Q2S_SINK_FULL), &out->sink,
					diag);
	}
	return output_open(out, dest, Q2S_SINK_REPLACE | flags, length, diag);
}

enum q2s_err
outlet_open(const struct outlet_options *options, const char *dest, uint64_t length,
	    struct q2s_digest *digest, struct output *out, struct q2s_diag *diag)
{
	enum q2s_err err = guard_output(dest, OUTLET_NAME, diag);

	if (err == Q2S_OK && options->has_size_fd)
		err = guard_output_fd(options->size_fd, "its descriptor", "--size-fd", diag);
	if (err == Q2S_OK)
		err = open_plain(dest, options->flags, length, out, diag);

	if (err == Q2S_OK && options->limit_rate)
		err = q2s_sink_limit(out->sink, options->limit_rate, progress_observer(), length,
				     &out->sink, diag);
	if (err == Q2S_OK && options->digest)
		err = q2s_sink_digest(out->sink, options->digest, digest, &out->sink, diag);
	if (err == Q2S_OK && options->has_size_fd)
		err = tell_length(options->size_fd, length, diag);
	if (err != Q2S_OK)
		output_abort(out);
	return err;
}

/* ---- the digest ---------------------------------------------------------------------------- */

int
outlet_print_digest(const struct outlet_options *options, const struct q2s_digest *digest,
		    bool json)
{
	char hex[2 * Q2S_DIGEST_MAX + 1] = "";

	if (!options->digest)
		return 0;
	for (size_t i = 0; i < digest->len; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", digest->bytes[i]);
	if (fprintf(stderr, json ? "{\"digest\": \"%s\", \"hex\": \"%s\"}\n" : "%s  %s\n",
		    options->digest, hex) < 0 || fflush(stderr) != 0)
		return tool_error("cannot print the digest");
	return 0;
}
