/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An NBD export as a disk. */
#include "disk/nbd.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/options.h"
#include "disk/nbd_uri.h"

struct export_disk {
	struct q2s_disk disk;
	struct q2si_nbd_pool pool;
	struct q2s_store *watched; /* or NULL */
};

struct export_cursor {
	struct q2s_cursor cursor;
	struct q2si_nbd_status status;
	struct q2si_nbd_reader reader;
};

static struct export_disk *
disk_of(const struct q2s_cursor *cursor)
{
	return (struct export_disk *)cursor->disk;
}

static enum q2s_err
export_cursor_open(struct q2s_disk *base, struct q2s_cursor **out, struct q2s_diag *diag)
{
	struct export_disk *disk = (struct export_disk *)base;
	struct export_cursor *cursor = calloc(1, sizeof(*cursor));

	if (!cursor)
		return q2si_fail_nomem(diag, "cursor");
	q2si_nbd_status_init(&cursor->status, &disk->pool);
	cursor->reader = (struct q2si_nbd_reader){
		.link = cursor->status.link,
		.terms = &disk->pool.terms,
		.status = &cursor->status,
	};
	*out = &cursor->cursor;
	return Q2S_OK;
}

static void
export_cursor_close(struct q2s_cursor *base)
{
	struct export_cursor *cursor = (struct export_cursor *)base;

	q2si_nbd_reader_close(&cursor->reader);
	q2si_nbd_pool_return(&disk_of(base)->pool, cursor->status.link);
	free(cursor);
}

static enum q2s_err
export_extent(struct q2s_cursor *base, q2s_guest guest, uint64_t max, struct q2s_extent *out,
	      struct q2s_diag *diag)
{
	struct export_cursor *cursor = (struct export_cursor *)base;
	enum q2s_state state;
	uint64_t end;

	Q2SI_TRY(q2si_in_file(diag,
			      q2si_nbd_alloc_at(&cursor->status, guest.v, &state, &end, diag),
			      base->disk->name));
	*out = (struct q2s_extent){ .len = q2si_min(end - guest.v, max), .state = state };
	return Q2S_OK;
}

static enum q2s_err
export_read(struct q2s_cursor *base, q2s_guest guest, void *buf, size_t len, struct q2s_diag *diag)
{
	struct export_cursor *cursor = (struct export_cursor *)base;

	return q2si_in_file(diag, q2si_nbd_read(&cursor->reader, guest.v, buf, len, diag),
			    base->disk->name);
}

static bool
export_will_read(struct q2s_cursor *base, q2s_guest guest, size_t len)
{
	return q2si_nbd_will_read(&((struct export_cursor *)base)->reader, guest.v, len);
}

static struct q2s_store *
export_file(const struct q2s_disk *disk, size_t index)
{
	return index == 0 ? ((const struct export_disk *)disk)->watched : NULL;
}

static void
export_close(struct q2s_disk *base)
{
	struct export_disk *disk = (struct export_disk *)base;

	q2si_nbd_pool_close(&disk->pool);
	q2s_store_unref(disk->watched);
	free(disk);
}

static size_t
export_cursor_memory(const struct q2s_disk *disk)
{
	(void)disk;
	return Q2SI_NBD_FLIGHT;
}

static const struct q2si_disk_ops export_ops = {
	.cursor_open = export_cursor_open,
	.cursor_close = export_cursor_close,
	.cursor_memory = export_cursor_memory,
	.extent = export_extent,
	.read = export_read,
	.will_read = export_will_read,
	.file = export_file,
	.close = export_close,
};

enum q2s_err
q2s_disk_nbd(const struct q2s_disk_nbd_options *given, struct q2s_disk **out,
	     struct q2s_diag *diag)
{
	struct q2s_disk_nbd_options options = Q2S_DISK_NBD_OPTIONS_INIT;
	struct export_disk *disk;
	const char *name;
	enum q2s_err err;

	Q2SI_TRY(q2si_options_copy(&options, given, diag));
	name = options.name ? options.name : options.uri ? options.uri : "NBD";
	disk = calloc(1, sizeof(*disk));
	if (!disk) {
		q2si_nbd_close_sockets(&options);
		return q2si_fail_nomem(diag, "disk");
	}
	err = q2si_in_file(diag, q2si_nbd_pool_open(&disk->pool, &options, diag), name);
	if (err == Q2S_OK)
		err = q2si_disk_init(&disk->disk, &export_ops, name, disk->pool.terms.size, diag);
	if (err != Q2S_OK) {
		export_close(&disk->disk);
		return err;
	}
	if (options.watched)
		disk->watched = q2s_store_ref(options.watched);
	*out = &disk->disk;
	return Q2S_OK;
}

/* ---- what changed, as a map -------------------------------------------------------------- */

struct changes_disk {
	struct q2s_disk disk;
	struct export_disk *export; /* borrowed */
};

struct changes_cursor {
	struct q2s_cursor cursor;
	struct q2si_nbd_status status;
};

static enum q2s_err
changes_cursor_open(struct q2s_disk *base, struct q2s_cursor **out, struct q2s_diag *diag)
{
	struct q2si_nbd_pool *pool = &((struct changes_disk *)base)->export->pool;
	struct changes_cursor *cursor = calloc(1, sizeof(*cursor));

	if (!cursor)
		return q2si_fail_nomem(diag, "cursor");
	q2si_nbd_status_init(&cursor->status, pool);
	*out = &cursor->cursor;
	return Q2S_OK;
}

static void
changes_cursor_close(struct q2s_cursor *base)
{
	struct changes_cursor *cursor = (struct changes_cursor *)base;

	q2si_nbd_pool_return(&((struct changes_disk *)base->disk)->export->pool, cursor->status.link);
	free(cursor);
}

static enum q2s_err
changes_extent(struct q2s_cursor *base, q2s_guest guest, uint64_t max, struct q2s_extent *out,
	       struct q2s_diag *diag)
{
	struct changes_cursor *cursor = (struct changes_cursor *)base;
	enum q2s_state state;
	uint64_t end;

	Q2SI_TRY(q2si_in_file(diag,
			      q2si_nbd_changes_at(&cursor->status, guest.v, &state, &end, diag),
			      base->disk->name));
	*out = (struct q2s_extent){ .len = q2si_min(end - guest.v, max), .state = state };
	return Q2S_OK;
}

static enum q2s_err
changes_read(struct q2s_cursor *base, q2s_guest guest, void *buf, size_t len,
	     struct q2s_diag *diag)
{
	(void)guest;
	(void)buf;
	(void)len;
	return q2si_in_file(diag,
			    q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "NBD server", Q2S_NOWHERE,
					 "a metadata context has no content that could be read"),
			    base->disk->name);
}

static void
changes_close(struct q2s_disk *base)
{
	free(base);
}

static const struct q2si_disk_ops changes_ops = {
	.cursor_open = changes_cursor_open,
	.cursor_close = changes_cursor_close,
	.extent = changes_extent,
	.read = changes_read,
	.close = changes_close,
};

enum q2s_err
q2s_disk_nbd_changes(struct q2s_disk *disk, struct q2s_disk **out, struct q2s_diag *diag)
{
	struct export_disk *export = (struct export_disk *)disk;
	struct changes_disk *changes;
	enum q2s_err err;

	if (disk->ops != &export_ops || !export->pool.context)
		return q2si_fail_at(diag, Q2S_E_CONFLICT, "metadata context", Q2S_NOWHERE,
				    "the disk was not opened with one");
	if (!export->pool.terms.changes)
		return q2si_in_file(diag,
				    q2si_fail_at(diag, Q2S_E_USAGE, "NBD server", Q2S_NOWHERE,
						 "does not offer the metadata context '%.128s'",
						 export->pool.context),
				    disk->name);
	changes = calloc(1, sizeof(*changes));
	if (!changes)
		return q2si_fail_nomem(diag, "disk");
	err = q2si_disk_init(&changes->disk, &changes_ops, disk->name, disk->size, diag);
	if (err != Q2S_OK) {
		free(changes);
		return err;
	}
	changes->export = export;
	*out = &changes->disk;
	return Q2S_OK;
}
