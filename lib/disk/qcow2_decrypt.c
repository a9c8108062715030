/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Encrypted clusters: ciphers work on whole sectors, readers ask for any bytes. */
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "disk/qcow2.h"

/* Read and decrypt whole sectors; @guest and @at are the start of one. */
static enum q2s_err
sectors_read(struct q2s_cipher *cipher, q2s_guest guest, struct q2s_store *file, uint64_t at,
	     uint8_t *buf, size_t len, struct q2s_diag *diag)
{
	Q2SI_TRY(q2si_qcow2_plain_read(file, at, buf, len, diag));
	return q2s_cipher_decrypt(cipher, guest, (q2s_host){ at }, buf, len, diag);
}

/* What the piece has, from @done bytes on, of the one sector there; *@got says how many bytes. */
static enum q2s_err
part_read(struct q2s_cipher *cipher, q2s_guest guest, const struct q2si_piece *piece,
	  uint64_t done, uint8_t *buf, size_t *got, struct q2s_diag *diag)
{
	const uint64_t skip = (guest.v + done) % Q2S_SECTOR;
	uint8_t sector[Q2S_SECTOR];

	Q2SI_TRY(sectors_read(cipher, (q2s_guest){ guest.v + done - skip }, piece->file,
			      piece->at + done - skip, sector, sizeof(sector), diag));
	*got = q2si_min_size(piece->len - done, Q2S_SECTOR - skip);
	memcpy(buf, sector + skip, *got);
	return Q2S_OK;
}

/*
 * What lies behind the end of the file is not zero for the guest either: as QEMU does, zeros are
 * decrypted. Clusters start at sectors on both sides, so @guest and the piece's offset are equally
 * far into one.
 */
enum q2s_err
q2si_qcow2_decrypt(struct q2si_qcow2_cursor *cursor, q2s_guest guest,
		   const struct q2si_piece *piece, uint8_t *buf, struct q2s_diag *diag)
{
	struct q2si_view *view = &cursor->views[piece->depth];
	uint64_t done = 0;

	if (!view->cipher)
		Q2SI_TRY(q2s_cipher_open(q2si_qcow2_chain(cursor)->layers[piece->depth].crypt,
					 &view->cipher, diag));
	while (done < piece->len) {
		const q2s_guest here = { guest.v + done };
		size_t len = q2si_round_down(piece->len - done, Q2S_SECTOR);

		if (here.v % Q2S_SECTOR != 0 || len == 0)
			Q2SI_TRY(part_read(view->cipher, guest, piece, done, buf + done, &len,
					   diag));
		else
			Q2SI_TRY(sectors_read(view->cipher, here, piece->file, piece->at + done,
					      buf + done, len, diag));
		done += len;
	}
	return Q2S_OK;
}
