/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/remote.h"
#include "common/tool.h"
#include "common/words.h"
#include "stream/base.h"
#include "stream/new_bitmaps.h"
#include "stream/changed.h"
#include "stream/layers.h"
#include "stream/mark.h"
#include "stream/options_check.h"
#include "stream/options_values.h"
#include "stream/salvage.h"
#include "stream/usage.h"

enum {
	OPT_BACKING_NAME = 256,
	OPT_BITMAP,
	OPT_BITMAP_GRANULARITY,
	OPT_BITMAPS,
	OPT_CHANGED,
	OPT_CLUSTER_SIZE,
	OPT_BASE_EXTENTS,
	OPT_BASE_MISSING,
	OPT_CACERT,
	OPT_COMPARE,
	OPT_DEDUP,
	OPT_DIGEST,
	OPT_ENCRYPT_KEY_FILE,
	OPT_EXTENTS,
	OPT_FOLLOW,
	OPT_HEADER_FILE,
	OPT_HELP,
	OPT_KEY_FILE,
	OPT_LAYERS,
	OPT_IMAGE_OPTS,
	OPT_IN_PLACE,
	OPT_LIMIT_RATE,
	OPT_MARK,
	OPT_MARK_PARENT,
	OPT_MEASURE,
	OPT_OBJECT,
	OPT_OUTPUT,
	OPT_PART,
	OPT_PLAN,
	OPT_PROGRESS,
	OPT_RANGE,
	OPT_RESUME,
	OPT_SALVAGE,
	OPT_SAVE_PLAN,
	OPT_SIZE,
	OPT_SIZE_FD,
	OPT_SPOOL,
	OPT_TARGET_IS_ZERO,
	OPT_TRUST_HOLES,
	OPT_VERIFY,
	OPT_VERSION,
};

/* The last line: letters of qemu-img convert, which people have in their scripts. */
static const char short_options[] = ":f:F:O:o:b:c:r:dRs:j:pUz::"
				    "B:l:m:nqS:t:T:WC";

static const struct option long_options[] = {
	{ "format", required_argument, NULL, 'f' },
	{ "output-format", required_argument, NULL, 'O' },
	{ "options", required_argument, NULL, 'o' },
	{ "cluster-size", required_argument, NULL, OPT_CLUSTER_SIZE },
	{ "refcount-bits", required_argument, NULL, 'r' },
	{ "data-file", no_argument, NULL, 'd' },
	{ "data-file-raw", no_argument, NULL, 'R' },
	{ "compress", optional_argument, NULL, 'z' },
	{ "dedup", no_argument, NULL, OPT_DEDUP },
	{ "spool", required_argument, NULL, OPT_SPOOL },
	{ "range", required_argument, NULL, OPT_RANGE },
	{ "resume", required_argument, NULL, OPT_RESUME },
	{ "part", required_argument, NULL, OPT_PART },
	{ "salvage", optional_argument, NULL, OPT_SALVAGE },
	{ "save-plan", required_argument, NULL, OPT_SAVE_PLAN },
	{ "plan", required_argument, NULL, OPT_PLAN },
	{ "diff", required_argument, NULL, 'b' },
	{ "backing-format", required_argument, NULL, 'F' },
	{ "backing-name", required_argument, NULL, OPT_BACKING_NAME },
	{ "bitmap", required_argument, NULL, OPT_BITMAP },
	{ "bitmap-granularity", required_argument, NULL, OPT_BITMAP_GRANULARITY },
	{ "bitmaps", required_argument, NULL, OPT_BITMAPS },
	{ "changed", required_argument, NULL, OPT_CHANGED },
	{ "mark", optional_argument, NULL, OPT_MARK },
	{ "mark-parent", required_argument, NULL, OPT_MARK_PARENT },
	{ "base-missing", required_argument, NULL, OPT_BASE_MISSING },
	{ "in-place", no_argument, NULL, OPT_IN_PLACE },
	{ "encrypt-key-file", required_argument, NULL, OPT_ENCRYPT_KEY_FILE },
	{ "extents", required_argument, NULL, OPT_EXTENTS },
	{ "base-extents", required_argument, NULL, OPT_BASE_EXTENTS },
	{ "digest", required_argument, NULL, OPT_DIGEST },
	{ "layers", required_argument, NULL, OPT_LAYERS },
	{ "cacert", required_argument, NULL, OPT_CACERT },
	{ "header-file", required_argument, NULL, OPT_HEADER_FILE },
	{ "verify", required_argument, NULL, OPT_VERIFY },
	{ "limit-rate", required_argument, NULL, OPT_LIMIT_RATE },
	{ "size-fd", required_argument, NULL, OPT_SIZE_FD },
	{ "snapshot", required_argument, NULL, 's' },
	{ "key-file", required_argument, NULL, OPT_KEY_FILE },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "follow", required_argument, NULL, OPT_FOLLOW },
	{ "force-share", no_argument, NULL, 'U' },
	{ "measure", no_argument, NULL, OPT_MEASURE },
	{ "output", required_argument, NULL, OPT_OUTPUT },
	{ "compare", no_argument, NULL, OPT_COMPARE },
	{ "trust-holes", no_argument, NULL, OPT_TRUST_HOLES },
	{ "threads", required_argument, NULL, 'j' },
	{ "progress", optional_argument, NULL, OPT_PROGRESS },
	{ "quiet", no_argument, NULL, 'q' },
	{ "object", required_argument, NULL, OPT_OBJECT },
	{ "image-opts", no_argument, NULL, OPT_IMAGE_OPTS },
	{ "target-is-zero", no_argument, NULL, OPT_TARGET_IS_ZERO },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

/* What a pass over the options collects beside the options themselves. */
struct parse {
	struct keyval_list image;
	bool follow_given;
	bool help, version;
	const char *behind_compress; /* the word behind a -z without a value, or NULL */
	const char *compress_type; /* the word in --compress=TYPE */
};

/* What is short for an -o. */
static bool
add_image(struct parse *parse, const char *key, const char *value)
{
	struct q2s_diag diag = { 0 };

	if (keyval_add_pair(&parse->image, key, value, &diag) == Q2S_OK)
		return true;
	(void)tool_usage_fail(&diag);
	return false;
}

static bool
parse_one(struct stream_options *options, struct parse *parse, int got)
{
	struct q2s_diag diag = { 0 };

	switch (got) {
	case 'f':
		options->format = optarg;
		return true;
	case 'B':
	case 'b':
		options->base = optarg;
		return true;
	case 'F':
		options->other_format = optarg;
		return true;
	case OPT_BACKING_NAME:
		options->backing_name = optarg;
		return true;
	case OPT_BITMAP:
		if (bitmap_options_add(&options->new_bitmaps, optarg, &diag) == Q2S_OK)
			return true;
		(void)tool_usage_fail(&diag);
		return false;
	case OPT_BITMAP_GRANULARITY:
		return value_bitmap_granularity(options, optarg);
	case OPT_BITMAPS:
		options->bitmaps = optarg;
		return true;
	case OPT_CHANGED:
		options->changed = optarg;
		return true;
	case OPT_BASE_MISSING:
		return value_base_missing(options, optarg);
	case OPT_BASE_EXTENTS:
		options->base_extents = optarg;
		return true;
	case OPT_EXTENTS:
		options->extents = optarg;
		return true;
	case OPT_ENCRYPT_KEY_FILE:
		options->encrypt_key_file = optarg;
		return true;
	case OPT_DIGEST:
		return outlet_parse_digest(&options->outlet, optarg);
	case OPT_HEADER_FILE:
		return remote_take_headers(optarg);
	case OPT_CACERT:
		return remote_take_cacert(optarg);
	case OPT_VERIFY:
		return verify_parse(&options->verify, optarg);
	case OPT_LAYERS:
		options->layers = optarg;
		return true;
	case OPT_LIMIT_RATE:
		return outlet_parse_limit_rate(&options->outlet, optarg);
	case OPT_MARK:
		return mark_parse_id(options, optarg);
	case OPT_MARK_PARENT:
		return mark_parse_parent(options, optarg);
	case OPT_SIZE_FD:
		return outlet_parse_size_fd(&options->outlet, optarg);
	case 'O':
		return value_output_format(options, optarg);
	case 'o':
		if (keyval_add(&parse->image, optarg, &diag) == Q2S_OK)
			return true;
		(void)tool_usage_fail(&diag);
		return false;
	case 'c':
	case OPT_CLUSTER_SIZE:
		return add_image(parse, "cluster_size", optarg);
	case 'r':
		return add_image(parse, "refcount_bits", optarg);
	case 'R':
		options->data_file = true;
		return add_image(parse, "data_file_raw", "on");
	case 'd':
		options->data_file = true;
		return true;
	case 's':
		options->snapshot = optarg;
		return true;
	case 'U':
		return options->force_share = true;
	case OPT_KEY_FILE:
		if (key_files_add(&options->keys, optarg, &diag) == Q2S_OK)
			return true;
		(void)tool_usage_fail(&diag);
		return false;
	case 'j':
	case 'm':
		return value_threads(options, optarg);
	case 'z':
		return value_compress(options, &parse->compress_type, optarg);
	case OPT_DEDUP:
		return options->dedup = true;
	case OPT_SPOOL:
		return value_spool(options, optarg);
	case OPT_RANGE:
		return range_parse_bytes(&options->range, optarg);
	case OPT_RESUME:
		return range_parse_resume(&options->range, optarg);
	case OPT_PART:
		return range_parse_part(&options->range, optarg);
	case OPT_SALVAGE:
		options->salvage_map = optarg;
		return options->salvage = true;
	case OPT_SAVE_PLAN:
		options->save_plan = optarg;
		return true;
	case OPT_PLAN:
		options->plan = optarg;
		return true;
	case OPT_SIZE:
		return value_size(options, optarg);
	case OPT_COMPARE:
		return options->compare = true;
	case OPT_FOLLOW:
		parse->follow_given = true;
		return value_follow(options, optarg);
	case OPT_MEASURE:
		return options->measure = true;
	case OPT_OUTPUT:
		return value_output(options, optarg);
	case OPT_TRUST_HOLES:
		return options->trust_holes = true;
	case 'p':
	case OPT_PROGRESS:
		return value_progress(options, got == 'p' ? NULL : optarg);
	case OPT_OBJECT:
	case OPT_IMAGE_OPTS:
		(void)tool_usage_error("--object and --image-opts are QEMU's: here --key-file names "
				       "the file with a passphrase, and -f the format");
		return false;
	case OPT_IN_PLACE:
		options->outlet.flags |= OUTPUT_IN_PLACE;
		return true;
	case OPT_TARGET_IS_ZERO:
		return true; /* what DEST held is not looked at, and zeros cost nothing */
	case OPT_HELP:
		return parse->help = true;
	case OPT_VERSION:
		return parse->version = true;
	default:
		return value_of_convert(options, got, optarg);
	}
}

/* A verb of qemu-img, where there are none. */
static bool
check_verb(int count, char **names)
{
	const char *const meant = count > 0 ? words_qemu_verb(names[0]) : NULL;

	if (!meant || !words_no_file(names[0]))
		return true;
	(void)tool_usage_error("'%s' is a verb of qemu-img, and there are none here: %s", names[0],
			       meant);
	return false;
}

static bool
parse_names(struct stream_options *options, int count, char **names)
{
	const int sources = options->layers ? 0 : 1; /* --layers stands in its place */

	if (count == 0 && sources == 1 && options->measure && options->has_size) {
		options->empty = true;
		options->source = "an empty disk";
		return true;
	}
	if (count < sources) {
		(void)tool_usage_error("SOURCE is missing");
		return false;
	}
	if (count > sources + 1) {
		char *const shown = escape_text(names[sources + 1]);

		(void)tool_usage_error("'%s' is one name too many", shown ? shown : "?");
		free(shown);
		return false;
	}
	options->source = options->layers ? options->layers : names[0];
	names += sources;
	count -= sources;
	if (options->compare && count != 1) {
		(void)tool_usage_error("--compare: B is missing");
		return false;
	}
	if (options->compare)
		options->other = names[0];
	else if (count == 1 && strcmp(names[0], "-") != 0 && strcmp(names[0], "/dev/stdout") != 0)
		options->dest = names[0];
	return true;
}

/* -z and -o compression_type must say the same; either alone decides for both. */
static bool
settle_compression(struct stream_options *options, const struct parse *parse)
{
	struct q2s_diag diag = { 0 };

	if (!options->compress)
		return true;
	if (parse->compress_type && options->image.compression_type_given &&
	    options->image.compression_type != options->compression.type) {
		(void)tool_usage_error("--compress=%s contradicts -o compression_type",
				       parse->compress_type);
		return false;
	}
	if (parse->compress_type)
		options->image.compression_type = options->compression.type;
	options->compression.type = options->image.compression_type;
	if (q2s_compression_check(&options->compression, &diag) == Q2S_OK)
		return true;
	(void)tool_usage_fail(&diag);
	return false;
}

/* The -o options, of which a raw image takes few. */
static bool
apply_image(struct stream_options *options, const struct keyval_list *list)
{
	const enum image_options_tool tool =
		options->raw_output ? IMAGE_OPTIONS_RAW : IMAGE_OPTIONS_STREAM;
	struct q2s_diag diag = { 0 };

	for (size_t i = 0; options->raw_output && i < list->count; i++)
		if (!image_options_takes(tool, list->items[i].key) &&
		    image_options_takes(IMAGE_OPTIONS_STREAM, list->items[i].key)) {
			(void)tool_usage_error("-O raw takes no options of a qcow2 image, such as %s",
					       list->items[i].key);
			return false;
		}
	if (image_options_apply(&options->image, tool, list, &diag) == Q2S_OK)
		return true;
	(void)tool_usage_fail(&diag);
	return false;
}

/* Somebody who says what a local file is knows what he has; what lies on a server may be anybody's. */
static enum q2s_follow
follow_by_default(const char *name, const char *format)
{
	return format && !(name && remote_is(name)) ? Q2S_FOLLOW_BESIDE : Q2S_FOLLOW_NONE;
}

static bool
settle_follow(struct stream_options *options, const struct parse *parse)
{
	const char *const other = options->compare ? options->other : options->base;

	if (!parse->follow_given)
		options->follow = follow_by_default(options->source, options->format);
	options->other_follow = options->follow;
	if (!parse->follow_given)
		options->other_follow = follow_by_default(other, options->other_format);
	return true;
}

static enum stream_todo
finish(struct stream_options *options, struct parse *parse, int argc, char **argv)
{

	if (parse->help)
		return usage_print() == 0 ? STREAM_DONE : STREAM_WRONG;
	if (parse->version)
		return tool_version() == 0 ? STREAM_DONE : STREAM_WRONG;
	if (parse->image.help) {
		image_options_help(stdout, options->raw_output ? IMAGE_OPTIONS_RAW :
								IMAGE_OPTIONS_STREAM);
		return tool_finish(0) == 0 ? STREAM_DONE : STREAM_WRONG;
	}
	if (!apply_image(options, &parse->image))
		return STREAM_WRONG;
	if (options->store_all && options->image.preallocation == IMAGE_PREALLOCATION_OFF)
		options->image.preallocation = IMAGE_PREALLOCATION_FULL;
	if (!settle_compression(options, parse))
		return STREAM_WRONG;
	if (!value_check_compress(parse->behind_compress, argc - optind, argv + optind) ||
	    !check_verb(argc - optind, argv + optind) ||
	    !parse_names(options, argc - optind, argv + optind) ||
	    !settle_follow(options, parse) || !stream_options_check(options, parse->image.count > 0) ||
	    !salvage_check(options) || !layers_check(options) || !changed_check(options) ||
	    !bitmaps_check(options) || !mark_check(options) ||
	    !base_check(options) ||
	    !outlet_check(&options->outlet, !options->measure && !options->compare,
			  !options->dest))
		return STREAM_WRONG;
	options->outlet.flags |= image_options_sink_flags(&options->image);
	return STREAM_RUN;
}

/*
 * In qemu-img convert -c compresses, and takes no value. Here it takes a number; a word behind it
 * that is none, or nothing at all, tells the one from the other. The word is then given back.
 */
static bool
is_compress_of_convert(int got, char **argv)
{
	if (got == ':')
		return optopt == 'c';
	if (got != 'c' || optarg != argv[optind - 1] || (optarg[0] >= '0' && optarg[0] <= '9'))
		return false;
	optind--;
	return true;
}

enum stream_todo
stream_options_parse(struct stream_options *options, int argc, char **argv)
{
	struct parse parse = { 0 };
	enum stream_todo todo = STREAM_WRONG;
	int got;

	*options = (struct stream_options){ 0 };
	image_options_init(&options->image);
	while ((got = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
		if (is_compress_of_convert(got, argv)) {
			options->compress = true;
			continue;
		}
		if (got == 'z' && !optarg && optind < argc && value_is_compress(argv[optind]))
			optarg = argv[optind++]; /* a space between them, as with other options */
		if (got == 'z' && !optarg && optind < argc)
			parse.behind_compress = argv[optind];
		if (got == '?' || got == ':') {
			(void)tool_option_error(argv, got, long_options);
			break;
		}
		if (!parse_one(options, &parse, got))
			break;
	}
	if (got == -1)
		todo = finish(options, &parse, argc, argv);
	keyval_free(&parse.image);
	return todo;
}

void
stream_options_free(struct stream_options *options)
{
	image_options_free(&options->image);
	bitmap_options_free(&options->new_bitmaps);
	key_files_free(&options->keys);
	key_file_free(&options->encrypt_key);
}

