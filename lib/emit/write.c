/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing parcels in order, each part in the cheapest way. */
#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/zero.h"
#include "emit/emission.h"

#define STEP (256u << 10)
#define HOLE (16u << 10) /* of metadata, looked at as a whole */

/* Tables are mostly empty where clusters are large: what is zero in them becomes a hole. */
static enum q2s_err
write_sparse(struct q2s_sink *sink, const uint8_t *buf, size_t len, struct q2s_diag *diag)
{
	for (size_t n; len > 0; buf += n, len -= n) {
		const bool zero = q2si_is_zero(buf, q2si_min_size(len, HOLE));

		n = q2si_min_size(len, HOLE);
		while (n < len && q2si_is_zero(buf + n, q2si_min_size(len - n, HOLE)) == zero)
			n += q2si_min_size(len - n, HOLE);
		Q2SI_TRY(zero ? q2s_sink_zero(sink, n, diag) : q2s_sink_write(sink, buf, n, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
buffer_ready(struct q2si_emission *emission, struct q2s_diag *diag)
{
	if (!emission->buffer)
		emission->buffer = malloc(STEP);
	return emission->buffer ? Q2S_OK : q2si_fail_nomem(diag, "output buffer");
}

static enum q2s_err
write_metadata(struct q2si_emission *emission, const struct q2s_piece *piece,
	       struct q2s_diag *diag)
{
	Q2SI_TRY(buffer_ready(emission, diag));
	for (uint64_t done = 0; done < piece->len;) {
		const size_t n = q2si_min_size(piece->len - done, STEP);

		Q2SI_TRY(q2s_pieces_metadata(emission->pieces, (q2s_host){ piece->at.v + done },
					     emission->buffer, n, diag));
		Q2SI_TRY(write_sparse(emission->sink, emission->buffer, n, diag));
		done += n;
		Q2SI_TRY(q2si_emission_observe(emission, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
write_spooled(const struct q2si_emission *emission, const struct q2s_piece *piece,
	      struct q2s_diag *diag)
{
	if (!emission->options.spool)
		return q2si_fail_at(diag, Q2S_E_USAGE, "plan", piece->at,
				    "compressed clusters need a spool, or a way to make them again");
	return q2s_spool_move(emission->options.spool, piece->stream + piece->skip, piece->len,
			      emission->sink, diag);
}

/*
 * Guest bytes that lie plainly in a file. If it is still arriving they are read: a pipe would hold
 * the very pages of the file, which become zero when they are forgotten.
 */
static enum q2s_err
write_guest(struct q2si_emission *emission, const struct q2si_part *part, struct q2s_diag *diag)
{
	const struct q2s_extent *extent = &part->extent;
	const uint64_t len = part->piece.len;

	if (!q2s_store_is_arriving(extent->file))
		return q2s_sink_copy(emission->sink, extent->file, extent->at, len, diag);
	Q2SI_TRY(buffer_ready(emission, diag));
	if (!emission->reader)
		Q2SI_TRY(q2s_cursor_open(emission->disk, &emission->reader, diag));
	for (uint64_t done = 0; done < len;) {
		const size_t n = q2si_min_size(len - done, STEP);

		Q2SI_TRY(q2s_cursor_read(emission->reader, (q2s_guest){ part->piece.guest.v + done },
					 emission->buffer, n, diag));
		Q2SI_TRY(q2s_sink_write(emission->sink, emission->buffer, n, diag));
		done += n;
	}
	if (extent->once)
		q2s_store_forget(extent->file, extent->at, len);
	return Q2S_OK;
}

/* What was not made. */
static enum q2s_err
write_part(struct q2si_emission *emission, const struct q2si_part *part, struct q2s_diag *diag)
{
	const struct q2s_piece *piece = &part->piece;

	switch (piece->kind) {
	case Q2S_PIECE_METADATA:
		return write_metadata(emission, piece, diag);
	case Q2S_PIECE_GUEST:
		return write_guest(emission, part, diag);
	case Q2S_PIECE_ZERO:
		return q2s_sink_zero(emission->sink, piece->len, diag);
	case Q2S_PIECE_STREAM:
		return write_spooled(emission, piece, diag);
	case Q2S_PIECE_END:
		break;
	}
	return Q2S_OK;
}

/* A range may begin or end within a stream. */
static const uint8_t *
made_start(const struct q2si_part *part)
{
	return part->made + (part->piece.kind == Q2S_PIECE_STREAM ? part->piece.skip : 0);
}

/* What was made, from part *@i on, as far as it lies in a row; *@i becomes the last part of it. */
static enum q2s_err
write_made(const struct q2si_emission *emission, const struct q2si_parcel *parcel, size_t *i,
	   struct q2s_diag *diag)
{
	const uint8_t *start = made_start(&parcel->parts[*i]);
	const uint8_t *end = start + parcel->parts[*i].piece.len;

	while (*i + 1 < parcel->count && parcel->parts[*i + 1].made &&
	       made_start(&parcel->parts[*i + 1]) == end)
		end += parcel->parts[++*i].piece.len;
	return q2s_sink_write(emission->sink, start, (size_t)(end - start), diag);
}

enum q2s_err
q2si_parcel_write(struct q2si_emission *emission, const struct q2si_parcel *parcel,
		  struct q2s_diag *diag)
{
	for (size_t i = 0; i < parcel->count; i++) {
		if (parcel->parts[i].made)
			Q2SI_TRY(write_made(emission, parcel, &i, diag));
		else
			Q2SI_TRY(write_part(emission, &parcel->parts[i], diag));
		Q2SI_TRY(q2si_emission_observe(emission, diag));
	}
	return Q2S_OK;
}
