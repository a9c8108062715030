/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Persistent bitmaps of SOURCE. */
#ifndef STREAM_BITMAPS_H
#define STREAM_BITMAPS_H

#include "stream/options.h"

/**
 * Warn that the new image will not have the bitmaps of @file, a qcow2 image, if it has any. Not
 * where --bitmaps says what becomes of them, or --changed uses one.
 */
void bitmaps_warn(const struct stream_options *options, struct q2s_store *file);

#endif
