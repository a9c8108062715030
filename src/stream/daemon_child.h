/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The child's side of starting qemu-storage-daemon. */
#ifndef STREAM_DAEMON_CHILD_H
#define STREAM_DAEMON_CHILD_H

#include <sys/types.h>

/**
 * What the child needs to know; descriptors are as in the parent.
 *
 * @blockdev  JSON for --blockdev
 * @parent    whose end ends the child
 * @status    takes the errno (an int) when the program cannot be run; closes on exec
 */
struct daemon_child {
	const char *blockdev;
	pid_t parent;
	int log;
	int listener;
	int image;
	int key; /* or -1 */
	int status;
};

/**
 * Become the daemon. Called behind fork() in a process that had threads: only what is safe in a
 * signal handler happens in it.
 */
_Noreturn void daemon_child_run(const struct daemon_child *child);

#endif
