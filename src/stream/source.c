/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/source.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/escape.h"
#include "common/fault.h"
#include "stream/arrival.h"
#include "stream/foreign.h"

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

static enum q2s_err
open_foreign(const struct stream_options *options, struct q2s_file *file, const char *path,
	     struct source *out, struct q2s_diag *diag)
{
	const struct foreign_image image = {
		.format = options->format,
		.file = file,
		.path = path,
		.follow = options->follow,
		.threads = options->threads,
	};

	return foreign_open(&image, &out->disk, &out->daemon, diag);
}

/* @path: how the file was named, or NULL. */
static enum q2s_err
open_file(const struct stream_options *options, const char *format, struct q2s_file *file,
	  const char *path, struct source *out, struct q2s_diag *diag)
{
	const struct q2s_disk_qcow2_options qcow2 = {
		.follow = options->follow,
		.snapshot = options->snapshot,
		.key = options->key.bytes,
		.key_len = options->key.len,
	};
	const enum q2s_err err = check_snapshot(options, format, diag);

	if (err != Q2S_OK)
		return err;
	if (is(format, "qcow2"))
		return q2s_disk_qcow2(file, &qcow2, &out->disk, diag);
	if (is(format, "raw"))
		return q2s_disk_raw(file, &out->disk, diag);
	if (foreign_knows(format))
		return open_foreign(options, file, path, out, diag);
	return unknown_format(format, diag);
}

static enum q2s_err
open_named(const struct stream_options *options, struct source *out, struct q2s_diag *diag)
{
	const char *format = options->format;
	struct q2s_file *file = NULL;
	enum q2s_err err = q2s_file_open(options->source, &file, diag);

	if (err != Q2S_OK)
		return err;
	if (!format)
		format = !options->data_file && q2s_image_probe(file) ? "qcow2" : "raw";
	err = open_file(options, format, file, options->source, out, diag);
	q2s_file_close(file);
	return err;
}

/* ---- standard input ------------------------------------------------------------------------ */

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
	return q2s_disk_spool(&out->input.stream, INPUT_MEMORY, &out->disk, diag);
}

/* A raw image is written while the disk is read, from its start to its end. */
static bool
reads_once(const struct stream_options *options)
{
	return options->raw_output && !options->measure && !options->compare;
}

/* A format has to be a file. */
static enum q2s_err
open_input_as(const struct stream_options *options, const char *format, struct source *out,
	      struct q2s_diag *diag)
{
	enum q2s_err err;

	if (!is(format, "raw") && !is(format, "qcow2") && !foreign_knows(format))
		return unknown_format(format, diag);
	if (is(format, "raw") && !out->input.file)
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
		err = input_is_qcow2(&out->input, &qcow2, diag);
	if (!format)
		format = qcow2 ? "qcow2" : "raw";
	return err == Q2S_OK ? open_input_as(options, format, out, diag) : err;
}

/* ---- NBD ----------------------------------------------------------------------------------- */

static enum q2s_err
open_nbd(const struct stream_options *options, struct source *out, struct q2s_diag *diag)
{
	const struct q2s_disk_nbd_options nbd = { .uri = options->source };
	const enum q2s_err err = check_snapshot(options, "raw", diag);

	if (err != Q2S_OK)
		return err;
	if (options->format && !is(options->format, "raw"))
		return fault(diag, Q2S_E_UNSUPPORTED, "format",
			     "an NBD export is read as the raw disk that it shows");
	return q2s_disk_nbd(&nbd, &out->disk, diag);
}

enum q2s_err
source_open(const struct stream_options *options, struct source *out, struct q2s_diag *diag)
{
	if (is(options->source, "-"))
		return open_input(options, out, diag);
	if (q2s_nbd_is_uri(options->source))
		return open_nbd(options, out, diag);
	return open_named(options, out, diag);
}

void
source_close(struct source *source)
{
	q2s_disk_close(source->disk);
	daemon_free(source->daemon);
	input_close(&source->input);
	*source = (struct source){ 0 };
}

const char *
source_shown(const char *name)
{
	return is(name, "-") ? INPUT_NAME : name;
}

/* ---- what must not be written to ------------------------------------------------------------- */

static int
stat_source(const struct stream_options *options, struct stat *out)
{
	if (is(options->source, "-"))
		return fstat(STDIN_FILENO, out);
	return q2s_nbd_is_uri(options->source) ? -1 : stat(options->source, out);
}

bool
source_is_output(const struct stream_options *options, const char *path)
{
	struct stat source, output;

	if (stat_source(options, &source) != 0)
		return false;
	if ((path ? stat(path, &output) : fstat(STDOUT_FILENO, &output)) != 0)
		return false;
	if (S_ISBLK(source.st_mode) && S_ISBLK(output.st_mode))
		return source.st_rdev == output.st_rdev;
	return S_ISREG(output.st_mode) && source.st_dev == output.st_dev &&
	       source.st_ino == output.st_ino;
}

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
