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
};

/**
 * q2s_sink_open(), and the registration of the temporary name. What is to be replaced must not be
 * in use by QEMU, which says so by locks: Q2S_E_IO with EBUSY.
 */
enum q2s_err output_open(struct output *output, const char *path, unsigned flags, uint64_t length,
			 struct q2s_diag *diag);

/** End it: q2s_sink_commit() or q2s_sink_abort(). Nothing happens without a sink. */
enum q2s_err output_commit(struct output *output, struct q2s_diag *diag);
void output_abort(struct output *output);

#endif
