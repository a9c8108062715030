/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A sink that takes its time: a stream must not eat all of a disk or a network. */
#include <stdlib.h>
#include <time.h>

#include "base/arith.h"
#include "base/diag.h"
#include "io/limit.h"
#include "io/sink.h"

#define SECOND 1000000000u
/* Steps are an eighth of a second long, so that the flow is even, but no larger than this. */
#define STEP_MAX (1u << 20)
#define STEPS_PER_SECOND 8
/* A rate that nothing reaches needs no more precision than this. */
#define RATE_MAX ((uint64_t)1 << 40)

/* ---- the bucket -------------------------------------------------------------------------- */

void
q2si_bucket_init(struct q2si_bucket *bucket, uint64_t rate, uint64_t now)
{
	const uint64_t part = q2si_max(q2si_min(rate, RATE_MAX) / STEPS_PER_SECOND, 1);

	*bucket = (struct q2si_bucket){
		.rate = q2si_min(rate, RATE_MAX),
		.step = q2si_min(part, STEP_MAX),
		.filled = now,
	};
	/* Credit is kept for a while: who overslept may catch up. 2^30 bytes fit into 64 bits. */
	bucket->room = q2si_min(part, 1u << 30) * SECOND;
}

static void
bucket_fill(struct q2si_bucket *bucket, uint64_t now)
{
	const uint64_t elapsed = now > bucket->filled ? now - bucket->filled : 0;
	const uint64_t until_full = (bucket->room - bucket->credit) / bucket->rate;

	if (elapsed > until_full)
		bucket->credit = bucket->room;
	else
		bucket->credit += elapsed * bucket->rate;
	bucket->filled += elapsed;
}

uint64_t
q2si_bucket_take(struct q2si_bucket *bucket, uint64_t now, uint64_t want, uint64_t *wait)
{
	const uint64_t bytes = q2si_min(want, bucket->step);

	bucket_fill(bucket, now);
	if (bucket->credit >= bytes * SECOND) {
		bucket->credit -= bytes * SECOND;
		return bytes;
	}
	*wait = q2si_div_up(bytes * SECOND - bucket->credit, bucket->rate);
	return 0;
}

/* ---- the clock --------------------------------------------------------------------------- */

static uint64_t
clock_now(void *opaque)
{
	struct timespec now;

	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

/* A signal ends it early, which does no harm: the bucket is asked again. */
static void
clock_sleep(void *opaque, uint64_t nanoseconds)
{
	const struct timespec pause = {
		.tv_sec = (time_t)(nanoseconds / SECOND),
		.tv_nsec = (long)(nanoseconds % SECOND),
	};

	(void)opaque;
	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

const struct q2si_clock q2si_clock_monotonic = { .now = clock_now, .sleep = clock_sleep };

/* ---- the sink ---------------------------------------------------------------------------- */

struct limit_sink {
	struct q2si_wrapper wrapper;
	struct q2si_bucket bucket;
	struct q2si_clock clock;
	const struct q2s_observer *observer;
	uint64_t total;
};

static enum q2s_err
observe(const struct limit_sink *limit, uint64_t ahead, struct q2s_diag *diag)
{
	const struct q2s_observer *observer = limit->observer;

	if (!observer || observer->step(observer->opaque, Q2S_PHASE_WRITE,
					limit->wrapper.sink.pos + ahead, limit->total))
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_CANCELLED, "output", Q2S_NOWHERE, "stopped on request");
}

/* Wait until some of the @len bytes that are left may pass; @ahead of them did in this call. */
static enum q2s_err
pace(struct limit_sink *limit, uint64_t ahead, uint64_t len, uint64_t *out, struct q2s_diag *diag)
{
	const struct q2si_clock *clock = &limit->clock;
	uint64_t wait;

	for (;;) {
		*out = q2si_bucket_take(&limit->bucket, clock->now(clock->opaque), len, &wait);
		if (*out > 0)
			return Q2S_OK;
		Q2SI_TRY(observe(limit, ahead, diag));
		clock->sleep(clock->opaque, q2si_min(wait, Q2SI_LIMIT_SLEEP_MAX));
	}
}

static enum q2s_err
limit_write(struct q2s_sink *sink, const void *buf, size_t len, struct q2s_diag *diag)
{
	struct limit_sink *limit = (struct limit_sink *)sink;
	uint64_t n;

	for (uint64_t done = 0; done < len; done += n) {
		Q2SI_TRY(pace(limit, done, len - done, &n, diag));
		Q2SI_TRY(q2s_sink_write(limit->wrapper.inner, (const char *)buf + done, n, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
limit_copy(struct q2s_sink *sink, struct q2s_store *file, uint64_t at, uint64_t len,
	   struct q2s_diag *diag)
{
	struct limit_sink *limit = (struct limit_sink *)sink;
	uint64_t n;

	for (uint64_t done = 0; done < len; done += n) {
		Q2SI_TRY(pace(limit, done, len - done, &n, diag));
		Q2SI_TRY(q2s_sink_copy(limit->wrapper.inner, file, at + done, n, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
limit_zero(struct q2s_sink *sink, uint64_t len, struct q2s_diag *diag)
{
	struct limit_sink *limit = (struct limit_sink *)sink;
	uint64_t n;

	if (sink->free_zeros)
		return q2s_sink_zero(limit->wrapper.inner, len, diag);
	for (uint64_t done = 0; done < len; done += n) {
		Q2SI_TRY(pace(limit, done, len - done, &n, diag));
		Q2SI_TRY(q2s_sink_zero(limit->wrapper.inner, n, diag));
	}
	return Q2S_OK;
}

static const struct q2si_sink_ops limit_ops = {
	.write = limit_write,
	.copy = limit_copy,
	.zero = limit_zero,
	.commit = q2si_wrapper_commit,
	.temp_path = q2si_wrapper_temp_path,
	.close = q2si_wrapper_close,
};

enum q2s_err
q2si_sink_limit(struct q2s_sink *inner, uint64_t rate, const struct q2s_observer *observer,
		uint64_t total, const struct q2si_clock *clock, struct q2s_sink **out,
		struct q2s_diag *diag)
{
	struct limit_sink *limit;
	enum q2s_err err;

	if (rate == 0)
		return q2si_fail(diag, Q2S_E_USAGE, "rate", Q2S_NOWHERE, rate,
				 "nothing would ever be written");
	limit = calloc(1, sizeof(*limit));
	if (!limit)
		return q2si_fail_nomem(diag, "sink");
	err = q2si_wrapper_init(&limit->wrapper, &limit_ops, inner, diag);
	if (err != Q2S_OK) {
		free(limit);
		return err;
	}
	limit->clock = *clock;
	limit->observer = observer;
	limit->total = total;
	q2si_bucket_init(&limit->bucket, rate, clock->now(clock->opaque));
	*out = &limit->wrapper.sink;
	return Q2S_OK;
}

enum q2s_err
q2s_sink_limit(struct q2s_sink *inner, uint64_t rate, const struct q2s_observer *observer,
	       uint64_t total, struct q2s_sink **out, struct q2s_diag *diag)
{
	return q2si_sink_limit(inner, rate, observer, total, &q2si_clock_monotonic, out, diag);
}
