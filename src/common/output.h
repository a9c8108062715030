/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A sink on a path: it spares what is in use, and its temporary name is removed even when a signal
 * ends the tool.
 */
#ifndef COMMON_OUTPUT_H
#define COMMON_OUTPUT_H

#include <q2s/io.h>

/** An output file on its way; zero-initialise. @sink is NULL when there is none. */
struct output {
	struct q2s_sink *sink;
	char *temp; /* registered for clean-up, or NULL */
	bool sync;
	const char *name; /* borrowed */
	int in_place;     /* a descriptor of ours, if more than 0 */
};

/** Beside the flags of q2s_sink_open(): a regular file that exists is written to, not replaced. */
#define OUTPUT_IN_PLACE (1u << 16)

/**
 * Can what is at @path be replaced or, where that is asked for, be written to? Before the work: a
 * file may be a mount point, or lie in a folder that we may not change, so that no other one can
 * take its name. Nothing is lost where it is empty, so then it is written in place unasked.
 *
 * Q2S_E_IO, with errno EACCES or EBUSY.
 */
enum q2s_err output_check(const char *path, unsigned flags, struct q2s_diag *diag);

/**
 * q2s_sink_open(), and the registration of the temporary name. What is to be replaced must not be
 * in use by QEMU, which says so by locks: Q2S_E_IO with EBUSY.
 */
enum q2s_err output_open(struct output *output, const char *path, unsigned flags, uint64_t length,
			 struct q2s_diag *diag);

/** May the file behind the descriptor @fd be written to, or is it in use by QEMU: Q2S_E_IO, EBUSY? */
enum q2s_err output_check_fd(int fd, const char *name, struct q2s_diag *diag);

/** End it: q2s_sink_commit() or q2s_sink_abort(). Nothing happens without a sink. */
enum q2s_err output_commit(struct output *output, struct q2s_diag *diag);
void output_abort(struct output *output);

#endif
