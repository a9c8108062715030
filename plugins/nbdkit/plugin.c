/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nbdkit-q2s-plugin: what nbdkit calls. One image for all connections. */
#include <errno.h>
#include <pthread.h>

#include "common/opened.h"
#include "error.h"
#include "parameters.h"
#include "reader.h"

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

/* What QEMU's server names as the largest request, and its client never exceeds. */
#define REQUEST_MAX (32u << 20)

/* The answer to one request for extents; a client comes back for more. */
#define EXTENTS_MAX 4096

static struct parameters parameters;

/*
 * The image: read by @reader, or, from the first client on that may write, open for change in
 * @opened. @lock: of the change from one to the other, before any client has got in.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool has_client;
static struct reader *reader;
static struct opened opened;

static int
report(const struct q2s_diag *diag)
{
	return error_report(parameters.file, diag);
}

/* ---- life -------------------------------------------------------------------------------- */

static int
q2s_config(const char *key, const char *value)
{
	return parameters_take(&parameters, key, value);
}

static int
q2s_config_complete(void)
{
	return parameters_complete(&parameters);
}

/* Before nbdkit goes to the background: what cannot be served is an error of the command. */
static int
q2s_get_ready(void)
{
	struct q2s_diag diag = { 0 };

	return reader_open(&parameters, &reader, &diag) == Q2S_OK ? 0 : report(&diag);
}

static void
q2s_unload(void)
{
	struct q2s_diag diag = { 0 };

	reader_close(reader);
	if (opened_close(&opened, &diag) != Q2S_OK)
		(void)report(&diag);
	parameters_free(&parameters);
}

/* The same for all clients: nbdkit -r lets none write. */
static enum q2s_err
open_for_change(struct q2s_diag *diag)
{
	const struct open_request request = {
		.path = parameters.file,
		.follow = parameters.follow,
		.keys = &parameters.keys,
		.cache = parameters.cache,
		.direct = parameters.direct,
	};

	/* It would keep the image from being locked. */
	reader_close(reader);
	reader = NULL;
	return opened_open(&request, &opened, diag);
}

static void *
q2s_open(int readonly)
{
	struct q2s_diag diag = { 0 };
	enum q2s_err err = Q2S_OK;

	pthread_mutex_lock(&lock);
	if (!has_client && !readonly && !parameters.snapshot)
		err = open_for_change(&diag);
	else if (!has_client && !reader)
		err = reader_open(&parameters, &reader, &diag);
	has_client = has_client || err == Q2S_OK;
	pthread_mutex_unlock(&lock);
	if (err == Q2S_OK)
		return NBDKIT_HANDLE_NOT_NEEDED;
	(void)report(&diag);
	return NULL;
}

/* ---- what the export is ------------------------------------------------------------------ */

static int64_t
q2s_get_size(void *handle)
{
	(void)handle;
	return (int64_t)(opened.edit ? q2s_edit_size(opened.edit) : reader_size(reader));
}

static int
q2s_can_write(void *handle)
{
	(void)handle;
	return opened.edit != NULL;
}

static int
q2s_can_fast_zero(void *handle)
{
	(void)handle;
	return opened.edit && q2s_edit_has_fast_zeros(opened.edit);
}

static int
q2s_can_fua(void *handle)
{
	(void)handle;
	return opened.edit ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_NONE;
}

static int
q2s_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
	(void)handle;
	*minimum = 1;
	*preferred = opened.edit ? q2s_edit_subcluster_size(opened.edit) : reader_unit(reader);
	*maximum = REQUEST_MAX;
	return 0;
}

/* All connections see the same image. */
static int
q2s_can_multi_conn(void *handle)
{
	(void)handle;
	return 1;
}

/* nbdkit reads, and so has the host's page cache filled. */
static int
q2s_can_cache(void *handle)
{
	(void)handle;
	return NBDKIT_CACHE_EMULATE;
}

/* ---- requests ---------------------------------------------------------------------------- */

static int
q2s_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	struct q2s_diag diag = { 0 };
	enum q2s_err err;

	(void)handle;
	(void)flags;
	if (opened.edit)
		err = q2s_edit_read(opened.edit, (q2s_guest){ offset }, buf, count, &diag);
	else
		err = reader_read(reader, offset, buf, count, &diag);
	return err == Q2S_OK ? 0 : report(&diag);
}

/* What a request that changes the disk returns: with FUA, when the change is durable. */
static int
finish(enum q2s_err err, uint32_t flags, struct q2s_diag *diag)
{
	if (err == Q2S_OK && (flags & NBDKIT_FLAG_FUA))
		err = q2s_edit_flush(opened.edit, diag);
	return err == Q2S_OK ? 0 : report(diag);
}

static int
q2s_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	struct q2s_diag diag = { 0 };

	(void)handle;
	return finish(q2s_edit_write(opened.edit, (q2s_guest){ offset }, buf, count, &diag), flags,
		      &diag);
}

/* Would zeros be written, as the tables cannot say that a part of a subcluster is zero? */
static bool
is_slow_zero(uint64_t offset, uint32_t count)
{
	const uint64_t unit = q2s_edit_subcluster_size(opened.edit), end = offset + count;

	return offset % unit != 0 || (end % unit != 0 && end != q2s_edit_size(opened.edit));
}

static int
q2s_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	const unsigned how = flags & NBDKIT_FLAG_MAY_TRIM ? Q2S_EDIT_MAY_DISCARD : 0;
	struct q2s_diag diag = { 0 };

	(void)handle;
	if ((flags & NBDKIT_FLAG_FAST_ZERO) && is_slow_zero(offset, count)) {
		nbdkit_set_error(EOPNOTSUPP);
		return -1;
	}
	return finish(q2s_edit_zero(opened.edit, (q2s_guest){ offset }, count, how, &diag), flags,
		      &diag);
}

static int
q2s_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	struct q2s_diag diag = { 0 };

	(void)handle;
	return finish(q2s_edit_discard(opened.edit, (q2s_guest){ offset }, count, &diag), flags,
		      &diag);
}

static int
q2s_flush(void *handle, uint32_t flags)
{
	struct q2s_diag diag = { 0 };

	(void)handle;
	(void)flags;
	return finish(q2s_edit_flush(opened.edit, &diag), 0, &diag);
}

static int
q2s_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
	    struct nbdkit_extents *extents)
{
	const uint64_t end = offset + count;

	(void)handle;
	for (int i = 0; offset < end && i < EXTENTS_MAX; i++) {
		struct q2s_diag diag = { 0 };
		struct q2s_extent extent;
		enum q2s_err err;

		if (opened.edit)
			err = q2s_edit_extent(opened.edit, (q2s_guest){ offset }, end - offset,
					      &extent, &diag);
		else
			err = reader_extent(reader, offset, end - offset, &extent, &diag);
		if (err != Q2S_OK)
			return report(&diag);
		if (nbdkit_add_extent(extents, offset, extent.len,
				      extent.state == Q2S_DATA
					      ? 0
					      : NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO) < 0)
			return -1;
		if (flags & NBDKIT_FLAG_REQ_ONE)
			return 0;
		offset += extent.len;
	}
	return 0;
}

/* ------------------------------------------------------------------------------------------ */

static struct nbdkit_plugin plugin = {
	.name = "q2s",
	.longname = "qcow2 images, by libq2s",
	.version = PACKAGE_VERSION,
	.description = "Serve a qcow2 image, extended L2 entries included.",
	.config = q2s_config,
	.config_complete = q2s_config_complete,
	.config_help = parameters_help,
	.magic_config_key = "file",
	.get_ready = q2s_get_ready,
	.unload = q2s_unload,
	.open = q2s_open,
	.get_size = q2s_get_size,
	.block_size = q2s_block_size,
	.can_write = q2s_can_write,
	.can_flush = q2s_can_write,
	.can_trim = q2s_can_write,
	.can_zero = q2s_can_write,
	.can_fast_zero = q2s_can_fast_zero,
	.can_fua = q2s_can_fua,
	.can_multi_conn = q2s_can_multi_conn,
	.can_cache = q2s_can_cache,
	.pread = q2s_pread,
	.pwrite = q2s_pwrite,
	.zero = q2s_zero,
	.trim = q2s_trim,
	.flush = q2s_flush,
	.extents = q2s_extents,
};

NBDKIT_REGISTER_PLUGIN(plugin)
