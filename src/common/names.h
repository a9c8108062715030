/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The names of files that an image refers to: what they mean, and when two are one. */
#ifndef COMMON_NAMES_H
#define COMMON_NAMES_H

#include <stdbool.h>

/**
 * Is this a plain file name, also for QEMU? Not when there is a colon before the first slash:
 * QEMU takes that as "json:", "nbd:" and the like.
 */
bool name_is_plain(const char *name);

/**
 * @name as seen from the folder of @image. Returns a string to free, or NULL without memory.
 */
char *name_beside(const char *image, const char *name);

/** Do two paths, which need not exist, lead to the same file? */
bool name_is_same_file(const char *a, const char *b);

/** Is @path's folder the current directory? */
bool name_is_here(const char *path);

#endif
