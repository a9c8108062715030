/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sink for what only goes forward: pipes, sockets, character devices, terminals.
 *
 * Data of a file is moved by the kernel: sendfile() splices pages from the page cache into a
 * pipe, which costs a tenth of the processor time of read() and write().
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "io/sink.h"

#define PIPE_SIZE (1 << 20)       /* what an unprivileged process may ask for */
#define SEND_MAX (1u << 30)       /* below the kernel's limit of one call */
#define ZERO_VECTORS 16           /* fills the pipe in one call */

struct stream_sink {
	struct q2s_sink sink;
	bool owned;
	bool sends;   /* sendfile() works on this pair of descriptors, as far as we know */
	bool splices; /* the descriptor is a pipe that takes pages of zeros */
	int room;     /* of the pipe, in bytes; -1: it is none */
};

static struct stream_sink *
stream_of(struct q2s_sink *sink)
{
	return (struct stream_sink *)sink;
}

/* After a failed call: true when it is worth calling again, waiting first if need be. */
static bool
may_retry(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLOUT };

	if (errno == EINTR)
		return true;
	if (errno != EAGAIN && errno != EWOULDBLOCK)
		return false;
	return poll(&wait, 1, -1) >= 0 || errno == EINTR;
}

static enum q2s_err
stream_write(struct q2s_sink *sink, const void *buf, size_t len, struct q2s_diag *diag)
{
	const int fd = sink->fd;

	while (len > 0) {
		const ssize_t n = write(fd, buf, q2si_min_size(len, SEND_MAX));

		if (n < 0 && !may_retry(fd))
			return q2si_sink_errno(sink, errno, "writing failed", diag);
		if (n > 0) {
			buf = (const char *)buf + n;
			len -= (size_t)n;
		}
	}
	return Q2S_OK;
}

static enum q2s_err
write_ahead(struct q2s_sink *sink, uint64_t ahead, const void *buf, size_t len,
	    struct q2s_diag *diag)
{
	(void)ahead; /* a stream has no other place than the next one */
	return stream_write(sink, buf, len, diag);
}

/*
 * @taken bytes were all that the pipe had room for. Its reader holds the pipe's lock while it
 *        copies
 * out of it, and we would spend most of our time spinning for that lock, to hand over a few pages
 * each time. So it gets a moment to make more room; far less than it needs for all that is there.
 * A reader that had emptied the pipe is faster than we are, and is not made to wait.
 */
static void
let_reader_read(const struct stream_sink *stream, ssize_t taken)
{
	const struct timespec moment = { .tv_nsec = 20000 };

	if (taken < stream->room)
		(void)nanosleep(&moment, NULL);
}

static enum q2s_err
stream_copy(struct q2s_sink *sink, struct q2s_store *file, uint64_t at, uint64_t len,
	    struct q2s_diag *diag)
{
	struct stream_sink *stream = stream_of(sink);
	off_t offset = (off_t)at;

	while (len > 0 && stream->sends && q2s_store_fd(file) >= 0) {
		const ssize_t n = sendfile(stream->sink.fd, q2s_store_fd(file), &offset,
					   q2si_min_size(len, SEND_MAX));

		if (n == 0)
			return q2si_source_ended(file, (uint64_t)offset, diag);
		if (n > 0) {
			len -= (uint64_t)n;
			if (len > 0)
				let_reader_read(stream, n);
		} else if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP) {
			stream->sends = false;
			sink->by_hand = true;
		} else if (!may_retry(stream->sink.fd)) {
			return q2si_sink_errno(sink, errno, "writing failed", diag);
		}
	}
	if (len == 0)
		return Q2S_OK;
	return q2si_copy_by_hand(sink, file, (uint64_t)offset, len, write_ahead, diag);
}

/* One call's worth of zeros: the pipe refers to our page of zeros instead of copying it. */
static ssize_t
splice_zeros(int fd, uint64_t len)
{
	struct iovec vectors[ZERO_VECTORS];
	size_t count = 0;

	for (; len > 0 && count < ZERO_VECTORS; count++) {
		const size_t n = q2si_min_size(len, Q2SI_ZEROS_SIZE);

		vectors[count] = (struct iovec){ .iov_base = (void *)(uintptr_t)q2si_zeros,
						 .iov_len = n };
		len -= n;
	}
	return vmsplice(fd, vectors, count, 0);
}

static enum q2s_err
stream_zero(struct q2s_sink *sink, uint64_t len, struct q2s_diag *diag)
{
	struct stream_sink *stream = stream_of(sink);

	while (len > 0 && stream->splices) {
		const ssize_t n = splice_zeros(stream->sink.fd, len);

		if (n > 0)
			len -= (uint64_t)n;
		else if (n < 0 && (errno == EINVAL || errno == ENOSYS || errno == EBADF))
			stream->splices = false;
		else if (n < 0 && !may_retry(stream->sink.fd))
			return q2si_sink_errno(sink, errno, "writing failed", diag);
	}
	while (len > 0) {
		const size_t n = q2si_min_size(len, Q2SI_ZEROS_SIZE);

		Q2SI_TRY(stream_write(sink, q2si_zeros, n, diag));
		len -= n;
	}
	return Q2S_OK;
}

/* close() is where some file systems report what they could not write before. */
static enum q2s_err
stream_commit(struct q2s_sink *sink, struct q2s_diag *diag)
{
	struct stream_sink *stream = stream_of(sink);

	if (!stream->owned)
		return Q2S_OK;
	stream->owned = false;
	if (close(stream->sink.fd) != 0 && errno != EINTR)
		return q2si_sink_errno(sink, errno, "closing failed", diag);
	return Q2S_OK;
}

static void
stream_close(struct q2s_sink *sink)
{
	if (stream_of(sink)->owned)
		close(sink->fd);
}

static const struct q2si_sink_ops stream_ops = {
	.write = stream_write,
	.copy = stream_copy,
	.zero = stream_zero,
	.commit = stream_commit,
	.close = stream_close,
};

enum q2s_err
q2si_sink_stream(int fd, bool owned, const char *name, struct q2s_sink **out, struct q2s_diag *diag)
{
	struct stream_sink *stream = calloc(1, sizeof(*stream));

	if (!stream || !(stream->sink.name = strdup(name))) {
		free(stream);
		return q2si_fail_nomem(diag, "sink");
	}
	stream->sink.ops = &stream_ops;
	stream->sink.fd = fd;
	stream->owned = owned;
	stream->sends = true;
	/* A larger pipe means fewer switches to the reader; a refusal costs nothing but speed. */
	(void)fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE);
	stream->room = fcntl(fd, F_GETPIPE_SZ);
	stream->splices = stream->room > 0;
	*out = &stream->sink;
	return Q2S_OK;
}
