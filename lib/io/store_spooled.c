/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stream as a file: what has to be read at any offset must lie somewhere first. */
#include <errno.h>
#include <unistd.h>

#include <q2s/io.h>

#include "base/cleanup.h"
#include "base/diag.h"
#include "io/drain.h"
#include "io/nameless.h"

struct copy {
	int fd;
	const char *folder; /* for messages */
};

static enum q2s_err
copy_errno(const struct copy *copy, struct q2s_diag *diag)
{
	return q2si_in_file(diag,
			    q2si_fail_errno(diag, errno, "spool", Q2S_NOWHERE,
					    "writing the temporary file failed"),
			    copy->folder);
}

static enum q2s_err
take(void *opaque, uint64_t at, const void *buf, size_t len, struct q2s_diag *diag)
{
	const struct copy *copy = opaque;
	const uint8_t *from = buf;

	while (len > 0) {
		const ssize_t n = pwrite(copy->fd, from, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return copy_errno(copy, diag);
		from += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return Q2S_OK;
}

enum q2s_err
q2s_store_from_stream(const struct q2s_stream *stream, struct q2s_store **out,
		      struct q2s_diag *diag)
{
	struct copy copy = { .folder = stream->folder ? stream->folder : q2si_nameless_folder() };
	Q2SI_AUTO_CLOSE int fd = -1;
	uint64_t size;

	Q2SI_TRY(q2si_nameless_open(copy.folder, &fd, diag));
	copy.fd = fd;
	Q2SI_TRY(q2si_drain(stream, take, &copy, &size, diag));
	if (ftruncate(fd, (off_t)size) != 0)
		return copy_errno(&copy, diag);
	Q2SI_TRY(q2s_store_from_fd(fd, stream->name, out, diag));
	fd = -1;
	return Q2S_OK;
}
