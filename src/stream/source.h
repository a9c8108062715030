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
 * @image   the file of a qcow2 source that can be read at any offset, the disk's; else NULL
 * @opened  @disk, or what lies within it: as it was opened
 * @salvage the disk within @disk that knows what could not be read; or NULL
 * @arrives  @input.stream is a raw disk of which nothing but the head was read
 */
struct source {
	struct q2s_disk *disk;
	struct daemon *daemon;
	struct input input;
	struct q2s_store *image;
	struct q2s_disk *opened;
	struct q2s_disk *salvage;
	bool arrives;
};

/**
 * Open SOURCE as a disk: a file, a block device, standard input, a file on an HTTP server, or an
 * NBD URI.
 *
 * Without a format, a file that starts with the qcow2 magic is one, and all else is raw; a format
 * that is named is believed, and what begins as another container is refused without one. Raw data
 * from a pipe is left there where arrival_fits(). What is opened is locked as QEMU locks what it
 * reads, unless @options say not to, and guarded against being written to (guard.h).
 */
enum q2s_err source_open(const struct stream_options *options, struct source *out,
			 struct q2s_diag *diag);
void source_close(struct source *source);

/** Warn of files whose end is missing, once the disk was looked at. */
void source_warn_cut(const struct source *source);

/** Warn of keys for layers that neither disk, each of which may be NULL, consists of. */
void source_warn_keys(const struct stream_options *options, const struct q2s_disk *a,
		      const struct q2s_disk *b);

/** What messages call a source of this name. */
const char *source_shown(const char *name);

/** Would the image, on @path or (NULL) on standard output, go to a terminal? */
bool output_is_terminal(const char *path);

#endif
