/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bitmaps of the new image: those that are carried over, and new ones. */
#ifndef STREAM_NEW_BITMAPS_H
#define STREAM_NEW_BITMAPS_H

#include "stream/options.h"

/** Zero-initialise. @names belongs to those that were carried over. */
struct bitmaps {
	struct q2s_spec_bitmap *list;
	size_t count;
	struct q2s_bitmaps directory;
};

/** Do --bitmaps and --bitmap go with the other options? Reports what is wrong. */
bool bitmaps_check(const struct stream_options *options);

/**
 * Read the bitmaps of @disk, which is the source, that are wanted, for a disk of @geom; add the new
 * ones. One that cannot be trusted is an error, or left out with a warning.
 */
enum q2s_err bitmaps_open(const struct stream_options *options, const struct q2s_disk *disk,
			  const struct q2s_geom *geom, struct bitmaps *out, struct q2s_diag *diag);
void bitmaps_close(struct bitmaps *bitmaps);

#endif
