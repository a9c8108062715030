/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Giving space back to the host: holes for what nobody uses, or a shorter file. Both believe the
 * refcounts, so an image in which the check finds anything wrong is refused. What has leaked is
 * freed.
 */
#include "edit/compact.h"

#include <stdlib.h>
#include <string.h>

#include <q2s/check.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/search.h"

/* Rounds end when one of them wins nothing; this is for an image that defies that. */
#define ROUNDS_MAX 64u

/* ---- the check ------------------------------------------------------------------------------ */

#define LEAKS_MAX (1u << 18)

/* A cluster with a count above its references; @compressed: those are of compressed clusters. */
struct leak {
	uint64_t host, expected;
	bool compressed;
};

struct leaks {
	struct leak *list; /* by host */
	size_t count, room;
	bool nomem;
};

static void
on_finding(void *opaque, const struct q2s_finding *finding)
{
	struct leaks *leaks = opaque;

	if (finding->severity != Q2S_SEVERITY_LEAK || !finding->has_values ||
	    leaks->count == LEAKS_MAX)
		return;
	if (leaks->count == leaks->room) {
		const size_t room = leaks->room ? 2 * leaks->room : 64;
		struct leak *more = realloc(leaks->list, room * sizeof(*more));

		leaks->nomem = leaks->nomem || !more;
		if (!more)
			return;
		leaks->list = more;
		leaks->room = room;
	}
	leaks->list[leaks->count++] = (struct leak){ finding->host.v, finding->expected, false };
}

static int
by_host(const void *a, const void *b)
{
	const struct leak *x = a, *y = b;

	return (x->host > y->host) - (x->host < y->host);
}

/* With the lock; the image is as the store has it. */
static enum q2s_err
check(struct q2s_edit *edit, struct leaks *leaks, const struct q2s_observer *observer,
      struct q2s_diag *diag)
{
	const struct q2s_check_options options = { .size = sizeof(options), .finding = on_finding,
						   .opaque = leaks,
						   .observer = observer };
	struct q2s_check_result result = { 0 };
	struct q2s_image *image;
	enum q2s_err err;

	Q2SI_TRY(q2si_flush(edit, diag));
	Q2SI_TRY(q2s_image_open(q2si_meta(edit)->store, Q2S_IMAGE_DAMAGED, &image, diag));
	err = q2s_check(image, &options, &result, diag);
	q2s_image_close(image);
	Q2SI_TRY(err);
	if (leaks->nomem)
		return q2si_fail_nomem(diag, "list of leaks");
	if (result.corruptions + result.check_errors > 0)
		return q2si_fail(diag, Q2S_E_REFCOUNT, "check", Q2S_NOWHERE,
				 result.corruptions + result.check_errors,
				 "finds something wrong: the image has to be repaired first");
	return Q2S_OK;
}

/* The L1 tables of the image: the active one comes first. */
static enum q2s_err
roots_find(struct q2s_edit *edit, struct q2si_root **out, size_t *count, struct q2s_diag *diag)
{
	struct q2s_snapshots all = { 0 };
	struct q2si_root *roots;
	struct q2s_image *image;
	enum q2s_err err;

	*out = NULL;
	*count = 0;
	Q2SI_TRY(q2s_image_open(q2si_meta(edit)->store, 0, &image, diag));
	err = q2s_image_snapshots(image, &all, diag);
	q2s_image_close(image);
	Q2SI_TRY(err);
	roots = calloc(all.count + 1, sizeof(*roots));
	if (roots) {
		roots[0].at = edit->header.l1_table_offset.v;
		roots[0].entries = edit->header.l1_size;
		for (uint32_t i = 0; i < all.count; i++) {
			roots[i + 1].at = all.list[i].l1_offset.v;
			roots[i + 1].entries = all.list[i].l1_entries;
		}
		*count = all.count + 1;
	}
	q2s_snapshots_free(&all);
	*out = roots;
	return roots ? Q2S_OK : q2si_fail_nomem(diag, "compact");
}

/* Which leaks are of compressed clusters? */
static void
leaks_mark(const struct q2s_edit *edit, const struct q2s_l2_entry *entry, struct leaks *leaks)
{
	const struct q2s_comp_range range = q2s_comp_sectors(entry->comp_at, entry->comp_bytes);
	const uint64_t start = q2si_round_down(range.first.v, edit->geom.cluster_size);
	size_t i = Q2SI_COUNT_FIRST(k, leaks->count, leaks->list[k].host < start);

	for (; i < leaks->count && leaks->list[i].host < range.first.v + range.bytes; i++)
		leaks->list[i].compressed = true;
}

static enum q2s_err
table_look(struct q2s_edit *edit, uint64_t table, struct leaks *leaks, struct q2s_diag *diag)
{
	const uint64_t end = table + edit->geom.cluster_size;

	for (uint64_t at = table; at < end;) {
		struct q2s_l2_entry entry;
		struct q2si_slice *slice;
		enum q2s_err err = Q2S_OK;

		Q2SI_TRY(q2si_cache_get(&edit->cache, at, Q2SI_SLICE_L2, &slice, diag));
		do {
			err = q2s_l2_decode_lenient(&edit->geom,
						    q2si_slice_at(&edit->cache, slice, at),
						    (q2s_host){ at }, &entry, diag);
			if (err == Q2S_OK && entry.compressed)
				leaks_mark(edit, &entry, leaks);
			at += edit->geom.l2_entry_size;
		} while (err == Q2S_OK && (at & (edit->cache.slice_size - 1)) != 0);
		q2si_cache_put(slice);
		Q2SI_TRY(err);
	}
	return Q2S_OK;
}

static enum q2s_err
leaks_look(struct q2s_edit *edit, struct leaks *leaks, struct q2s_diag *diag)
{
	struct q2si_root *roots;
	enum q2s_err err = Q2S_OK;
	size_t count;

	Q2SI_TRY(roots_find(edit, &roots, &count, diag));
	for (size_t r = 0; r < count && err == Q2S_OK; r++) {
		for (uint64_t i = 0; i < roots[r].entries && err == Q2S_OK; i++) {
			uint64_t table;

			err = q2si_l1_table(edit, roots[r].at + i * Q2S_L1_ENTRY_SIZE, &table, diag);
			if (err == Q2S_OK && table)
				err = table_look(edit, table, leaks, diag);
		}
	}
	free(roots);
	return err;
}

/*
 * Nothing refers to what is given back, so nothing has to be durable before. A plain cluster whose
 * count falls to 1 would need COPIED in its entry, at the same moment; such a leak stays.
 */
static enum q2s_err
leaks_free(struct q2s_edit *edit, struct leaks *leaks, struct q2s_diag *diag)
{
	bool referenced = false;

	for (size_t i = 0; i < leaks->count; i++)
		referenced = referenced || leaks->list[i].expected > 0;
	if (leaks->count > 1)
		qsort(leaks->list, leaks->count, sizeof(*leaks->list), by_host);
	if (referenced)
		Q2SI_TRY(leaks_look(edit, leaks, diag));
	for (size_t i = 0; i < leaks->count; i++) {
		const struct leak *leak = &leaks->list[i];

		if (leak->expected != 1 || leak->compressed)
			Q2SI_TRY(q2si_refcount_set(edit, leak->host >> edit->geom.cluster_bits,
						   leak->expected, diag));
	}
	return q2si_flush(edit, diag);
}

static enum q2s_err
begin(struct q2s_edit *edit, const struct q2s_observer *observer, struct q2s_diag *diag)
{
	struct leaks leaks = { 0 };
	enum q2s_err err;

	while (q2si_active_conflicts(edit, 0, UINT64_MAX, true))
		q2si_active_wait(edit);
	err = q2si_change_begin(edit, diag);
	if (err == Q2S_OK)
		err = check(edit, &leaks, observer, diag);
	if (err == Q2S_OK)
		err = leaks_free(edit, &leaks, diag);
	free(leaks.list);
	return err;
}

/* ---- holes ---------------------------------------------------------------------------------- */

/* File systems give back whole blocks, which are hardly ever smaller. */
#define HOLE_UNIT 4096u

/* Punch what is no hole of [@at, @end); a hole that cannot be punched is none. */
static enum q2s_err
punch(struct q2si_sync *sync, uint64_t at, uint64_t end, uint64_t *won, struct q2s_diag *diag)
{
	at = q2si_round_up(at, HOLE_UNIT);
	end = q2si_round_down(q2si_min(end, q2s_store_size(sync->store)), HOLE_UNIT);
	while (at < end) {
		struct q2s_stretch stretch;
		uint64_t n;

		Q2SI_TRY(q2s_store_stretch(sync->store, at, &stretch, diag));
		n = q2si_min(stretch.len, end - at);
		if (!stretch.hole && q2s_store_discard(sync->store, at, n, NULL) == Q2S_OK) {
			q2si_wrote(sync);
			*won += n;
		}
		at += n;
	}
	return Q2S_OK;
}

static enum q2s_err
free_punch(struct q2s_edit *edit, uint64_t *won, struct q2s_diag *diag)
{
	const uint32_t bits = edit->geom.cluster_bits;
	const uint64_t end = edit->file_end >> bits;
	uint64_t run = 0; /* where free clusters began */

	for (uint64_t cluster = 0; cluster < end; cluster++) {
		uint64_t count;

		Q2SI_TRY(q2si_refcount_get(edit, cluster, &count, diag));
		if (count == 0)
			continue;
		if (run < cluster)
			Q2SI_TRY(punch(q2si_meta(edit), run << bits, cluster << bits, won, diag));
		run = cluster + 1;
	}
	return run < end ? punch(q2si_meta(edit), run << bits, end << bits, won, diag) : Q2S_OK;
}

/* Where the bytes of a guest cluster are, as far as they are its alone; false: nowhere. */
static bool
own_host(const struct q2s_edit *edit, uint64_t cluster, const struct q2si_mapping *mapping,
	 uint64_t *host)
{
	const struct q2s_l2_entry *entry = &mapping->entry;

	if (q2si_has_data_file(edit)) {
		*host = cluster << edit->geom.cluster_bits;
		return !edit->raw_data;
	}
	*host = entry->host.v;
	return mapping->own && entry->has_host && entry->copied && !entry->compressed;
}

static enum q2s_err
cluster_punch(struct q2s_edit *edit, uint64_t cluster, uint64_t *won, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &edit->geom;
	struct q2si_mapping mapping;
	uint32_t unused;
	uint64_t host;

	Q2SI_TRY(q2si_mapping_get(edit, cluster, &mapping, diag));
	if (!own_host(edit, cluster, &mapping, &host))
		return Q2S_OK;
	unused = ~mapping.entry.alloc & geom->sub_mask;
	while (unused) {
		const uint32_t first = (uint32_t)__builtin_ctz(unused);
		uint32_t last = first;

		while (last < geom->sub_count && unused >> last & 1)
			unused &= ~(1u << last++);
		Q2SI_TRY(punch(edit->data, host + ((uint64_t)first << geom->sub_bits),
			       host + ((uint64_t)last << geom->sub_bits), won, diag));
	}
	return Q2S_OK;
}

enum q2s_err
q2s_edit_punch(struct q2s_edit *edit, const struct q2s_observer *observer, uint64_t *won,
	       struct q2s_diag *diag)
{
	enum q2s_err err;

	*won = 0;
	pthread_mutex_lock(&edit->lock);
	err = begin(edit, observer, diag);
	if (err == Q2S_OK)
		err = free_punch(edit, won, diag);
	for (uint64_t cluster = 0; cluster < edit->geom.clusters && err == Q2S_OK; cluster++)
		err = cluster_punch(edit, cluster, won, diag);
	if (err == Q2S_OK)
		err = q2si_flush(edit, diag);
	pthread_mutex_unlock(&edit->lock);
	return err;
}

/* ---- moving --------------------------------------------------------------------------------- */

static enum q2s_err
round_begin(struct q2si_round *round, uint64_t limit, uint64_t high, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;

	round->limit = limit;
	round->room = 1024;
	while (round->room < 2 * (size_t)Q2SI_MOVES_MAX && round->room < 4 * high)
		round->room *= 2;
	round->moves = calloc(round->room, sizeof(*round->moves));
	Q2SI_TRY(q2si_worker_take(edit, &round->worker, diag));
	if (!round->worker->bounce)
		round->worker->bounce = malloc(Q2SI_BOUNCE);
	if (!round->moves || !round->worker->bounce)
		return q2si_fail_nomem(diag, "compact");
	return roots_find(edit, &round->roots, &round->root_count, diag);
}

static void
round_end(struct q2si_round *round)
{
	if (round->worker)
		q2si_worker_give(round->edit, round->worker);
	free(round->roots);
	free(round->moves);
	free(round->later.list);
}

/* What was moved is durable: the old clusters go, and so do those that were freed by that. */
static enum q2s_err
round_settle(struct q2si_round *round, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;

	Q2SI_TRY(q2si_flush(edit, diag));
	for (size_t i = 0; i < round->later.count; i++)
		(void)q2si_freed_add(edit, round->later.list[i], NULL); /* without memory: leaked */
	round->later.count = 0;
	Q2SI_TRY(q2si_flush(edit, diag));
	return q2si_flush(edit, diag);
}

typedef enum q2s_err move_fn(struct q2si_round *round, struct q2s_diag *diag);

/* What must lie together first, as long as there are runs that are long enough. */
static move_fn *const all_moves[] = {
	q2si_reftable_move, q2si_l1_move, q2si_snapshots_move, q2si_bitmaps_move,
	q2si_data_move,     q2si_l2_move, q2si_blocks_move,     NULL,
};
/* Out of a window; what else may lie there is not chosen. */
static move_fn *const window_moves[] = { q2si_data_move, q2si_l2_move, q2si_blocks_move, NULL };

static enum q2s_err
all_move(struct q2si_round *round, move_fn *const *moves, struct q2s_diag *diag)
{
	for (; *moves; moves++) {
		Q2SI_TRY((*moves)(round, diag));
		Q2SI_TRY(round_settle(round, diag));
		round->low = 0;
		round->count = 0;
		memset(round->moves, 0, round->room * sizeof(*round->moves));
	}
	return Q2S_OK;
}

/* Clusters of the file up to the last one in use. */
static uint64_t
file_clusters(struct q2s_edit *edit)
{
	return q2si_div_up(q2s_store_size(q2si_meta(edit)->store), edit->geom.cluster_size);
}

/* *@wanted: clusters for a table that found no room among the free ones, which are too scattered; or 0. */
static enum q2s_err
round_run(struct q2s_edit *edit, uint64_t limit, uint64_t *moved, uint64_t *wanted,
	  struct q2s_diag *diag)
{
	struct q2si_round round = { .edit = edit };
	enum q2s_err err = round_begin(&round, limit, file_clusters(edit) - limit, diag);

	/* Free clusters are looked for from the start of the file; what is freed is for nobody now. */
	edit->pool_count = 0;
	edit->next = 0;
	if (err == Q2S_OK)
		err = all_move(&round, all_moves, diag);
	*moved = round.moved;
	*wanted = round.wanted;
	round_end(&round);
	return err;
}

/* Clear a run of @wanted clusters below @limit; *@moved is 0 when that cannot be. */
static enum q2s_err
window_run(struct q2s_edit *edit, uint64_t limit, uint64_t wanted, uint64_t *moved,
	   struct q2s_diag *diag)
{
	struct q2si_round round = { .edit = edit, .wanted = wanted };
	enum q2s_err err = round_begin(&round, limit, wanted, diag);
	bool chosen = false;

	if (err == Q2S_OK)
		err = q2si_window_choose(&round, &chosen, diag);
	edit->pool_count = 0;
	edit->next = 0;
	if (err == Q2S_OK && chosen)
		err = all_move(&round, window_moves, diag);
	*moved = round.moved;
	round_end(&round);
	return err;
}

static enum q2s_err
step(const struct q2s_observer *observer, uint64_t done, uint64_t total, struct q2s_diag *diag)
{
	if (!observer || observer->step(observer->opaque, Q2S_PHASE_WRITE, done, total))
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_CANCELLED, "compact", Q2S_NOWHERE, "stopped");
}

/* The file ends behind its last cluster in use, and nothing describes clusters behind @end. */
static enum q2s_err
end_cut(struct q2s_edit *edit, uint64_t end, struct q2s_diag *diag)
{
	Q2SI_TRY(q2si_blocks_drop(edit, end, diag));
	return q2si_trim_end(edit, diag);
}

static enum q2s_err
shrink(struct q2s_edit *edit, const struct q2s_observer *observer, struct q2s_diag *diag)
{
	uint64_t moved = 1, wanted, used, first = 0;

	for (unsigned i = 0; i < ROUNDS_MAX; i++) {
		Q2SI_TRY(q2si_used_count(edit, &used, diag));
		Q2SI_TRY(end_cut(edit, used, diag));
		Q2SI_TRY(q2si_used_count(edit, &used, diag));
		if (file_clusters(edit) <= used || moved == 0)
			break;
		first = first ? first : file_clusters(edit) - used;
		Q2SI_TRY(step(observer, first - q2si_min(first, file_clusters(edit) - used), first,
			      diag));
		Q2SI_TRY(round_run(edit, used, &moved, &wanted, diag));
		if (moved == 0 && wanted > 0)
			Q2SI_TRY(window_run(edit, used, wanted, &moved, diag));
	}
	/* Only now, as nothing can be moved to where there is no refcount block. */
	return end_cut(edit, 0, diag);
}

enum q2s_err
q2s_edit_shrink(struct q2s_edit *edit, const struct q2s_observer *observer, struct q2s_diag *diag)
{
	enum q2s_err err;

	pthread_mutex_lock(&edit->lock);
	err = begin(edit, observer, diag);
	if (err == Q2S_OK)
		err = shrink(edit, observer, diag);
	pthread_mutex_unlock(&edit->lock);
	return err;
}
