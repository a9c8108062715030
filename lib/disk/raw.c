/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A raw disk: the bytes of a file or block device, whose holes are known to be zero. */
#include <stdlib.h>

#include <q2s/http.h>

#include "base/arith.h"
#include "base/diag.h"
#include "disk/disk.h"

struct raw_disk {
	struct q2s_disk disk;
	struct q2s_store *file;
};

struct raw_cursor {
	struct q2s_cursor cursor;
	struct q2s_stretch_walk walk;
};

static struct q2s_store *
file_of(const struct q2s_cursor *cursor)
{
	return ((const struct raw_disk *)cursor->disk)->file;
}

static enum q2s_err
raw_cursor_open(struct q2s_disk *disk, struct q2s_cursor **out, struct q2s_diag *diag)
{
	struct raw_cursor *raw = calloc(1, sizeof(*raw));

	(void)disk;
	if (!raw)
		return q2si_fail_nomem(diag, "cursor");
	*out = &raw->cursor;
	return Q2S_OK;
}

static void
raw_cursor_close(struct q2s_cursor *cursor)
{
	free(cursor);
}

static enum q2s_err
raw_extent(struct q2s_cursor *cursor, q2s_guest guest, uint64_t max, struct q2s_extent *out,
	   struct q2s_diag *diag)
{
	struct raw_cursor *raw = (struct raw_cursor *)cursor;
	struct q2s_stretch stretch;

	Q2SI_TRY(q2s_store_stretch_on(file_of(cursor), &raw->walk, guest.v, &stretch, diag));
	*out = (struct q2s_extent){ .len = q2si_min(stretch.len, max) };
	if (!stretch.hole) {
		out->state = Q2S_DATA;
		out->file = file_of(cursor);
		out->at = guest.v;
	}
	return Q2S_OK;
}

static enum q2s_err
raw_read(struct q2s_cursor *cursor, q2s_guest guest, void *buf, size_t len, struct q2s_diag *diag)
{
	struct q2s_store *file = file_of(cursor);
	size_t got;

	Q2SI_TRY(q2s_store_read_padded(file, guest.v, buf, len, &got, diag));
	if (got == len)
		return Q2S_OK;
	return q2si_in_file(diag,
			    q2si_fail_at(diag, Q2S_E_CHANGED, "source", (q2s_host){ guest.v + got },
					 "it became shorter while it was read"),
			    q2s_store_name(file));
}

static bool
raw_will_read(struct q2s_cursor *cursor, q2s_guest guest, size_t len)
{
	if (q2s_store_is_remote(file_of(cursor)))
		q2s_store_will_need(file_of(cursor), guest.v, len);
	return true;
}

static struct q2s_store *
raw_file(const struct q2s_disk *disk, size_t index)
{
	return index == 0 ? ((const struct raw_disk *)disk)->file : NULL;
}

static void
raw_close(struct q2s_disk *disk)
{
	q2s_store_unref(((struct raw_disk *)disk)->file);
	free(disk);
}

static const struct q2si_disk_ops raw_ops = {
	.cursor_open = raw_cursor_open,
	.cursor_close = raw_cursor_close,
	.extent = raw_extent,
	.read = raw_read,
	.will_read = raw_will_read,
	.file = raw_file,
	.close = raw_close,
};

enum q2s_err
q2s_disk_raw(struct q2s_store *file, struct q2s_disk **out, struct q2s_diag *diag)
{
	struct raw_disk *raw = calloc(1, sizeof(*raw));
	enum q2s_err err;

	if (!raw)
		return q2si_fail_nomem(diag, "disk");
	err = q2si_disk_init(&raw->disk, &raw_ops, q2s_store_name(file), q2s_store_size(file),
			     diag);
	if (err != Q2S_OK) {
		free(raw);
		return err;
	}
	raw->file = q2s_store_ref(file);
	*out = &raw->disk;
	return Q2S_OK;
}
