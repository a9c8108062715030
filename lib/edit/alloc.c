/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Free host clusters: those freed lately first, then the first ones from where the last search
 * ended. A cluster is free when its count is 0; one that was freed keeps its count until it may be
 * reused.
 */
#include "edit/edit.h"

#include "base/arith.h"
#include "base/diag.h"

/* The run at @cluster, @count long, becomes ours; the cluster's count is 0. */
static void
run_make(struct q2s_edit *edit, uint64_t cluster, uint64_t count, struct q2si_run *out)
{
	const uint32_t bits = edit->geom.cluster_bits;

	*out = (struct q2si_run){ .host = cluster << bits,
				  .clusters = count,
				  .fresh = cluster << bits >= edit->file_end };
	edit->file_end = q2si_max(edit->file_end, (cluster + count) << bits);
}

/* Bounded by the end of the slice with the counts, and by where clusters start to be fresh. */
static uint64_t
most_at(const struct q2s_edit *edit, uint64_t cluster, uint64_t want)
{
	const uint64_t counts = (uint64_t)edit->cache.slice_size * 8 >> edit->geom.refcount_order;
	const uint64_t old_end = edit->file_end >> edit->geom.cluster_bits;

	want = q2si_min(want, counts - (cluster & (counts - 1)));
	return cluster < old_end ? q2si_min(want, old_end - cluster) : want;
}

/*
 * Take what is free at @from, in the slice of its count: the first free run there, up to @want.
 * *@cluster says where the search goes on, or where the run is, with *@count not 0.
 */
static enum q2s_err
slice_search(struct q2s_edit *edit, uint64_t from, uint64_t want, uint64_t *cluster,
	     uint64_t *count, struct q2s_diag *diag)
{
	const uint64_t counts = (uint64_t)edit->cache.slice_size * 8 >> edit->geom.refcount_order;
	const uint32_t first = (uint32_t)(from & (counts - 1));
	struct q2si_slice *slice;
	uint32_t i = first, n = 0, most;

	*count = 0;
	Q2SI_TRY(q2si_refcount_slice(edit, from, &slice, diag));
	if (!slice) {
		Q2SI_TRY(q2si_refcount_block_make(edit, from, diag));
		*cluster = from + 1;
		return Q2S_OK;
	}
	while (i < counts && q2s_refcount_get(&edit->geom, slice->data, i) != 0)
		i++;
	*cluster = from + (i - first);
	most = i < counts ? (uint32_t)most_at(edit, *cluster, want) : 0;
	while (n < most && q2s_refcount_get(&edit->geom, slice->data, i + n) == 0)
		n++;
	*count = n;
	q2si_cache_put(slice);
	return Q2S_OK;
}

static enum q2s_err
run_take(struct q2s_edit *edit, uint64_t cluster, uint64_t count, struct q2si_run *out,
	 struct q2s_diag *diag)
{
	const uint32_t bits = edit->geom.cluster_bits;

	enum q2s_err err;

	Q2SI_TRY(q2si_overlap_check(edit, cluster << bits, count << bits, "free cluster", diag));
	err = q2si_refcount_fill(edit, cluster, count, 1, diag);
	if (err != Q2S_OK) {
		(void)q2si_refcount_fill(edit, cluster, count, 0, NULL);
		return err;
	}
	run_make(edit, cluster, count, out);
	return Q2S_OK;
}

/* What the pool holds is usually still free; the search may have come by before. */
static enum q2s_err
pool_take(struct q2s_edit *edit, uint64_t want, struct q2si_run *out, struct q2s_diag *diag)
{
	while (edit->pool_count > 0) {
		struct q2si_span *span = &edit->pool[edit->pool_count - 1];
		uint64_t count, n = 0;

		while (n < want && span->start + n < span->end &&
		       span->start + n < edit->file_end >> edit->geom.cluster_bits) {
			Q2SI_TRY(q2si_refcount_get(edit, span->start + n, &count, diag));
			if (count != 0)
				break;
			n++;
		}
		if (n > 0) {
			const uint64_t start = span->start;

			span->start += n;
			if (span->start == span->end)
				edit->pool_count--;
			return run_take(edit, start, n, out, diag);
		}
		if (++span->start >= span->end)
			edit->pool_count--;
	}
	return Q2S_OK;
}

enum q2s_err
q2si_alloc(struct q2s_edit *edit, uint64_t want, struct q2si_run *out, struct q2s_diag *diag)
{
	*out = (struct q2si_run){ 0 };
	Q2SI_TRY(pool_take(edit, want, out, diag));
	while (out->clusters == 0) {
		uint64_t cluster, count;

		if (edit->next >= q2si_refcount_covers(edit)) {
			edit->need_grow = true;
			return q2si_fail(diag, Q2S_E_LIMIT, "refcount table",
					 edit->header.refcount_table_offset, edit->next,
					 "has no room for more clusters");
		}
		Q2SI_TRY(slice_search(edit, edit->next, want, &cluster, &count, diag));
		if (count > 0)
			Q2SI_TRY(run_take(edit, cluster, count, out, diag));
		edit->next = cluster + count;
	}
	return Q2S_OK;
}

void
q2si_alloc_offer(struct q2s_edit *edit, uint64_t host, uint64_t clusters)
{
	const uint64_t start = host >> edit->geom.cluster_bits, end = start + clusters;

	for (size_t i = edit->pool_count; i-- > 0 && i + 4 > edit->pool_count;) {
		struct q2si_span *span = &edit->pool[i];

		if (span->end == start) {
			span->end = end;
			return;
		}
		if (span->start == end) {
			span->start = start;
			return;
		}
	}
	if (edit->pool_count < Q2SI_POOL)
		edit->pool[edit->pool_count++] = (struct q2si_span){ start, end };
	else
		edit->next = q2si_min(edit->next, start);
}

void
q2si_alloc_undo(struct q2s_edit *edit, uint64_t host, uint64_t clusters)
{
	if (q2si_refcount_fill(edit, host >> edit->geom.cluster_bits, clusters, 0, NULL) == Q2S_OK)
		q2si_alloc_offer(edit, host, clusters); /* else leaked */
}

enum q2s_err
q2si_table_reserve(struct q2s_edit *edit, uint64_t host, struct q2s_diag *diag)
{
	const enum q2s_err err =
		q2s_store_zero(q2si_meta(edit)->store, host, edit->geom.cluster_size, diag);

	q2si_wrote(q2si_meta(edit));
	return err;
}

enum q2s_err
q2si_alloc_table(struct q2s_edit *edit, uint64_t *host, struct q2s_diag *diag)
{
	const uint64_t size = edit->geom.cluster_size;
	struct q2si_run run;
	enum q2s_err err = Q2S_OK;

	Q2SI_TRY(q2si_alloc(edit, 1, &run, diag));
	q2si_cache_forget(&edit->cache, run.host, size);
	if (run.fresh || Q2SI_KEEPS(Q2SI_ZERO_NEW_TABLES))
		err = q2si_table_reserve(edit, run.host, diag);
	if (err == Q2S_OK)
		err = q2si_overlap_add(edit, run.host, size, diag);
	if (err != Q2S_OK) {
		q2si_alloc_undo(edit, run.host, 1);
		return err;
	}
	*host = run.host;
	return Q2S_OK;
}
