/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the argument of one option means. Each fills @options; false after a usage message. */
#ifndef STREAM_OPTIONS_VALUES_H
#define STREAM_OPTIONS_VALUES_H

#include "stream/options.h"

bool value_output_format(struct stream_options *options, const char *arg);
bool value_output(struct stream_options *options, const char *arg);
bool value_follow(struct stream_options *options, const char *arg);
bool value_base_missing(struct stream_options *options, const char *arg);
bool value_size(struct stream_options *options, const char *arg);
bool value_bitmap_granularity(struct stream_options *options, const char *arg);
bool value_threads(struct stream_options *options, const char *arg);
bool value_spool(struct stream_options *options, const char *arg);
bool value_progress(struct stream_options *options, const char *arg);

/**
 * A letter that only qemu-img convert has: obeyed where that makes sense, without effect where
 * there is nothing to choose, else refused in a line that says what to use.
 */
bool value_of_convert(struct stream_options *options, int letter, const char *arg);

/**
 * "zstd", "zlib:9"; NULL means the type of -o compression_type.
 *
 * @type  receives the word for the type, if there is one: static storage
 */
bool value_compress(struct stream_options *options, const char **type, const char *arg);

/** Is @arg, which follows a -z without a value, meant as its value? A file has ./ before it. */
bool value_is_compress(const char *arg);

/**
 * Is @word, which follows a -z without a value, really one of the @count @names? It is taken for a
 * type of compression that does not exist where there is one name too many, where it would be the
 * SOURCE and is no file, and where it would be a new DEST with the name of such a type.
 *
 * @word  NULL: there was none
 * False after a usage message.
 */
bool value_check_compress(const char *word, int count, char *const *names);

#endif
