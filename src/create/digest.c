/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 of a disk, by libgcrypt where there is one. */
#include "create/digest.h"

#include "common/fault.h"

#ifdef HAVE_LIBGCRYPT

#include <gcrypt.h>
#include <stdio.h>
#include <stdlib.h>

#define STEP (256u << 10)
#define DIGEST_BYTES 32u

bool
digest_is_there(void)
{
	return true;
}

static enum q2s_err
feed(gcry_md_hd_t md, struct q2s_disk *disk, struct q2s_cursor *cursor, uint8_t *buf,
     struct q2s_diag *diag)
{
	const uint64_t size = q2s_disk_size(disk);

	for (uint64_t at = 0; at < size;) {
		const size_t n = size - at < STEP ? (size_t)(size - at) : STEP;
		const enum q2s_err err = q2s_cursor_read(cursor, (q2s_guest){ at }, buf, n, diag);

		if (err != Q2S_OK)
			return err;
		gcry_md_write(md, buf, n);
		at += n;
	}
	return Q2S_OK;
}

enum q2s_err
digest_disk(struct q2s_disk *disk, char out[DIGEST_TEXT], struct q2s_diag *diag)
{
	struct q2s_cursor *cursor = NULL;
	uint8_t *const buf = malloc(STEP);
	gcry_md_hd_t md = NULL;
	enum q2s_err err = buf ? Q2S_OK : fault_nomem(diag, "digest");

	gcry_check_version(NULL); /* the library wants to be asked once; again does nothing */
	if (err == Q2S_OK && gcry_md_open(&md, GCRY_MD_SHA256, 0) != 0)
		err = fault(diag, Q2S_E_UNSUPPORTED, "digest", "libgcrypt has no SHA-256");
	if (err == Q2S_OK)
		err = q2s_cursor_open(disk, &cursor, diag);
	if (err == Q2S_OK)
		err = feed(md, disk, cursor, buf, diag);
	if (err == Q2S_OK) {
		const uint8_t *const bytes = gcry_md_read(md, GCRY_MD_SHA256);

		for (size_t i = 0; i < DIGEST_BYTES; i++)
			snprintf(out + 2 * i, 3, "%02x", bytes[i]);
	}
	q2s_cursor_close(cursor);
	gcry_md_close(md);
	free(buf);
	return err;
}

#else

bool
digest_is_there(void)
{
	return false;
}

enum q2s_err
digest_disk(struct q2s_disk *disk, char out[DIGEST_TEXT], struct q2s_diag *diag)
{
	(void)disk;
	out[0] = '\0';
	return fault(diag, Q2S_E_UNSUPPORTED, "digest", "this build has no libgcrypt");
}

#endif
