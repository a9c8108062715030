/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the command line of q2s-stream asks for. */
#ifndef STREAM_OPTIONS_H
#define STREAM_OPTIONS_H

#include <q2s/q2s.h>

#include "common/bitmap_options.h"
#include "common/image_options.h"
#include "common/key_files.h"
#include "common/progress.h"
#include "stream/outlet.h"
#include "stream/range.h"
#include "stream/verify.h"

/**
 * Strings are borrowed from the arguments; @image is owned.
 *
 * @format     NULL: find out, and follow nothing
 * @dest       NULL: standard output
 * @force_share  also read what another program may write to
 * @size       bytes that are promised on standard input, if @has_size
 * @json       the output of --measure or --compare is for scripts
 * @data_file  the new image uses the source as its external data file
 * @compress   with @compression; @image.compression_type agrees with it
 * @dedup      clusters that are the same are stored once
 * @spool      folder for what has to wait, or NULL; @no_spool: compress twice instead
 * @range      which bytes of the output are wanted
 * @base       the new image holds what differs from this disk, or NULL; @other_format and
 *             @other_follow say of it what @format and @follow say of the source
 * @changed    where the source says what changed: "bitmap:NAME", "auto", "auto:NAME", or a metadata
 *             context of an NBD server; or NULL: look everywhere
 * @layers     the layers of the source from the bottom up, in a list, or NULL; @source is the same
 *             text
 * @bitmaps    which bitmaps of the source are carried over: "all", "none", "skip-broken", or names,
 *             in a list; or NULL: none. They get @bitmap_granularity_bits, or with 0 keep their
 *             own.
 *             @new_bitmaps, owned, are added
 * @backing_name  what the image calls @base; NULL: how it is found from the image
 * @marked     the new layer gets a mark; @mark: what is known of it, no id for a random one
 * @verify     what all bytes of the source have to be
 * @extents    somebody's map of the source, or NULL; @base_extents: of @base
 * @save_plan  keep the plan in this file, or NULL
 * @plan       use the plan in this file instead of looking at the source, or NULL
 * @keys       the passphrases of what is encrypted, owned; main() reads them
 * @encrypt_key_file  holds the passphrase of the new image, or NULL: that for all images of @keys;
 *             @encrypt_key is what it holds, owned; main() reads it
 * @salvage    what cannot be read is zero; @salvage_map: file for the map of it, or NULL
 * @compare    no output: compare the source with @other, of which @other_format and @other_follow
 *             say what @format and @follow say of the source
 */
struct stream_options {
	const char *source;
	const char *dest;
	const char *format;
	const char *snapshot;
	bool base_missing; /* a backing file that is not there reads as zero */
	struct key_files keys;
	const char *encrypt_key_file;
	struct key_file encrypt_key;
	bool raw_output;
	bool force_share;
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
	bool store_all; /* -S 0: zeros get space, too */
	bool into_existing; /* -n: DEST is there, and stays what it is but for the disk */
	struct q2s_compression compression;
	bool dedup;
	const char *spool;
	bool no_spool;
	struct stream_range range;
	struct outlet_options outlet;
	struct verify_options verify;
	const char *base;
	const char *changed;
	const char *layers;
	const char *bitmaps;
	uint32_t bitmap_granularity_bits;
	struct bitmap_options new_bitmaps;
	const char *backing_name;
	bool marked;
	struct q2s_mark mark;
	const char *extents;
	const char *base_extents;
	bool salvage;
	const char *salvage_map;
	const char *save_plan;
	const char *plan;
	bool data_file;
	bool measure;
	bool empty; /* no SOURCE: measure for an empty disk of @size bytes */
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
