/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attributes of the new files that some file systems have: nocow and extent_size_hint. */
#ifndef CREATE_ATTRIBUTES_H
#define CREATE_ATTRIBUTES_H

#include "common/image_options.h"

/**
 * Set them on a file that has no bytes yet, as QEMU does: where there are none, nothing happens,
 * but an extent size hint that was asked for and cannot be set is warned about.
 *
 * @name  of the file, for the warning
 */
void attributes_set(int fd, const struct image_options *options, const char *name);

#endif
