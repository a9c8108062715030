/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the command line of q2s-stream asks for. */
#ifndef STREAM_OPTIONS_H
#define STREAM_OPTIONS_H

#include <q2s/q2s.h>

#include "common/image_options.h"
#include "common/key_file.h"
#include "common/progress.h"
#include "stream/outlet.h"
#include "stream/range.h"

/**
 * Strings are borrowed from the arguments; @image is owned.
 *
 * @format     NULL: find out, and follow nothing
 * @dest       NULL: standard output
 * @size       bytes that are promised on standard input, if @has_size
 * @json       the output of --measure or --compare is for scripts
 * @data_file  the new image uses the source as its external data file
 * @compress   with @compression; @image.compression_type agrees with it
 * @dedup      clusters that are the same are stored once
 * @spool      folder for what has to wait, or NULL; @no_spool: compress twice instead
 * @range      which bytes of the output are wanted
 * @base       the new image holds what differs from this disk, or NULL; @other_format and
 *             @other_follow say of it what @format and @follow say of the source
 * @backing_name  what the image calls @base; NULL: how it is found from the image
 * @extents    somebody's map of the source, or NULL
 * @save_plan  keep the plan in this file, or NULL
 * @plan       use the plan in this file instead of looking at the source, or NULL
 * @key_file   holds the passphrase of what is encrypted, or NULL; @key is what it holds, owned;
 *             main() fills it in
 * @compare    no output: compare the source with @other, of which @other_format and @other_follow
 *             say what @format and @follow say of the source
 */
struct stream_options {
	const char *source;
	const char *dest;
	const char *format;
	const char *snapshot;
	const char *key_file;
	struct key_file key;
	bool raw_output;
	enum q2s_follow follow;
	bool has_size;
	uint64_t size;
	bool compare;
	const char *other;
	const char *other_format;
	enum q2s_follow other_follow;
	bool trust_holes;
	unsigned threads;
	bool compress;
	struct q2s_compression compression;
	bool dedup;
	const char *spool;
	bool no_spool;
	struct stream_range range;
	struct outlet_options outlet;
	const char *base;
	const char *backing_name;
	const char *extents;
	const char *save_plan;
	const char *plan;
	bool data_file;
	bool measure;
	bool json;
	enum progress_mode progress;
	struct image_options image;
};

/** What the tool shall do with the options. */
enum stream_todo {
	STREAM_RUN,
	STREAM_DONE,  /* --help and the like: all is printed */
	STREAM_WRONG, /* a usage error: it is reported */
};

/** Parse the command line. Free with stream_options_free() whatever the answer is. */
enum stream_todo stream_options_parse(struct stream_options *options, int argc, char **argv);
void stream_options_free(struct stream_options *options);

#endif
