/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Scanning a disk with several threads. The disk is cut into stretches which the threads take one
 * after the other and deliver in order, so that the result does not depend on who took which.
 */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arith.h"
#include "base/diag.h"
#include "plan/scan.h"

#define STRETCH (32u << 20) /* guest bytes that a thread takes at a time */
#define THREADS_MAX 16u

struct scan {
	struct q2s_disk *disk;
	const struct q2s_geom *geom;
	const struct q2s_scan_options *options;
	struct q2s_alloc *alloc;

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t turn;
	struct q2si_prober skipper; /* finds the next stretch that holds something */
	uint64_t next;        /* guest cluster where the next stretch may begin */
	uint64_t taken;       /* number of stretches handed out */
	uint64_t delivered;   /* number of stretches in @alloc */
	uint64_t filled;      /* guest clusters in @alloc */
	enum q2s_err err;     /* the first failure in the order of the disk */
	struct q2s_diag diag;
};

/* A stretch of guest clusters, and its place in the order. */
struct stretch {
	uint64_t number;
	uint64_t first, end;
};

/* Hand out the next stretch that is not empty; false when there is none, or after a failure. */
static bool
take(struct scan *scan, struct stretch *out)
{
	const uint32_t bits = scan->geom->cluster_bits;
	const uint64_t step = q2si_max(STRETCH >> bits, 1);
	uint64_t at;

	if (scan->err != Q2S_OK)
		return false;
	scan->err = q2si_skip_empty(&scan->skipper, scan->next << bits, &at, &scan->diag);
	if (scan->err != Q2S_OK || at >= scan->skipper.size)
		return false;
	*out = (struct stretch){ .number = scan->taken++, .first = at >> bits };
	out->end = q2si_min(out->first + step, scan->geom->clusters);
	scan->next = out->end;
	return true;
}

static enum q2s_err
observe(struct scan *scan, struct q2s_diag *diag)
{
	const struct q2s_observer *observer = scan->options->observer;

	if (!observer || observer->step(observer->opaque, Q2S_PHASE_SCAN,
					scan->filled << scan->geom->cluster_bits,
					scan->geom->clusters << scan->geom->cluster_bits))
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_CANCELLED, "source", Q2S_NOWHERE, "stopped on request");
}

static enum q2s_err
append(struct scan *scan, const struct stretch *stretch, const struct q2si_runs *runs,
       struct q2s_diag *diag)
{
	const struct q2s_slot absent = { 0 };

	Q2SI_TRY(q2s_alloc_add(scan->alloc, &absent, stretch->first - scan->filled, diag));
	for (size_t i = 0; i < runs->count; i++)
		Q2SI_TRY(q2s_alloc_add(scan->alloc, &runs->list[i].slot, runs->list[i].count,
				       diag));
	scan->filled = stretch->end;
	return observe(scan, diag);
}

/* Wait for this stretch's turn and put it into the map. */
static void
deliver(struct scan *scan, const struct stretch *stretch, const struct q2si_runs *runs,
	enum q2s_err err, const struct q2s_diag *diag)
{
	pthread_mutex_lock(&scan->lock);
	while (scan->delivered != stretch->number)
		pthread_cond_wait(&scan->turn, &scan->lock);
	if (scan->err == Q2S_OK) {
		scan->err = err;
		if (err != Q2S_OK)
			scan->diag = *diag;
		else
			scan->err = append(scan, stretch, runs, &scan->diag);
	}
	scan->delivered++;
	pthread_cond_broadcast(&scan->turn);
	pthread_mutex_unlock(&scan->lock);
}

static bool
take_locked(struct scan *scan, struct stretch *out)
{
	pthread_mutex_lock(&scan->lock);
	const bool more = take(scan, out);

	pthread_mutex_unlock(&scan->lock);
	return more;
}

static void *
work(void *opaque)
{
	struct scan *scan = opaque;
	struct q2si_runs runs = { 0 };
	struct q2si_prober prober;
	struct q2s_diag diag = { 0 };
	struct stretch stretch;
	const enum q2s_err opened =
		q2si_prober_open(&prober, scan->disk, scan->geom, scan->options, &diag);

	while (take_locked(scan, &stretch)) {
		enum q2s_err err = opened;

		runs.count = 0;
		if (err == Q2S_OK)
			err = q2si_probe(&prober, stretch.first, stretch.end, &runs, &diag);
		deliver(scan, &stretch, &runs, err, &diag);
	}
	q2si_prober_close(&prober);
	free(runs.list);
	return NULL;
}

static unsigned
thread_count(const struct scan *scan)
{
	const long online = sysconf(_SC_NPROCESSORS_ONLN);
	const unsigned wanted = scan->options->threads ? scan->options->threads :
				online > 0	       ? (unsigned)online :
							 1;
	const uint64_t stretches = q2si_div_up(scan->geom->size, STRETCH);

	return (unsigned)q2si_max(q2si_min(q2si_min(wanted, THREADS_MAX), stretches), 1);
}

/* This thread is one of them, so a system that grants no others still gets its scan. */
static void
work_together(struct scan *scan)
{
	const unsigned count = thread_count(scan);
	pthread_t threads[THREADS_MAX];
	unsigned started = 0;

	while (started + 1 < count &&
	       pthread_create(&threads[started], NULL, work, scan) == 0)
		started++;
	(void)work(scan);
	while (started > 0)
		pthread_join(threads[--started], NULL);
}

enum q2s_err
q2s_scan(struct q2s_disk *disk, const struct q2s_geom *geom,
	 const struct q2s_scan_options *options, struct q2s_alloc **out, struct q2s_diag *diag)
{
	struct scan scan = {
		.disk = disk,
		.geom = geom,
		.options = options,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.turn = PTHREAD_COND_INITIALIZER,
	};

	Q2SI_TRY(q2s_alloc_new(geom, &scan.alloc, diag));
	scan.err = q2si_prober_open(&scan.skipper, disk, geom, options, &scan.diag);
	if (scan.err == Q2S_OK)
		work_together(&scan);
	q2si_prober_close(&scan.skipper);
	if (scan.err != Q2S_OK) {
		q2s_alloc_free(scan.alloc);
		if (diag && diag->err == Q2S_OK)
			*diag = scan.diag;
		return scan.err;
	}
	*out = scan.alloc;
	return Q2S_OK;
}
