/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finding clusters that are the same. Several threads read and hash them; whether two are equal is
 * decided in guest order, by their bytes. The first of its kind keeps its host cluster, and those
 * behind it refer to it, until it has as many references as a refcount shall hold.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/options.h"
#include "base/hash.h"
#include "base/ordered.h"
#include "base/pages.h"
#include "disk/disk.h"
#include "plan/alloc.h"
#include "plan/candidates.h"

#define BATCH (1u << 20) /* guest bytes of data that a thread takes at a time */
/* Equal hashes of different clusters are no accident; who makes them on purpose gains nothing. */
#define SAME_TAG_MAX 8

struct sharing {
	const struct q2s_alloc *plain;
	const struct q2s_share_options *options;
	struct q2s_disk *disk;
	struct q2s_alloc *out;
	uint64_t references_max;
	struct q2si_candidates candidates;
	struct q2si_owners full; /* those that may have no more sharers, in any order */
	size_t full_room;
	struct q2s_cursor *cursor; /* to read candidates again */
	uint8_t *cluster;

	/* where taking has got to */
	size_t rank;
	bool walking;
	struct q2si_slot_walk walk;
	struct q2si_placed_run run; /* what is left of it */
};

/* One thread, and some equal slots in a row that it works on. */
struct sharer {
	struct q2s_cursor *cursor;
	uint8_t *data;
	uint64_t *hashes;
	uint64_t first; /* guest cluster */
	uint32_t count;
	struct q2s_slot slot;
};

static uint32_t
batch_clusters(const struct q2s_geom *geom)
{
	return (uint32_t)q2si_max(BATCH >> geom->cluster_bits, 1);
}

/* ---- reading and hashing, in parallel ---------------------------------------------------- */

static enum q2s_err
sharer_open(void *opaque, void **worker, struct q2s_diag *diag)
{
	const struct sharing *sharing = opaque;
	const struct q2s_geom *geom = &sharing->plain->geom;
	const uint32_t count = batch_clusters(geom);
	struct sharer *sharer = calloc(1, sizeof(*sharer));

	*worker = sharer;
	if (!sharer)
		return q2si_fail_nomem(diag, "cluster buffer");
	sharer->data = q2si_pages((size_t)count << geom->cluster_bits);
	sharer->hashes = calloc(count, sizeof(*sharer->hashes));
	if (!sharer->data || !sharer->hashes)
		return q2si_fail_nomem(diag, "cluster buffer");
	return q2s_cursor_open(sharing->disk, &sharer->cursor, diag);
}

static void
sharer_close(void *worker)
{
	struct sharer *sharer = worker;

	if (!sharer)
		return;
	q2s_cursor_close(sharer->cursor);
	free(sharer->data);
	free(sharer->hashes);
	free(sharer);
}

static size_t
sharer_memory(const void *opaque)
{
	const struct sharing *sharing = opaque;
	const struct q2s_geom *geom = &sharing->plain->geom;

	return ((size_t)batch_clusters(geom) << geom->cluster_bits) +
	       q2si_cursor_memory(sharing->disk);
}

/* Load the next run; false at the end. */
static bool
next_run(struct sharing *sharing)
{
	while (sharing->rank < sharing->plain->table_count) {
		if (!sharing->walking)
			q2si_slot_walk_start(&sharing->walk, sharing->plain, sharing->rank);
		sharing->walking = q2si_slot_walk_next(&sharing->walk, &sharing->run);
		if (sharing->walking)
			return true;
		sharing->rank++;
	}
	return false;
}

static enum q2s_err
sharer_take(void *opaque, void *worker, bool *more, struct q2s_diag *diag)
{
	struct sharing *sharing = opaque;
	struct sharer *sharer = worker;

	(void)diag;
	*more = sharing->run.count > 0 || next_run(sharing);
	if (!*more)
		return Q2S_OK;
	sharer->slot = sharing->run.slot;
	sharer->first = sharing->walk.first + sharing->run.entry;
	sharer->count = sharing->run.count;
	if (sharer->slot.alloc) /* the others cost nothing, however many they are */
		sharer->count = (uint32_t)q2si_min(sharer->count,
						   batch_clusters(&sharing->plain->geom));
	sharing->run.entry += sharer->count;
	sharing->run.count -= sharer->count;
	return Q2S_OK;
}

static enum q2s_err
sharer_work(void *opaque, void *worker, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &((const struct sharing *)opaque)->plain->geom;
	struct sharer *sharer = worker;
	const uint64_t bitmaps = (uint64_t)sharer->slot.zero << 32 | sharer->slot.alloc;
	const q2s_guest guest = { sharer->first << geom->cluster_bits };

	if (!sharer->slot.alloc)
		return Q2S_OK;
	Q2SI_TRY(q2s_cursor_read(sharer->cursor, guest, sharer->data,
				 (size_t)sharer->count << geom->cluster_bits, diag));
	for (uint32_t i = 0; i < sharer->count; i++)
		sharer->hashes[i] = q2si_hash(sharer->data + ((size_t)i << geom->cluster_bits),
					      geom->cluster_size, bitmaps);
	return Q2S_OK;
}

/* ---- deciding, in order ------------------------------------------------------------------ */

static enum q2s_err
is_same(struct sharing *sharing, const struct q2si_candidate *candidate, const uint8_t *data,
	const struct q2s_slot *slot, bool *same, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &sharing->plain->geom;
	const q2s_guest guest = { candidate->cluster << geom->cluster_bits };

	*same = false;
	if (candidate->alloc != slot->alloc || candidate->zero != slot->zero)
		return Q2S_OK;
	Q2SI_TRY(q2s_cursor_read(sharing->cursor, guest, sharing->cluster, geom->cluster_size,
				 diag));
	*same = memcmp(sharing->cluster, data, geom->cluster_size) == 0;
	return Q2S_OK;
}

static enum q2s_err
add_full(struct sharing *sharing, const struct q2si_candidate *candidate, struct q2s_diag *diag)
{
	struct q2si_owners *full = &sharing->full;

	if (full->count == sharing->full_room) {
		const size_t room = q2si_max(2 * sharing->full_room, 64);
		struct q2si_owner *list = reallocarray(full->list, room, sizeof(*list));

		if (!list)
			return q2si_fail_nomem(diag, "list of shared clusters");
		full->list = list;
		sharing->full_room = room;
	}
	full->list[full->count++] = (struct q2si_owner){ .cluster = candidate->cluster,
							 .sharers = candidate->sharers };
	return Q2S_OK;
}

/* @cluster is the same as @candidate: it shares that, or takes its place when that is full. */
static enum q2s_err
join(struct sharing *sharing, struct q2si_candidate *candidate, uint64_t cluster,
     struct q2s_slot *slot, struct q2s_diag *diag)
{
	if ((uint64_t)candidate->sharers + 2 > sharing->references_max) {
		Q2SI_TRY(add_full(sharing, candidate, diag));
		candidate->cluster = cluster;
		candidate->sharers = 0;
		return Q2S_OK;
	}
	candidate->sharers++;
	*slot = (struct q2s_slot){ .back = cluster - candidate->cluster };
	return Q2S_OK;
}

static enum q2s_err
share_one(struct sharing *sharing, uint64_t cluster, const uint8_t *data, uint64_t hash,
	  struct q2s_slot *slot, struct q2s_diag *diag)
{
	const struct q2si_candidate mine = {
		.cluster = cluster,
		.tag = (uint32_t)(hash >> 32),
		.alloc = slot->alloc,
		.zero = slot->zero,
	};
	size_t place = q2si_candidates_start(&sharing->candidates, mine.tag);
	struct q2si_candidate *other;
	int met = 0;

	while ((other = q2si_candidates_next(&sharing->candidates, mine.tag, &place))) {
		bool same;

		if (++met > SAME_TAG_MAX)
			return Q2S_OK;
		Q2SI_TRY(is_same(sharing, other, data, slot, &same, diag));
		if (same)
			return join(sharing, other, cluster, slot, diag);
	}
	return q2si_candidates_add(&sharing->candidates, &mine, diag);
}

static enum q2s_err
observe(const struct sharing *sharing, struct q2s_diag *diag)
{
	const struct q2s_observer *observer = sharing->options->observer;
	const uint32_t bits = sharing->plain->geom.cluster_bits;

	if (!observer || observer->step(observer->opaque, Q2S_PHASE_SHARE,
					sharing->out->next << bits,
					sharing->plain->geom.clusters << bits))
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_CANCELLED, "source", Q2S_NOWHERE, "stopped on request");
}

static enum q2s_err
sharer_deliver(void *opaque, void *worker, struct q2s_diag *diag)
{
	const struct q2s_slot absent = { 0 };
	struct sharing *sharing = opaque;
	const struct sharer *sharer = worker;
	const uint32_t bits = sharing->plain->geom.cluster_bits;

	Q2SI_TRY(q2s_alloc_add(sharing->out, &absent, sharer->first - sharing->out->next, diag));
	if (!sharer->slot.alloc)
		Q2SI_TRY(q2s_alloc_add(sharing->out, &sharer->slot, sharer->count, diag));
	for (uint32_t i = 0; sharer->slot.alloc && i < sharer->count; i++) {
		struct q2s_slot slot = sharer->slot;

		Q2SI_TRY(share_one(sharing, sharer->first + i, sharer->data + ((size_t)i << bits),
				   sharer->hashes[i], &slot, diag));
		Q2SI_TRY(q2s_alloc_add(sharing->out, &slot, 1, diag));
	}
	return observe(sharing, diag);
}

static const struct q2si_ordered_ops share_ops = {
	.open = sharer_open,
	.close = sharer_close,
	.take = sharer_take,
	.work = sharer_work,
	.deliver = sharer_deliver,
	.memory = sharer_memory,
};

/* ---- the whole --------------------------------------------------------------------------- */

static int
by_cluster(const void *a, const void *b)
{
	const struct q2si_owner *x = a, *y = b;

	return (x->cluster > y->cluster) - (x->cluster < y->cluster);
}

/* All that are shared, in order. The candidates are not needed any more. */
static enum q2s_err
set_owners(struct sharing *sharing, struct q2s_diag *diag)
{
	struct q2si_candidates *candidates = &sharing->candidates;
	struct q2si_owners *all = &sharing->full;

	for (uint32_t i = 0; i < candidates->count; i++) {
		if (candidates->list[i].sharers > 0)
			Q2SI_TRY(add_full(sharing, &candidates->list[i], diag));
	}
	q2si_candidates_free(candidates);
	if (all->count > 0)
		qsort(all->list, all->count, sizeof(*all->list), by_cluster);
	return q2si_alloc_set_owners(sharing->out, all, diag);
}

static enum q2s_err
check(const struct q2s_alloc *plain, uint64_t references_max, struct q2s_diag *diag)
{
	if (plain->geom.data_file)
		return q2si_fail_at(diag, Q2S_E_CONFLICT, "sharing", Q2S_NOWHERE,
				    "clusters of an external data file cannot be shared");
	if (references_max < 2)
		return q2si_fail(diag, Q2S_E_CONFLICT, "refcount_bits", Q2S_NOWHERE, 1,
				 "a refcount of one bit cannot say that a cluster is shared");
	if (plain->streams > 0 || plain->shares)
		return q2si_fail_at(diag, Q2S_E_USAGE, "sharing", Q2S_NOWHERE,
				    "it comes before compressing, and once");
	return Q2S_OK;
}

static enum q2s_err
run(struct sharing *sharing, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &sharing->plain->geom;

	sharing->cluster = q2si_pages(geom->cluster_size);
	if (!sharing->cluster)
		return q2si_fail_nomem(diag, "cluster buffer");
	Q2SI_TRY(q2s_cursor_open(sharing->disk, &sharing->cursor, diag));
	Q2SI_TRY(q2si_ordered_run(&share_ops, sharing, sharing->options->threads, diag));
	return set_owners(sharing, diag);
}

enum q2s_err
q2s_share(struct q2s_disk *disk, struct q2s_alloc *plain, const struct q2s_share_options *given,
	  struct q2s_alloc **out, struct q2s_diag *diag)
{
	struct q2s_share_options options = Q2S_SHARE_OPTIONS_INIT;
	struct sharing sharing = { .plain = plain, .disk = disk, .options = &options };
	enum q2s_err err;

	Q2SI_TRY(q2si_options_copy(&options, given, diag));
	sharing.references_max = q2si_min(plain->geom.refcount_max, Q2S_SHARERS_MAX);
	sharing.candidates.max = sharing.options->candidates ? sharing.options->candidates :
							       Q2S_CANDIDATES_MAX;
	Q2SI_TRY(q2si_alloc_finish(plain, diag));
	Q2SI_TRY(check(plain, sharing.references_max, diag));
	Q2SI_TRY(q2s_alloc_new(&plain->geom, &sharing.out, diag));
	err = run(&sharing, diag);
	q2s_cursor_close(sharing.cursor);
	q2si_candidates_free(&sharing.candidates);
	free(sharing.full.list);
	free(sharing.cluster);
	if (err != Q2S_OK) {
		q2s_alloc_free(sharing.out);
		return err;
	}
	*out = sharing.out;
	return Q2S_OK;
}
