/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that images of formats other than qcow2 refer to: the formats with one place to look. */
#include "stream/foreign_refs.h"

#include <string.h>

#include "common/fault.h"

#define HEADER_SIZE 512

/* The first sector, with zeros behind the end of the file. */
static enum q2s_err
read_header(struct q2s_store *file, uint8_t *header, struct q2s_diag *diag)
{
	return q2s_store_read_padded(file, 0, header, HEADER_SIZE, NULL, diag);
}

static bool
is_zero(const uint8_t *at, size_t len)
{
	while (len > 0 && *at == 0) {
		at++;
		len--;
	}
	return len == 0;
}

static void
set_backing(bool backing, struct foreign_refs *out)
{
	*out = (struct foreign_refs){
		.reach = backing ? FOREIGN_AWAY : FOREIGN_ALONE,
		.what = "backing file",
	};
}

/* qcow version 1: the offset of the backing file's name, at 8. */
enum q2s_err
foreign_look_qcow(struct q2s_store *file, const char *path, struct foreign_refs *out,
		  struct q2s_diag *diag)
{
	uint8_t header[HEADER_SIZE];
	const enum q2s_err err = read_header(file, header, diag);

	(void)path;
	set_backing(err == Q2S_OK && !is_zero(header + 8, 8), out);
	return err;
}

/* QED: bit 0 of the features, little-endian at 16. */
enum q2s_err
foreign_look_qed(struct q2s_store *file, const char *path, struct foreign_refs *out,
		 struct q2s_diag *diag)
{
	uint8_t header[HEADER_SIZE];
	const enum q2s_err err = read_header(file, header, diag);

	(void)path;
	set_backing(err == Q2S_OK && (header[16] & 1) != 0, out);
	return err;
}

/*
 * VHD: names are never followed, not even the parent's of a differencing disk: QEMU shows such a
 * disk without what its parent holds. The type of the disk is a big-endian number at 60.
 */
enum q2s_err
foreign_look_vpc(struct q2s_store *file, const char *path, struct foreign_refs *out,
		 struct q2s_diag *diag)
{
	static const uint8_t differencing[] = { 0, 0, 0, 4 };
	uint8_t header[HEADER_SIZE];
	const enum q2s_err err = read_header(file, header, diag);

	(void)path;
	*out = (struct foreign_refs){ .reach = FOREIGN_ALONE };
	if (err == Q2S_OK && memcmp(header, "conectix", 8) == 0 &&
	    memcmp(header + 60, differencing, sizeof(differencing)) == 0)
		return fault(diag, Q2S_E_UNSUPPORTED, "VHD footer",
			     "this is a differencing disk, which shows nothing without its parent");
	return err;
}
