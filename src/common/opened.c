/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening an image for change, with its locks, its data file and what lies below it. */
#include "common/opened.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/fault.h"

/* ---- the image itself -------------------------------------------------------------------- */

/* As QEMU locks what it changes. */
static enum q2s_err
lock_writer(struct q2s_store *store, struct q2s_diag *diag)
{
	return q2s_store_lock(store,
			      Q2S_LOCK_CONSISTENT_READ | Q2S_LOCK_WRITE | Q2S_LOCK_RESIZE,
			      Q2S_LOCK_WRITE | Q2S_LOCK_RESIZE, diag);
}

/* @store, locked, or nothing. */
static enum q2s_err
locked(struct q2s_store *store, struct q2s_store **out, struct q2s_diag *diag)
{
	const enum q2s_err err = lock_writer(store, diag);

	if (err == Q2S_OK)
		*out = store;
	else
		q2s_store_unref(store);
	return err;
}

enum q2s_err
opened_writable(const char *path, struct q2s_store **out, struct q2s_diag *diag)
{
	struct q2s_store *store;
	const enum q2s_err err = q2s_store_open_writable(path, &store, diag);

	return err == Q2S_OK ? locked(store, out, diag) : err;
}

enum q2s_err
opened_writable_again(struct q2s_store *found, struct q2s_store **out, struct q2s_diag *diag)
{
	char path[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
	struct q2s_store *store = NULL;
	enum q2s_err err;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", q2s_store_fd(found));
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		err = fault_errno(diag, "file", "cannot be opened for writing");
	else
		err = q2s_store_from_fd_writable(fd, q2s_store_name(found), &store, diag);
	if (err == Q2S_OK)
		err = locked(store, out, diag);
	else if (fd >= 0)
		close(fd);
	return fault_in(diag, err, q2s_store_name(found));
}

enum q2s_err
opened_store(const struct open_request *request, struct q2s_store **out, struct q2s_diag *diag)
{
	if (request->store) {
		*out = q2s_store_ref(request->store);
		return Q2S_OK;
	}
	if (request->flags & Q2S_EDIT_READ_ONLY)
		return q2s_store_open(request->path, out, diag);
	return opened_writable(request->path, out, diag);
}

/* The data file: found by the policy, then opened again for writing, by its descriptor. */
static enum q2s_err
open_data(const struct open_request *request, const struct q2s_image *image,
	  struct q2s_store **out, struct q2s_diag *diag)
{
	struct q2s_store *found;
	enum q2s_err err = q2s_reference_open(image, Q2S_DATA_FILE, request->follow, &found, NULL,
					      diag);

	if (err != Q2S_OK)
		return err;
	if (request->wrap)
		err = request->wrap(found, out, diag);
	else if (request->flags & Q2S_EDIT_READ_ONLY || request->store)
		*out = q2s_store_ref(found);
	else
		err = opened_writable_again(found, out, diag);
	q2s_store_unref(found);
	return err;
}

enum q2s_err
opened_set_direct(struct q2s_disk *disk, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;
	struct q2s_store *file;

	for (size_t i = 0; err == Q2S_OK && (file = q2s_disk_file(disk, i)); i++)
		err = q2s_store_set_direct(file, diag);
	return err;
}

/* What is read by its own descriptors, before the image is open for change. */
static enum q2s_err
go_direct(struct q2s_store *data, struct q2s_disk *base, struct q2s_diag *diag)
{
	enum q2s_err err = data ? q2s_store_set_direct(data, diag) : Q2S_OK;

	return err == Q2S_OK && base ? opened_set_direct(base, diag) : err;
}

static enum q2s_err
open_edit(const struct open_request *request, struct q2s_store *store, struct opened *out,
	  struct q2s_diag *diag)
{
	static const struct key_files none;
	const struct key_files *const keys = request->keys ? request->keys : &none;
	const struct key_file *const key = key_files_of(keys, request->path);
	const size_t cache = request->cache ? request->cache : Q2S_EDIT_CACHE_DEFAULT;
	struct q2s_disk_qcow2_options below = { .size = sizeof(below), .follow = request->follow,
						.below = true,
						.cache = cache / 2 };
	struct q2s_edit_options options = Q2S_EDIT_OPTIONS_INIT;
	struct q2s_image *image = NULL;
	struct q2s_store *data = NULL;
	struct q2s_store *const origin = request->origin ? request->origin : store;
	const bool guest = !(request->flags & Q2S_EDIT_TABLES_ONLY);
	enum q2s_err err = q2s_image_open(origin, 0, &image, diag);

	key_files_give(keys, &below);
	if (err == Q2S_OK && guest && q2s_image_geom(image)->data_file)
		err = open_data(request, image, &data, diag);
	if (err == Q2S_OK && guest && q2s_image_backing_name(image).data && !request->base &&
	    !(request->flags & Q2S_EDIT_NO_BASE))
		err = q2s_disk_qcow2(origin, &below, &out->base, diag);
	q2s_image_close(image);
	options.base = request->base ? request->base : out->base;
	options.data = data;
	options.key = key->bytes;
	options.key_len = key->len;
	options.cache = out->base ? cache / 2 : cache;
	options.flags = request->flags;
	if (err == Q2S_OK && request->direct)
		err = go_direct(data, out->base, diag);
	if (err == Q2S_OK)
		err = q2s_edit_open(store, &options, &out->edit, diag);
	q2s_store_unref(data);
	return key_files_explain(keys, request->path, err, diag);
}

enum q2s_err
opened_open(const struct open_request *request, struct opened *out, struct q2s_diag *diag)
{
	struct opened opened = { 0 };
	struct q2s_store *store;
	enum q2s_err err = opened_store(request, &store, diag);

	if (err != Q2S_OK)
		return err;
	if (request->direct)
		err = q2s_store_set_direct(store, diag);
	if (err == Q2S_OK)
		err = open_edit(request, store, &opened, diag);
	q2s_store_unref(store);
	if (err != Q2S_OK)
		q2s_disk_close(opened.base);
	else
		*out = opened;
	return err;
}

enum q2s_err
opened_close(struct opened *opened, struct q2s_diag *diag)
{
	const enum q2s_err err = q2s_edit_close(opened->edit, diag);

	q2s_disk_close(opened->base);
	*opened = (struct opened){ 0 };
	return err;
}
