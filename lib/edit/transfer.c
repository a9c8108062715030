/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guest bytes from and to where they lie: the image, its data file, what lies below. */
#include "edit/edit.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"

/* ---- plain data ---------------------------------------------------------------------------- */

static enum q2s_err
cipher_ready(struct q2s_edit *edit, struct q2si_worker *worker, struct q2s_diag *diag)
{
	return worker->cipher ? Q2S_OK : q2s_cipher_open(edit->crypt, &worker->cipher, diag);
}

static enum q2s_err
sectors_read(struct q2s_edit *edit, struct q2si_worker *worker, uint64_t guest, uint64_t host,
	     uint8_t *buf, size_t len, struct q2s_diag *diag)
{
	Q2SI_TRY(q2s_store_read_padded(edit->data->store, host, buf, len, NULL, diag));
	return q2s_cipher_decrypt(worker->cipher, (q2s_guest){ guest }, (q2s_host){ host }, buf,
				  len, diag);
}

/* Ciphers work on whole sectors, readers ask for any bytes. Sectors start alike on both sides. */
static enum q2s_err
encrypted_read(struct q2s_edit *edit, struct q2si_worker *worker, uint64_t guest, uint64_t host,
	       uint8_t *buf, size_t len, struct q2s_diag *diag)
{
	uint8_t sector[Q2S_SECTOR];

	Q2SI_TRY(cipher_ready(edit, worker, diag));
	while (len > 0) {
		const uint64_t skip = host % Q2S_SECTOR;
		size_t n = q2si_round_down(len, Q2S_SECTOR);

		if (skip == 0 && n > 0) {
			Q2SI_TRY(sectors_read(edit, worker, guest, host, buf, n, diag));
		} else {
			n = q2si_min_size(Q2S_SECTOR - skip, len);
			Q2SI_TRY(sectors_read(edit, worker, guest - skip, host - skip, sector,
					      sizeof(sector), diag));
			memcpy(buf, sector + skip, n);
		}
		guest += n;
		host += n;
		buf += n;
		len -= n;
	}
	return Q2S_OK;
}

enum q2s_err
q2si_data_read(struct q2s_edit *edit, struct q2si_worker *worker, uint64_t guest, uint64_t host,
	       void *buf, size_t len, struct q2s_diag *diag)
{
	if (edit->crypt)
		return encrypted_read(edit, worker, guest, host, buf, len, diag);
	return q2s_store_read_padded(edit->data->store, host, buf, len, NULL, diag);
}

enum q2s_err
q2si_data_write(struct q2s_edit *edit, struct q2si_worker *worker, uint64_t guest, uint64_t host,
		void *buf, size_t len, struct q2s_diag *diag)
{
	enum q2s_err err;

	if (edit->crypt) {
		Q2SI_TRY(cipher_ready(edit, worker, diag));
		Q2SI_TRY(q2s_cipher_encrypt(worker->cipher, (q2s_guest){ guest },
					    (q2s_host){ host }, buf, len, diag));
	}
	err = q2s_store_write(edit->data->store, host, buf, len, diag);
	q2si_wrote(edit->data); /* also after a failure, which may have written a part */
	return err;
}

/* ---- what lies below ----------------------------------------------------------------------- */

enum q2s_err
q2si_base_read(struct q2s_edit *edit, struct q2si_worker *worker, uint64_t guest, void *buf,
	       size_t len, struct q2s_diag *diag)
{
	const size_t there = guest < edit->base_size ? q2si_min(len, edit->base_size - guest) : 0;

	if (there > 0) {
		if (!worker->cursor)
			Q2SI_TRY(q2s_cursor_open(edit->base, &worker->cursor, diag));
		Q2SI_TRY(q2s_cursor_read(worker->cursor, (q2s_guest){ guest }, buf, there, diag));
	}
	memset((uint8_t *)buf + there, 0, len - there);
	return Q2S_OK;
}

/* ---- compressed clusters --------------------------------------------------------------------- */

/* They are not encrypted, as in QEMU. */
enum q2s_err
q2si_inflated_read(struct q2s_edit *edit, struct q2si_worker *worker,
		   const struct q2s_l2_entry *entry, uint32_t from, void *buf, size_t len,
		   struct q2s_diag *diag)
{
	struct q2s_store *store = q2si_meta(edit)->store;
	const size_t size = edit->geom.cluster_size;
	uint8_t *out = buf;
	size_t got;

	if (len < size) {
		if (!worker->inflated)
			worker->inflated = malloc(size);
		if (!worker->inflated)
			return q2si_fail_nomem(diag, "decompressed cluster");
		out = worker->inflated;
		if (worker->holds == entry->comp_at.v + 1) {
			memcpy(buf, out + from, len);
			return Q2S_OK;
		}
		worker->holds = 0;
	}
	Q2SI_TRY(q2si_cluster_decode(&worker->decoder, store, &edit->geom,
				     edit->header.compression_type, entry->comp_at,
				     entry->comp_bytes, out, &got, diag));
	if (got == 0)
		return q2si_fail(diag, Q2S_E_TRUNCATED, "compressed cluster", entry->comp_at,
				 entry->comp_bytes, "lies behind the end of the file");
	if (out != buf) {
		memcpy(buf, out + from, len);
		worker->holds = entry->comp_at.v + 1;
	}
	return Q2S_OK;
}

/* ---- what a mapping shows -------------------------------------------------------------------- */

/* [@at, @at + @len) is within one subcluster. */
static enum q2s_err
subcluster_read(struct q2s_edit *edit, struct q2si_worker *worker, const struct q2s_l2_entry *entry,
		uint64_t at, uint8_t *buf, size_t len, struct q2s_diag *diag)
{
	const q2s_guest guest = { at };

	switch (q2s_l2_state(entry, q2s_sub_index(&edit->geom, guest))) {
	case Q2S_DATA:
		return q2si_data_read(edit, worker, at,
				      entry->host.v + q2s_in_cluster(&edit->geom, guest), buf, len,
				      diag);
	case Q2S_ABSENT:
		return q2si_base_read(edit, worker, at, buf, len, diag);
	case Q2S_ZERO:
		break;
	}
	memset(buf, 0, len);
	return Q2S_OK;
}

enum q2s_err
q2si_old_read(struct q2s_edit *edit, struct q2si_worker *worker, const struct q2s_l2_entry *entry,
	      uint64_t at, uint8_t *buf, size_t len, struct q2s_diag *diag)
{
	const uint32_t from = q2s_in_cluster(&edit->geom, (q2s_guest){ at });
	const size_t there = at < edit->geom.size ? q2si_min(len, edit->geom.size - at) : 0;

	memset(buf + there, 0, len - there);
	if (entry->compressed)
		return q2si_inflated_read(edit, worker, entry, from, buf, there, diag);
	for (size_t done = 0; done < there;) {
		const uint64_t in_sub = (at + done) & (edit->geom.sub_size - 1);
		const size_t n = q2si_min_size(edit->geom.sub_size - in_sub, there - done);

		Q2SI_TRY(subcluster_read(edit, worker, entry, at + done, buf + done, n, diag));
		done += n;
	}
	return Q2S_OK;
}
