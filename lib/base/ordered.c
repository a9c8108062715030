/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/ordered.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arith.h"
#include "base/diag.h"

/* There are more workers than threads: who is done before his turn leaves it to wait, and goes on. */
#define WORKERS_A_THREAD 2u

enum state { IDLE, BUSY, DONE };

/* A worker, the item that it holds, and what became of that. */
struct slot {
	void *worker;
	enum state state;
	uint64_t number;
	enum q2s_err err;
	struct q2s_diag diag;
};

struct ordered {
	const struct q2si_ordered_ops *ops;
	void *shared;
	pthread_mutex_t lock; /* guards all below; held for none of the operations */
	pthread_cond_t moved;
	struct slot *slots;
	unsigned count, room;
	bool taking, delivering;
	bool ended; /* nothing more is taken */
	uint64_t taken;
	uint64_t delivered;
	enum q2s_err err;
	struct q2s_diag diag; /* of @err */

	/* the calling thread's alone */
	unsigned wanted; /* other threads */
	unsigned started;
	pthread_t others[Q2SI_THREADS_MAX];
};

/* ---- with the lock ----------------------------------------------------------------------------- */

/* The first failure in order counts. */
static void
note(struct ordered *ordered, enum q2s_err err, const struct q2s_diag *diag)
{
	if (err == Q2S_OK || ordered->err != Q2S_OK)
		return;
	ordered->err = err;
	ordered->diag = *diag;
	ordered->ended = true;
}

/* The one whose turn it is, once it is done. */
static struct slot *
due(const struct ordered *ordered)
{
	if (ordered->delivering || (ordered->taking && !ordered->ops->apart))
		return NULL;
	for (unsigned i = 0; i < ordered->count; i++)
		if (ordered->slots[i].state == DONE &&
		    ordered->slots[i].number == ordered->delivered)
			return &ordered->slots[i];
	return NULL;
}

/* One for the next item; a new one only when all others are in use. */
static struct slot *
idle(struct ordered *ordered)
{
	if (ordered->ended || ordered->taking ||
	    (ordered->delivering && !ordered->ops->apart))
		return NULL;
	for (unsigned i = 0; i < ordered->count; i++)
		if (ordered->slots[i].state == IDLE)
			return &ordered->slots[i];
	return ordered->count < ordered->room ? &ordered->slots[ordered->count++] : NULL;
}

/* What failed is passed by, so that those behind it get their turn. */
static void
deliver(struct ordered *ordered, struct slot *slot)
{
	if (slot->err == Q2S_OK && ordered->err == Q2S_OK) {
		ordered->delivering = true;
		pthread_mutex_unlock(&ordered->lock);
		slot->err = ordered->ops->deliver(ordered->shared, slot->worker, &slot->diag);
		pthread_mutex_lock(&ordered->lock);
		ordered->delivering = false;
	}
	note(ordered, slot->err, &slot->diag);
	slot->state = IDLE;
	ordered->delivered++;
}

/* Put the next item into @slot; false when there is none, or something failed. */
static bool
take(struct ordered *ordered, struct slot *slot)
{
	bool more = false;

	slot->state = BUSY;
	slot->err = Q2S_OK;
	slot->diag = (struct q2s_diag){ 0 };
	ordered->taking = true;
	pthread_mutex_unlock(&ordered->lock);
	if (!slot->worker)
		slot->err = ordered->ops->open(ordered->shared, &slot->worker, &slot->diag);
	if (slot->err == Q2S_OK)
		slot->err = ordered->ops->take(ordered->shared, slot->worker, &more, &slot->diag);
	pthread_mutex_lock(&ordered->lock);
	ordered->taking = false;
	note(ordered, slot->err, &slot->diag);
	if (more && slot->err == Q2S_OK) {
		slot->number = ordered->taken++;
		return true;
	}
	ordered->ended = true;
	slot->state = IDLE;
	return false;
}

/* ---- threads ----------------------------------------------------------------------------------- */

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
work(struct ordered *ordered, struct slot *slot, bool caller)
{
	const struct q2si_ordered_ops *ops = ordered->ops;

	if (!ops->ready || !ops->ready(slot->worker)) {
		pthread_mutex_unlock(&ordered->lock);
		if (caller)
			start_others(ordered);
		slot->err = ops->work(ordered->shared, slot->worker, &slot->diag);
		pthread_mutex_lock(&ordered->lock);
	}
	slot->state = DONE;
}

static void
run(struct ordered *ordered, bool caller)
{
	struct slot *slot;

	pthread_mutex_lock(&ordered->lock);
	while (!ordered->ended || ordered->delivered < ordered->taken) {
		if ((slot = due(ordered))) {
			deliver(ordered, slot);
		} else if ((slot = idle(ordered))) {
			if (take(ordered, slot)) {
				pthread_cond_broadcast(&ordered->moved);
				work(ordered, slot, caller);
			}
		} else {
			pthread_cond_wait(&ordered->moved, &ordered->lock);
			continue;
		}
		pthread_cond_broadcast(&ordered->moved);
	}
	pthread_mutex_unlock(&ordered->lock);
}

static void *
run_other(void *opaque)
{
	run(opaque, false);
	return NULL;
}

/* How many there may be of what takes @memory each. */
static unsigned
bounded(unsigned wanted, size_t memory)
{
	if (memory > 0)
		wanted = (unsigned)q2si_min(wanted, q2si_max(Q2SI_WORKERS_MEMORY / memory, 1));
	return wanted;
}

static unsigned
thread_count(unsigned wanted)
{
	const long online = sysconf(_SC_NPROCESSORS_ONLN);

	if (wanted == 0)
		wanted = online > 0 ? (unsigned)online : 1;
	return (unsigned)q2si_min(wanted, Q2SI_THREADS_MAX);
}

enum q2s_err
q2si_ordered_run(const struct q2si_ordered_ops *ops, void *shared, unsigned threads,
		 struct q2s_diag *diag)
{
	const size_t memory = ops->memory ? ops->memory(shared) : 0;
	const unsigned most = bounded(thread_count(threads), memory);
	struct ordered ordered = {
		.ops = ops,
		.shared = shared,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.moved = PTHREAD_COND_INITIALIZER,
		.room = most > 1 ? bounded(most * WORKERS_A_THREAD, memory) : 1,
		.wanted = most - 1,
	};

	ordered.slots = calloc(ordered.room, sizeof(*ordered.slots));
	if (!ordered.slots)
		return q2si_fail_nomem(diag, "threads");
	run(&ordered, true);
	while (ordered.started > 0)
		pthread_join(ordered.others[--ordered.started], NULL);
	for (unsigned i = 0; i < ordered.count; i++)
		ops->close(ordered.slots[i].worker);
	free(ordered.slots);
	if (ordered.err != Q2S_OK && diag && diag->err == Q2S_OK)
		*diag = ordered.diag;
	return ordered.err;
}
