/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finding out what each cluster compresses to. The L2 tables precede the data, so all lengths must
 * be known before the first byte; the streams wait in a spool, or are made a second time.
 */
#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/options.h"
#include "base/ordered.h"
#include "base/pages.h"
#include "disk/disk.h"
#include "disk/scout.h"
#include "emit/encoder.h"
#include "plan/alloc.h"
#include "plan/runs.h"

#define BATCH (1u << 20) /* guest bytes of data that a thread takes at a time */

struct compression {
	struct q2s_disk *disk;
	const struct q2s_alloc *plain;
	const struct q2s_compress_options *options;
	struct q2s_alloc *out;

	/* where taking has got to; delivering knows nothing of it */
	size_t rank;
	bool walking;
	struct q2si_slot_walk walk;
	struct q2si_placed_run run; /* what is left of it */
	uint64_t first;             /* guest cluster of the table's first entry */
	struct q2si_scout scout;
};

/* Some equal slots in a row, and what it takes to work on them. */
struct worker {
	struct q2si_encoder *encoder;
	struct q2s_cursor *cursor;
	uint8_t *cluster;
	uint8_t *streams; /* one behind the other */
	size_t streams_len;
	uint64_t first;   /* guest cluster */
	uint32_t count;
	struct q2s_slot slot;
	struct q2si_runs runs;
};

static uint32_t
batch_clusters(const struct q2s_geom *geom)
{
	return (uint32_t)q2si_max(BATCH >> geom->cluster_bits, 1);
}

static enum q2s_err
worker_fill(struct worker *worker, const struct compression *shared, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &shared->plain->geom;

	worker->cluster = q2si_pages(geom->cluster_size);
	worker->streams = malloc((size_t)batch_clusters(geom) * geom->cluster_size);
	if (!worker->cluster || !worker->streams)
		return q2si_fail_nomem(diag, "compression buffer");
	Q2SI_TRY(q2si_encoder_open(&shared->options->how, geom->cluster_size, &worker->encoder,
				   diag));
	return q2s_cursor_open(shared->disk, &worker->cursor, diag);
}

static enum q2s_err
worker_open(void *shared, void **out, struct q2s_diag *diag)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	*out = worker;
	return worker ? worker_fill(worker, shared, diag) : q2si_fail_nomem(diag, "compression");
}

static void
worker_close(void *opaque)
{
	struct worker *worker = opaque;

	if (!worker)
		return;
	q2si_encoder_close(worker->encoder);
	q2s_cursor_close(worker->cursor);
	free(worker->cluster);
	free(worker->streams);
	free(worker->runs.list);
	free(worker);
}

static size_t
worker_memory(const void *opaque)
{
	const struct compression *shared = opaque;
	const struct q2s_geom *geom = &shared->plain->geom;

	return ((size_t)batch_clusters(geom) + 1) * geom->cluster_size +
	       q2si_encoder_memory(&shared->options->how, geom->cluster_size) +
	       q2si_cursor_memory(shared->disk);
}

/* Load the next run; false at the end. */
static bool
next_run(struct compression *shared)
{
	const struct q2s_alloc *plain = shared->plain;

	while (shared->rank < plain->table_count) {
		if (!shared->walking) {
			q2si_slot_walk_start(&shared->walk, plain, shared->rank);
			shared->first = (uint64_t)plain->tables[shared->rank].index
					<< plain->geom.l2_bits;
		}
		shared->walking = q2si_slot_walk_next(&shared->walk, &shared->run);
		if (shared->walking)
			return true;
		shared->rank++;
	}
	return false;
}

static enum q2s_err
worker_take(void *opaque, void *to, bool *more, struct q2s_diag *diag)
{
	struct compression *shared = opaque;
	struct worker *worker = to;

	(void)diag;
	*more = shared->run.count > 0 || next_run(shared);
	if (!*more)
		return Q2S_OK;
	worker->slot = shared->run.slot;
	worker->first = shared->first + shared->run.entry;
	worker->count = shared->run.count;
	if (worker->slot.alloc) /* the others cost nothing, however many they are */
		worker->count = (uint32_t)q2si_min(worker->count,
						   batch_clusters(&shared->plain->geom));
	if (worker->slot.alloc)
		q2si_scout_move(&shared->scout, worker->first << shared->plain->geom.cluster_bits,
				UINT64_MAX);
	shared->run.entry += worker->count;
	shared->run.count -= worker->count;
	return Q2S_OK;
}

/* One cluster: its stream behind the others, or its slot as it was. */
static enum q2s_err
compress_one(const struct compression *shared, struct worker *worker, uint64_t cluster,
	     struct q2s_diag *diag)
{
	const struct q2s_compress_options *options = shared->options;
	const struct q2s_geom *geom = &shared->plain->geom;
	const q2s_guest guest = { cluster << geom->cluster_bits };
	struct q2s_slot slot = worker->slot;
	uint32_t len;

	if (options->wanted && !options->wanted(options->opaque, cluster))
		return q2si_runs_add(&worker->runs, &slot, 1, diag);
	Q2SI_TRY(q2s_cursor_read(worker->cursor, guest, worker->cluster, geom->cluster_size, diag));
	Q2SI_TRY(q2si_encode(worker->encoder, worker->cluster,
			     worker->streams + worker->streams_len, &len, diag));
	worker->streams_len += len;
	if (len > 0)
		slot = (struct q2s_slot){ .comp_bytes = len };
	return q2si_runs_add(&worker->runs, &slot, 1, diag);
}

static enum q2s_err
worker_work(void *opaque, void *to, struct q2s_diag *diag)
{
	const struct compression *shared = opaque;
	struct worker *worker = to;

	worker->runs.count = 0;
	worker->streams_len = 0;
	if (!worker->slot.alloc)
		return q2si_runs_add(&worker->runs, &worker->slot, worker->count, diag);
	for (uint32_t i = 0; i < worker->count; i++)
		Q2SI_TRY(compress_one(shared, worker, worker->first + i, diag));
	return Q2S_OK;
}

static enum q2s_err
observe(const struct compression *shared, struct q2s_diag *diag)
{
	const struct q2s_observer *observer = shared->options->observer;
	const uint32_t bits = shared->plain->geom.cluster_bits;

	if (!observer || observer->step(observer->opaque, Q2S_PHASE_COMPRESS,
					shared->out->next << bits,
					shared->plain->geom.clusters << bits))
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_CANCELLED, "source", Q2S_NOWHERE, "stopped on request");
}

static enum q2s_err
worker_deliver(void *opaque, void *from, struct q2s_diag *diag)
{
	const struct q2s_slot absent = { 0 };
	struct compression *shared = opaque;
	const struct worker *worker = from;

	Q2SI_TRY(q2s_alloc_add(shared->out, &absent, worker->first - shared->out->next, diag));
	for (size_t i = 0; i < worker->runs.count; i++) {
		const struct q2si_slot_run *run = &worker->runs.list[i];

		Q2SI_TRY(q2s_alloc_add(shared->out, &run->slot, run->count, diag));
	}
	if (shared->options->spool)
		Q2SI_TRY(q2s_spool_append(shared->options->spool, worker->streams,
					  worker->streams_len, diag));
	return observe(shared, diag);
}

static const struct q2si_ordered_ops compress_ops = {
	.open = worker_open,
	.close = worker_close,
	.take = worker_take,
	.work = worker_work,
	.deliver = worker_deliver,
	.apart = true,
	.memory = worker_memory,
};

enum q2s_err
q2s_compress(struct q2s_disk *disk, struct q2s_alloc *plain,
	     const struct q2s_compress_options *given, struct q2s_alloc **out,
	     struct q2s_diag *diag)
{
	struct q2s_compress_options options = Q2S_COMPRESS_OPTIONS_INIT;
	struct compression shared = { .disk = disk, .plain = plain, .options = &options };
	enum q2s_err err;

	Q2SI_TRY(q2si_options_copy(&options, given, diag));
	Q2SI_TRY(q2si_alloc_finish(plain, diag));
	Q2SI_TRY(q2s_alloc_new(&plain->geom, &shared.out, diag));
	err = q2si_alloc_set_owners(shared.out, &plain->owners, diag);
	if (err == Q2S_OK)
		err = q2si_scout_open(&shared.scout, disk, diag);
	if (err == Q2S_OK)
		err = q2si_ordered_run(&compress_ops, &shared, options.threads, diag);
	q2si_scout_close(&shared.scout);
	if (err != Q2S_OK) {
		q2s_alloc_free(shared.out);
		return err;
	}
	*out = shared.out;
	return Q2S_OK;
}
