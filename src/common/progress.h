/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the user sees and does while long work goes on: progress on stderr, one line at SIGUSR1,
 * and an orderly end on SIGINT, SIGTERM and SIGHUP.
 *
 * One attendant thread takes all these signals; they are blocked everywhere else. So nothing ever
 * runs in a signal handler, and no system call of the work is interrupted. A child process must
 * be started with an empty signal mask (posix_spawnattr_setsigmask()), as it inherits this one.
 */
#ifndef COMMON_PROGRESS_H
#define COMMON_PROGRESS_H

#include <stdbool.h>

#include <q2s/base.h>

enum progress_mode {
	PROGRESS_AUTO, /* a bar when stderr is a terminal */
	PROGRESS_QUIET,
	PROGRESS_BAR,
	PROGRESS_JSON, /* one object a line: phase, done, total, length, rate, elapsed, final */
};

/**
 * The mode that --progress[=ARG] asks for: NULL or "bar", "json", "none".
 * Returns false for anything else.
 */
bool progress_mode_parse(const char *arg, enum progress_mode *out);

/**
 * Start the attendant. Call once, before any other thread is started: threads inherit the mask.
 * From here on a signal that ends the tool runs cleanup_run() first; a signal that was ignored
 * (nohup) stays ignored.
 */
enum q2s_err progress_start(enum progress_mode mode, struct q2s_diag *diag);

/** The observer to hand to the library; valid at any time, shows nothing before the start. */
const struct q2s_observer *progress_observer(void);

/**
 * Show the last state and end the attendant. Signals take effect directly again. Call before the
 * result or an error is printed. Nothing happens without a start.
 */
void progress_stop(void);

#endif
