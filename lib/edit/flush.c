/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The order of writes. A flush takes the changed slices as they are at one moment, and writes
 *
 *   refcounts (with the guest data, which were written before)      barrier
 *   entries of the refcount table, if there are new blocks          barrier
 *   L2 slices                                                       barrier
 *   L1 slices, if there are new L2 tables                           barrier
 *
 * and only then gives back what nothing durable refers to any more. A barrier with nothing written
 * before it is left out: a flush with overwritten data alone has one, one with new mappings two.
 *
 * The lock is held only while slices are copied into the buffer that is written, so guest requests
 * go on; what they change meanwhile is for the next flush.
 */
#include "edit/edit.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"

#define STAGE_BYTES 65536u /* of neighbouring slices in one write */

/* Freed ranges that wait before a flush is made for them. */
#define FREED_MAX 16384u

/* ---- barriers ------------------------------------------------------------------------------ */

/* Another thread may have seen more writes, and flushed them, meanwhile. */
static void
durable_raise(struct q2si_sync *sync, uint_fast64_t now)
{
	uint_fast64_t was = atomic_load_explicit(&sync->durable, memory_order_relaxed);

	while (was < now &&
	       !atomic_compare_exchange_weak_explicit(&sync->durable, &was, now,
						      memory_order_release, memory_order_relaxed))
		;
}

/*
 * When the flush of a store has failed nobody knows what is durable, and asking again may succeed
 * without having written anything. So nothing more is built on it.
 */
enum q2s_err
q2si_barrier(struct q2s_edit *edit, struct q2si_sync *sync, struct q2s_diag *diag)
{
	const uint_fast64_t now = atomic_load_explicit(&sync->written, memory_order_acquire);
	struct q2s_diag why = { 0 };
	enum q2s_err err;

	if (!sync->store || !q2si_is_pending(sync))
		return Q2S_OK;
	err = q2s_store_flush(sync->store, &why);
	if (err == Q2S_OK) {
		durable_raise(sync, now);
		return Q2S_OK;
	}
	if (diag && diag->err == Q2S_OK)
		*diag = why;
	atomic_store_explicit(&edit->sync_failed, true, memory_order_release);
	return err;
}

/* ---- writing slices ------------------------------------------------------------------------ */

/* The changed bytes of a frozen slice: from the first changed part to the last. */
static void
changed_range(const struct q2si_cache *cache, const struct q2si_slice *slice, uint64_t *start,
	      uint64_t *end)
{
	const uint32_t part = cache->slice_size / 8;

	*start = slice->at + (uint64_t)__builtin_ctz(slice->frozen) * part;
	*end = slice->at + (uint64_t)(32 - __builtin_clz(slice->frozen)) * part;
}

/*
 * Copy neighbouring slices from @first on; returns how many. The bytes go to host offset *@at. What
 * lies between two changed parts goes along, as one write costs less than two.
 */
static size_t
stage_fill(const struct q2si_cache *cache, const struct q2si_frozen *frozen, size_t first,
	   size_t limit, uint8_t *stage, uint64_t *at, size_t *len)
{
	uint64_t start, end, next_start, next_end;
	size_t i = first;

	changed_range(cache, frozen->list[i], at, &end);
	start = *at;
	for (;;) {
		const struct q2si_slice *slice = frozen->list[i];

		memcpy(stage + (start - *at), q2si_slice_frozen(slice) + (start - slice->at),
		       end - start);
		if (++i == limit || frozen->list[i]->at != slice->at + cache->slice_size ||
		    end != slice->at + cache->slice_size)
			break;
		changed_range(cache, frozen->list[i], &next_start, &next_end);
		if (next_start != end || next_end - *at > STAGE_BYTES)
			break;
		start = next_start;
		end = next_end;
	}
	*len = end - *at;
	return i - first;
}

/* Without the lock. */
static enum q2s_err
kind_write(struct q2s_edit *edit, const struct q2si_frozen *frozen, enum q2si_slice_kind kind,
	   uint8_t *stage, struct q2s_diag *diag)
{
	struct q2si_sync *meta = q2si_meta(edit);
	const size_t limit = frozen->start[kind + 1];
	enum q2s_err err = Q2S_OK;

	for (size_t i = frozen->start[kind]; i < limit && err == Q2S_OK;) {
		uint64_t at;
		size_t len;

		pthread_mutex_lock(&edit->lock);
		i += stage_fill(&edit->cache, frozen, i, limit, stage, &at, &len);
		pthread_mutex_unlock(&edit->lock);
		err = q2s_store_write(meta->store, at, stage, len, diag);
		q2si_wrote(meta);
	}
	return err;
}

/* Write one kind, if there is any, then have it durable before the next one. */
static enum q2s_err
step(struct q2s_edit *edit, const struct q2si_frozen *frozen, enum q2si_slice_kind kind,
     bool barrier, uint8_t *stage, struct q2s_diag *diag)
{
	if (frozen->start[kind] == frozen->start[kind + 1])
		return Q2S_OK;
	Q2SI_TRY(kind_write(edit, frozen, kind, stage, diag));
	return barrier ? q2si_barrier(edit, q2si_meta(edit), diag) : Q2S_OK;
}

/* Without the lock. */
static enum q2s_err
all_write(struct q2s_edit *edit, const struct q2si_frozen *frozen, uint8_t *stage,
	  struct q2s_diag *diag)
{
	const bool table = frozen->start[Q2SI_SLICE_REFTABLE] < frozen->start[Q2SI_SLICE_L2];

	if (Q2SI_KEEPS(Q2SI_REFCOUNTS_BEFORE_L2))
		Q2SI_TRY(step(edit, frozen, Q2SI_SLICE_REFCOUNT, false, stage, diag));
	if (q2si_has_data_file(edit) && Q2SI_KEEPS(Q2SI_DATA_FILE_BEFORE_L2))
		Q2SI_TRY(q2si_barrier(edit, edit->data, diag));
	if (Q2SI_KEEPS(Q2SI_DATA_BEFORE_L2) && (!table || Q2SI_KEEPS(Q2SI_BLOCKS_BEFORE_TABLE)))
		Q2SI_TRY(q2si_barrier(edit, q2si_meta(edit), diag));
	Q2SI_TRY(step(edit, frozen, Q2SI_SLICE_REFTABLE, Q2SI_KEEPS(Q2SI_TABLE_BEFORE_L2), stage,
		      diag));
	Q2SI_TRY(step(edit, frozen, Q2SI_SLICE_L2, Q2SI_KEEPS(Q2SI_L2_BEFORE_L1), stage, diag));
	Q2SI_TRY(step(edit, frozen, Q2SI_SLICE_L1, true, stage, diag));
	if (!Q2SI_KEEPS(Q2SI_REFCOUNTS_BEFORE_L2))
		Q2SI_TRY(step(edit, frozen, Q2SI_SLICE_REFCOUNT, true, stage, diag));
	if (!Q2SI_KEEPS(Q2SI_FLUSH_AT_END))
		return Q2S_OK;
	if (q2si_has_data_file(edit))
		Q2SI_TRY(q2si_barrier(edit, edit->data, diag));
	return q2si_barrier(edit, q2si_meta(edit), diag);
}

/* ---- one flush ----------------------------------------------------------------------------- */

/* What was freed before goes back into the list, in front of what was freed meanwhile. */
static void
freed_restore(struct q2s_edit *edit, const struct q2si_freed_list *before)
{
	struct q2si_freed_list meanwhile = edit->freed;

	edit->freed = *before;
	for (size_t i = 0; i < meanwhile.count; i++)
		(void)q2si_freed_add(edit, meanwhile.list[i], NULL); /* without memory: leaked */
	free(meanwhile.list);
}

enum q2s_err
q2si_flush_run(struct q2s_edit *edit, struct q2s_diag *diag)
{
	struct q2si_freed_list freed = edit->freed;
	struct q2si_frozen frozen;
	struct q2s_diag why = { 0 };
	uint8_t *stage;
	enum q2s_err err;

	stage = malloc(STAGE_BYTES);
	if (!stage)
		return q2si_fail_nomem(diag, "flush");
	err = q2si_cache_freeze(&edit->cache, &frozen, diag);
	if (err != Q2S_OK) {
		free(stage);
		return err;
	}
	edit->freed = (struct q2si_freed_list){ 0 };
	pthread_mutex_unlock(&edit->lock);
	err = all_write(edit, &frozen, stage, &why);
	pthread_mutex_lock(&edit->lock);
	free(stage);
	q2si_cache_thaw(&edit->cache, &frozen, err == Q2S_OK);
	if (err == Q2S_OK) {
		q2si_freed_release(edit, &freed);
		return Q2S_OK;
	}
	freed_restore(edit, &freed);
	if (atomic_load_explicit(&edit->sync_failed, memory_order_acquire))
		q2si_stop(edit, err, &why);
	if (diag && diag->err == Q2S_OK)
		*diag = why;
	return err;
}

/* ---- taking turns -------------------------------------------------------------------------- */

void
q2si_flush_turn_take(struct q2s_edit *edit)
{
	while (edit->turn)
		q2si_active_wait(edit);
	edit->turn = true;
}

void
q2si_flush_turn_give(struct q2s_edit *edit)
{
	edit->turn = false;
	if (edit->waiting > 0)
		pthread_cond_broadcast(&edit->moved);
}

/* Nothing was changed since the last flush, not even data. */
static bool
is_clean(struct q2s_edit *edit)
{
	return edit->cache.dirty == 0 && edit->freed.count == 0 && !edit->turn &&
	       !q2si_is_pending(q2si_meta(edit)) &&
	       !(q2si_has_data_file(edit) && q2si_is_pending(edit->data));
}

/*
 * All that came before a flush starts is in it. So whoever finds one running waits for the one
 * after it, together with all others who came meanwhile.
 */
enum q2s_err
q2si_flush(struct q2s_edit *edit, struct q2s_diag *diag)
{
	const uint64_t wanted = edit->started + 1;

	if (is_clean(edit))
		return Q2S_OK;
	while (edit->done < wanted && edit->turn)
		q2si_active_wait(edit);
	if (edit->done < wanted) {
		struct q2s_diag why = { 0 };

		edit->turn = true;
		edit->started++;
		edit->done_err = q2si_flush_run(edit, &why);
		edit->done_diag = why;
		edit->done = edit->started;
		q2si_flush_turn_give(edit);
	}
	/* A later one covers ours too, and what failed is still waiting to be written by it. */
	if (edit->done_err != Q2S_OK && diag && diag->err == Q2S_OK)
		*diag = edit->done_diag;
	return edit->done_err;
}

/* Slices that change when what is freed is given back; the cache grows by what it has no room for. */
static uint64_t
freed_slices(const struct q2s_edit *edit)
{
	const uint32_t counts = edit->cache.slice_size * 8 >> edit->geom.refcount_order;

	return (edit->freed.bytes >> edit->geom.cluster_bits) / counts;
}

enum q2s_err
q2si_flush_if_full(struct q2s_edit *edit, struct q2s_diag *diag)
{
	const size_t half = edit->cache.limit / 2;

	if (edit->cache.dirty < half && freed_slices(edit) < half && edit->freed.count < FREED_MAX)
		return Q2S_OK;
	return q2si_flush(edit, diag);
}
