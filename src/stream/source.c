/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/container.h"
#include "common/escape.h"
#include "common/fault.h"
#include "common/guard.h"
#include "common/remote.h"
#include "common/url.h"
#include "common/tool.h"
#include "stream/arrival.h"
#include "stream/changed.h"
#include "stream/foreign.h"
#include "stream/layers.h"

static enum q2s_err
unknown_format(const char *format, struct q2s_diag *diag)
{
	char *const shown = escape_text(format);
	const enum q2s_err err = fault(diag, Q2S_E_UNSUPPORTED, "format",
				       "'%.32s' is not a format that can be read; "
				       "known: raw, qcow2, " FOREIGN_FORMATS,
				       shown ? shown : "?");

	free(shown);
	return err;
}

static bool
is(const char *format, const char *name)
{
	return strcmp(format, name) == 0;
}

/* Only qcow2 has snapshots that can be chosen. */
static enum q2s_err
check_snapshot(const struct stream_options *options, const char *format, struct q2s_diag *diag)
{
	if (!options->snapshot || is(format, "qcow2"))
		return Q2S_OK;
	return fault(diag, Q2S_E_USAGE, "--snapshot", "needs a qcow2 source");
}

/* ---- files --------------------------------------------------------------------------------- */

/* As QEMU locks what it reads: nobody may write to it, from now on either. */
static enum q2s_err
lock(const struct stream_options *options, struct q2s_store *file, struct q2s_diag *diag)
{
	if (options->force_share)
		return Q2S_OK;
	return q2s_store_lock(file, Q2S_LOCK_CONSISTENT_READ, Q2S_LOCK_WRITE | Q2S_LOCK_RESIZE,
			      diag);
}

static enum q2s_err
open_foreign(const struct stream_options *options, struct q2s_store *file, const char *path,
	     struct source *out, struct q2s_diag *diag)
{
	const struct key_file *const key = key_files_of(&options->keys, path);
	const struct foreign_image image = {
		.format = options->format,
		.file = file,
		.path = path,
		.follow = options->follow,
		.force_share = options->force_share,
		.threads = options->threads,
		.key = key->bytes,
		.key_len = key->len,
	};
	enum q2s_err err = lock(options, file, diag);

	if (err == Q2S_OK && q2s_store_is_remote(file))
		err = fault(diag, Q2S_E_UNSUPPORTED, "format",
			    "qemu-storage-daemon reads %s, and needs a local file: on a server only "
			    "qcow2 and raw are read", options->format);
	if (err == Q2S_OK)
		err = key_files_explain(&options->keys, path,
					foreign_open(&image, &out->disk, &out->daemon, diag), diag);
	/* Which other files it is made of only the daemon knows. */
	if (err == Q2S_OK)
		err = guard_read_process(daemon_pid(out->daemon), diag);
	return err;
}

static enum q2s_err
open_known(const struct stream_options *options, struct q2s_store *file,
	   const struct q2s_disk_open_options *how, struct source *out, struct q2s_diag *diag)
{
	const struct q2s_diag *const missing = how->qcow2->missing;
	const enum q2s_err err = q2s_disk_open_store(file, how, &out->disk, diag);

	if (err == Q2S_OK && missing && missing->err != Q2S_OK) {
		char why[Q2S_DIAG_TEXT + 256];

		q2s_diag_format(missing, why, sizeof(why));
		tool_warn("%s: THE BACKING FILE IS MISSING (%s): all that only it held reads as ZERO",
			  remote_shown(options->source), why);
	}
	/* What is still arriving is read once and in order. */
	if (err == Q2S_OK && is(how->format, "qcow2") && !q2s_store_is_arriving(file))
		out->image = q2s_disk_file(out->disk, 0);
	return key_files_explain(&options->keys, options->source, err, diag);
}

/* @path: how the file was named, or NULL. */
static enum q2s_err
open_file(const struct stream_options *options, const char *format, struct q2s_store *file,
	  const char *path, struct source *out, struct q2s_diag *diag)
{
	struct q2s_diag missing = { 0 };
	struct q2s_disk_qcow2_options qcow2 = {
		.size = sizeof(qcow2),
		.follow = options->follow,
		.force_share = options->force_share,
		.snapshot = options->snapshot,
		.missing = options->base_missing ? &missing : NULL,
	};
	const struct q2s_disk_open_options how = {
		.size = sizeof(how),
		.format = format,
		.qcow2 = &qcow2,
	};
	enum q2s_err err = check_snapshot(options, format, diag);

	if (err != Q2S_OK)
		return err;
	key_files_give(&options->keys, &qcow2);
	if (is(format, "qcow2") || is(format, "raw"))
		return open_known(options, file, &how, out, diag);
	if (foreign_knows(format))
		return open_foreign(options, file, path, out, diag);
	return unknown_format(format, diag);
}

static enum q2s_err
open_named(const struct stream_options *options, struct source *out, struct q2s_diag *diag)
{
	const char *format = options->format;
	struct q2s_store *file = NULL;
	enum q2s_err err = q2s_store_open(options->source, &file, diag);

	if (err != Q2S_OK)
		return url_explain(options->source, err, diag);
	if (!format && !options->data_file)
		err = fault_in(diag, container_refuse(q2s_container_probe(file), diag),
			       options->source);
	if (err == Q2S_OK && options->verify.given)
		err = verify_file(&options->verify, file, diag);
	if (!format)
		format = !options->data_file && q2s_image_probe(file) ? "qcow2" : "raw";
	if (err == Q2S_OK)
		err = open_file(options, format, file, options->source, out, diag);
	q2s_store_unref(file);
	return err;
}

/* ---- pipes and servers ------------------------------------------------------------------------ */

/* Raw data that cannot be written while it comes is kept without its zeros. */
static enum q2s_err
open_raw_stream(const struct stream_options *options, struct source *out, struct q2s_diag *diag)
{
	const enum q2s_err err = check_snapshot(options, "raw", diag);

	if (err != Q2S_OK)
		return err;
	out->arrives = arrival_fits(options);
	if (out->arrives)
		return Q2S_OK;
	/* read it twice rather than keep it */
	if (out->input.file)
		return open_file(options, "raw", out->input.file, NULL, out, diag);
	return q2s_disk_spool(&out->input.stream, INPUT_MEMORY, &out->disk, diag);
}

/* A raw image is written while the disk is read, from its start to its end. */
static bool
reads_once(const struct stream_options *options)
{
	return options->raw_output && !options->measure && !options->compare && !options->salvage;
}

/* A format has to be a file. */
static enum q2s_err
open_input_as(const struct stream_options *options, const char *format, struct source *out,
	      struct q2s_diag *diag)
{
	enum q2s_err err;

	if (!is(format, "raw") && !is(format, "qcow2") && !foreign_knows(format))
		return unknown_format(format, diag);
	if (is(format, "raw") && (!out->input.file || out->input.remote))
		return open_raw_stream(options, out, diag);
	err = input_to_file(&out->input, is(format, "qcow2") && reads_once(options), diag);
	return err == Q2S_OK ? open_file(options, format, out->input.file, NULL, out, diag) : err;
}

static enum q2s_err
open_input(const struct stream_options *options, struct source *out, struct q2s_diag *diag)
{
	const char *format = options->format;
	bool qcow2 = false;
	enum q2s_err err = input_open(options, &out->input, diag);

	if (err == Q2S_OK && !format && !options->has_size)
		err = input_probe(&out->input, &qcow2, diag);
	if (!format)
		format = qcow2 ? "qcow2" : "raw";
	return err == Q2S_OK ? open_input_as(options, format, out, diag) : err;
}

/* ---- NBD ----------------------------------------------------------------------------------- */

static enum q2s_err
open_nbd(const struct stream_options *options, struct source *out, struct q2s_diag *diag)
{
	struct q2s_disk_nbd_options nbd = { .size = sizeof(nbd), .uri = options->source };
	char *context = NULL;
	enum q2s_err err = check_snapshot(options, "raw", diag);

	if (err != Q2S_OK)
		return err;
	if (options->format && !is(options->format, "raw"))
		return fault(diag, Q2S_E_UNSUPPORTED, "format",
			     "an NBD export is read as the raw disk that it shows");
	err = changed_context(options, &context, diag);
	nbd.context = context;
	if (err == Q2S_OK)
		err = url_explain_nbd(options->source, q2s_disk_nbd(&nbd, &out->disk, diag), diag);
	free(context);
	return err;
}

static enum q2s_err
open_any(const struct stream_options *options, struct source *out, struct q2s_diag *diag)
{
	if (options->empty)
		return q2s_disk_empty(options->size, &out->disk, diag);
	if (options->layers)
		return layers_open(options, &out->disk, diag);
	if (input_is(options->source) || remote_is(options->source))
		return open_input(options, out, diag);
	if (q2s_nbd_is_uri(options->source))
		return open_nbd(options, out, diag);
	return open_named(options, out, diag);
}

/* A device has no times that would tell of a change. */
static enum q2s_err
watch_devices(const struct q2s_disk *disk, struct q2s_diag *diag)
{
	struct q2s_store *file;
	enum q2s_err err = Q2S_OK;

	for (size_t i = 0; err == Q2S_OK && (file = q2s_disk_file(disk, i)); i++)
		if (q2s_store_is_block_device(file))
			err = q2s_store_sample(file, diag);
	return err;
}

enum q2s_err
source_open(const struct stream_options *options, struct source *out, struct q2s_diag *diag)
{
	enum q2s_err err = open_any(options, out, diag);

	if (err != Q2S_OK || !out->disk)
		return err;
	out->opened = out->disk;
	err = guard_read_disk(out->disk, diag);
	if (err == Q2S_OK && options->salvage) {
		err = q2s_disk_salvage(out->disk, &out->salvage, diag);
		out->disk = err == Q2S_OK ? out->salvage : out->disk;
	} else if (err == Q2S_OK) {
		err = watch_devices(out->disk, diag); /* reads it, which a failing one may not bear */
	}
	return err;
}

void
source_close(struct source *source)
{
	q2s_disk_close(source->disk);
	daemon_free(source->daemon);
	input_close(&source->input);
	*source = (struct source){ 0 };
}

void
source_warn_cut(const struct source *source)
{
	const struct q2s_store *file;

	for (size_t i = 0; source->opened && (file = q2s_disk_cut(source->opened, i)); i++)
		tool_warn("%s: its end is missing: it has %" PRIu64 " bytes and ends within a cluster "
			  "of data, the rest of which reads as zero, as in QEMU",
			  q2s_store_name(file), q2s_store_size(file));
}

void
source_warn_keys(const struct stream_options *options, const struct q2s_disk *a,
		 const struct q2s_disk *b)
{
	for (size_t i = 0; i < options->keys.count; i++) {
		const struct key_files_item *const item = &options->keys.items[i];
		const struct q2s_store_ident file = { .dev = item->dev, .ino = item->ino };

		if (item->layer && !(a && q2s_disk_uses(a, &file)) &&
		    !(b && q2s_disk_uses(b, &file)))
			tool_warn("--key-file: %s is no layer of what is read", item->layer);
	}
}

const char *
source_shown(const char *name)
{
	return is(name, "-") ? INPUT_NAME : name;
}

/* ---- the output --------------------------------------------------------------------------- */

bool
output_is_terminal(const char *path)
{
	struct stat st;

	if (!path)
		return isatty(STDOUT_FILENO);
	if (stat(path, &st) != 0 || !S_ISCHR(st.st_mode))
		return false;
	const int fd = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	const bool terminal = fd >= 0 && isatty(fd);

	if (fd >= 0)
		close(fd);
	return terminal;
}
