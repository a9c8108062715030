/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening a path for reading without being led elsewhere. */
#ifndef Q2SI_IMAGE_WALK_H
#define Q2SI_IMAGE_WALK_H

#include <stdbool.h>

/**
 * Open a regular file (or a block device) for reading; nothing else is ever opened, because
 * opening alone can have effects (a FIFO waits, a tape rewinds, a watchdog starts).
 *
 * @no_links  @path is absolute and holds no symbolic link: fail with ELOOP or ENOTDIR where one
 *            appears, at any step
 *
 * Returns a descriptor, or -1 with errno: ENXIO for another kind of file, ENODEV for a block
 * device without @devices.
 */
int q2si_walk_open(const char *path, bool no_links, bool devices);

#endif
