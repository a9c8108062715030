/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the name of a source to its guest content. */
#ifndef STREAM_SOURCE_H
#define STREAM_SOURCE_H

#include "stream/daemon.h"
#include "stream/input.h"
#include "stream/options.h"

/**
 * An open source; zero-initialise, and do not move.
 *
 * @disk    NULL where @arrives
 * @daemon  what reads it for us, or NULL
 * @input   standard input, when that is the source
 * @arrives  @input.stream is a raw disk of which nothing but the head was read
 */
struct source {
	struct q2s_disk *disk;
	struct daemon *daemon;
	struct input input;
	bool arrives;
};

/**
 * Open SOURCE as a disk: a file, a block device, standard input, or an NBD URI.
 *
 * Without a format, a file that starts with the qcow2 magic is one, and all else is raw; a format
 * that is named is believed. Raw data from a pipe is left there where arrival_fits().
 */
enum q2s_err source_open(const struct stream_options *options, struct source *out,
			 struct q2s_diag *diag);
void source_close(struct source *source);

/** What messages call a source of this name. */
const char *source_shown(const char *name);

/** Would writing to @path (NULL: standard output) destroy SOURCE while it is read? */
bool source_is_output(const struct stream_options *options, const char *path);

/** Would the image go to a terminal? @path as above. */
bool output_is_terminal(const char *path);

#endif
