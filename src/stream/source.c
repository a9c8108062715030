/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/source.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/escape.h"
#include "common/fault.h"

static enum q2s_err unknown_format(const char *format, struct q2s_diag *diag)
{
	char *const shown = escape_text(format);
	const enum q2s_err err = fault(diag, Q2S_E_UNSUPPORTED, "--format",
				       "'%.32s' is not a format that can be read; known: raw, qcow2",
				       shown ? shown : "?");

	free(shown);
	return err;
}

static enum q2s_err open_disk(const struct stream_options *options, struct q2s_file *file,
			      struct q2s_disk **out, struct q2s_diag *diag)
{
	const struct q2s_disk_qcow2_options qcow2 = {
		.follow = options->follow,
		.snapshot = options->snapshot,
	};
	const char *format = options->format;

	if (!format)
		format = !options->data_file && q2s_image_probe(file) ? "qcow2" : "raw";
	if (strcmp(format, "qcow2") == 0)
		return q2s_disk_qcow2(file, &qcow2, out, diag);
	if (strcmp(format, "raw") != 0)
		return unknown_format(format, diag);
	if (options->snapshot)
		return fault(diag, Q2S_E_USAGE, "--snapshot", "a raw disk has no snapshots");
	return q2s_disk_raw(file, out, diag);
}

enum q2s_err source_open(const struct stream_options *options, struct q2s_disk **out,
			 struct q2s_diag *diag)
{
	struct q2s_file *file = NULL;
	enum q2s_err err = q2s_file_open(options->source, &file, diag);

	if (err == Q2S_OK)
		err = open_disk(options, file, out, diag);
	q2s_file_close(file);
	return err;
}

bool source_is_output(const struct stream_options *options, const char *path)
{
	struct stat source, output;

	if (stat(options->source, &source) != 0)
		return false;
	if ((path ? stat(path, &output) : fstat(STDOUT_FILENO, &output)) != 0)
		return false;
	if (S_ISBLK(source.st_mode) && S_ISBLK(output.st_mode))
		return source.st_rdev == output.st_rdev;
	return S_ISREG(output.st_mode) && source.st_dev == output.st_dev &&
	       source.st_ino == output.st_ino;
}

bool output_is_terminal(const char *path)
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
