/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes of a chain: read, or decompressed and kept for the reads that follow. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <q2s/http.h>

#include "base/arith.h"
#include "base/diag.h"
#include "disk/qcow2.h"

/* Behind the end is the missing tail of a last cluster, or of a short data file. */
enum q2s_err
q2si_qcow2_plain_read(struct q2s_store *file, uint64_t at, uint8_t *buf, size_t len,
		      struct q2s_diag *diag)
{
	size_t got;

	Q2SI_TRY(q2s_store_read_padded(file, at, buf, len, &got, diag));
	if (got == len || at + got >= q2s_store_size(file))
		return Q2S_OK;
	return q2si_in_file(diag,
			    q2si_fail_at(diag, Q2S_E_CHANGED, "source", (q2s_host){ at + got },
					 "it became shorter while it was read"),
			    q2s_store_name(file));
}

/* ---- compressed clusters ----------------------------------------------------------------- */

/* The slot that holds the stream at @host of layer @depth, else the one needed longest ago. */
static struct q2si_slot *
slot_choose(struct q2si_qcow2_cursor *cursor, size_t depth, q2s_host host, bool *hit)
{
	struct q2si_slot *oldest = &cursor->slots[0];

	for (struct q2si_slot *slot = cursor->slots; slot < cursor->slots + Q2SI_SLOTS; slot++) {
		if (slot->used && slot->depth == depth && slot->host.v == host.v) {
			*hit = true;
			return slot;
		}
		if (slot->used < oldest->used)
			oldest = slot;
	}
	*hit = false;
	return oldest;
}

static enum q2s_err
slot_fill(struct q2si_qcow2_cursor *cursor, struct q2si_slot *slot, const struct q2si_piece *piece,
	  size_t cluster_size, struct q2s_diag *diag)
{
	slot->used = 0;
	if (slot->size < cluster_size) {
		uint8_t *data = realloc(slot->data, cluster_size);

		if (!data)
			return q2si_fail_nomem(diag, "decompressed cluster");
		slot->data = data;
		slot->size = cluster_size;
	}
	Q2SI_TRY(q2s_map_decompress(cursor->views[piece->depth].map, &piece->run, slot->data,
				    diag));
	slot->depth = piece->depth;
	slot->host = piece->run.host;
	return Q2S_OK;
}

static enum q2s_err
compressed_read(struct q2si_qcow2_cursor *cursor, q2s_guest guest, const struct q2si_piece *piece,
		uint8_t *buf, struct q2s_diag *diag)
{
	const struct q2si_layer *layer = &q2si_qcow2_chain(cursor)->layers[piece->depth];
	const struct q2s_geom *geom = q2s_image_geom(layer->image);
	struct q2si_slot *slot;
	bool hit;

	if (piece->len == geom->cluster_size) /* all of it: no need to keep it */
		return q2s_map_decompress(cursor->views[piece->depth].map, &piece->run, buf, diag);
	slot = slot_choose(cursor, piece->depth, piece->run.host, &hit);
	if (!hit)
		Q2SI_TRY(slot_fill(cursor, slot, piece, geom->cluster_size, diag));
	slot->used = ++cursor->clock;
	memcpy(buf, slot->data + q2s_in_cluster(geom, guest), piece->len);
	return Q2S_OK;
}

/* ------------------------------------------------------------------------------------------ */

/* Where in the guest's disk the damage is: the host offset alone helps nobody who owns the disk. */
static enum q2s_err
at_guest(struct q2s_diag *diag, enum q2s_err err, q2s_guest guest)
{
	size_t used;

	if (err == Q2S_OK || !diag || strstr(diag->text, "guest offset"))
		return err;
	used = strlen(diag->text);
	snprintf(diag->text + used, sizeof(diag->text) - used, "; guest offset 0x%" PRIx64,
		 guest.v);
	return err;
}

static enum q2s_err
piece_read(struct q2si_qcow2_cursor *cursor, q2s_guest guest, const struct q2si_piece *piece,
	   uint8_t *buf, struct q2s_diag *diag)
{
	if (piece->state != Q2S_DATA) {
		memset(buf, 0, piece->len);
		return Q2S_OK;
	}
	if (piece->encrypted)
		return q2si_qcow2_decrypt(cursor, guest, piece, buf, diag);
	if (piece->file)
		return q2si_qcow2_plain_read(piece->file, piece->at, buf, piece->len, diag);
	return q2si_in_file(diag, compressed_read(cursor, guest, piece, buf, diag),
			    q2s_store_name(q2si_qcow2_chain(cursor)->layers[piece->depth].file));
}

/* Where the bytes of a piece lie in a file. */
static void
announce(const struct q2si_qcow2_cursor *cursor, const struct q2si_piece *piece)
{
	struct q2s_store *file = piece->file;

	if (piece->state != Q2S_DATA)
		return;
	if (!file)
		file = q2si_qcow2_chain(cursor)->layers[piece->depth].file;
	if (!q2s_store_is_remote(file))
		return;
	if (piece->file)
		q2s_store_will_need(file, piece->at, piece->len);
	else
		q2s_store_will_need(file, piece->run.host.v, piece->run.comp_bytes);
}

bool
q2si_qcow2_will_read(struct q2s_cursor *base, q2s_guest guest, size_t len)
{
	struct q2si_qcow2_cursor *cursor = (struct q2si_qcow2_cursor *)base;
	struct q2si_piece piece;

	if (!((const struct q2si_qcow2_disk *)base->disk)->remote)
		return true;
	while (len > 0 && q2si_qcow2_piece(cursor, guest, len, &piece, NULL) == Q2S_OK) {
		announce(cursor, &piece);
		guest.v += piece.len;
		len -= piece.len;
	}
	return true;
}

enum q2s_err
q2si_qcow2_read(struct q2s_cursor *base, q2s_guest guest, void *buf, size_t len,
		struct q2s_diag *diag)
{
	struct q2si_qcow2_cursor *cursor = (struct q2si_qcow2_cursor *)base;
	uint8_t *at = buf;

	while (len > 0) {
		struct q2si_piece piece;

		Q2SI_TRY(at_guest(diag, q2si_qcow2_piece(cursor, guest, len, &piece, diag), guest));
		Q2SI_TRY(at_guest(diag, piece_read(cursor, guest, &piece, at, diag), guest));
		at += piece.len;
		guest.v += piece.len;
		len -= piece.len;
	}
	return Q2S_OK;
}
