/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Scanning a disk: cut into stretches that hold something, which several threads look at. */
#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/options.h"
#include "base/ordered.h"
#include "disk/disk.h"
#include "plan/scan.h"

/* Guest bytes that a thread takes at a time: more, where it turned out that little is there. */
#define STRETCH (32u << 20)
#define STRETCH_MAX (1u << 30)
#define LITTLE 16u /* less than a 16th of it is data */

struct scan {
	struct q2s_disk *disk;
	const struct q2s_geom *geom;
	const struct q2s_scan_options *options;
	struct q2si_ahead_budget ahead;
	struct q2si_prober skipper; /* finds the next stretch that holds something */
	uint64_t next;              /* guest cluster where the next stretch may begin */
	uint64_t step;              /* guest bytes of the next stretch */
	struct q2s_alloc *alloc;
	uint64_t filled;            /* guest clusters in @alloc */
};

/* One thread, and the stretch of guest clusters that it looks at. */
struct scanner {
	struct q2si_prober prober;
	uint64_t first, end;
	struct q2si_runs runs;
};

static enum q2s_err
scanner_open(void *shared, void **worker, struct q2s_diag *diag)
{
	struct scan *scan = shared;
	struct scanner *scanner = calloc(1, sizeof(*scanner));

	*worker = scanner;
	if (!scanner)
		return q2si_fail_nomem(diag, "scan");
	return q2si_prober_open(&scanner->prober, scan->disk, scan->geom, scan->options,
				&scan->ahead, diag);
}

static void
scanner_close(void *worker)
{
	struct scanner *scanner = worker;

	if (!scanner)
		return;
	q2si_prober_close(&scanner->prober);
	free(scanner->runs.list);
	free(scanner);
}

static enum q2s_err
scanner_take(void *shared, void *worker, bool *more, struct q2s_diag *diag)
{
	struct scan *scan = shared;
	struct scanner *scanner = worker;
	const uint32_t bits = scan->geom->cluster_bits;
	uint64_t at;

	Q2SI_TRY(q2si_skip_empty(&scan->skipper, scan->next << bits, &at, diag));
	*more = at < scan->skipper.size;
	scanner->first = at >> bits;
	scanner->end = q2si_min(scanner->first + (scan->step >> bits), scan->geom->clusters);
	scan->next = scanner->end;
	return Q2S_OK;
}

static enum q2s_err
scanner_work(void *shared, void *worker, struct q2s_diag *diag)
{
	struct scanner *scanner = worker;

	(void)shared;
	scanner->runs.count = 0;
	return q2si_probe(&scanner->prober, scanner->first, scanner->end, &scanner->runs, diag);
}

static size_t
scanner_memory(const void *opaque)
{
	const struct scan *scan = opaque;

	return scan->skipper.buf_size + q2si_cursor_memory(scan->disk);
}

static enum q2s_err
observe(const struct scan *scan, struct q2s_diag *diag)
{
	const struct q2s_observer *observer = scan->options->observer;
	const uint32_t bits = scan->geom->cluster_bits;

	if (!observer || observer->step(observer->opaque, Q2S_PHASE_SCAN, scan->filled << bits,
					scan->geom->clusters << bits))
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_CANCELLED, "source", Q2S_NOWHERE, "stopped on request");
}

/* On a sparse disk, taking and delivering would cost more than looking. */
static void
adapt(struct scan *scan, const struct scanner *scanner, uint64_t data)
{
	if (data >= (scanner->end - scanner->first) / LITTLE)
		scan->step = STRETCH;
	else if (scan->step < STRETCH_MAX)
		scan->step *= 2;
}

static enum q2s_err
scanner_deliver(void *shared, void *worker, struct q2s_diag *diag)
{
	const struct q2s_slot absent = { 0 };
	const struct scanner *scanner = worker;
	struct scan *scan = shared;
	uint64_t data = 0;

	Q2SI_TRY(q2s_alloc_add(scan->alloc, &absent, scanner->first - scan->filled, diag));
	for (size_t i = 0; i < scanner->runs.count; i++) {
		const struct q2si_slot_run *run = &scanner->runs.list[i];

		Q2SI_TRY(q2s_alloc_add(scan->alloc, &run->slot, run->count, diag));
		data += run->slot.host ? run->count : 0;
	}
	adapt(scan, scanner, data);
	scan->filled = scanner->end;
	return observe(scan, diag);
}

static const struct q2si_ordered_ops scan_ops = {
	.open = scanner_open,
	.close = scanner_close,
	.take = scanner_take,
	.work = scanner_work,
	.deliver = scanner_deliver,
	.memory = scanner_memory,
};

/* No more threads than there is work for. */
static unsigned
thread_count(const struct scan *scan)
{
	return scan->geom->size <= STRETCH ? 1 : scan->options->threads;
}

enum q2s_err
q2s_scan(struct q2s_disk *disk, const struct q2s_geom *geom,
	 const struct q2s_scan_options *given, struct q2s_alloc **out, struct q2s_diag *diag)
{
	struct q2s_scan_options options = Q2S_SCAN_OPTIONS_INIT;
	struct scan scan = { .disk = disk, .geom = geom, .options = &options, .step = STRETCH };
	enum q2s_err err;

	Q2SI_TRY(q2si_options_copy(&options, given, diag));
	Q2SI_TRY(q2s_alloc_new(geom, &scan.alloc, diag));
	q2si_ahead_budget_init(&scan.ahead, options.read_again);
	err = q2si_prober_open(&scan.skipper, disk, geom, &options, &scan.ahead, diag);
	if (err == Q2S_OK)
		err = q2si_ordered_run(&scan_ops, &scan, thread_count(&scan), diag);
	q2si_prober_close(&scan.skipper);
	if (err != Q2S_OK) {
		q2s_alloc_free(scan.alloc);
		return err;
	}
	*out = scan.alloc;
	return Q2S_OK;
}
