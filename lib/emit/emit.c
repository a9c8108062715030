/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pieces of a plan into a sink, in order. Usually one thread hands them on; where compressed
 * streams have to be made again, several do, some streams at a time.
 */
#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/ordered.h"
#include "base/zero.h"
#include "disk/disk.h"
#include "emit/encoder.h"
#include "emit/output.h"

#define BATCH_BYTES (1u << 20) /* guest bytes of streams that a thread makes at a time */
#define BATCH_PIECES 64u
#define HOLE (16u << 10) /* of metadata, looked at as a whole */

struct emission {
	const struct q2s_emit_options *options;
	const struct q2s_geom *geom;
	uint64_t until; /* end of the range */
	bool encodes;   /* streams are made again */
	struct q2s_pieces *pieces;
	struct q2s_piece ahead; /* the next one to take; len 0 at the end */
	struct q2si_output output;
};

/* One thread, and the pieces that it works on: one of any kind, or some streams. */
struct emitter {
	struct q2s_piece pieces[BATCH_PIECES];
	size_t count;
	/* for streams that are made again */
	struct q2si_encoder *encoder;
	struct q2s_cursor *cursor;
	uint8_t *cluster;
	uint8_t *streams; /* one behind the other, each whole */
};

static size_t
batch_streams(const struct q2s_geom *geom)
{
	return q2si_max(q2si_min(BATCH_BYTES >> geom->cluster_bits, BATCH_PIECES), 1);
}

/* Read the next piece, and cut it at the end of the range. */
static enum q2s_err
look_ahead(struct emission *em, struct q2s_diag *diag)
{
	struct q2s_piece *piece = &em->ahead;

	Q2SI_TRY(q2s_pieces_next(em->pieces, piece, diag));
	piece->len = q2si_min(piece->len, em->until - q2si_min(em->until, piece->at.v));
	return Q2S_OK;
}

static enum q2s_err
emitter_fill(struct emitter *emitter, const struct emission *em, struct q2s_diag *diag)
{
	const size_t size = em->geom->cluster_size;

	if (!em->encodes)
		return Q2S_OK;
	emitter->cluster = malloc(size);
	emitter->streams = malloc(batch_streams(em->geom) * size);
	if (!emitter->cluster || !emitter->streams)
		return q2si_fail_nomem(diag, "compression buffer");
	Q2SI_TRY(q2si_encoder_open(em->options->how, em->geom->cluster_size, &emitter->encoder,
				   diag));
	return q2s_cursor_open(em->output.disk, &emitter->cursor, diag);
}

static enum q2s_err
emitter_open(void *shared, void **worker, struct q2s_diag *diag)
{
	struct emitter *emitter = calloc(1, sizeof(*emitter));

	*worker = emitter;
	return emitter ? emitter_fill(emitter, shared, diag) : q2si_fail_nomem(diag, "output");
}

static void
emitter_close(void *worker)
{
	struct emitter *emitter = worker;

	if (!emitter)
		return;
	q2si_encoder_close(emitter->encoder);
	q2s_cursor_close(emitter->cursor);
	free(emitter->cluster);
	free(emitter->streams);
	free(emitter);
}

static size_t
emitter_memory(const void *shared)
{
	const struct emission *em = shared;

	if (!em->encodes)
		return 0; /* one thread, that hands on */
	return (batch_streams(em->geom) + 1) * em->geom->cluster_size +
	       q2si_encoder_memory(em->options->how, em->geom->cluster_size) +
	       q2si_cursor_memory(em->output.disk);
}

static enum q2s_err
emitter_take(void *shared, void *worker, bool *more, struct q2s_diag *diag)
{
	struct emission *em = shared;
	struct emitter *emitter = worker;
	const size_t max = em->encodes ? batch_streams(em->geom) : 1;

	emitter->count = 0;
	while (em->ahead.len > 0 && emitter->count < max) {
		const bool stream = em->ahead.kind == Q2S_PIECE_STREAM;

		if (emitter->count > 0 && !stream)
			break;
		emitter->pieces[emitter->count++] = em->ahead;
		Q2SI_TRY(look_ahead(em, diag));
		if (!stream)
			break;
	}
	*more = emitter->count > 0;
	return Q2S_OK;
}

/* Make one stream again; it must be what it was when its length was found out. */
static enum q2s_err
encode(struct emitter *emitter, const struct q2s_geom *geom, const struct q2s_piece *piece,
       uint8_t *out, struct q2s_diag *diag)
{
	uint32_t len;

	Q2SI_TRY(q2s_cursor_read(emitter->cursor, piece->guest, emitter->cluster,
				 geom->cluster_size, diag));
	Q2SI_TRY(q2si_encode(emitter->encoder, emitter->cluster, out, &len, diag));
	if (len == piece->whole)
		return Q2S_OK;
	return q2si_fail(diag, Q2S_E_CHANGED, "source", Q2S_NOWHERE, piece->guest.v,
			 "the cluster at this guest offset changed while it was read: it "
			 "compresses to %u bytes, not %u", len, piece->whole);
}

static enum q2s_err
emitter_work(void *shared, void *worker, struct q2s_diag *diag)
{
	const struct emission *em = shared;
	struct emitter *emitter = worker;
	uint8_t *out = emitter->streams;

	if (!em->encodes || emitter->pieces[0].kind != Q2S_PIECE_STREAM)
		return Q2S_OK;
	for (size_t i = 0; i < emitter->count; i++) {
		Q2SI_TRY(encode(emitter, em->geom, &emitter->pieces[i], out, diag));
		out += emitter->pieces[i].whole;
	}
	return Q2S_OK;
}

/* Tables are mostly empty where clusters are large: what is zero in them becomes a hole. */
static enum q2s_err
write_sparse(struct q2s_sink *sink, const uint8_t *buf, size_t len, struct q2s_diag *diag)
{
	for (size_t n; len > 0; buf += n, len -= n) {
		const bool zero = q2si_is_zero(buf, q2si_min(len, HOLE));

		n = q2si_min(len, HOLE);
		while (n < len && q2si_is_zero(buf + n, q2si_min(len - n, HOLE)) == zero)
			n += q2si_min(len - n, HOLE);
		Q2SI_TRY(zero ? q2s_sink_zero(sink, n, diag) : q2s_sink_write(sink, buf, n, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
deliver_metadata(struct emission *em, const struct q2s_piece *piece, struct q2s_diag *diag)
{
	struct q2si_output *output = &em->output;

	for (uint64_t done = 0; done < piece->len;) {
		const size_t n = q2si_min(piece->len - done, Q2SI_OUTPUT_BUFFER);

		Q2SI_TRY(q2s_pieces_metadata(em->pieces, (q2s_host){ piece->at.v + done },
					     output->buffer, n, diag));
		Q2SI_TRY(write_sparse(output->sink, output->buffer, n, diag));
		done += n;
		Q2SI_TRY(q2si_output_observe(output, diag));
	}
	return Q2S_OK;
}

/* @made: the whole stream, when it was made again. */
static enum q2s_err
deliver_stream(struct emission *em, const struct q2s_piece *piece, const uint8_t *made,
	       struct q2s_diag *diag)
{
	struct q2s_spool *spool = em->options->spool;

	if (em->encodes)
		return q2s_sink_write(em->output.sink, made + piece->skip, piece->len, diag);
	if (spool)
		return q2s_spool_move(spool, piece->stream + piece->skip, piece->len,
				      em->output.sink, diag);
	return q2si_fail_at(diag, Q2S_E_USAGE, "plan", piece->at,
			    "compressed clusters need a spool, or a way to make them again");
}

static enum q2s_err
deliver_piece(struct emission *em, const struct q2s_piece *piece, const uint8_t *made,
	      struct q2s_diag *diag)
{
	switch (piece->kind) {
	case Q2S_PIECE_METADATA:
		return deliver_metadata(em, piece, diag);
	case Q2S_PIECE_GUEST:
		if (em->output.cipher)
			return q2si_output_encrypted(&em->output, piece->guest, piece->at,
						     piece->len, diag);
		return q2si_output_guest(&em->output, piece->guest, piece->len, diag);
	case Q2S_PIECE_ZERO:
		return q2s_sink_zero(em->output.sink, piece->len, diag);
	case Q2S_PIECE_STREAM:
		return deliver_stream(em, piece, made, diag);
	case Q2S_PIECE_END:
		break;
	}
	return Q2S_OK;
}

static enum q2s_err
emitter_deliver(void *shared, void *worker, struct q2s_diag *diag)
{
	struct emission *em = shared;
	const struct emitter *emitter = worker;
	const uint8_t *made = emitter->streams;

	for (size_t i = 0; i < emitter->count; i++) {
		Q2SI_TRY(deliver_piece(em, &emitter->pieces[i], made, diag));
		if (em->encodes)
			made += emitter->pieces[i].whole;
	}
	return q2si_output_observe(&em->output, diag);
}

static const struct q2si_ordered_ops emit_ops = {
	.open = emitter_open,
	.close = emitter_close,
	.take = emitter_take,
	.work = emitter_work,
	.deliver = emitter_deliver,
	.memory = emitter_memory,
};

static enum q2s_err
run(struct emission *em, struct q2s_diag *diag)
{
	Q2SI_TRY(q2si_output_open(&em->output, diag));
	Q2SI_TRY(look_ahead(em, diag));
	Q2SI_TRY(q2si_ordered_run(&emit_ops, em, em->encodes ? em->options->threads : 1, diag));
	return q2si_output_verify(&em->output, diag);
}

enum q2s_err
q2s_emit(const struct q2s_plan *plan, struct q2s_disk *disk, struct q2s_sink *sink,
	 const struct q2s_emit_options *options, struct q2s_diag *diag)
{
	static const struct q2s_emit_options none = { 0 };
	const uint64_t length = q2s_plan_layout(plan)->length;
	struct emission em = {
		.options = options ? options : &none,
		.geom = &q2s_plan_spec(plan)->geom,
	};
	enum q2s_err err;

	em.until = em.options->until ? em.options->until : length;
	if (em.until > length || em.options->from > em.until)
		return q2si_fail(diag, Q2S_E_USAGE, "range", Q2S_NOWHERE, em.until,
				 "the image has 0x%llx bytes", (unsigned long long)length);
	if (!q2s_plan_spec(plan)->luks.data != !em.options->crypt)
		return q2si_fail_at(diag, Q2S_E_USAGE, "plan", Q2S_NOWHERE,
				    "a LUKS header and a way to encrypt go together");
	em.encodes = em.options->how && !em.options->spool;
	em.output = (struct q2si_output){
		.disk = disk,
		.sink = sink,
		.total = em.until - em.options->from,
		.observer = em.options->observer,
		.crypt = em.options->crypt,
	};
	Q2SI_TRY(q2s_pieces_open(plan, (q2s_host){ em.options->from }, &em.pieces, diag));
	err = run(&em, diag);
	q2si_output_close(&em.output);
	q2s_pieces_close(em.pieces);
	return err;
}
