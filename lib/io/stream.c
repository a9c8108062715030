/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes of a stream, wherever they come from. */
#include <errno.h>
#include <unistd.h>

#include <q2s/io.h>

#include "base/diag.h"

enum q2s_err
q2s_stream_read(const struct q2s_stream *stream, void *buf, size_t len, size_t *got,
		struct q2s_diag *diag)
{
	ssize_t n;

	*got = 0;
	if (stream->read)
		return stream->read(stream->self, buf, len, got, diag);
	do {
		n = read(stream->fd, buf, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return q2si_fail_errno(diag, errno, "stream", Q2S_NOWHERE, "reading failed");
	*got = (size_t)n;
	return Q2S_OK;
}
