/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Cutting the output into parcels: what lies plainly in a file, what is a hole, what to make. */
#include "base/arith.h"
#include "base/diag.h"
#include "emit/emission.h"

#define STEP (16u << 20)         /* what is moved between two looks at the observer */
#define CLUSTER_MAX (2u << 20)   /* of a source: decoded as a whole, or twice */

/* A raw image is one piece, and behind it is the end. */
static void
look_raw(struct q2si_emission *emission)
{
	const struct q2s_emit_options *options = &emission->options;
	struct q2s_piece *piece = &emission->ahead;

	if (piece->at.v + piece->len == options->until && piece->kind == Q2S_PIECE_GUEST)
		*piece = (struct q2s_piece){ .kind = Q2S_PIECE_END };
	else
		*piece = (struct q2s_piece){ .kind = Q2S_PIECE_GUEST,
					     .at = { options->from },
					     .guest = { options->from },
					     .len = options->until - options->from };
}

enum q2s_err
q2si_emission_look(struct q2si_emission *emission, struct q2s_diag *diag)
{
	const uint64_t until = emission->options.until;
	struct q2s_piece *piece = &emission->ahead;

	if (!emission->pieces) {
		look_raw(emission);
		return Q2S_OK;
	}
	Q2SI_TRY(q2s_pieces_next(emission->pieces, piece, diag));
	piece->len = q2si_min(piece->len, until - q2si_min(until, piece->at.v));
	return Q2S_OK;
}

/* ---- guest bytes ------------------------------------------------------------------------- */

/* Bytes that have to be read into the buffer; what is encrypted is, wherever it comes from. */
static void
guest_read(struct q2si_part *part, uint64_t max)
{
	part->piece.len = q2si_min(part->piece.len, max);
	part->size = part->piece.len;
}

/* Is it best to leave these bytes to the sink? What is arriving has to be read in order. */
static bool
left_to_sink(const struct q2si_emission *emission, const struct q2s_extent *extent)
{
	if (!extent->file || q2s_store_is_arriving(extent->file))
		return extent->file != NULL;
	return q2s_store_fd(extent->file) >= 0 && !q2s_sink_copies_by_hand(emission->sink);
}

/* The first extent of a guest piece. Holes are never moved. */
static enum q2s_err
guest_part(struct q2si_emission *emission, struct q2si_part *part, struct q2s_diag *diag)
{
	const uint64_t size = q2s_disk_size(emission->disk);
	struct q2s_piece *piece = &part->piece;

	if (emission->options.crypt) {
		guest_read(part, Q2SI_PARCEL_BYTES);
		return Q2S_OK;
	}
	if (piece->guest.v >= size) {
		piece->kind = Q2S_PIECE_ZERO;
		return Q2S_OK;
	}
	Q2SI_TRY(q2s_cursor_extent(emission->cursor, piece->guest,
				   q2si_min(piece->len, q2si_min(STEP, size - piece->guest.v)),
				   &part->extent, diag));
	piece->len = part->extent.len;
	if (part->extent.state != Q2S_DATA)
		piece->kind = Q2S_PIECE_ZERO;
	else if (!left_to_sink(emission, &part->extent))
		guest_read(part, part->extent.file ? Q2SI_PARCEL_BYTES : CLUSTER_MAX);
	return Q2S_OK;
}

/* ---- parcels ----------------------------------------------------------------------------- */

/* What lies ahead is in the order of the disk, unless clusters are shared: then some are there. */
static void
look_ahead(struct q2si_emission *emission)
{
	const struct q2s_piece *piece = &emission->ahead;

	if (piece->kind == Q2S_PIECE_GUEST ||
	    (piece->kind == Q2S_PIECE_STREAM && q2si_emission_encodes(emission)))
		q2si_scout_move(&emission->scout, piece->guest.v,
				emission->options.until - piece->at.v);
}

/* The first part of what lies ahead. */
static enum q2s_err
next_part(struct q2si_emission *emission, struct q2si_part *out, struct q2s_diag *diag)
{
	look_ahead(emission);
	*out = (struct q2si_part){ .piece = emission->ahead };
	if (out->piece.kind == Q2S_PIECE_GUEST)
		return guest_part(emission, out, diag);
	if (out->piece.kind == Q2S_PIECE_STREAM && q2si_emission_encodes(emission))
		out->size = q2s_plan_spec(emission->plan)->geom.cluster_size;
	return Q2S_OK;
}

/* Does @part only go on with @last, so that one reading does for both? */
static bool
goes_on(const struct q2si_part *last, const struct q2si_part *part)
{
	return last->piece.kind == Q2S_PIECE_GUEST && part->piece.kind == Q2S_PIECE_GUEST &&
	       last->size > 0 && part->size > 0 &&
	       last->piece.guest.v + last->piece.len == part->piece.guest.v;
}

static void
add(struct q2si_parcel *parcel, const struct q2si_part *part)
{
	struct q2si_part *last = parcel->count > 0 ? &parcel->parts[parcel->count - 1] : NULL;

	parcel->size += part->size;
	if (last && goes_on(last, part)) {
		last->piece.len += part->piece.len;
		last->size += part->size;
	} else {
		parcel->parts[parcel->count++] = *part;
	}
}

static enum q2s_err
step(struct q2si_emission *emission, uint64_t len, struct q2s_diag *diag)
{
	struct q2s_piece *ahead = &emission->ahead;

	if (len == ahead->len)
		return q2si_emission_look(emission, diag);
	ahead->at.v += len;
	ahead->guest.v += len;
	ahead->len -= len;
	return Q2S_OK;
}

enum q2s_err
q2si_parcel_take(struct q2si_emission *emission, struct q2si_parcel *parcel,
		 struct q2s_diag *diag)
{
	struct q2si_part part;

	parcel->count = 0;
	parcel->size = 0;
	while (emission->ahead.len > 0 && parcel->count < Q2SI_PARCEL_PARTS) {
		Q2SI_TRY(next_part(emission, &part, diag));
		if (parcel->count > 0 && parcel->size + part.size > Q2SI_PARCEL_BYTES)
			break;
		add(parcel, &part);
		Q2SI_TRY(step(emission, part.piece.len, diag));
		/* What has arrived should be used before more of it is waited for. */
		if (part.extent.file && q2s_store_is_arriving(part.extent.file))
			break;
	}
	return Q2S_OK;
}
