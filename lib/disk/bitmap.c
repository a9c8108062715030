/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A persistent bitmap as a map of a disk: what it calls dirty is data, the rest is absent. It says
 * where to look, and has no bytes of its own.
 */
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "disk/disk.h"

struct bitmap_disk {
	struct q2s_disk disk;
	struct q2s_image *image;
	uint8_t *name;
	size_t name_len;
};

struct bitmap_cursor {
	struct q2s_cursor cursor;
	struct q2s_bitmap_reader *reader;
};

static enum q2s_err
open_reader(const struct bitmap_disk *bitmap, struct q2s_bitmap_reader **out,
	    struct q2s_diag *diag)
{
	const struct q2s_bytes name = { bitmap->name, bitmap->name_len };

	return q2s_bitmap_reader_open(bitmap->image, name, out, diag);
}

static enum q2s_err
bitmap_cursor_open(struct q2s_disk *disk, struct q2s_cursor **out, struct q2s_diag *diag)
{
	struct bitmap_cursor *cursor = calloc(1, sizeof(*cursor));
	enum q2s_err err;

	if (!cursor)
		return q2si_fail_nomem(diag, "cursor");
	err = open_reader((const struct bitmap_disk *)disk, &cursor->reader, diag);
	if (err != Q2S_OK) {
		free(cursor);
		return err;
	}
	*out = &cursor->cursor;
	return Q2S_OK;
}

static void
bitmap_cursor_close(struct q2s_cursor *cursor)
{
	q2s_bitmap_reader_close(((struct bitmap_cursor *)cursor)->reader);
	free(cursor);
}

static enum q2s_err
bitmap_extent(struct q2s_cursor *cursor, q2s_guest guest, uint64_t max, struct q2s_extent *out,
	      struct q2s_diag *diag)
{
	struct q2s_bitmap_run run;

	Q2SI_TRY(q2si_in_file(diag,
			      q2s_bitmap_reader_run(((struct bitmap_cursor *)cursor)->reader, guest,
						    max, &run, diag),
			      cursor->disk->name));
	*out = (struct q2s_extent){ .len = run.len, .state = run.dirty ? Q2S_DATA : Q2S_ABSENT };
	return Q2S_OK;
}

static enum q2s_err
bitmap_read(struct q2s_cursor *cursor, q2s_guest guest, void *buf, size_t len,
	    struct q2s_diag *diag)
{
	(void)guest;
	(void)buf;
	(void)len;
	return q2si_in_file(diag,
			    q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "bitmap", Q2S_NOWHERE,
					 "it has no content that could be read"),
			    cursor->disk->name);
}

static struct q2s_store *
bitmap_file(const struct q2s_disk *disk, size_t index)
{
	return index == 0 ? q2s_image_file(((const struct bitmap_disk *)disk)->image) : NULL;
}

static void
bitmap_close(struct q2s_disk *disk)
{
	struct bitmap_disk *bitmap = (struct bitmap_disk *)disk;

	q2s_image_close(bitmap->image);
	free(bitmap->name);
	free(bitmap);
}

static const struct q2si_disk_ops bitmap_ops = {
	.cursor_open = bitmap_cursor_open,
	.cursor_close = bitmap_cursor_close,
	.extent = bitmap_extent,
	.read = bitmap_read,
	.file = bitmap_file,
	.close = bitmap_close,
};

/* Open the image, and see that the bitmap is there and can be trusted. */
static enum q2s_err
fill(struct bitmap_disk *bitmap, struct q2s_store *file, struct q2s_bytes name,
     struct q2s_diag *diag)
{
	struct q2s_bitmap_reader *reader;

	Q2SI_TRY(q2s_image_open(file, 0, &bitmap->image, diag));
	bitmap->name = malloc(name.len + 1);
	if (!bitmap->name)
		return q2si_fail_nomem(diag, "bitmap");
	memcpy(bitmap->name, name.data, name.len);
	bitmap->name_len = name.len;
	Q2SI_TRY(open_reader(bitmap, &reader, diag));
	q2s_bitmap_reader_close(reader);
	return q2si_disk_init(&bitmap->disk, &bitmap_ops, q2s_store_name(file),
			      q2s_image_geom(bitmap->image)->size, diag);
}

enum q2s_err
q2s_disk_bitmap(struct q2s_store *file, struct q2s_bytes name, struct q2s_disk **out,
		struct q2s_diag *diag)
{
	struct bitmap_disk *bitmap = calloc(1, sizeof(*bitmap));
	enum q2s_err err;

	if (!bitmap)
		return q2si_fail_nomem(diag, "disk");
	err = fill(bitmap, file, name, diag);
	if (err != Q2S_OK) {
		bitmap_close(&bitmap->disk);
		return err;
	}
	*out = &bitmap->disk;
	return Q2S_OK;
}
