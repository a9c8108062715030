/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What must not outlive the tool when a signal ends it: temporary files and folders, and helper
 * processes. Safe from several threads. Where the work ends normally its owner removes these
 * things itself, and drops them here.
 */
#ifndef COMMON_CLEANUP_H
#define COMMON_CLEANUP_H

#include <stdbool.h>
#include <sys/types.h>

/** Remove this file or empty folder. The path is copied. False when memory is short. */
bool cleanup_add_path(const char *path);
/** Remove this folder with all that is in it; dropped as a path is. */
bool cleanup_add_folder(const char *path);
void cleanup_drop_path(const char *path); /* NULL is fine */

/** End this child: SIGTERM, then SIGKILL when it does not end within a few seconds. */
bool cleanup_add_pid(pid_t pid);
void cleanup_drop_pid(pid_t pid);

/** Drop this child, end it now in the same way, and wait for it. */
void cleanup_end_pid(pid_t pid);

/** Do it all, the last one added first. */
void cleanup_run(void);

/**
 * Let cleanup_run() wait until the release: for short work after which something else is to be
 * removed than before, or nothing. Only the thread that holds it may add and drop meanwhile.
 */
void cleanup_hold(void);
void cleanup_release(void);

#endif
