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

/* A table is walked once for its compressed streams and once for its whole clusters. */
enum pass { PASS_NONE, PASS_STREAMS, PASS_WHOLE };

struct q2s_pieces {
	const struct q2s_plan *plan;
	bool joined;            /* subclusters without data are taken from the disk, too */
	q2s_host at;            /* where the next piece begins */
	struct q2s_piece held;  /* what a start in the middle of a piece left of it; or len 0 */
	struct q2s_piece ahead; /* the stretch behind the last piece, already read; or len 0 */

	/* the place in the data area, which is ahead of @at */
	uint64_t filled;             /* bytes of the data area up to here have been seen */
	size_t rank;                 /* of the table that @walk is in */
	enum pass pass;
	struct q2si_slot_walk walk;
	struct q2si_placed_run run;  /* what is left of it */
	uint64_t first;              /* guest cluster of the table's first entry */
	uint32_t sub;                /* subclusters of the run's first cluster that are done */

	uint64_t made;               /* host cluster number in @cluster; UINT64_MAX: none */
	uint8_t *cluster;
};

static const struct q2s_geom *
geom_of(const struct q2s_pieces *pieces)
{
	return &pieces->plan->spec.geom;
}

/* Where the data area ends; tables may follow. */
static uint64_t
data_end(const struct q2s_plan *plan)
{
	const struct q2s_layout *layout = &plan->layout;

	return layout->data.v + (layout->data_clusters << plan->spec.geom.cluster_bits);
}

/* Begin the next pass, of this table or the next one that has data; false at the end. */
static bool
next_pass(struct q2s_pieces *pieces)
{
	const struct q2s_alloc *alloc = pieces->plan->alloc;

	if (geom_of(pieces)->data_file)
		return false; /* the data is in place already */
	if (pieces->pass == PASS_WHOLE && pieces->rank < alloc->table_count)
		pieces->rank++;
	if (pieces->rank == alloc->table_count)
		return false;
	const bool streams = alloc->tables[pieces->rank].stream_clusters > 0;

	pieces->pass = streams && pieces->pass != PASS_STREAMS ? PASS_STREAMS : PASS_WHOLE;
	pieces->first = (uint64_t)alloc->tables[pieces->rank].index << geom_of(pieces)->l2_bits;
	q2si_slot_walk_start(&pieces->walk, alloc, pieces->rank);
	return true;
}

/* Load the next run that this pass is about. */
static bool
next_run(struct q2s_pieces *pieces)
{
	pieces->sub = 0;
	for (;;) {
		while (pieces->pass != PASS_NONE &&
		       q2si_slot_walk_next(&pieces->walk, &pieces->run)) {
			if (pieces->pass == PASS_WHOLE ? pieces->run.slot.host :
							 pieces->run.slot.comp_bytes != 0)
				return true;
		}
		pieces->run.count = 0;
		if (!next_pass(pieces))
			return false;
	}
}

static uint64_t
guest_of_run(const struct q2s_pieces *pieces)
{
	return (pieces->first + pieces->run.entry) << geom_of(pieces)->cluster_bits;
}

/* A cluster of which only some subclusters are data: the equal ones from pieces->sub on. */
static void
mixed_stretch(struct q2s_pieces *pieces, struct q2s_piece *out)
{
	const struct q2s_geom *geom = geom_of(pieces);
	const uint32_t alloc = pieces->joined ? geom->sub_mask : pieces->run.slot.alloc;
	const bool data = alloc >> pieces->sub & 1;
	const uint32_t start = pieces->sub;

	while (pieces->sub < geom->sub_count && (alloc >> pieces->sub & 1) == data)
		pieces->sub++;
	*out = (struct q2s_piece){
		.kind = data ? Q2S_PIECE_GUEST : Q2S_PIECE_ZERO,
		.len = (uint64_t)(pieces->sub - start) << geom->sub_bits,
		.guest = { guest_of_run(pieces) + ((uint64_t)start << geom->sub_bits) },
	};
	if (pieces->sub == geom->sub_count) {
		pieces->sub = 0;
		pieces->run.count--;
		pieces->run.entry++;
		pieces->run.at += geom->cluster_size;
	}
}

static void
stretch(struct q2s_pieces *pieces, struct q2s_piece *out)
{
	const struct q2s_geom *geom = geom_of(pieces);
	const struct q2s_slot *slot = &pieces->run.slot;

	if (slot->alloc != 0 && slot->alloc != geom->sub_mask) {
		mixed_stretch(pieces, out);
		return;
	}
	*out = (struct q2s_piece){
		.kind = slot->alloc ? Q2S_PIECE_GUEST : Q2S_PIECE_ZERO,
		.len = (uint64_t)pieces->run.count << geom->cluster_bits,
		.guest = { guest_of_run(pieces) },
	};
	if (slot->comp_bytes) {
		out->kind = Q2S_PIECE_STREAM;
		out->len = slot->comp_bytes;
		out->stream = pieces->run.stream;
		out->whole = slot->comp_bytes;
	}
	pieces->run.count = 0;
}

/*
 * The last guest cluster may be partial. Nothing but zeros can follow it in the data area, so what
 * is cut off here is made up for at the very end. In an encrypted image these zeros are encrypted
 * like those before: they are what a guest sees should the disk become larger.
 */
static void
clip(const struct q2s_pieces *pieces, struct q2s_piece *piece)
{
	const uint64_t size = geom_of(pieces)->size;

	if (piece->kind != Q2S_PIECE_GUEST || piece->guest.v + piece->len <= size ||
	    pieces->plan->spec.luks.data)
		return;
	if (piece->guest.v >= size)
		piece->kind = Q2S_PIECE_ZERO;
	else
		piece->len = size - piece->guest.v;
}

/* The next stretch of the data area, not merged with its neighbours; false at the end. */
static bool
next_stretch(struct q2s_pieces *pieces, struct q2s_piece *out)
{
	const struct q2s_layout *layout = &pieces->plan->layout;
	bool more = true;

	if (pieces->ahead.len) {
		*out = pieces->ahead;
		pieces->ahead.len = 0;
		return true;
	}
	if (pieces->run.count == 0)
		more = next_run(pieces);
	/* What lies between streams, or behind the last one, is filled with zeros. */
	const uint64_t until = more && pieces->sub == 0 ? pieces->run.at :
			       more			? pieces->filled :
							  data_end(pieces->plan) - layout->data.v;

	if (pieces->filled < until) {
		*out = (struct q2s_piece){ .kind = Q2S_PIECE_ZERO, .len = until - pieces->filled };
	} else if (more) {
		stretch(pieces, out);
		clip(pieces, out);
	} else {
		return false;
	}
	pieces->filled += out->len;
	return true;
}

static bool
goes_on(const struct q2s_piece *a, const struct q2s_piece *b)
{
	if (a->kind != b->kind || a->kind == Q2S_PIECE_STREAM)
		return false;
	return a->kind == Q2S_PIECE_ZERO || a->guest.v + a->len == b->guest.v;
}

/* The next maximal piece of the data area. */
static void
next_data(struct q2s_pieces *pieces, struct q2s_piece *out)
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

enum q2s_err
q2s_pieces_next(struct q2s_pieces *pieces, struct q2s_piece *out,
			     struct q2s_diag *diag)
{
	const struct q2s_layout *layout = &pieces->plan->layout;
	const uint64_t at = pieces->at.v;

	(void)diag;
	if (pieces->held.len) {
		*out = pieces->held;
		pieces->held.len = 0;
	} else if (at < layout->data.v) {
		*out = (struct q2s_piece){ .kind = Q2S_PIECE_METADATA,
					   .len = layout->data.v - at };
	} else if (at < data_end(pieces->plan)) {
		next_data(pieces, out);
	} else {
		*out = (struct q2s_piece){ .kind = at < layout->length ? Q2S_PIECE_METADATA :
									 Q2S_PIECE_END,
					   .len = layout->length - at };
	}
	out->at = pieces->at;
	pieces->at.v += out->len;
	return Q2S_OK;
}

/* Walk from the start of a table to the piece that holds @start, and cut it there. */
static enum q2s_err
seek_data(struct q2s_pieces *pieces, q2s_host start, struct q2s_diag *diag)
{
	const struct q2s_plan *plan = pieces->plan;
	const uint32_t bits = geom_of(pieces)->cluster_bits;
	struct q2s_piece piece;

	pieces->at = plan->layout.data;
	if (plan->alloc->table_count == 0)
		return Q2S_OK;
	pieces->rank = q2si_alloc_find_data(plan->alloc, (start.v - plan->layout.data.v) >> bits);
	pieces->filled = plan->alloc->tables[pieces->rank].clusters << bits;
	pieces->at.v += pieces->filled;
	while (pieces->at.v < start.v) {
		Q2SI_TRY(q2s_pieces_next(pieces, &piece, diag));
		if (pieces->at.v <= start.v)
			continue;
		const uint64_t skip = start.v - piece.at.v;

		piece.len -= skip;
		if (piece.kind == Q2S_PIECE_STREAM)
			piece.skip += (uint32_t)skip;
		else
			piece.guest.v += skip;
		pieces->held = piece;
		pieces->at = start;
	}
	return Q2S_OK;
}

void
q2s_pieces_close(struct q2s_pieces *pieces)
{
	if (!pieces)
		return;
	free(pieces->cluster);
	free(pieces);
}

enum q2s_err
q2s_pieces_open(const struct q2s_plan *plan, q2s_host start, bool joined, struct q2s_pieces **out,
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
	pieces->joined = joined;
	pieces->at = start;
	pieces->made = UINT64_MAX;
	if (start.v > plan->layout.data.v && start.v < data_end(plan))
		err = seek_data(pieces, start, diag);
	if (err != Q2S_OK) {
		q2s_pieces_close(pieces);
		return err;
	}
	*out = pieces;
	return Q2S_OK;
}

/* Part of a cluster: made whole, and kept for the next part. */
static enum q2s_err
part_of_cluster(struct q2s_pieces *pieces, uint64_t cluster, uint32_t skip,
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

enum q2s_err
q2s_pieces_metadata(struct q2s_pieces *pieces, q2s_host at, void *buf, size_t len,
				 struct q2s_diag *diag)
{
	const struct q2s_layout *layout = &pieces->plan->layout;
	const struct q2s_geom *geom = geom_of(pieces);
	const uint64_t end = at.v < layout->data.v ? layout->data.v : layout->length;
	uint8_t *to = buf;

	if (at.v > end || len > end - at.v || (end > layout->data.v && at.v < data_end(pieces->plan)))
		return q2si_fail(diag, Q2S_E_USAGE, "output offset", Q2S_NOWHERE, at.v,
				 "not metadata");
	while (len > 0) {
		const uint64_t cluster = at.v >> geom->cluster_bits;
		const uint32_t skip = (uint32_t)at.v & (geom->cluster_size - 1);
		const size_t n = q2si_min_size(len, geom->cluster_size - skip);

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
