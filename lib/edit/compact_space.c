/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Space below a limit, and which clusters were moved there. */
#include "edit/compact.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"

/* Counts in a slice. */
static uint64_t
per_slice(const struct q2s_edit *edit)
{
	return (uint64_t)edit->cache.slice_size * 8 >> edit->geom.refcount_order;
}

enum q2s_err
q2si_used_count(struct q2s_edit *edit, uint64_t *out, struct q2s_diag *diag)
{
	const uint64_t counts = per_slice(edit), end = q2si_refcount_covers(edit);
	uint64_t used = 0;

	for (uint64_t cluster = 0; cluster < end;) {
		struct q2si_slice *slice;

		Q2SI_TRY(q2si_refcount_slice(edit, cluster, &slice, diag));
		if (!slice) {
			cluster += edit->geom.block_entries;
			continue;
		}
		for (uint32_t i = 0; i < counts; i++)
			used += q2s_refcount_get(&edit->geom, slice->data, i) != 0;
		q2si_cache_put(slice);
		cluster += counts;
	}
	*out = used;
	return Q2S_OK;
}

/* The first run of @want free clusters from @from on, below the limit; else the limit. */
static enum q2s_err
free_find(struct q2si_round *round, uint64_t from, uint64_t want, uint64_t *out,
	  struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const uint64_t counts = per_slice(edit);
	uint64_t start = from;

	for (uint64_t cluster = from; cluster < round->limit;) {
		struct q2si_slice *slice;

		Q2SI_TRY(q2si_refcount_slice(edit, cluster, &slice, diag));
		if (!slice) { /* a block would have to be made for it */
			cluster = start = q2si_round_down(cluster, edit->geom.block_entries) +
					  edit->geom.block_entries;
			continue;
		}
		do {
			if (q2si_is_in_window(round, cluster) ||
			    q2s_refcount_get(&edit->geom, slice->data,
					     (uint32_t)(cluster & (counts - 1))) != 0)
				start = cluster + 1;
			cluster++;
		} while ((cluster & (counts - 1)) != 0 && cluster - start < want &&
			 cluster < round->limit);
		q2si_cache_put(slice);
		if (cluster - start == want) {
			*out = start;
			return Q2S_OK;
		}
	}
	*out = round->limit;
	return Q2S_OK;
}

enum q2s_err
q2si_low_alloc(struct q2si_round *round, uint64_t want, uint64_t count, uint64_t *host,
	       struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const uint32_t bits = edit->geom.cluster_bits;
	uint64_t cluster = 0;

	*host = 0;
	Q2SI_TRY(free_find(round, want == 1 ? round->low : 0, want, &cluster, diag));
	if (want == 1)
		round->low = q2si_min(cluster + 1, round->limit);
	if (cluster == round->limit) {
		round->wanted = want > 1 ? q2si_max(round->wanted, want) : round->wanted;
		return Q2S_OK;
	}
	Q2SI_TRY(q2si_overlap_check(edit, cluster << bits, want << bits, "free cluster", diag));
	Q2SI_TRY(q2si_refcount_fill(edit, cluster, want, count, diag));
	q2si_cache_forget(&edit->cache, cluster << bits, want << bits);
	edit->file_end = q2si_max(edit->file_end, (cluster + want) << bits);
	*host = cluster << bits;
	return Q2S_OK;
}

/* ---- moves ---------------------------------------------------------------------------------- */

static struct q2si_move *
slot_of(const struct q2si_round *round, uint64_t from)
{
	size_t i = (size_t)(from * 0x9e3779b97f4a7c15ull >> 32) & (round->room - 1);

	while (round->moves[i].from != 0 && round->moves[i].from != from)
		i = (i + 1) & (round->room - 1);
	return &round->moves[i];
}

uint64_t
q2si_moved_to(const struct q2si_round *round, uint64_t from)
{
	const struct q2si_move *slot = slot_of(round, from);

	return slot->from == from ? slot->to : 0;
}

/* There is room, as nobody comes when it is full. */
void
q2si_moved_note(struct q2si_round *round, uint64_t from, uint64_t to)
{
	*slot_of(round, from) = (struct q2si_move){ from, to };
	round->count++;
	round->moved++;
}

enum q2s_err
q2si_round_drop(struct q2si_round *round, uint64_t host, uint64_t len, uint64_t times,
		enum q2si_freed_kind kind, struct q2s_diag *diag)
{
	struct q2s_edit *edit = round->edit;
	const struct q2si_freed_list now = edit->freed;
	enum q2s_err err = Q2S_OK;

	edit->freed = round->later;
	for (uint64_t i = 0; i < times && err == Q2S_OK; i++)
		err = q2si_freed_add(edit, (struct q2si_freed){ kind, host, len, 0 }, diag);
	round->later = edit->freed;
	edit->freed = now;
	return err;
}

/* ---- refcount blocks ------------------------------------------------------------------------ */

/* Is nothing in use of what the block at @host, entry @index of the table, describes, but itself? */
static enum q2s_err
block_is_empty(struct q2s_edit *edit, uint64_t index, uint64_t host, bool *out,
	       struct q2s_diag *diag)
{
	const uint64_t first = index << edit->geom.block_bits, counts = per_slice(edit);
	const uint64_t own = host >> edit->geom.cluster_bits;

	*out = true;
	for (uint64_t done = 0; done < edit->geom.block_entries && *out; done += counts) {
		struct q2si_slice *slice;

		Q2SI_TRY(q2si_refcount_slice(edit, first + done, &slice, diag));
		if (!slice)
			break;
		for (uint32_t i = 0; i < counts && *out; i++)
			*out = q2s_refcount_get(&edit->geom, slice->data, i) == 0 ||
			       first + done + i == own;
		q2si_cache_put(slice);
	}
	return Q2S_OK;
}

static enum q2s_err
block_drop(struct q2s_edit *edit, struct q2si_slice *table, uint64_t at, uint64_t index,
	   uint64_t host, struct q2s_diag *diag)
{
	const uint64_t size = edit->geom.cluster_size;
	const uint64_t own = host >> edit->geom.cluster_bits;

	Q2SI_TRY(q2si_cache_change(&edit->cache, table, at, Q2S_REFTABLE_ENTRY_SIZE, diag));
	Q2SI_TRY(q2s_reftable_encode(&edit->geom, (q2s_host){ 0 },
				     q2si_slice_at(&edit->cache, table, at), diag));
	q2si_cache_forget(&edit->cache, host, size);
	if (own >> edit->geom.block_bits == index) { /* its own count has gone with it */
		q2si_overlap_remove(edit, host, size);
		return Q2S_OK;
	}
	return q2si_freed_add(edit, (struct q2si_freed){ Q2SI_FREED_TABLE, host, size, 0 }, diag);
}

static enum q2s_err
blocks_drop(struct q2s_edit *edit, uint64_t from, uint64_t *dropped, struct q2s_diag *diag)
{
	const uint64_t blocks = q2si_refcount_covers(edit) >> edit->geom.block_bits;
	const uint64_t first = q2si_div_up(from, edit->geom.block_entries);

	for (uint64_t i = q2si_max(first, 1); i < blocks; i++) {
		const uint64_t at =
			edit->header.refcount_table_offset.v + i * Q2S_REFTABLE_ENTRY_SIZE;
		struct q2si_slice *table;
		bool empty = false;
		q2s_host host;
		enum q2s_err err;

		Q2SI_TRY(q2si_cache_get(&edit->cache, at, Q2SI_SLICE_REFTABLE, &table, diag));
		err = q2s_reftable_decode(&edit->geom, q2si_slice_at(&edit->cache, table, at),
					  (q2s_host){ at }, &host, diag);
		if (err == Q2S_OK && host.v)
			err = block_is_empty(edit, i, host.v, &empty, diag);
		if (err == Q2S_OK && empty)
			err = block_drop(edit, table, at, i, host.v, diag);
		q2si_cache_put(table);
		Q2SI_TRY(err);
		*dropped += empty;
	}
	return Q2S_OK;
}

/* A block that goes may be the last thing that another one describes. */
enum q2s_err
q2si_blocks_drop(struct q2s_edit *edit, uint64_t from, struct q2s_diag *diag)
{
	uint64_t dropped;

	do {
		dropped = 0;
		Q2SI_TRY(blocks_drop(edit, from, &dropped, diag));
		Q2SI_TRY(q2si_flush(edit, diag));
		Q2SI_TRY(q2si_flush(edit, diag));
	} while (dropped > 0);
	return Q2S_OK;
}
