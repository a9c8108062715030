/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the name of a source to its guest content. */
#ifndef STREAM_SOURCE_H
#define STREAM_SOURCE_H

#include "stream/options.h"

/**
 * Open SOURCE as a disk.
 *
 * Without a format, a file that starts with the qcow2 magic is one, and all else is raw; a format
 * that is named is believed.
 */
enum q2s_err source_open(const struct stream_options *options, struct q2s_disk **out,
			 struct q2s_diag *diag);

/** Would writing to @path (NULL: standard output) destroy SOURCE while it is read? */
bool source_is_output(const struct stream_options *options, const char *path);

/** Would the image go to a terminal? @path as above. */
bool output_is_terminal(const char *path);

#endif
