/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moving the tables down. Each is copied, with all that waits in the cache for it; what refers to
 * it changes when the copy is durable: entries by the order in which a flush writes slices, fields
 * of the header by one write of its first sector.
 */
#include "edit/bitmap.h"
#include "edit/compact.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "format/header.h"

/* Copy [@from, @from + @len) of tables of one kind, through the cache. */
static enum q2s_err
slices_copy(struct q2s_edit *edit, enum q2si_slice_kind kind, uint64_t from, uint64_t to,
	    uint64_t len, struct q2s_diag *diag)
{
	for (uint64_t done = 0; done < len; done += edit->cache.slice_size) {
		struct q2si_slice *old, *new;
		enum q2s_err err;

		Q2SI_TRY(q2si_cache_get(&edit->cache, from + done, kind, &old, diag));
		err = q2si_cache_new(&edit->cache, to + done, kind, &new, diag);
		if (err == Q2S_OK) {
			err = q2si_cache_change(&edit->cache, new, to + done,
						edit->cache.slice_size, diag);
			if (err == Q2S_OK)
				memcpy(new->data, old->data, edit->cache.slice_size);
			q2si_cache_put(new);
		}
		q2si_cache_put(old);
		Q2SI_TRY(err);
	}
	return Q2S_OK;
}

/* ---- L2 tables ------------------------------------------------------------------------------ */

static enum q2s_err
l2_table_move(struct q2si_round *round, uint64_t table, uint64_t *out, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const uint64_t size = edit->geom.cluster_size;
	uint64_t count;

	*out = q2si_moved_to(round, table);
	if (*out || q2si_is_full(round))
		return Q2S_OK;
	Q2SI_TRY(q2si_refcount_get(edit, table >> edit->geom.cluster_bits, &count, diag));
	Q2SI_TRY(q2si_low_alloc(round, 1, count, out, diag));
	if (*out == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_overlap_add(edit, *out, size, diag));
	Q2SI_TRY(slices_copy(edit, Q2SI_SLICE_L2, table, *out, size, diag));
	q2si_moved_note(round, table, *out);
	return q2si_round_drop(round, table, size, count, Q2SI_FREED_TABLE, diag);
}

static enum q2s_err
l1_entry_move(struct q2si_round *round, uint64_t at, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	struct q2si_slice *slice;
	uint64_t table, to;
	uint8_t *raw;
	enum q2s_err err;

	Q2SI_TRY(q2si_l1_table(edit, at, &table, diag));
	if (!table || !q2si_is_high(round, table))
		return Q2S_OK;
	Q2SI_TRY(l2_table_move(round, table, &to, diag));
	if (to == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_cache_get(&edit->cache, at, Q2SI_SLICE_L1, &slice, diag));
	raw = q2si_slice_at(&edit->cache, slice, at);
	err = q2si_cache_change(&edit->cache, slice, at, Q2S_L1_ENTRY_SIZE, diag);
	if (err == Q2S_OK)
		q2si_put_be64(raw, (q2si_get_be64(raw) & Q2S_ENTRY_COPIED) | to);
	q2si_cache_put(slice);
	return err;
}

enum q2s_err
q2si_l2_move(struct q2si_round *round, struct q2s_diag *diag)
{
	for (size_t r = 0; r < round->root_count; r++) {
		for (uint64_t i = 0; i < round->roots[r].entries; i++) {
			Q2SI_TRY(l1_entry_move(round, round->roots[r].at + i * Q2S_L1_ENTRY_SIZE,
					       diag));
			Q2SI_TRY(q2si_flush_if_full(round->edit, diag));
		}
	}
	return Q2S_OK;
}

/* ---- refcount blocks ------------------------------------------------------------------------ */

static enum q2s_err
block_move(struct q2si_round *round, uint64_t at, uint64_t host, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const uint64_t size = edit->geom.cluster_size;
	struct q2si_slice *slice;
	uint64_t to;
	enum q2s_err err;

	Q2SI_TRY(q2si_low_alloc(round, 1, 1, &to, diag));
	if (to == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_overlap_add(edit, to, size, diag));
	Q2SI_TRY(slices_copy(edit, Q2SI_SLICE_REFCOUNT, host, to, size, diag));
	Q2SI_TRY(q2si_cache_get(&edit->cache, at, Q2SI_SLICE_REFTABLE, &slice, diag));
	err = q2si_cache_change(&edit->cache, slice, at, Q2S_REFTABLE_ENTRY_SIZE, diag);
	if (err == Q2S_OK)
		err = q2s_reftable_encode(&edit->geom, (q2s_host){ to },
					  q2si_slice_at(&edit->cache, slice, at), diag);
	q2si_cache_put(slice);
	Q2SI_TRY(err);
	/* Its counts live on in the copy. */
	q2si_cache_forget(&edit->cache, host, size);
	round->moved++;
	return q2si_round_drop(round, host, size, 1, Q2SI_FREED_TABLE, diag);
}

enum q2s_err
q2si_blocks_move(struct q2si_round *round, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const uint64_t blocks = q2si_refcount_covers(edit) >> edit->geom.block_bits;

	/* What waits for the old blocks must not be written behind their copies. */
	Q2SI_TRY(q2si_flush(edit, diag));
	for (uint64_t i = 0; i < blocks; i++) {
		const uint64_t at =
			edit->header.refcount_table_offset.v + i * Q2S_REFTABLE_ENTRY_SIZE;
		struct q2si_slice *slice;
		q2s_host host;
		enum q2s_err err;

		Q2SI_TRY(q2si_cache_get(&edit->cache, at, Q2SI_SLICE_REFTABLE, &slice, diag));
		err = q2s_reftable_decode(&edit->geom, q2si_slice_at(&edit->cache, slice, at),
					  (q2s_host){ at }, &host, diag);
		q2si_cache_put(slice);
		Q2SI_TRY(err);
		if (host.v && q2si_is_high(round, host.v))
			Q2SI_TRY(block_move(round, at, host.v, diag));
		Q2SI_TRY(q2si_flush_if_full(edit, diag));
	}
	return Q2S_OK;
}

/* ---- what is contiguous --------------------------------------------------------------------- */

/*
 * Copy the @bytes at @from, whose last cluster is high, to a run of low clusters, durably, with
 * whatever the cache holds of them; *@to is 0 when there is no such run.
 */
static enum q2s_err
run_copy(struct q2si_round *round, uint64_t from, uint64_t bytes, uint64_t *to,
	 struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const uint64_t size = edit->geom.cluster_size, clusters = q2si_div_up(bytes, size);
	Q2SI_AUTO_FREE uint8_t *buf = malloc(q2si_size(size));

	*to = 0;
	if (bytes == 0 || !q2si_is_high(round, from + bytes - 1))
		return Q2S_OK;
	if (!buf)
		return q2si_fail_nomem(diag, "table");
	Q2SI_TRY(q2si_flush(edit, diag));
	Q2SI_TRY(q2si_low_alloc(round, clusters, 1, to, diag));
	if (*to == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_overlap_add(edit, *to, clusters * size, diag));
	for (uint64_t done = 0; done < bytes; done += size) {
		memset(buf, 0, size);
		Q2SI_TRY(q2si_plain_read(edit, from + done, buf, q2si_min(size, bytes - done),
					 diag));
		Q2SI_TRY(q2si_plain_write(edit, *to + done, buf, size, diag));
	}
	round->moved += clusters;
	return q2si_flush(edit, diag);
}

/* The old place is free from the next flush on: the header no longer refers to it. */
static enum q2s_err
run_free(struct q2si_round *round, uint64_t from, uint64_t bytes, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const uint64_t len = q2si_round_up(bytes, edit->geom.cluster_size);

	q2si_cache_forget(&edit->cache, from, len);
	return q2si_freed_add(edit, (struct q2si_freed){ Q2SI_FREED_TABLE, from, len, 0 }, diag);
}

/* One write of the first sector; after a failure it may be the old one or the new one: stop. */
static enum q2s_err
header_point(struct q2s_edit *edit, unsigned field, uint64_t at, struct q2s_diag *diag)
{
	struct q2s_diag why = { 0 };
	enum q2s_err err = q2si_header_set_offset(edit, field, at, &why);

	if (err == Q2S_OK)
		err = q2si_barrier(edit, q2si_meta(edit), &why);
	if (err == Q2S_OK)
		return Q2S_OK;
	if (diag && diag->err == Q2S_OK)
		*diag = why;
	return q2si_stop(edit, err, &why);
}

enum q2s_err
q2si_l1_move(struct q2si_round *round, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const uint64_t from = edit->header.l1_table_offset.v;
	const uint64_t bytes = (uint64_t)edit->header.l1_size * Q2S_L1_ENTRY_SIZE;
	uint64_t to;

	Q2SI_TRY(run_copy(round, from, bytes, &to, diag));
	if (to == 0)
		return Q2S_OK;
	Q2SI_TRY(header_point(edit, AT_L1_TABLE_OFFSET, to, diag));
	edit->header.l1_table_offset.v = to;
	round->roots[0].at = to;
	return run_free(round, from, bytes, diag);
}

enum q2s_err
q2si_reftable_move(struct q2si_round *round, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const uint64_t from = edit->header.refcount_table_offset.v;
	const uint64_t bytes = (uint64_t)edit->header.refcount_table_clusters
			       << edit->geom.cluster_bits;
	uint64_t to;

	Q2SI_TRY(run_copy(round, from, bytes, &to, diag));
	if (to == 0)
		return Q2S_OK;
	Q2SI_TRY(header_point(edit, AT_REFCOUNT_TABLE_OFFSET, to, diag));
	edit->header.refcount_table_offset.v = to;
	return run_free(round, from, bytes, diag);
}

/* ---- snapshots ------------------------------------------------------------------------------ */

/* The record says where its L1 table lies in its first 8 bytes, which no sector's edge divides. */
static enum q2s_err
snapshot_l1_move(struct q2si_round *round, uint64_t record, struct q2si_root *root,
		 struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const uint64_t from = root->at, bytes = root->entries * Q2S_L1_ENTRY_SIZE;
	uint8_t raw[8];
	uint64_t to;

	Q2SI_TRY(run_copy(round, from, bytes, &to, diag));
	if (to == 0)
		return Q2S_OK;
	q2si_put_be64(raw, to);
	Q2SI_TRY(q2si_plain_write(edit, record, raw, sizeof(raw), diag));
	Q2SI_TRY(q2si_barrier(edit, q2si_meta(edit), diag));
	root->at = to;
	return run_free(round, from, bytes, diag);
}

enum q2s_err
q2si_snapshots_move(struct q2si_round *round, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const uint64_t from = edit->header.snapshots_offset.v;
	struct q2s_snapshots all = { 0 };
	struct q2s_image *image;
	uint64_t to = 0;
	enum q2s_err err;

	if (edit->header.nb_snapshots == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_flush(edit, diag));
	Q2SI_TRY(q2s_image_open(q2si_meta(edit)->store, 0, &image, diag));
	err = q2s_image_snapshots(image, &all, diag);
	q2s_image_close(image);
	for (uint32_t i = 0; i < all.count && err == Q2S_OK; i++)
		err = snapshot_l1_move(round, all.at[i].v, &round->roots[i + 1], diag);
	if (err == Q2S_OK)
		err = run_copy(round, from, all.bytes, &to, diag);
	if (err == Q2S_OK && to) {
		err = header_point(edit, AT_SNAPSHOTS_OFFSET, to, diag);
		edit->header.snapshots_offset.v = to;
		if (err == Q2S_OK)
			err = run_free(round, from, all.bytes, diag);
	}
	q2s_snapshots_free(&all);
	return err;
}
