/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What cannot be opened as a file, as a source: standard input, which may be redirected from a
 * file, pipes that have a name, and files on HTTP servers.
 */
#ifndef STREAM_INPUT_H
#define STREAM_INPUT_H

#include <q2s/http.h>

#include "stream/options.h"

/** Memory for what comes through a pipe; more goes into a file without a name. */
#define INPUT_MEMORY (32u << 20)

/** What messages call it. */
#define INPUT_NAME "standard input"

/**
 * What it is. Zero-initialise, and do not move.
 *
 * @fd      -1 or 0 unless it is ours to close
 * @file    NULL for a stream
 * @stream  from the start, also of a @remote file
 * @remote  a file on a server that gives ranges; @read: how far the stream has read it,
 *          @announced: how far the store knows that it will
 * @http    one that is read as a stream
 */
struct input {
	int fd;
	struct q2s_store *file;
	struct q2s_stream stream;
	struct q2s_store *remote;
	uint64_t read, announced;
	struct q2s_http *http;
	struct verify verify;
	uint8_t head[Q2S_CONTAINER_HEAD]; /* what was read of the stream to see what it is */
};

/** Is SOURCE of this name read as an input that arrives: "-", or a pipe? */
bool input_is(const char *name);

/**
 * Look at it; a pipe that has a name is waited for, until somebody writes to it. A regular file or
 * block device that stands at its beginning, and a file on a server that gives ranges, can be read
 * at any offset, unless that one has to be verified; all else is read once, from where it is.
 */
enum q2s_err input_open(const struct stream_options *options, struct input *out,
			struct q2s_diag *diag);
void input_close(struct input *input);

/** Does it start with the qcow2 magic? Q2S_E_UNSUPPORTED for another container. */
enum q2s_err input_probe(struct input *input, bool *is_qcow2, struct q2s_diag *diag);

/**
 * Have it as a file, for formats: a stream is read to its end into one without a name, or, for who
 * reads once and from front to back, as far as is asked for.
 */
enum q2s_err input_to_file(struct input *input, bool once, struct q2s_diag *diag);

#endif
