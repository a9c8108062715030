/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* q2s.stream: the content of a disk as a complete image, to a file or down a descriptor. */
#include "module.h"

#include <string.h>
#include <sys/stat.h>

/* Compressed data that waits in memory; what is more goes to a file. */
#define SPOOL_BUDGET (8u << 20)

/**
 * What is to be made, and of what. Borrowed from the arguments of the call.
 *
 * @path         empty: @fd
 * @raw          a raw disk, for which the rest does not matter
 * @compression  NULL: none; else "zlib" or "zstd"
 * @level        -1: the default
 */
struct target {
	const char *path;
	int fd;
	int raw;
	struct q2s_geom_params params;
	int extended, lazy_refcounts;
	const char *compression;
	int level;
	unsigned threads;
};

/** What the image is made from, found out before its first byte. Zero-initialise. */
struct making {
	struct q2s_compression how;
	struct q2s_spool *spool;
	struct q2s_plan *plan;
	uint64_t length;
};

static void
making_free(struct making *making)
{
	q2s_plan_free(making->plan);
	q2s_spool_free(making->spool);
}

/* Replace *@alloc by what it compresses to. */
static enum q2s_err
compress(struct q2s_disk *disk, const struct target *target, struct making *making,
	 struct q2s_alloc **alloc, struct q2s_diag *diag)
{
	struct q2s_compress_options options = {
		.size = sizeof(options),
		.how = making->how,
		.threads = target->threads,
		.observer = &interrupt_observer,
	};
	struct q2s_alloc *compressed = NULL;
	enum q2s_err err = q2s_spool_new(NULL, SPOOL_BUDGET, &making->spool, diag);

	options.spool = making->spool;
	if (err == Q2S_OK)
		err = q2s_compress(disk, *alloc, &options, &compressed, diag);
	if (err != Q2S_OK)
		return err;
	q2s_alloc_free(*alloc);
	*alloc = compressed;
	return Q2S_OK;
}

static enum q2s_err
plan(struct q2s_disk *disk, const struct target *target, struct making *making,
     struct q2s_diag *diag)
{
	const struct q2s_scan_options scan = {
		.size = sizeof(scan),
		.threads = target->threads,
		.read_again = true,
		.observer = &interrupt_observer,
	};
	struct q2s_geom_params params = target->params;
	struct q2s_spec spec = { .lazy_refcounts = target->lazy_refcounts,
				 .compression_type = making->how.type };
	struct q2s_alloc *alloc = NULL;
	enum q2s_err err;

	params.size = q2s_disk_size(disk);
	params.extended = target->extended;
	err = q2s_geom_init(&params, &spec.geom, diag);
	if (err == Q2S_OK)
		err = q2s_spec_check(&spec, diag);
	if (err == Q2S_OK && target->compression)
		err = q2s_compression_check(&making->how, diag);
	if (err == Q2S_OK)
		err = q2s_scan(disk, &spec.geom, &scan, &alloc, diag);
	if (err == Q2S_OK && target->compression)
		err = compress(disk, target, making, &alloc, diag);
	if (err == Q2S_OK)
		err = q2s_plan_new(&spec, alloc, &making->plan, diag);
	if (err != Q2S_OK)
		q2s_alloc_free(alloc);
	else
		making->length = q2s_plan_layout(making->plan)->length;
	return err;
}

/* Is what is written to a part of what is read? */
static enum q2s_err
guard(struct q2s_disk *disk, const struct target *target, struct q2s_diag *diag)
{
	struct q2s_store_ident ident = { 0 };
	struct stat st;

	if ((*target->path ? stat(target->path, &st) : fstat(target->fd, &st)) != 0)
		return Q2S_OK;
	ident.dev = st.st_dev;
	ident.ino = st.st_ino;
	return q2s_disk_uses(disk, &ident) ? error_fill(diag, Q2S_E_CONFLICT, "dest",
							"the source consists of this file")
					   : Q2S_OK;
}

static enum q2s_err
write_out(struct q2s_disk *disk, const struct target *target, const struct making *making,
	  struct q2s_diag *diag)
{
	const struct q2s_emit_options options = {
		.size = sizeof(options),
		.until = Q2S_TO_END,
		.spool = making->spool,
		.how = target->compression ? &making->how : NULL,
		.threads = target->threads,
		.observer = &interrupt_observer,
	};
	struct q2s_sink *sink = NULL;
	enum q2s_err err = *target->path ? q2s_sink_open(target->path, Q2S_SINK_REPLACE,
							making->length, &sink, diag)
					: q2s_sink_from_fd(target->fd, "destination", 0, &sink, diag);

	if (err != Q2S_OK)
		return err;
	if (target->raw)
		err = q2s_emit_raw(disk, sink, &options, diag);
	else
		err = q2s_emit(making->plan, disk, sink, &options, diag);
	if (err == Q2S_OK)
		return q2s_sink_commit(sink, diag);
	q2s_sink_abort(sink);
	return err;
}

static enum q2s_err
stream(struct q2s_disk *disk, const struct target *target, uint64_t *length,
       struct q2s_diag *diag)
{
	const bool zstd = target->compression && strcmp(target->compression, "zstd") == 0;
	struct making making = {
		.how = { .type = zstd ? Q2S_COMPRESSION_ZSTD : Q2S_COMPRESSION_ZLIB,
			 .has_level = target->level >= 0,
			 .level = target->level },
		.length = (q2s_disk_size(disk) + Q2S_SECTOR - 1) / Q2S_SECTOR * Q2S_SECTOR,
	};
	enum q2s_err err = guard(disk, target, diag);

	if (err == Q2S_OK && !target->raw)
		err = plan(disk, target, &making, diag);
	if (err == Q2S_OK)
		err = write_out(disk, target, &making, diag);
	*length = making.length;
	making_free(&making);
	return err;
}

PyObject *
call_stream(PyObject *module, PyObject *args)
{
	struct target target = { 0 };
	struct q2s_diag diag = { 0 };
	struct q2s_disk *disk;
	PyObject *object;
	uint64_t length;
	enum q2s_err err;

	(void)module;
	if (!PyArg_ParseTuple(args, "OyipIIIppziI", &object, &target.path, &target.fd, &target.raw,
			      &target.params.version, &target.params.cluster_bits,
			      &target.params.refcount_order, &target.extended,
			      &target.lazy_refcounts, &target.compression, &target.level,
			      &target.threads))
		return NULL;
	disk = disk_use(object);
	if (!disk)
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	err = stream(disk, &target, &length, &diag);
	Py_END_ALLOW_THREADS
	if (err != Q2S_OK)
		error_raise(&diag, *target.path ? target.path : q2s_disk_name(disk));
	disk_unuse(object);
	return err == Q2S_OK ? PyLong_FromUnsignedLongLong(length) : NULL;
}
