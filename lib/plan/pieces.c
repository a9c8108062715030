/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A plan as a sequence of pieces. The walk can start at any offset: the table that holds it is
 * found by search, the run within it by a walk over one table.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "plan/plan.h"

struct q2s_pieces {
	const struct q2s_plan *plan;
	q2s_host at;              /* where the next piece begins */
	struct q2s_piece held;    /* what a start in the middle of a piece left of it; or len 0 */
	struct q2s_piece ahead;   /* the stretch behind the last piece, already read; or len 0 */
	uint64_t padding;         /* bytes behind the partial last cluster */

	/* the place in the data area */
	size_t rank;              /* of the table that @walk is in */
	bool walking;
	struct q2si_slot_walk walk;
	struct q2si_slot_run run; /* what is left of it */
	uint64_t guest_cluster;   /* of its first cluster */
	uint32_t sub;             /* subclusters of that one that are done */

	uint64_t made;            /* host cluster number in @cluster; UINT64_MAX: none */
	uint8_t *cluster;
};

static const struct q2s_geom *geom_of(const struct q2s_pieces *pieces)
{
	return &pieces->plan->spec.geom;
}

/* Load the next run that occupies host clusters; false at the end of the image. */
static bool next_run(struct q2s_pieces *pieces)
{
	const struct q2s_alloc *alloc = pieces->plan->alloc;
	uint64_t clusters;
	uint32_t entry;

	if (geom_of(pieces)->data_file)
		return false; /* the data is in the other file already */
	for (;;) {
		if (!pieces->walking) {
			if (pieces->rank == alloc->table_count)
				return false;
			q2si_slot_walk_start(&pieces->walk, alloc, pieces->rank);
			pieces->walking = true;
		}
		if (!q2si_slot_walk_next(&pieces->walk, &pieces->run, &entry, &clusters)) {
			pieces->walking = false;
			pieces->rank++;
		} else if (pieces->run.slot.host) {
			pieces->guest_cluster = ((uint64_t)alloc->tables[pieces->rank].index
						 << geom_of(pieces)->l2_bits) + entry;
			pieces->sub = 0;
			return true;
		}
	}
}

/* The bytes of a run of whole clusters, or of equal subclusters of its first one. */
static void stretch(struct q2s_pieces *pieces, struct q2s_piece *out)
{
	const struct q2s_geom *geom = geom_of(pieces);
	const struct q2s_slot *slot = &pieces->run.slot;
	const uint64_t first = pieces->guest_cluster << geom->cluster_bits;
	const bool whole = slot->alloc == 0 || slot->alloc == geom->sub_mask;

	if (whole) {
		*out = (struct q2s_piece){
			.kind = slot->alloc ? Q2S_PIECE_GUEST : Q2S_PIECE_ZERO,
			.len = pieces->run.count << geom->cluster_bits,
			.guest = { first },
		};
		pieces->run.count = 0;
		return;
	}
	const bool data = slot->alloc >> pieces->sub & 1;
	uint32_t end = pieces->sub;

	while (end < geom->sub_count && (slot->alloc >> end & 1) == data)
		end++;
	*out = (struct q2s_piece){
		.kind = data ? Q2S_PIECE_GUEST : Q2S_PIECE_ZERO,
		.len = (uint64_t)(end - pieces->sub) << geom->sub_bits,
		.guest = { first + ((uint64_t)pieces->sub << geom->sub_bits) },
	};
	pieces->sub = end;
	if (end == geom->sub_count) {
		pieces->sub = 0;
		pieces->run.count--;
		pieces->guest_cluster++;
	}
}

/*
 * The last guest cluster may be partial. It is the last host cluster too, so what is cut off here
 * is padding at the very end.
 */
static void clip(struct q2s_pieces *pieces, struct q2s_piece *piece)
{
	const uint64_t size = geom_of(pieces)->size;

	if (piece->kind != Q2S_PIECE_GUEST || piece->guest.v + piece->len <= size)
		return;
	pieces->padding = piece->guest.v + piece->len - size;
	piece->len = size - piece->guest.v;
}

/* The next stretch of the data area, not merged with its neighbours; false at the end. */
static bool next_stretch(struct q2s_pieces *pieces, struct q2s_piece *out)
{
	if (pieces->ahead.len) {
		*out = pieces->ahead;
		pieces->ahead.len = 0;
		return true;
	}
	if (pieces->run.count > 0 || next_run(pieces)) {
		stretch(pieces, out);
		clip(pieces, out);
		return true;
	}
	*out = (struct q2s_piece){ .kind = Q2S_PIECE_ZERO, .len = pieces->padding };
	pieces->padding = 0;
	return out->len > 0;
}

static bool goes_on(const struct q2s_piece *a, const struct q2s_piece *b)
{
	if (a->kind != b->kind)
		return false;
	return a->kind == Q2S_PIECE_ZERO || a->guest.v + a->len == b->guest.v;
}

/* The next maximal piece of the data area. */
static void next_data(struct q2s_pieces *pieces, struct q2s_piece *out)
{
	struct q2s_piece more;

	if (!next_stretch(pieces, out)) {
		*out = (struct q2s_piece){ .kind = Q2S_PIECE_END };
		return;
	}
	while (next_stretch(pieces, &more)) {
		if (!goes_on(out, &more)) {
			pieces->ahead = more;
			return;
		}
		out->len += more.len;
	}
}

enum q2s_err q2s_pieces_next(struct q2s_pieces *pieces, struct q2s_piece *out,
			     struct q2s_diag *diag)
{
	const uint64_t data = pieces->plan->layout.data.v;

	(void)diag;
	if (pieces->held.len) {
		*out = pieces->held;
		pieces->held.len = 0;
	} else if (pieces->at.v < data) {
		*out = (struct q2s_piece){ .kind = Q2S_PIECE_METADATA,
					   .len = data - pieces->at.v };
	} else {
		next_data(pieces, out);
	}
	out->at = pieces->at;
	pieces->at.v += out->len;
	return Q2S_OK;
}

/* The rank of the last table with data at or before host data cluster @cluster. */
static size_t table_of_data(const struct q2s_alloc *alloc, uint64_t cluster)
{
	size_t low = 0, high = alloc->table_count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (alloc->tables[middle].clusters <= cluster)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? low - 1 : 0;
}

/* Walk from the start of a table to the piece that holds @start, and cut it there. */
static enum q2s_err seek_data(struct q2s_pieces *pieces, q2s_host start, struct q2s_diag *diag)
{
	const struct q2s_plan *plan = pieces->plan;
	const uint32_t bits = geom_of(pieces)->cluster_bits;
	struct q2s_piece piece;

	pieces->at = plan->layout.data;
	if (plan->alloc->table_count == 0)
		return Q2S_OK;
	pieces->rank = table_of_data(plan->alloc, (start.v - plan->layout.data.v) >> bits);
	pieces->at.v += plan->alloc->tables[pieces->rank].clusters << bits;
	while (pieces->at.v < start.v) {
		Q2SI_TRY(q2s_pieces_next(pieces, &piece, diag));
		if (pieces->at.v <= start.v)
			continue;
		const uint64_t skip = start.v - piece.at.v;

		piece.len -= skip;
		piece.guest.v += skip;
		pieces->held = piece;
		pieces->at = start;
	}
	return Q2S_OK;
}

void q2s_pieces_close(struct q2s_pieces *pieces)
{
	if (!pieces)
		return;
	free(pieces->cluster);
	free(pieces);
}

enum q2s_err q2s_pieces_open(const struct q2s_plan *plan, q2s_host start, struct q2s_pieces **out,
			     struct q2s_diag *diag)
{
	struct q2s_pieces *pieces;
	enum q2s_err err = Q2S_OK;

	if (start.v > plan->layout.length)
		return q2si_fail(diag, Q2S_E_USAGE, "output offset", Q2S_NOWHERE, start.v,
				 "the image ends before");
	pieces = calloc(1, sizeof(*pieces));
	if (!pieces || !(pieces->cluster = malloc(plan->spec.geom.cluster_size))) {
		free(pieces);
		return q2si_fail_nomem(diag, "pieces");
	}
	pieces->plan = plan;
	pieces->at = start;
	pieces->made = UINT64_MAX;
	if (start.v > plan->layout.data.v)
		err = seek_data(pieces, start, diag);
	if (err != Q2S_OK) {
		q2s_pieces_close(pieces);
		return err;
	}
	*out = pieces;
	return Q2S_OK;
}

/* Part of a cluster: made whole, and kept for the next part. */
static enum q2s_err part_of_cluster(struct q2s_pieces *pieces, uint64_t cluster, uint32_t skip,
				    void *buf, size_t len, struct q2s_diag *diag)
{
	if (pieces->made != cluster) {
		pieces->made = UINT64_MAX;
		Q2SI_TRY(q2si_metadata_cluster(pieces->plan, cluster, pieces->cluster, diag));
		pieces->made = cluster;
	}
	memcpy(buf, pieces->cluster + skip, len);
	return Q2S_OK;
}

enum q2s_err q2s_pieces_metadata(struct q2s_pieces *pieces, q2s_host at, void *buf, size_t len,
				 struct q2s_diag *diag)
{
	const struct q2s_geom *geom = geom_of(pieces);
	uint8_t *to = buf;

	if (at.v + len > pieces->plan->layout.data.v)
		return q2si_fail(diag, Q2S_E_USAGE, "output offset", Q2S_NOWHERE, at.v,
				 "not metadata");
	while (len > 0) {
		const uint64_t cluster = at.v >> geom->cluster_bits;
		const uint32_t skip = (uint32_t)at.v & (geom->cluster_size - 1);
		const size_t n = q2si_min(len, geom->cluster_size - skip);

		if (n == geom->cluster_size)
			Q2SI_TRY(q2si_metadata_cluster(pieces->plan, cluster, to, diag));
		else
			Q2SI_TRY(part_of_cluster(pieces, cluster, skip, to, n, diag));
		to += n;
		at.v += n;
		len -= n;
	}
	return Q2S_OK;
}
