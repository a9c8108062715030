/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/ordered.h"

#include <pthread.h>
#include <unistd.h>

#include "base/arith.h"

struct ordered {
	const struct q2si_ordered_ops *ops;
	void *shared;
	pthread_mutex_t lock; /* guards all below, and @take and @deliver */
	pthread_cond_t turn;
	uint64_t taken;
	uint64_t delivered;
	enum q2s_err err;
	struct q2s_diag diag; /* of @err */

	/* the calling thread's alone */
	unsigned wanted; /* other threads */
	unsigned started;
	pthread_t others[Q2SI_THREADS_MAX];
};

/* The first failure in order counts; @diag may be the shared one itself. */
static void
note(struct ordered *ordered, enum q2s_err err, const struct q2s_diag *diag)
{
	if (err == Q2S_OK || ordered->err != Q2S_OK)
		return;
	ordered->err = err;
	ordered->diag = *diag;
}

/* Take the next item and its number; false when there is none, or something failed. */
static bool
take(struct ordered *ordered, void *worker, uint64_t *number)
{
	struct q2s_diag diag = { 0 };
	bool more = false;

	pthread_mutex_lock(&ordered->lock);
	if (ordered->err == Q2S_OK) {
		const enum q2s_err err =
			ordered->ops->take(ordered->shared, worker, &more, &diag);

		more = more && err == Q2S_OK;
		note(ordered, err, &diag);
	}
	if (more)
		*number = ordered->taken++;
	pthread_mutex_unlock(&ordered->lock);
	return more;
}

/* Wait for this item's turn; what failed is passed by, so that those behind it get theirs. */
static void
deliver(struct ordered *ordered, void *worker, uint64_t number, enum q2s_err err,
	struct q2s_diag *diag)
{
	pthread_mutex_lock(&ordered->lock);
	while (ordered->delivered != number)
		pthread_cond_wait(&ordered->turn, &ordered->lock);
	if (err == Q2S_OK && ordered->err == Q2S_OK)
		err = ordered->ops->deliver(ordered->shared, worker, diag);
	note(ordered, err, diag);
	ordered->delivered++;
	pthread_cond_broadcast(&ordered->turn);
	pthread_mutex_unlock(&ordered->lock);
}

static void *run_other(void *opaque);

/* A system that grants no other threads still gets its result. */
static void
start_others(struct ordered *ordered)
{
	while (ordered->started < ordered->wanted &&
	       pthread_create(&ordered->others[ordered->started], NULL, run_other, ordered) == 0)
		ordered->started++;
	ordered->wanted = ordered->started;
}

static void
run_worker(struct ordered *ordered, bool caller)
{
	const struct q2si_ordered_ops *ops = ordered->ops;
	struct q2s_diag diag = { 0 };
	void *worker = NULL;
	uint64_t number = 0;
	enum q2s_err err = ops->open(ordered->shared, &worker, &diag);

	if (err != Q2S_OK) {
		pthread_mutex_lock(&ordered->lock);
		note(ordered, err, &diag);
		pthread_mutex_unlock(&ordered->lock);
	}
	while (err == Q2S_OK && take(ordered, worker, &number)) {
		if (!ops->ready || !ops->ready(worker)) {
			if (caller)
				start_others(ordered);
			err = ops->work(ordered->shared, worker, &diag);
		}
		deliver(ordered, worker, number, err, &diag);
	}
	ops->close(worker);
}

static void *
run_other(void *opaque)
{
	run_worker(opaque, false);
	return NULL;
}

/* @memory: of one of them. */
static unsigned
thread_count(unsigned wanted, size_t memory)
{
	const long online = sysconf(_SC_NPROCESSORS_ONLN);

	if (wanted == 0)
		wanted = online > 0 ? (unsigned)online : 1;
	if (memory > 0)
		wanted = (unsigned)q2si_min(wanted, q2si_max(Q2SI_WORKERS_MEMORY / memory, 1));
	return (unsigned)q2si_min(wanted, Q2SI_THREADS_MAX);
}

enum q2s_err
q2si_ordered_run(const struct q2si_ordered_ops *ops, void *shared, unsigned threads,
		 struct q2s_diag *diag)
{
	struct ordered ordered = {
		.ops = ops,
		.shared = shared,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.turn = PTHREAD_COND_INITIALIZER,
	};

	ordered.wanted = thread_count(threads, ops->memory ? ops->memory(shared) : 0) - 1;
	run_worker(&ordered, true);
	while (ordered.started > 0)
		pthread_join(ordered.others[--ordered.started], NULL);
	if (ordered.err != Q2S_OK && diag && diag->err == Q2S_OK)
		*diag = ordered.diag;
	return ordered.err;
}
