/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/feed.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/search.h"

#define CHUNK (256u << 10)
/* Space is given back in whole blocks of every file system. */
#define BLOCK 65536u
/* When there are so many stretches, what comes behind them is kept. */
#define GAPS_MAX 65536u

/* Forgotten bytes. */
struct gap {
	uint64_t start, end;
};

struct q2si_feed {
	struct q2s_stream stream;
	char *name;
	int fd;
	pthread_mutex_t lock; /* of all below */
	uint64_t have;
	bool ended;
	struct q2s_diag failure; /* if its err is set */
	uint8_t *buf;
	struct gap *gaps; /* ascending, apart */
	size_t count, room;
};

enum q2s_err
q2si_feed_new(const struct q2s_stream *stream, int fd, struct q2si_feed **out,
	      struct q2s_diag *diag)
{
	struct q2si_feed *feed = calloc(1, sizeof(*feed));

	if (!feed || pthread_mutex_init(&feed->lock, NULL) != 0) {
		free(feed);
		return q2si_fail_nomem(diag, "stream");
	}
	feed->stream = *stream;
	feed->fd = fd;
	feed->name = strdup(stream->name);
	feed->buf = malloc(CHUNK);
	if (!feed->name || !feed->buf) {
		q2si_feed_free(feed);
		return q2si_fail_nomem(diag, "stream buffer");
	}
	feed->stream.name = feed->name;
	*out = feed;
	return Q2S_OK;
}

void
q2si_feed_free(struct q2si_feed *feed)
{
	if (!feed)
		return;
	(void)pthread_mutex_destroy(&feed->lock);
	free(feed->gaps);
	free(feed->name);
	free(feed->buf);
	free(feed);
}

/* ---- arriving ------------------------------------------------------------------------------ */

/* The next bytes of the stream; 0 at its end or when it fails. */
static size_t
take(struct q2si_feed *feed)
{
	size_t got = 0;

	if (feed->stream.head_len > 0) {
		const size_t len = q2si_min_size(feed->stream.head_len, CHUNK);

		memcpy(feed->buf, feed->stream.head, len);
		feed->stream.head = (const uint8_t *)feed->stream.head + len;
		feed->stream.head_len -= len;
		return len;
	}
	if (q2si_in_file(&feed->failure,
			 q2s_stream_read(&feed->stream, feed->buf, CHUNK, &got, &feed->failure),
			 feed->name) != Q2S_OK)
		got = 0;
	if (got == 0)
		feed->ended = true;
	return got;
}

static void
keep(struct q2si_feed *feed, size_t len)
{
	const uint8_t *from = feed->buf;

	while (len > 0 && !feed->ended) {
		const ssize_t n = pwrite(feed->fd, from, len, (off_t)feed->have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			q2si_in_file(&feed->failure,
				     q2si_fail_errno(&feed->failure, errno, "spool", Q2S_NOWHERE,
						     "writing the temporary file failed"),
				     feed->name);
			feed->ended = true;
			break;
		}
		from += n;
		len -= (size_t)n;
		feed->have += (uint64_t)n;
	}
}

/* The caller may stop us between two steps. */
static void
observe(struct q2si_feed *feed)
{
	const struct q2s_observer *observer = feed->stream.observer;

	if (!observer || observer->step(observer->opaque, Q2S_PHASE_SPOOL, feed->have, 0))
		return;
	(void)q2si_fail_at(&feed->failure, Q2S_E_CANCELLED, "stream", Q2S_NOWHERE,
			   "stopped on request");
	feed->ended = true;
}

static uint64_t
until(struct q2si_feed *feed, uint64_t end)
{
	while (feed->have < end && !feed->ended) {
		keep(feed, take(feed));
		observe(feed);
	}
	return feed->have;
}

uint64_t
q2si_feed_until(struct q2si_feed *feed, uint64_t end)
{
	uint64_t have;

	(void)pthread_mutex_lock(&feed->lock);
	have = until(feed, end);
	(void)pthread_mutex_unlock(&feed->lock);
	return have;
}

uint64_t
q2si_feed_size(struct q2si_feed *feed)
{
	uint64_t size;

	(void)pthread_mutex_lock(&feed->lock);
	size = feed->ended ? feed->have : Q2SI_FEED_ENDLESS;
	(void)pthread_mutex_unlock(&feed->lock);
	return size;
}

static enum q2s_err
failure(const struct q2si_feed *feed, struct q2s_diag *diag)
{
	if (feed->failure.err != Q2S_OK && diag)
		*diag = feed->failure;
	return feed->failure.err;
}

enum q2s_err
q2si_feed_failure(struct q2si_feed *feed, struct q2s_diag *diag)
{
	enum q2s_err err;

	(void)pthread_mutex_lock(&feed->lock);
	err = failure(feed, diag);
	(void)pthread_mutex_unlock(&feed->lock);
	return err;
}

enum q2s_err
q2si_feed_finish(struct q2si_feed *feed, struct q2s_diag *diag)
{
	enum q2s_err err;

	(void)pthread_mutex_lock(&feed->lock);
	while (!feed->ended)
		(void)take(feed);
	err = failure(feed, diag);
	(void)pthread_mutex_unlock(&feed->lock);
	return err;
}

/* ---- forgetting ---------------------------------------------------------------------------- */

/* The first gap that ends behind @at; count if there is none. */
static size_t
gap_find(const struct q2si_feed *feed, uint64_t at)
{
	return Q2SI_COUNT_FIRST(i, feed->count, feed->gaps[i].end <= at);
}

static enum q2s_err
need(struct q2si_feed *feed, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	const size_t gap = gap_find(feed, at);
	const uint64_t have = until(feed, at + len);

	if (gap < feed->count && feed->gaps[gap].start < at + len)
		return q2si_in_file(diag,
				    q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "stream", (q2s_host){ at },
						 "the image says that these bytes are used once, and "
						 "uses them again; have it in a file first"),
				    feed->name);
	return have < at + len ? failure(feed, diag) : Q2S_OK;
}

enum q2s_err
q2si_feed_need(struct q2si_feed *feed, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	enum q2s_err err;

	(void)pthread_mutex_lock(&feed->lock);
	err = need(feed, at, len, diag);
	(void)pthread_mutex_unlock(&feed->lock);
	return err;
}

/* Room for one more gap; false when there are enough. */
static bool
gap_room(struct q2si_feed *feed)
{
	const size_t room = q2si_max(2 * feed->room, 64);
	struct gap *gaps;

	if (feed->count < feed->room)
		return true;
	if (feed->count == GAPS_MAX)
		return false;
	gaps = reallocarray(feed->gaps, room, sizeof(*gaps));
	if (!gaps)
		return false;
	feed->gaps = gaps;
	feed->room = room;
	return true;
}

/*
 * The gap ends where the bytes end, as none of them may be read again; what it gives back are the
 * blocks that lie in it as a whole, by now.
 */
static void
forget(struct q2si_feed *feed, uint64_t at, uint64_t end)
{
	struct gap *last = feed->count > 0 ? &feed->gaps[feed->count - 1] : NULL;

	if (last && at < last->end)
		return;
	if (last && at == last->end) {
		last->end = end;
	} else {
		if (!gap_room(feed))
			return;
		last = &feed->gaps[feed->count++];
		*last = (struct gap){ at, end };
	}
	const uint64_t from = q2si_max(q2si_round_up(last->start, BLOCK),
				       q2si_round_down(at, BLOCK));
	const uint64_t to = q2si_round_down(end, BLOCK);

	if (from < to)
		(void)fallocate(feed->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
				(off_t)(to - from));
}

void
q2si_feed_forget(struct q2si_feed *feed, uint64_t at, uint64_t len)
{
	(void)pthread_mutex_lock(&feed->lock);
	forget(feed, at, at + len);
	(void)pthread_mutex_unlock(&feed->lock);
}
