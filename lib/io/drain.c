/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading a stream to its end. */
#include "io/drain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/zero.h"

/* A pipe can be made this large without privileges; a multiple of the unit. */
#define BUFFER_SIZE (1u << 20)

/* Fill @buf behind its first *@got bytes, or read to the end: whole units need whole buffers. */
static enum q2s_err
fill(const struct q2s_stream *stream, uint8_t *buf, size_t len, size_t *got, struct q2s_diag *diag)
{
	while (*got < len) {
		size_t n;

		Q2SI_TRY(q2s_stream_read(stream, buf + *got, len - *got, &n, diag));
		if (n == 0)
			break;
		*got += n;
	}
	return Q2S_OK;
}

/* The length of the units from @buf on that are all zero, or all not zero. */
static size_t
alike(const uint8_t *buf, size_t len, bool *zero)
{
	size_t n = q2si_min_size(Q2SI_DRAIN_UNIT, len);

	*zero = q2si_is_zero(buf, n);
	while (n < len) {
		const size_t unit = q2si_min_size(Q2SI_DRAIN_UNIT, len - n);

		if (q2si_is_zero(buf + n, unit) != *zero)
			break;
		n += unit;
	}
	return n;
}

static enum q2s_err
hand_out(const uint8_t *buf, size_t len, uint64_t at, q2si_drain_take *take, void *opaque,
	 struct q2s_diag *diag)
{
	while (len > 0) {
		bool zero;
		const size_t n = alike(buf, len, &zero);

		if (!zero)
			Q2SI_TRY(take(opaque, at, buf, n, diag));
		buf += n;
		at += n;
		len -= n;
	}
	return Q2S_OK;
}

static enum q2s_err
observe(const struct q2s_stream *stream, uint64_t done, struct q2s_diag *diag)
{
	const struct q2s_observer *observer = stream->observer;

	if (!observer || observer->step(observer->opaque, Q2S_PHASE_SPOOL, done,
					stream->has_size ? stream->size : 0))
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_CANCELLED, "stream", Q2S_NOWHERE, "stopped on request");
}

/* Is the promise about the size still kept? @ended: nothing more will come. */
static enum q2s_err
check_size(const struct q2s_stream *stream, uint64_t done, bool ended, struct q2s_diag *diag)
{
	if (done > INT64_MAX)
		return q2si_fail(diag, Q2S_E_LIMIT, "stream", Q2S_NOWHERE, done,
				 "longer than any disk");
	if (!stream->has_size)
		return Q2S_OK;
	if (done > stream->size)
		return q2si_fail_at(diag, Q2S_E_LIMIT, "stream", Q2S_NOWHERE,
				    "goes on behind the %llu bytes that were promised",
				    (unsigned long long)stream->size);
	if (ended && done < stream->size)
		return q2si_fail_at(diag, Q2S_E_SHORT, "stream", Q2S_NOWHERE,
				    "ends after %llu of the %llu bytes that were promised",
				    (unsigned long long)done, (unsigned long long)stream->size);
	return Q2S_OK;
}

static enum q2s_err
drain(const struct q2s_stream *stream, q2si_drain_take *take, void *opaque, uint64_t *total,
      struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE uint8_t *buf = aligned_alloc(Q2SI_DRAIN_UNIT, BUFFER_SIZE);
	size_t got = stream->head_len;

	if (!buf)
		return q2si_fail_nomem(diag, "stream buffer");
	if (got > BUFFER_SIZE)
		return q2si_fail(diag, Q2S_E_USAGE, "stream", Q2S_NOWHERE, got,
				 "too much of it was read already");
	if (got > 0)
		memcpy(buf, stream->head, got);
	*total = 0;
	for (bool ended = false; !ended; *total += got, got = 0) {
		Q2SI_TRY(observe(stream, *total, diag));
		Q2SI_TRY(fill(stream, buf, BUFFER_SIZE, &got, diag));
		ended = got < BUFFER_SIZE;
		Q2SI_TRY(check_size(stream, *total + got, ended, diag));
		Q2SI_TRY(hand_out(buf, got, *total, take, opaque, diag));
	}
	return observe(stream, *total, diag);
}

enum q2s_err
q2si_drain(const struct q2s_stream *stream, q2si_drain_take *take, void *opaque, uint64_t *total,
	   struct q2s_diag *diag)
{
#ifdef F_SETPIPE_SZ
	/* fewer switches between us and who writes; it may be no pipe, or one that is full */
	if (!stream->read)
		(void)fcntl(stream->fd, F_SETPIPE_SZ, (int)BUFFER_SIZE);
#endif
	return q2si_in_file(diag, drain(stream, take, opaque, total, diag), stream->name);
}
