/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cursors are one thread's; those that no thread uses wait in a list, the last one used first. */
#include "reader.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/fault.h"
#include "common/opened.h"

struct idle {
	struct idle *next;
	struct q2s_cursor *cursor;
};

struct reader {
	struct q2s_disk *disk;
	uint32_t unit;
	pthread_mutex_t lock; /* of @idle */
	struct idle *idle;
};

/* ---- opening ----------------------------------------------------------------------------- */

static enum q2s_err
open_disk(struct reader *reader, const struct parameters *parameters, struct q2s_diag *diag)
{
	struct q2s_disk_qcow2_options options = {
		.size = sizeof(options),
		.follow = parameters->follow,
		.snapshot = parameters->snapshot,
		.cache = parameters->cache,
	};
	struct q2s_store *store;
	struct q2s_image *image = NULL;
	enum q2s_err err = q2s_store_open(parameters->file, &store, diag);

	if (err != Q2S_OK)
		return err;
	key_files_give(&parameters->keys, &options);
	err = q2s_image_open(store, Q2S_IMAGE_DAMAGED, &image, diag);
	if (err == Q2S_OK) {
		reader->unit = q2s_image_geom(image)->sub_size;
		err = q2s_disk_qcow2(store, &options, &reader->disk, diag);
	}
	if (err == Q2S_OK && parameters->direct)
		err = opened_set_direct(reader->disk, diag);
	q2s_image_close(image);
	q2s_store_unref(store);
	return key_files_explain(&parameters->keys, parameters->file, err, diag);
}

enum q2s_err
reader_open(const struct parameters *parameters, struct reader **out, struct q2s_diag *diag)
{
	struct reader *const reader = calloc(1, sizeof(*reader));
	enum q2s_err err;

	if (!reader)
		return fault_nomem(diag, "reader");
	pthread_mutex_init(&reader->lock, NULL);
	err = open_disk(reader, parameters, diag);
	if (err != Q2S_OK)
		reader_close(reader);
	else
		*out = reader;
	return err;
}

void
reader_close(struct reader *reader)
{
	if (!reader)
		return;
	while (reader->idle) {
		struct idle *const idle = reader->idle;

		reader->idle = idle->next;
		q2s_cursor_close(idle->cursor);
		free(idle);
	}
	q2s_disk_close(reader->disk);
	pthread_mutex_destroy(&reader->lock);
	free(reader);
}

uint64_t
reader_size(const struct reader *reader)
{
	return q2s_disk_size(reader->disk);
}

uint32_t
reader_unit(const struct reader *reader)
{
	return reader->unit;
}

/* ---- cursors ----------------------------------------------------------------------------- */

/* A cursor for this thread, until put_cursor(). */
static enum q2s_err
take_cursor(struct reader *reader, struct idle **out, struct q2s_diag *diag)
{
	struct idle *idle;
	enum q2s_err err;

	pthread_mutex_lock(&reader->lock);
	idle = reader->idle;
	if (idle)
		reader->idle = idle->next;
	pthread_mutex_unlock(&reader->lock);
	if (!idle) {
		idle = malloc(sizeof(*idle));
		if (!idle)
			return fault_nomem(diag, "cursor");
		err = q2s_cursor_open(reader->disk, &idle->cursor, diag);
		if (err != Q2S_OK) {
			free(idle);
			return err;
		}
	}
	*out = idle;
	return Q2S_OK;
}

static void
put_cursor(struct reader *reader, struct idle *idle)
{
	pthread_mutex_lock(&reader->lock);
	idle->next = reader->idle;
	reader->idle = idle;
	pthread_mutex_unlock(&reader->lock);
}

enum q2s_err
reader_read(struct reader *reader, uint64_t at, void *buf, size_t len, struct q2s_diag *diag)
{
	struct idle *idle;
	enum q2s_err err = take_cursor(reader, &idle, diag);

	if (err != Q2S_OK)
		return err;
	err = q2s_cursor_read(idle->cursor, (q2s_guest){ at }, buf, len, diag);
	put_cursor(reader, idle);
	return err;
}

enum q2s_err
reader_extent(struct reader *reader, uint64_t at, uint64_t max, struct q2s_extent *out,
	      struct q2s_diag *diag)
{
	struct idle *idle;
	enum q2s_err err = take_cursor(reader, &idle, diag);

	if (err != Q2S_OK)
		return err;
	err = q2s_cursor_extent(idle->cursor, (q2s_guest){ at }, max, out, diag);
	put_cursor(reader, idle);
	return err;
}
