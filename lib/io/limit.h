/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many bytes may pass now? A bucket that fills with time and is emptied by moving bytes. It
 * knows no clock, so that it can be tried without one.
 */
#ifndef Q2SI_IO_LIMIT_H
#define Q2SI_IO_LIMIT_H

#include <q2s/io.h>

/**
 * Times are nanoseconds of any steady clock. Credit is counted in billionths of a byte, so that
 * nothing is lost to rounding at any rate.
 */
struct q2si_bucket {
	uint64_t rate;   /* bytes a second, not 0 */
	uint64_t step;   /* bytes that pass at a time, at most */
	uint64_t room;   /* credit that it can hold: what was not used is lost beyond that */
	uint64_t credit;
	uint64_t filled; /* until when time has been turned into credit */
};

void q2si_bucket_init(struct q2si_bucket *bucket, uint64_t rate, uint64_t now);

/**
 * Take @want bytes, or a step when that is less, if there is credit for it.
 *
 * @wait  nanoseconds until it is worth asking again, when the answer is 0
 * Returns how many bytes may pass now.
 */
uint64_t q2si_bucket_take(struct q2si_bucket *bucket, uint64_t now, uint64_t want, uint64_t *wait);

/** Where time comes from; tests have one of their own. */
struct q2si_clock {
	uint64_t (*now)(void *opaque);
	void (*sleep)(void *opaque, uint64_t nanoseconds);
	void *opaque;
};

/** That of the system. */
extern const struct q2si_clock q2si_clock_monotonic;
/** No sleep is longer, in nanoseconds: whoever watches wants to be asked now and then. */
#define Q2SI_LIMIT_SLEEP_MAX UINT64_C(250000000)

/** q2s_sink_limit() by another clock, which is copied. */
enum q2s_err q2si_sink_limit(struct q2s_sink *inner, uint64_t rate,
			     const struct q2s_observer *observer, uint64_t total,
			     const struct q2si_clock *clock, struct q2s_sink **out,
			     struct q2s_diag *diag);

#endif
