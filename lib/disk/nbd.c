/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An NBD export as a disk. */
#include "disk/nbd.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "disk/nbd_uri.h"

struct nbd_disk {
	struct q2s_disk disk;
	struct q2si_nbd_pool pool;
	struct q2s_file *watched; /* or NULL */
};

struct nbd_cursor {
	struct q2s_cursor cursor;
	struct q2si_nbd_link *link;
	struct q2si_nbd_extents extents;
	struct q2si_nbd_reader reader;
};

static struct nbd_disk *
disk_of(const struct q2s_cursor *cursor)
{
	return (struct nbd_disk *)cursor->disk;
}

static enum q2s_err
nbd_cursor_open(struct q2s_disk *base, struct q2s_cursor **out, struct q2s_diag *diag)
{
	struct nbd_disk *disk = (struct nbd_disk *)base;
	struct nbd_cursor *cursor = calloc(1, sizeof(*cursor));

	if (!cursor)
		return q2si_fail_nomem(diag, "cursor");
	cursor->link = q2si_nbd_pool_take(&disk->pool);
	cursor->reader = (struct q2si_nbd_reader){
		.link = cursor->link,
		.terms = &disk->pool.terms,
		.extents = &cursor->extents,
	};
	*out = &cursor->cursor;
	return Q2S_OK;
}

static void
nbd_cursor_close(struct q2s_cursor *base)
{
	struct nbd_cursor *cursor = (struct nbd_cursor *)base;

	q2si_nbd_reader_close(&cursor->reader);
	q2si_nbd_pool_return(&disk_of(base)->pool, cursor->link);
	free(cursor);
}

static enum q2s_err
nbd_extent(struct q2s_cursor *base, q2s_guest guest, uint64_t max, struct q2s_extent *out,
	   struct q2s_diag *diag)
{
	struct nbd_cursor *cursor = (struct nbd_cursor *)base;
	const struct nbd_disk *disk = disk_of(base);
	enum q2s_state state;
	uint64_t end;

	Q2SI_TRY(q2si_in_file(diag,
			      q2si_nbd_extent_at(cursor->link, &disk->pool.terms,
						 &cursor->extents, guest.v, &state, &end, diag),
			      disk->disk.name));
	*out = (struct q2s_extent){ .len = q2si_min(end - guest.v, max), .state = state };
	return Q2S_OK;
}

static enum q2s_err
nbd_read(struct q2s_cursor *base, q2s_guest guest, void *buf, size_t len, struct q2s_diag *diag)
{
	struct nbd_cursor *cursor = (struct nbd_cursor *)base;

	return q2si_in_file(diag, q2si_nbd_read(&cursor->reader, guest.v, buf, len, diag),
			    base->disk->name);
}

static struct q2s_file *
nbd_file(const struct q2s_disk *disk, size_t index)
{
	return index == 0 ? ((const struct nbd_disk *)disk)->watched : NULL;
}

static void
nbd_disk_close(struct q2s_disk *base)
{
	struct nbd_disk *disk = (struct nbd_disk *)base;

	q2si_nbd_pool_close(&disk->pool);
	q2s_file_close(disk->watched);
	free(disk);
}

static size_t
nbd_cursor_memory(const struct q2s_disk *disk)
{
	(void)disk;
	return Q2SI_NBD_SLOTS * Q2SI_NBD_CHUNK;
}

static const struct q2si_disk_ops nbd_ops = {
	.cursor_open = nbd_cursor_open,
	.cursor_close = nbd_cursor_close,
	.cursor_memory = nbd_cursor_memory,
	.extent = nbd_extent,
	.read = nbd_read,
	.file = nbd_file,
	.close = nbd_disk_close,
};

enum q2s_err
q2s_disk_nbd(const struct q2s_disk_nbd_options *options, struct q2s_disk **out,
	     struct q2s_diag *diag)
{
	const char *name = options->name ? options->name : options->uri ? options->uri : "NBD";
	struct nbd_disk *disk = calloc(1, sizeof(*disk));
	enum q2s_err err;

	if (!disk) {
		q2si_nbd_close_sockets(options);
		return q2si_fail_nomem(diag, "disk");
	}
	err = q2si_in_file(diag, q2si_nbd_pool_open(&disk->pool, options, diag), name);
	if (err == Q2S_OK)
		err = q2si_disk_init(&disk->disk, &nbd_ops, name, disk->pool.terms.size, diag);
	if (err != Q2S_OK) {
		nbd_disk_close(&disk->disk);
		return err;
	}
	if (options->watched)
		disk->watched = q2s_file_ref(options->watched);
	*out = &disk->disk;
	return Q2S_OK;
}
