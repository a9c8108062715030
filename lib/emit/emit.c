/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pieces of a plan, or a whole disk, into a sink. */
#include <stdlib.h>

#include <q2s/emit.h>

#include "base/arith.h"
#include "base/diag.h"

/* What is moved between two looks at the observer, and the buffer for what has to be read. */
#define STEP (16u << 20)
#define BUFFER_SIZE (256u << 10)
/* A stretch of data shorter than this costs more in system calls than in copying. */
#define SMALL (64u << 10)

/* One emission in progress. */
struct emission {
	struct q2s_disk *disk;
	struct q2s_cursor *cursor;
	struct q2s_sink *sink;
	uint64_t first;  /* sink position of the first byte */
	uint64_t total;  /* bytes to write */
	const struct q2s_observer *observer;
	uint8_t *buffer; /* BUFFER_SIZE bytes */
};

static enum q2s_err observe(struct emission *em, struct q2s_diag *diag)
{
	const struct q2s_observer *observer = em->observer;

	if (!observer || observer->step(observer->opaque, Q2S_PHASE_WRITE,
					q2s_sink_pos(em->sink) - em->first, em->total))
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_CANCELLED, "output", Q2S_NOWHERE, "stopped on request");
}

/* Guest bytes through the buffer. */
static enum q2s_err emit_read(struct emission *em, q2s_guest guest, uint64_t len,
			      struct q2s_diag *diag)
{
	while (len > 0) {
		const size_t n = q2si_min(len, BUFFER_SIZE);

		Q2SI_TRY(q2s_cursor_read(em->cursor, guest, em->buffer, n, diag));
		Q2SI_TRY(q2s_sink_write(em->sink, em->buffer, n, diag));
		guest.v += n;
		len -= n;
	}
	return Q2S_OK;
}

static enum q2s_err emit_extent(struct emission *em, q2s_guest guest,
				const struct q2s_extent *extent, struct q2s_diag *diag)
{
	if (extent->state != Q2S_DATA)
		return q2s_sink_zero(em->sink, extent->len, diag);
	if (extent->file)
		return q2s_sink_copy(em->sink, extent->file, extent->at, extent->len, diag);
	return emit_read(em, guest, extent->len, diag);
}

/* Guest bytes in the cheapest way: holes are never moved, files are left to the kernel. */
static enum q2s_err emit_guest(struct emission *em, q2s_guest guest, uint64_t len,
			       struct q2s_diag *diag)
{
	const uint64_t size = q2s_disk_size(em->disk);
	const uint64_t inside = size > guest.v ? q2si_min(len, size - guest.v) : 0;
	const uint64_t end = guest.v + inside;

	while (guest.v < end) {
		struct q2s_extent extent;

		Q2SI_TRY(q2s_cursor_extent(em->cursor, guest, q2si_min(end - guest.v, STEP),
					   &extent, diag));
		if (end - guest.v <= SMALL && extent.len < end - guest.v) {
			/* fragments: one read and one write for all */
			Q2SI_TRY(emit_read(em, guest, end - guest.v, diag));
			break;
		}
		Q2SI_TRY(emit_extent(em, guest, &extent, diag));
		guest.v += extent.len;
		Q2SI_TRY(observe(em, diag));
	}
	return q2s_sink_zero(em->sink, len - inside, diag);
}

static enum q2s_err emit_metadata(struct emission *em, struct q2s_pieces *pieces,
				  const struct q2s_piece *piece, struct q2s_diag *diag)
{
	for (uint64_t done = 0; done < piece->len;) {
		const size_t n = q2si_min(piece->len - done, BUFFER_SIZE);

		Q2SI_TRY(q2s_pieces_metadata(pieces, (q2s_host){ piece->at.v + done }, em->buffer,
					     n, diag));
		Q2SI_TRY(q2s_sink_write(em->sink, em->buffer, n, diag));
		done += n;
		Q2SI_TRY(observe(em, diag));
	}
	return Q2S_OK;
}

static enum q2s_err emit_pieces(struct emission *em, struct q2s_pieces *pieces,
				struct q2s_diag *diag)
{
	struct q2s_piece piece;

	for (;;) {
		Q2SI_TRY(q2s_pieces_next(pieces, &piece, diag));
		switch (piece.kind) {
		case Q2S_PIECE_METADATA:
			Q2SI_TRY(emit_metadata(em, pieces, &piece, diag));
			break;
		case Q2S_PIECE_GUEST:
			Q2SI_TRY(emit_guest(em, piece.guest, piece.len, diag));
			break;
		case Q2S_PIECE_ZERO:
			Q2SI_TRY(q2s_sink_zero(em->sink, piece.len, diag));
			break;
		case Q2S_PIECE_STREAM:
			return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "plan", piece.at,
					    "compressed clusters need a spool");
		case Q2S_PIECE_END:
			return Q2S_OK;
		}
	}
}

/* The promise of the plan, and of a source that stayed what it was. */
static enum q2s_err verify(struct emission *em, struct q2s_diag *diag)
{
	const uint64_t written = q2s_sink_pos(em->sink) - em->first;

	if (written != em->total)
		return q2si_fail(diag, Q2S_E_PLAN, "output", Q2S_NOWHERE, written,
				 "not the 0x%llx bytes that were planned",
				 (unsigned long long)em->total);
	return q2s_disk_verify(em->disk, diag);
}

static enum q2s_err begin(struct emission *em, struct q2s_diag *diag)
{
	em->first = q2s_sink_pos(em->sink);
	em->buffer = malloc(BUFFER_SIZE);
	if (!em->buffer)
		return q2si_fail_nomem(diag, "output buffer");
	Q2SI_TRY(q2s_cursor_open(em->disk, &em->cursor, diag));
	return observe(em, diag);
}

static void end(struct emission *em)
{
	q2s_cursor_close(em->cursor);
	free(em->buffer);
}

enum q2s_err q2s_emit(const struct q2s_plan *plan, struct q2s_disk *disk, struct q2s_sink *sink,
		      const struct q2s_emit_options *options, struct q2s_diag *diag)
{
	struct emission em = {
		.disk = disk,
		.sink = sink,
		.total = q2s_plan_layout(plan)->length,
		.observer = options ? options->observer : NULL,
	};
	struct q2s_pieces *pieces = NULL;
	enum q2s_err err = begin(&em, diag);

	if (err == Q2S_OK)
		err = q2s_pieces_open(plan, (q2s_host){ 0 }, &pieces, diag);
	if (err == Q2S_OK)
		err = emit_pieces(&em, pieces, diag);
	if (err == Q2S_OK)
		err = verify(&em, diag);
	q2s_pieces_close(pieces);
	end(&em);
	return err;
}

enum q2s_err q2s_emit_raw(struct q2s_disk *disk, struct q2s_sink *sink,
			  const struct q2s_emit_options *options, struct q2s_diag *diag)
{
	struct emission em = {
		.disk = disk,
		.sink = sink,
		.total = q2si_round_up(q2s_disk_size(disk), Q2S_SECTOR),
		.observer = options ? options->observer : NULL,
	};
	enum q2s_err err = begin(&em, diag);

	if (err == Q2S_OK)
		err = emit_guest(&em, (q2s_guest){ 0 }, em.total, diag);
	if (err == Q2S_OK)
		err = verify(&em, diag);
	end(&em);
	return err;
}
