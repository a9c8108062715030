/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making the parts of a parcel that do not lie anywhere as they are written. */
#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/pages.h"
#include "disk/disk.h"
#include "emit/emission.h"

static enum q2s_err
ready_to_encode(const struct q2si_emission *emission, struct q2si_parcel *parcel,
		struct q2s_diag *diag)
{
	const uint32_t size = q2s_plan_spec(emission->plan)->geom.cluster_size;

	parcel->cluster = q2si_pages(size);
	if (!parcel->cluster)
		return q2si_fail_nomem(diag, "compression buffer");
	return q2si_encoder_open(emission->options.how, size, &parcel->encoder, diag);
}

/* What is needed, when it is needed first; memory for as much as the parcels turn out to hold. */
static enum q2s_err
ready(const struct q2si_emission *emission, struct q2si_parcel *parcel, struct q2s_diag *diag)
{
	const struct q2s_crypt *crypt = emission->options.crypt;

	if (parcel->buffer_size < parcel->size) {
		free(parcel->buffer);
		parcel->buffer_size = parcel->size;
		parcel->buffer = q2si_pages(parcel->size);
		if (!parcel->buffer)
			return q2si_fail_nomem(diag, "output buffer");
	}
	if (!parcel->cursor)
		Q2SI_TRY(q2s_cursor_open(emission->disk, &parcel->cursor, diag));
	if (crypt && !parcel->cipher)
		Q2SI_TRY(q2s_cipher_open(crypt, &parcel->cipher, diag));
	if (q2si_emission_encodes(emission) && !parcel->encoder)
		Q2SI_TRY(ready_to_encode(emission, parcel, diag));
	return Q2S_OK;
}

/* Make one stream again; it must be what it was when its length was found out. */
static enum q2s_err
make_stream(struct q2si_parcel *parcel, const struct q2si_part *part, uint8_t *out,
	    struct q2s_diag *diag)
{
	const struct q2s_piece *piece = &part->piece;
	uint32_t len;

	Q2SI_TRY(q2s_cursor_read(parcel->cursor, piece->guest, parcel->cluster, part->size, diag));
	Q2SI_TRY(q2si_encode(parcel->encoder, parcel->cluster, out, &len, diag));
	if (len == piece->whole)
		return Q2S_OK;
	return q2si_fail(diag, Q2S_E_CHANGED, "source", Q2S_NOWHERE, piece->guest.v,
			 "the cluster at this guest offset changed while it was read: it "
			 "compresses to %u bytes, not %u", len, piece->whole);
}

/* Each sector is encrypted for its place in the image, zeros too. */
static enum q2s_err
make_guest(struct q2si_parcel *parcel, const struct q2si_part *part, uint8_t *out,
	   struct q2s_diag *diag)
{
	const struct q2s_piece *piece = &part->piece;

	Q2SI_TRY(q2s_cursor_read(parcel->cursor, piece->guest, out, part->size, diag));
	if (!parcel->cipher)
		return Q2S_OK;
	return q2s_cipher_encrypt(parcel->cipher, piece->guest, piece->at, out, part->size, diag);
}

/* Have the parts from *@next on asked for, as many as can be on their way at a time. */
static void
announce(const struct q2si_parcel *parcel, size_t *next)
{
	for (; *next < parcel->count; ++*next) {
		const struct q2si_part *part = &parcel->parts[*next];

		if (part->size > 0 &&
		    !q2si_cursor_will_read(parcel->cursor, part->piece.guest, part->size))
			return;
	}
}

enum q2s_err
q2si_parcel_make(const struct q2si_emission *emission, struct q2si_parcel *parcel,
		 struct q2s_diag *diag)
{
	size_t announced = 0;
	uint8_t *out;

	Q2SI_TRY(ready(emission, parcel, diag));
	out = parcel->buffer;
	for (size_t i = 0; i < parcel->count; i++) {
		struct q2si_part *part = &parcel->parts[i];

		if (part->size == 0)
			continue;
		announced = announced > i ? announced : i;
		announce(parcel, &announced);
		if (part->piece.kind == Q2S_PIECE_STREAM)
			Q2SI_TRY(make_stream(parcel, part, out, diag));
		else
			Q2SI_TRY(make_guest(parcel, part, out, diag));
		part->made = out;
		/* A stream is made whole, and lies behind the one before it. */
		out += part->piece.kind == Q2S_PIECE_STREAM ? part->piece.whole : part->size;
	}
	return Q2S_OK;
}

void
q2si_parcel_free(struct q2si_parcel *parcel)
{
	if (!parcel)
		return;
	q2si_encoder_close(parcel->encoder);
	q2s_cipher_close(parcel->cipher);
	q2s_cursor_close(parcel->cursor);
	free(parcel->cluster);
	free(parcel->buffer);
	free(parcel);
}
