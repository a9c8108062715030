/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moving the guest's data down. A copy gets all references of the old cluster at once, before any
 * entry changes; entries change one after the other, which a flush writes behind the copies; and
 * the old cluster loses its references when all of them are durable. So no crash finds a cluster
 * with more references than its count.
 */
#include "edit/compact.h"

#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/zero.h"

/* ---- copies --------------------------------------------------------------------------------- */

/* Zeros become a hole where that can be. */
static enum q2s_err
piece_put(struct q2s_edit *edit, uint64_t to, const uint8_t *buf, size_t len,
	  struct q2s_diag *diag)
{
	struct q2si_sync *meta = q2si_meta(edit);
	enum q2s_err err = Q2S_E_UNSUPPORTED;

	if (q2si_is_zero(buf, len) && to + len <= q2s_store_size(meta->store))
		err = q2s_store_discard(meta->store, to, len, NULL);
	if (err != Q2S_OK)
		err = q2s_store_write(meta->store, to, buf, len, diag);
	q2si_wrote(meta);
	return err;
}

/* All of a data cluster; @guest is where it is seen, for AES. */
static enum q2s_err
cluster_copy(struct q2si_round *round, uint64_t guest, uint64_t from, uint64_t to,
	     struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const size_t step = q2si_min_size(edit->geom.cluster_size, Q2SI_BOUNCE);
	uint8_t *buf = round->worker->bounce;

	for (uint64_t done = 0; done < edit->geom.cluster_size; done += step) {
		Q2SI_TRY(q2si_data_read(edit, round->worker, guest + done, from + done, buf, step,
					diag));
		if (edit->crypt)
			Q2SI_TRY(q2si_data_write(edit, round->worker, guest + done, to + done, buf,
						 step, diag));
		else
			Q2SI_TRY(piece_put(edit, to + done, buf, step, diag));
	}
	return Q2S_OK;
}

/* ---- plain clusters ------------------------------------------------------------------------- */

/* Where the cluster at @host is now, or what it was moved to before; 0: it stays. */
static enum q2s_err
plain_move(struct q2si_round *round, uint64_t guest, uint64_t host, uint64_t *out,
	   struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const uint64_t size = edit->geom.cluster_size;
	uint64_t count;

	*out = q2si_moved_to(round, host);
	if (*out || q2si_is_full(round))
		return Q2S_OK;
	Q2SI_TRY(q2si_refcount_get(edit, host >> edit->geom.cluster_bits, &count, diag));
	if (count == 0)
		return q2si_fail(diag, Q2S_E_REFCOUNT, "data cluster", (q2s_host){ host }, count,
				 "in use, and its refcount is 0");
	Q2SI_TRY(q2si_low_alloc(round, 1, count, out, diag));
	if (*out == 0)
		return Q2S_OK;
	Q2SI_TRY(cluster_copy(round, guest, host, *out, diag));
	q2si_moved_note(round, host, *out);
	return q2si_round_drop(round, host, size, count, Q2SI_FREED_REFERENCE, diag);
}

/* ---- compressed clusters -------------------------------------------------------------------- */

/*
 * Have room for @len bytes that begin at @skip in a sector; *@to is 0 when there is none. A run of
 * clusters has a count of its own while it is filled.
 */
static enum q2s_err
pack(struct q2si_round *round, uint32_t skip, uint64_t len, uint64_t *to, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const uint64_t size = edit->geom.cluster_size;
	const uint64_t at = q2si_round_up(round->packed, Q2S_SECTOR) + skip;
	const uint64_t want = q2si_div_up(skip + len, size);
	uint64_t host;

	*to = at;
	if (round->packed > 0 && at + len <= round->packed_end)
		return Q2S_OK;
	Q2SI_TRY(q2si_low_alloc(round, want, 1, &host, diag));
	*to = 0;
	if (host == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_round_drop(round, host, want * size, 1, Q2SI_FREED_REFERENCE, diag));
	/* Behind the last run it goes on without a gap. */
	*to = round->packed > 0 && host == round->packed_end && at < host ? at : host + skip;
	round->packed_end = host + want * size;
	return Q2S_OK;
}

/* Neighbours stay neighbours: they share the sector in which one ends and the next one begins. */
static bool
follows(const struct q2si_round *round, const struct q2s_l2_entry *entry, uint64_t *to)
{
	const uint64_t at = entry->comp_at.v;

	if (round->last.to == 0 || at <= round->last.from || at > round->last.from + round->last_len)
		return false;
	*to = round->last.to + (at - round->last.from);
	return *to + entry->comp_bytes <= round->packed_end;
}

/* More references to each cluster of [@host, @host + @len); false when a count has no room for them. */
static enum q2s_err
counts_raise(struct q2s_edit *edit, uint64_t host, uint64_t len, uint64_t by, bool *fits,
	     struct q2s_diag *diag)
{
	const struct q2s_comp_range range = q2s_comp_sectors((q2s_host){ host }, len);
	const uint64_t first = range.first.v >> edit->geom.cluster_bits;
	const uint64_t last = (range.first.v + range.bytes - 1) >> edit->geom.cluster_bits;
	uint64_t count;

	*fits = true;
	for (uint64_t c = first; c <= last && *fits; c++) {
		Q2SI_TRY(q2si_refcount_get(edit, c, &count, diag));
		*fits = by <= edit->geom.refcount_max - count;
	}
	for (uint64_t c = first; c <= last && *fits; c++) {
		Q2SI_TRY(q2si_refcount_get(edit, c, &count, diag));
		Q2SI_TRY(q2si_refcount_set(edit, c, count + by, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
stream_copy(struct q2si_round *round, const struct q2s_l2_entry *entry, uint64_t to,
	    struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	uint8_t *buf = round->worker->bounce;

	for (uint64_t done = 0; done < entry->comp_bytes;) {
		const size_t n = q2si_min_size(entry->comp_bytes - done, Q2SI_BOUNCE);
		enum q2s_err err;

		Q2SI_TRY(q2s_store_read_padded(q2si_meta(edit)->store, entry->comp_at.v + done,
					       buf, n, NULL, diag));
		err = q2s_store_write(q2si_meta(edit)->store, to + done, buf, n, diag);
		q2si_wrote(q2si_meta(edit));
		Q2SI_TRY(err);
		done += n;
	}
	round->packed = to + entry->comp_bytes;
	round->last = (struct q2si_move){ entry->comp_at.v, to };
	round->last_len = entry->comp_bytes;
	return Q2S_OK;
}

/* @times: references that the entry stands for. *@out is 0 when it stays. */
static enum q2s_err
compressed_move(struct q2si_round *round, const struct q2s_l2_entry *entry, uint64_t times,
		uint64_t *out, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const uint64_t size = edit->geom.cluster_size;
	const struct q2s_comp_range old = q2s_comp_sectors(entry->comp_at, entry->comp_bytes);
	const uint64_t start = q2si_round_down(old.first.v, size);
	const uint64_t len = q2si_round_up(old.first.v + old.bytes, size) - start;
	bool fits, known;

	*out = q2si_moved_to(round, entry->comp_at.v);
	known = *out != 0;
	if (!known && q2si_is_full(round))
		return Q2S_OK;
	if (!known && !follows(round, entry, out))
		Q2SI_TRY(pack(round, (uint32_t)(entry->comp_at.v % Q2S_SECTOR), entry->comp_bytes,
			      out, diag));
	if (*out == 0)
		return Q2S_OK;
	Q2SI_TRY(counts_raise(edit, *out, entry->comp_bytes, times, &fits, diag));
	if (!fits) { /* begin elsewhere next time; this one stays where it is */
		round->packed = round->packed_end = round->last.to = 0;
		*out = 0;
		return Q2S_OK;
	}
	if (!known) {
		Q2SI_TRY(stream_copy(round, entry, *out, diag));
		q2si_moved_note(round, entry->comp_at.v, *out);
	}
	return q2si_round_drop(round, start, len, times, Q2SI_FREED_REFERENCE, diag);
}

/* ---- tables --------------------------------------------------------------------------------- */

/* Of a compressed cluster the last byte decides, or any that lies in the window. */
static bool
is_high_stream(const struct q2si_round *round, const struct q2s_l2_entry *entry)
{
	const struct q2s_comp_range range = q2s_comp_sectors(entry->comp_at, entry->comp_bytes);
	const uint64_t last = range.first.v + range.bytes - 1;
	bool high = q2si_is_high(round, last);

	for (uint64_t at = range.first.v; at < last && !high; at += round->edit->geom.cluster_size)
		high = q2si_is_high(round, at);
	return high && round->edit->geom.refcount_max > 3;
}

static bool
is_high_entry(const struct q2si_round *round, const struct q2s_l2_entry *entry)
{
	if (entry->compressed)
		return is_high_stream(round, entry);
	return entry->has_host && !q2si_has_data_file(round->edit) &&
	       q2si_is_high(round, entry->host.v);
}

/* The entry at @at, in @slice, for the guest's @guest. */
static enum q2s_err
entry_move(struct q2si_round *round, struct q2si_slice *slice, uint64_t at, uint64_t guest,
	   uint64_t times, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	uint8_t *raw = q2si_slice_at(&edit->cache, slice, at);
	struct q2s_l2_entry entry;
	uint64_t to;

	Q2SI_TRY(q2s_l2_decode_lenient(&edit->geom, raw, (q2s_host){ at }, &entry, diag));
	if (!is_high_entry(round, &entry))
		return Q2S_OK;
	if (entry.compressed)
		Q2SI_TRY(compressed_move(round, &entry, times, &to, diag));
	else
		Q2SI_TRY(plain_move(round, guest, entry.host.v, &to, diag));
	if (to == 0)
		return Q2S_OK;
	if (entry.compressed)
		entry.comp_at.v = to;
	else
		entry.host.v = to;
	Q2SI_TRY(q2si_cache_change(&edit->cache, slice, at, edit->geom.l2_entry_size, diag));
	return q2s_l2_encode(&edit->geom, &entry, raw, diag);
}

/* The L2 table at @table; the first of its entries is for the guest's @guest. */
static enum q2s_err
table_move_data(struct q2si_round *round, uint64_t table, uint64_t guest, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const uint32_t step = edit->geom.l2_entry_size;
	uint64_t times;

	Q2SI_TRY(q2si_refcount_get(edit, table >> edit->geom.cluster_bits, &times, diag));
	for (uint64_t at = table; at < table + edit->geom.cluster_size;) {
		struct q2si_slice *slice;
		enum q2s_err err = Q2S_OK;

		Q2SI_TRY(q2si_cache_get(&edit->cache, at, Q2SI_SLICE_L2, &slice, diag));
		for (uint32_t i = 0; i < edit->cache.slice_size && err == Q2S_OK; i += step) {
			err = entry_move(round, slice, at, guest, times, diag);
			at += step;
			guest += edit->geom.cluster_size;
		}
		q2si_cache_put(slice);
		Q2SI_TRY(err);
	}
	return q2si_flush_if_full(edit, diag);
}

enum q2s_err
q2si_data_move(struct q2si_round *round, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;

	for (size_t r = 0; r < round->root_count; r++) {
		for (uint64_t i = 0; i < round->roots[r].entries; i++) {
			const uint64_t at = round->roots[r].at + i * Q2S_L1_ENTRY_SIZE;
			uint64_t table;

			Q2SI_TRY(q2si_l1_table(edit, at, &table, diag));
			if (table)
				Q2SI_TRY(table_move_data(round, table, i * edit->geom.l2_span,
							 diag));
		}
	}
	return Q2S_OK;
}
