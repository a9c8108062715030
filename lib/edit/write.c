/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guest writes. A request is cut into batches of neighbouring clusters that need the same:
 *
 *   in place       all subclusters that it touches have data, in a host cluster of our own: the
 *                  bytes are written, and no mapping changes
 *   with mapping   the others: a host cluster is there but not these subclusters; none is there; or
 *                  the one that is there is shared or compressed, and must be given up
 *
 * Of the second kind only the parts of subclusters at both ends are filled with what was there
 * before; what a shared cluster holds in other subclusters is copied, a compressed one whole.
 */
#include "edit/edit.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/zero.h"
#include "io/store.h"

#define BATCH 32u /* clusters */

/**
 * What is to be done with one cluster; all ranges are within it.
 *
 * @old         its mapping when the batch was planned
 * @host        where the bytes go
 * @keep        @host is the cluster that it has; else a new one, which takes its place
 * @allocated   @host was allocated for it
 * @fresh       @host reads as zero
 * @from, @to   the guest's bytes
 * @low, @high  what is written around them: with the rest of subclusters that have no data yet
 */
struct job {
	uint64_t cluster;
	struct q2s_l2_entry old;
	uint64_t host;
	bool keep;
	bool allocated;
	bool fresh;
	uint32_t from, to;
	uint32_t low, high;
};

struct batch {
	struct job jobs[BATCH];
	unsigned count;
	bool maps; /* changes mappings */
	uint64_t len;
	struct q2si_active active;
};

/* ---- plan ---------------------------------------------------------------------------------- */

/* Without an L2 table of our own, COPIED in its entries says nothing. */
static bool
is_private(const struct q2si_mapping *mapping)
{
	const struct q2s_l2_entry *entry = &mapping->entry;

	if (!entry->has_host || entry->compressed)
		return false;
	return (mapping->own && entry->copied) || !Q2SI_KEEPS(Q2SI_COPY_SHARED);
}

/* How far around the guest's bytes has to be written. */
static void
job_widen(const struct q2s_edit *edit, struct job *job)
{
	const struct q2s_geom *geom = &edit->geom;
	const uint32_t has = job->keep ? job->old.alloc : 0;
	const uint32_t unit = edit->crypt ? Q2S_SECTOR : 1;
	const uint32_t first = job->from >> geom->sub_bits, last = (job->to - 1) >> geom->sub_bits;

	job->low = (uint32_t)q2si_round_down(job->from, has >> first & 1 ? unit : geom->sub_size);
	job->high = (uint32_t)q2si_round_up(job->to, has >> last & 1 ? unit : geom->sub_size);
	if (job->old.compressed) {
		job->low = 0;
		job->high = geom->cluster_size;
	}
}

static enum q2s_err
job_plan(struct q2s_edit *edit, uint64_t at, size_t len, struct job *out, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &edit->geom;
	const uint32_t from = q2s_in_cluster(geom, (q2s_guest){ at });
	struct job job = { .cluster = at >> geom->cluster_bits,
			   .from = from,
			   .to = (uint32_t)q2si_min(geom->cluster_size, (uint64_t)from + len) };
	struct q2si_mapping mapping;

	Q2SI_TRY(q2si_mapping_get(edit, job.cluster, &mapping, diag));
	job.old = mapping.entry;
	job.keep = is_private(&mapping);
	job.host = job.old.host.v;
	if (q2si_has_data_file(edit)) { /* its clusters have one place, and are not shared */
		job.host = job.cluster << geom->cluster_bits;
		job.keep = true;
	}
	job_widen(edit, &job);
	*out = job;
	return Q2S_OK;
}

static bool
job_maps(const struct q2s_edit *edit, const struct job *job)
{
	return !job->keep || (q2si_touched(&edit->geom, job->from, job->to) & ~job->old.alloc) ||
	       job->low != job->from || job->high != job->to;
}

static enum q2s_err
batch_plan(struct q2s_edit *edit, uint64_t at, size_t len, struct batch *batch,
	   struct q2s_diag *diag)
{
	batch->count = 0;
	batch->len = 0;
	while (batch->len < len && batch->count < BATCH) {
		struct job *job = &batch->jobs[batch->count];

		Q2SI_TRY(job_plan(edit, at + batch->len, len - batch->len, job, diag));
		if (batch->count == 0)
			batch->maps = job_maps(edit, job);
		else if (batch->maps != job_maps(edit, job))
			break;
		batch->len += job->to - job->from;
		batch->count++;
	}
	return Q2S_OK;
}

/*
 * The guest bytes that nobody else may work on meanwhile. Where host clusters stay, requests for
 * other subclusters of the same cluster go on.
 */
static void
batch_range(const struct q2s_edit *edit, const struct batch *batch, uint64_t *start, uint64_t *end)
{
	const uint32_t bits = edit->geom.cluster_bits;
	const struct job *first = &batch->jobs[0], *last = &batch->jobs[batch->count - 1];
	bool keep = true;

	for (unsigned i = 0; i < batch->count; i++)
		keep &= batch->jobs[i].keep;
	*start = (first->cluster << bits) + (keep ? first->low : 0);
	*end = (last->cluster << bits) + (keep ? last->high : edit->geom.cluster_size);
}

/* ---- host clusters ------------------------------------------------------------------------- */

static void
batch_undo(struct q2s_edit *edit, struct batch *batch)
{
	for (unsigned i = 0; i < batch->count; i++) {
		struct job *job = &batch->jobs[i];

		if (job->allocated)
			q2si_alloc_undo(edit, job->host, 1);
		job->allocated = false;
	}
}

/* Give the jobs from @first on, which want a cluster each, one run of them. */
static enum q2s_err
run_assign(struct q2s_edit *edit, struct batch *batch, unsigned first, struct q2s_diag *diag)
{
	struct q2si_run run;
	unsigned want = 0;

	while (first + want < batch->count && !batch->jobs[first + want].keep)
		want++;
	Q2SI_TRY(q2si_alloc(edit, want, &run, diag));
	for (unsigned i = 0; i < run.clusters; i++) {
		struct job *job = &batch->jobs[first + i];

		job->host = run.host + ((uint64_t)i << edit->geom.cluster_bits);
		job->allocated = true;
		job->fresh = run.fresh;
	}
	return Q2S_OK;
}

/* Have everything that the batch needs but its data. */
static enum q2s_err
batch_prepare(struct q2s_edit *edit, struct batch *batch, struct q2s_diag *diag)
{
	for (unsigned i = 0; i < batch->count; i++) {
		struct job *job = &batch->jobs[i];

		if (batch->maps)
			Q2SI_TRY(q2si_mapping_own(edit, job->cluster, diag));
		if (!job->keep && !job->allocated)
			Q2SI_TRY(run_assign(edit, batch, i, diag));
		if (job->keep && !q2si_has_data_file(edit))
			Q2SI_TRY(q2si_overlap_check(edit, job->host, edit->geom.cluster_size,
						    "data cluster", diag));
	}
	return Q2S_OK;
}

/*
 * Plan the batch that starts at @at and enter it in the list of requests, when nobody is in its
 * way. Releases the lock while it waits.
 */
static enum q2s_err
batch_begin(struct q2s_edit *edit, uint64_t at, size_t len, struct batch *batch,
	    struct q2s_diag *diag)
{
	uint64_t start, end;

	for (;;) {
		struct q2s_diag why = { 0 };
		enum q2s_err err;

		Q2SI_TRY(q2si_may_change(edit, diag));
		Q2SI_TRY(q2si_flush_if_full(edit, diag));
		Q2SI_TRY(batch_plan(edit, at, len, batch, diag));
		batch_range(edit, batch, &start, &end);
		if (q2si_active_conflicts(edit, start, end, batch->maps)) {
			q2si_active_wait(edit);
			continue;
		}
		err = batch_prepare(edit, batch, &why);
		if (err == Q2S_OK)
			break;
		batch_undo(edit, batch);
		if (edit->need_grow) {
			Q2SI_TRY(q2si_refcount_grow(edit, diag));
			continue;
		}
		if (diag && diag->err == Q2S_OK)
			*diag = why;
		return err;
	}
	q2si_active_begin(edit, &batch->active, start, end, batch->maps);
	return Q2S_OK;
}

/* ---- data: without the lock ------------------------------------------------------------------ */

/* Guest bytes that go to one place in the store as they are. */
struct direct {
	uint64_t host;
	const uint8_t *buf;
	size_t len;
};

static enum q2s_err
direct_end(struct q2s_edit *edit, struct direct *direct, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	if (direct->len > 0) {
		err = q2s_store_write(edit->data->store, direct->host, direct->buf, direct->len,
				      diag);
		q2si_wrote(edit->data); /* also after a failure, which may have written a part */
	}
	direct->len = 0;
	return err;
}

static enum q2s_err
direct_add(struct q2s_edit *edit, struct direct *direct, uint64_t host, const uint8_t *buf,
	   size_t len, struct q2s_diag *diag)
{
	if (direct->len > 0 && direct->host + direct->len == host) {
		direct->len += len;
		return Q2S_OK;
	}
	Q2SI_TRY(direct_end(edit, direct, diag));
	*direct = (struct direct){ host, buf, len };
	return Q2S_OK;
}

/*
 * Write [@low, @high) of the cluster, at most Q2SI_BOUNCE bytes: the guest's bytes, if any, and
 * around them what the old mapping showed. Zeros are not written where the store has them.
 */
static enum q2s_err
piece_write(struct q2s_edit *edit, struct q2si_worker *worker, const struct job *job, uint32_t low,
	    uint32_t high, const uint8_t *buf, struct q2s_diag *diag)
{
	const uint64_t guest = job->cluster << edit->geom.cluster_bits;
	const bool skip_zeros = (job->fresh || !Q2SI_KEEPS(Q2SI_ZERO_NEW_DATA)) && !edit->crypt;
	uint32_t from = (uint32_t)q2si_min(q2si_max(job->from, low), high);
	uint32_t to = (uint32_t)q2si_max(q2si_min(job->to, high), from);
	uint8_t *bounce = worker->bounce;

	if (from == to) /* none of the guest's: old bytes before and behind are one range */
		from = to = high;
	if (from > low)
		Q2SI_TRY(q2si_old_read(edit, worker, &job->old, guest + low, bounce, from - low,
				       diag));
	if (to > from)
		memcpy(bounce + (from - low), buf + (from - job->from), to - from);
	if (to < high)
		Q2SI_TRY(q2si_old_read(edit, worker, &job->old, guest + to, bounce + (to - low),
				       high - to, diag));
	if (skip_zeros && q2si_is_zero(bounce + (to - low), high - to))
		high = to;
	if (skip_zeros && q2si_is_zero(bounce, from - low)) {
		bounce += from - low;
		low = from;
	}
	if (low == high)
		return Q2S_OK;
	return q2si_data_write(edit, worker, guest + low, job->host + low, bounce, high - low,
			       diag);
}

static enum q2s_err
range_write(struct q2s_edit *edit, struct q2si_worker *worker, const struct job *job, uint32_t low,
	    uint32_t high, const uint8_t *buf, struct q2s_diag *diag)
{
	if (!worker->bounce)
		worker->bounce = malloc(Q2SI_BOUNCE);
	if (!worker->bounce)
		return q2si_fail_nomem(diag, "copy buffer");
	while (low < high) {
		const uint32_t next = (uint32_t)q2si_min(high, (uint64_t)low + Q2SI_BOUNCE);

		Q2SI_TRY(piece_write(edit, worker, job, low, next, buf, diag));
		low = next;
	}
	return Q2S_OK;
}

/* What a cluster that is given up holds in subclusters that the guest's bytes do not touch. */
static enum q2s_err
rest_copy(struct q2s_edit *edit, struct q2si_worker *worker, const struct job *job,
	  const uint8_t *buf, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &edit->geom;
	uint32_t rest = job->old.alloc & ~q2si_touched(geom, job->low, job->high);

	if (job->keep || job->old.compressed)
		return Q2S_OK;
	while (rest) {
		const uint32_t first = (uint32_t)__builtin_ctz(rest);
		uint32_t end = first;

		while (end < geom->sub_count && rest >> end & 1)
			rest &= ~(1u << end++);
		Q2SI_TRY(range_write(edit, worker, job, first << geom->sub_bits,
				     end << geom->sub_bits, buf, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
batch_transfer(struct q2s_edit *edit, struct q2si_worker *worker, const struct batch *batch,
	       const uint8_t *buf, struct q2s_diag *diag)
{
	struct direct direct = { 0 };

	for (unsigned i = 0; i < batch->count; i++) {
		const struct job *job = &batch->jobs[i];

		if (job->low == job->from && job->high == job->to && !edit->crypt)
			Q2SI_TRY(direct_add(edit, &direct, job->host + job->from, buf,
					    job->to - job->from, diag));
		else
			Q2SI_TRY(range_write(edit, worker, job, job->low, job->high, buf, diag));
		Q2SI_TRY(rest_copy(edit, worker, job, buf, diag));
		buf += job->to - job->from;
	}
	return direct_end(edit, &direct, diag);
}

/* ---- mapping --------------------------------------------------------------------------------- */

/* Requests for other subclusters may have changed the entry meanwhile, but not its host cluster. */
static enum q2s_err
job_install(struct q2s_edit *edit, struct job *job, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &edit->geom;
	const uint32_t written = q2si_touched(geom, job->low, job->high);
	struct q2s_l2_entry entry = { 0 };
	struct q2si_mapping now;

	Q2SI_TRY(q2si_mapping_get(edit, job->cluster, &now, diag));
	if (!now.entry.compressed) {
		entry.alloc = now.entry.alloc;
		entry.zero = now.entry.zero;
	}
	entry.has_host = true;
	entry.host.v = job->host;
	entry.copied = true;
	entry.alloc |= written;
	entry.zero &= ~written;
	Q2SI_TRY(q2si_mapping_set(edit, job->cluster, &entry, diag));
	job->allocated = false;
	if (!job->keep)
		(void)q2si_mapping_drop(edit, job->cluster, &job->old, NULL); /* else leaked */
	return Q2S_OK;
}

static enum q2s_err
batch_install(struct q2s_edit *edit, struct batch *batch, struct q2s_diag *diag)
{
	for (unsigned i = 0; batch->maps && i < batch->count; i++)
		Q2SI_TRY(job_install(edit, &batch->jobs[i], diag));
	return Q2S_OK;
}

/* ---------------------------------------------------------------------------------------------- */

static enum q2s_err
batch_write(struct q2s_edit *edit, struct q2si_worker *worker, uint64_t at, const uint8_t *buf,
	    size_t len, size_t *done, struct q2s_diag *diag)
{
	struct batch batch;
	enum q2s_err err;

	pthread_mutex_lock(&edit->lock);
	err = batch_begin(edit, at, len, &batch, diag);
	if (err == Q2S_OK) {
		pthread_mutex_unlock(&edit->lock);
		err = batch_transfer(edit, worker, &batch, buf, diag);
		pthread_mutex_lock(&edit->lock);
		if (err == Q2S_OK)
			err = batch_install(edit, &batch, diag);
		if (err != Q2S_OK)
			batch_undo(edit, &batch);
		q2si_active_end(edit, &batch.active);
		*done = batch.len;
	}
	pthread_mutex_unlock(&edit->lock);
	return err;
}

enum q2s_err
q2si_write_same(struct q2s_edit *edit, uint64_t at, const void *buf, size_t len,
		struct q2s_diag *diag)
{
	const uint8_t *bytes = buf;
	struct q2si_worker *worker;
	enum q2s_err err = Q2S_OK;

	Q2SI_TRY(q2si_worker_take(edit, &worker, diag));
	for (size_t done = 0; done < len && err == Q2S_OK;) {
		size_t n = 0;

		err = batch_write(edit, worker, at + done, bytes + done, len - done, &n, diag);
		done += n;
		worker->holds = 0;
	}
	q2si_worker_give(edit, worker);
	return err;
}

enum q2s_err
q2s_edit_write(struct q2s_edit *edit, q2s_guest at, const void *buf, size_t len,
	       struct q2s_diag *diag)
{
	Q2SI_TRY(q2si_on_disk(edit, at, len, diag));
	Q2SI_TRY(q2si_tracking_learn(edit, at.v, len, diag));
	return q2si_write_same(edit, at.v, buf, len, diag);
}

/* ---- sharing blocks -------------------------------------------------------------------------- */

/* Only whole subclusters can be shared: nothing is to be written around them. */
static bool
is_whole(const struct batch *batch)
{
	for (unsigned i = 0; i < batch->count; i++)
		if (batch->jobs[i].low != batch->jobs[i].from ||
		    batch->jobs[i].high != batch->jobs[i].to)
			return false;
	return true;
}

static enum q2s_err
batch_clone(struct q2s_edit *edit, struct q2si_worker *worker, const struct batch *batch,
	    struct q2s_store *from, uint64_t from_at, struct q2s_diag *diag)
{
	for (unsigned i = 0; i < batch->count;) {
		const uint64_t host = batch->jobs[i].host + batch->jobs[i].from;
		uint64_t len = 0;

		for (; i < batch->count; i++) {
			const struct job *job = &batch->jobs[i];

			if (job->host + job->from != host + len)
				break;
			len += job->to - job->from;
			Q2SI_TRY(rest_copy(edit, worker, job, NULL, diag));
		}
		q2si_wrote(edit->data);
		Q2SI_TRY(q2si_store_clone(edit->data->store, host, from, from_at, len, diag));
		from_at += len;
	}
	return Q2S_OK;
}

enum q2s_err
q2si_write_clone(struct q2s_edit *edit, uint64_t at, struct q2s_store *from, uint64_t from_at,
		 uint64_t len, uint64_t *done, struct q2s_diag *diag)
{
	struct q2si_worker *worker;
	struct batch batch;
	enum q2s_err err;

	if (edit->crypt)
		return Q2S_E_UNSUPPORTED;
	Q2SI_TRY(q2si_tracking_learn(edit, at, len, diag));
	Q2SI_TRY(q2si_worker_take(edit, &worker, diag));
	pthread_mutex_lock(&edit->lock);
	err = batch_begin(edit, at, len, &batch, diag);
	if (err == Q2S_OK) {
		pthread_mutex_unlock(&edit->lock);
		err = is_whole(&batch) ? batch_clone(edit, worker, &batch, from, from_at, diag)
				       : Q2S_E_UNSUPPORTED;
		pthread_mutex_lock(&edit->lock);
		if (err == Q2S_OK)
			err = batch_install(edit, &batch, diag);
		if (err != Q2S_OK)
			batch_undo(edit, &batch);
		q2si_active_end(edit, &batch.active);
		*done = batch.len;
	}
	pthread_mutex_unlock(&edit->lock);
	q2si_worker_give(edit, worker);
	return err;
}
