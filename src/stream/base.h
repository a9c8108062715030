/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --diff: the disk that the new image is based on, and how the image refers to it. */
#ifndef STREAM_BASE_H
#define STREAM_BASE_H

#include "stream/options.h"
#include "stream/source.h"

/** Zero-initialise. Without --diff, @disk and @name are NULL. */
struct base {
	struct source source;
	struct q2s_disk *disk; /* the source's */
	char *name; /* what the image records */
};

/**
 * Do the options say what is needed, and nothing without sense? False with a usage message.
 *
 * The format of BASE must be named. To guess it would let a guest, who may have written all of a
 * raw disk, decide what is opened here, and by everybody who opens the new image.
 */
bool base_check(const struct stream_options *options);

/**
 * Open BASE as the options say, and find the name to record.
 *
 * Q2S_E_CONFLICT when the output is a file that BASE consists of: it would be lost, and the image
 * would refer to itself.
 */
enum q2s_err base_open(const struct stream_options *options, struct base *out,
		       struct q2s_diag *diag);
void base_close(struct base *base);

#endif
