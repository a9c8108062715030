/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stream as a store that reads it as far as is asked for. */
#include <stdlib.h>
#include <unistd.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "io/nameless.h"
#include "io/store.h"

struct pipe_store {
	struct q2si_feed *feed;
	int fd; /* of the file without a name where the bytes wait */
};

static enum q2s_err
pipe_read(void *self, uint64_t at, void *buf, size_t len, size_t *got, struct q2s_diag *diag)
{
	const struct pipe_store *pipe = self;

	Q2SI_TRY(q2si_feed_need(pipe->feed, at, len, diag));
	return q2si_fd_read(pipe->fd, at, buf, len, got, diag);
}

static uint64_t
pipe_length(void *self)
{
	return q2si_feed_size(((const struct pipe_store *)self)->feed);
}

/* What has arrived is data; it can be used without asking again. */
static enum q2s_err
pipe_extent(void *self, uint64_t at, struct q2s_stretch *out, struct q2s_diag *diag)
{
	const struct pipe_store *pipe = self;

	Q2SI_TRY(q2si_feed_need(pipe->feed, at, 1, diag));
	const uint64_t have = q2si_feed_until(pipe->feed, at + 1);

	*out = (struct q2s_stretch){ .hole = at >= have, .len = at < have ? have - at : 1 };
	return Q2S_OK;
}

static enum q2s_err
pipe_verify(void *self, struct q2s_diag *diag)
{
	return q2si_feed_finish(((const struct pipe_store *)self)->feed, diag);
}

/* Asking for what has not arrived would be waiting for it. */
static bool
pipe_is_cached(void *self, uint64_t at)
{
	(void)self, (void)at;
	return true;
}

static void
pipe_wont_need(void *self, uint64_t at, uint64_t len)
{
	q2si_feed_forget(((const struct pipe_store *)self)->feed, at, len);
}

static void
pipe_close(void *self)
{
	struct pipe_store *pipe = self;

	if (pipe->fd >= 0)
		close(pipe->fd);
	q2si_feed_free(pipe->feed);
	free(pipe);
}

static const struct q2s_store_ops pipe_ops = {
	.size = sizeof(pipe_ops),
	.read = pipe_read,
	.length = pipe_length,
	.close = pipe_close,
	.extent = pipe_extent,
	.verify = pipe_verify,
	.is_cached = pipe_is_cached,
	.wont_need = pipe_wont_need,
};

static enum q2s_err
pipe_open(struct pipe_store *pipe, const struct q2s_stream *stream, struct q2s_store **out,
	  struct q2s_diag *diag)
{
	Q2SI_TRY(q2si_nameless_open(stream->folder, &pipe->fd, diag));
	Q2SI_TRY(q2si_feed_new(stream, pipe->fd, &pipe->feed, diag));
	return q2s_store_new(&pipe_ops, pipe, stream->name, out, diag);
}

enum q2s_err
q2s_store_arriving(const struct q2s_stream *stream, struct q2s_store **out, struct q2s_diag *diag)
{
	struct pipe_store *pipe = calloc(1, sizeof(*pipe));
	enum q2s_err err;

	if (!pipe)
		return q2si_fail_nomem(diag, "stream");
	pipe->fd = -1;
	err = pipe_open(pipe, stream, out, diag);
	if (err != Q2S_OK) {
		pipe_close(pipe);
		return err;
	}
	(*out)->feed = pipe->feed;
	return Q2S_OK;
}
