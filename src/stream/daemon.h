/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A qemu-storage-daemon of our own, which reads what we do not: it shows one disk, read-only, on
 * connections that only we have, and ends with us, however we end.
 */
#ifndef STREAM_DAEMON_H
#define STREAM_DAEMON_H

#include <sys/types.h>

#include <q2s/base.h>

#define DAEMON_PROGRAM "qemu-storage-daemon"

/** The daemon's own descriptor of the image, as the file name that a block device may use. */
#define DAEMON_IMAGE "/proc/self/fd/4"

/** The ID of the key that a block device may refer to. */
#define DAEMON_SECRET "key"

/** The node-name that the block device must have. */
#define DAEMON_NODE "disk"

struct daemon;

/**
 * Start it.
 *
 * @blockdev  what --blockdev takes, as JSON; kept until the daemon ends
 * @image     a descriptor that it inherits as DAEMON_IMAGE; stays the caller's
 * @key       a descriptor of DAEMON_SECRET, or -1; stays the caller's
 * @count     connections to it
 * @sockets   room for @count; the caller's on success. Whether the daemon likes @blockdev shows
 *            when they are used.
 *
 * Returns Q2S_OK, Q2S_E_MISSING when the program is not there, Q2S_E_IO, Q2S_E_NOMEM.
 */
enum q2s_err daemon_start(const char *blockdev, int image, int key, size_t count, int *sockets,
			  struct daemon **out, struct q2s_diag *diag);

/** Its process; only before daemon_end(). */
pid_t daemon_pid(const struct daemon *daemon);

/** End it, and wait for that. */
void daemon_end(struct daemon *daemon);

/**
 * Why did it fail? Only after daemon_end().
 *
 * Returns the last message that it printed, in one line and without what only repeats the command
 * line, to be freed; NULL when there is none.
 */
char *daemon_reason(const struct daemon *daemon);

void daemon_free(struct daemon *daemon); /* NULL is fine; ends it first if that is still to do */

#endif
