/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Standard input as a source: a file that it is redirected from, or a stream. */
#ifndef STREAM_INPUT_H
#define STREAM_INPUT_H

#include "stream/options.h"

/** Memory for what comes through a pipe; more goes into a file without a name. */
#define INPUT_MEMORY (32u << 20)

/** What messages call it. */
#define INPUT_NAME "standard input"

/** What standard input is. Zero-initialise. @file is NULL for a stream. */
struct input {
	struct q2s_file *file;
	struct q2s_stream stream;
	uint8_t head[4]; /* what was read of the stream to see what it is */
};

/**
 * Look at standard input. A regular file or block device that stands at its beginning can be read
 * at any offset; all else is read once, from where it is.
 */
enum q2s_err input_open(const struct stream_options *options, struct input *out,
			struct q2s_diag *diag);
void input_close(struct input *input);

/** Does it start with the qcow2 magic? */
enum q2s_err input_is_qcow2(struct input *input, bool *out, struct q2s_diag *diag);

/**
 * Have it as a file, for formats: a stream is read to its end into one without a name, or, for who
 * reads once and from front to back, as far as is asked for.
 */
enum q2s_err input_to_file(struct input *input, bool once, struct q2s_diag *diag);

#endif
