/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/tool.h"
#include "stream/base.h"
#include "stream/options_check.h"
#include "stream/options_values.h"
#include "stream/usage.h"

enum {
	OPT_BACKING_NAME = 256,
	OPT_COMPARE,
	OPT_DEDUP,
	OPT_DIGEST,
	OPT_EXTENTS,
	OPT_FOLLOW,
	OPT_HELP,
	OPT_KEY_FILE,
	OPT_LIMIT_RATE,
	OPT_MEASURE,
	OPT_OUTPUT,
	OPT_PART,
	OPT_PLAN,
	OPT_PROGRESS,
	OPT_RANGE,
	OPT_RESUME,
	OPT_SAVE_PLAN,
	OPT_SIZE,
	OPT_SIZE_FD,
	OPT_SPOOL,
	OPT_TRUST_HOLES,
	OPT_VERSION,
};

static const char short_options[] = ":f:F:O:o:b:c:r:dRs:j:pz::";

static const struct option long_options[] = {
	{ "format", required_argument, NULL, 'f' },
	{ "output-format", required_argument, NULL, 'O' },
	{ "options", required_argument, NULL, 'o' },
	{ "cluster-size", required_argument, NULL, 'c' },
	{ "refcount-bits", required_argument, NULL, 'r' },
	{ "data-file", no_argument, NULL, 'd' },
	{ "data-file-raw", no_argument, NULL, 'R' },
	{ "compress", optional_argument, NULL, 'z' },
	{ "dedup", no_argument, NULL, OPT_DEDUP },
	{ "spool", required_argument, NULL, OPT_SPOOL },
	{ "range", required_argument, NULL, OPT_RANGE },
	{ "resume", required_argument, NULL, OPT_RESUME },
	{ "part", required_argument, NULL, OPT_PART },
	{ "save-plan", required_argument, NULL, OPT_SAVE_PLAN },
	{ "plan", required_argument, NULL, OPT_PLAN },
	{ "diff", required_argument, NULL, 'b' },
	{ "backing-format", required_argument, NULL, 'F' },
	{ "backing-name", required_argument, NULL, OPT_BACKING_NAME },
	{ "extents", required_argument, NULL, OPT_EXTENTS },
	{ "digest", required_argument, NULL, OPT_DIGEST },
	{ "limit-rate", required_argument, NULL, OPT_LIMIT_RATE },
	{ "size-fd", required_argument, NULL, OPT_SIZE_FD },
	{ "snapshot", required_argument, NULL, 's' },
	{ "key-file", required_argument, NULL, OPT_KEY_FILE },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "follow", required_argument, NULL, OPT_FOLLOW },
	{ "measure", no_argument, NULL, OPT_MEASURE },
	{ "output", required_argument, NULL, OPT_OUTPUT },
	{ "compare", no_argument, NULL, OPT_COMPARE },
	{ "trust-holes", no_argument, NULL, OPT_TRUST_HOLES },
	{ "threads", required_argument, NULL, 'j' },
	{ "progress", optional_argument, NULL, OPT_PROGRESS },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

/* What a pass over the options collects beside the options themselves. */
struct parse {
	struct keyval_list image;
	bool follow_given;
	bool help, version;
	bool image_given; /* -c or -r */
	const char *compress_type; /* the word in --compress=TYPE */
};

static bool
set_image(struct stream_options *options, const char *key, const char *value)
{
	struct q2s_diag diag = { 0 };

	if (image_options_set(&options->image, IMAGE_OPTIONS_STREAM, key, value, &diag) == Q2S_OK)
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
	case 'b':
		options->base = optarg;
		return true;
	case 'F':
		options->other_format = optarg;
		return true;
	case OPT_BACKING_NAME:
		options->backing_name = optarg;
		return true;
	case OPT_EXTENTS:
		options->extents = optarg;
		return true;
	case OPT_DIGEST:
		return outlet_parse_digest(&options->outlet, optarg);
	case OPT_LIMIT_RATE:
		return outlet_parse_limit_rate(&options->outlet, optarg);
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
		parse->image_given = true;
		return set_image(options, "cluster_size", optarg);
	case 'r':
		parse->image_given = true;
		return set_image(options, "refcount_bits", optarg);
	case 'R':
		options->data_file = true;
		return set_image(options, "data_file_raw", "on");
	case 'd':
		options->data_file = true;
		return true;
	case 's':
		options->snapshot = optarg;
		return true;
	case OPT_KEY_FILE:
		options->key_file = optarg;
		return true;
	case 'j':
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
	case OPT_HELP:
		return parse->help = true;
	case OPT_VERSION:
		return parse->version = true;
	default:
		return false;
	}
}

static bool
parse_names(struct stream_options *options, int count, char **names)
{
	if (count < 1) {
		(void)tool_usage_error("SOURCE is missing");
		return false;
	}
	if (count > 2) {
		char *const shown = escape_text(names[2]);

		(void)tool_usage_error("'%s' is one name too many", shown ? shown : "?");
		free(shown);
		return false;
	}
	options->source = names[0];
	if (options->compare && count != 2) {
		(void)tool_usage_error("--compare: B is missing");
		return false;
	}
	if (options->compare)
		options->other = names[1];
	else if (count == 2 && strcmp(names[1], "-") != 0)
		options->dest = names[1];
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

static enum stream_todo
finish(struct stream_options *options, struct parse *parse, int argc, char **argv)
{
	struct q2s_diag diag = { 0 };

	if (parse->help)
		return usage_print() == 0 ? STREAM_DONE : STREAM_WRONG;
	if (parse->version)
		return tool_version() == 0 ? STREAM_DONE : STREAM_WRONG;
	if (parse->image.help) {
		image_options_help(stdout, IMAGE_OPTIONS_STREAM);
		return tool_finish(0) == 0 ? STREAM_DONE : STREAM_WRONG;
	}
	if (image_options_apply(&options->image, IMAGE_OPTIONS_STREAM, &parse->image, &diag) !=
	    Q2S_OK) {
		(void)tool_usage_fail(&diag);
		return STREAM_WRONG;
	}
	if (!settle_compression(options, parse))
		return STREAM_WRONG;
	if (!parse->follow_given)
		options->follow = options->format ? Q2S_FOLLOW_BESIDE : Q2S_FOLLOW_NONE;
	options->other_follow = options->follow;
	if (!parse->follow_given)
		options->other_follow = options->other_format ? Q2S_FOLLOW_BESIDE :
								Q2S_FOLLOW_NONE;
	if (!parse_names(options, argc - optind, argv + optind) ||
	    !stream_options_check(options, parse->image.count > 0 || parse->image_given) ||
	    !base_check(options) ||
	    !outlet_check(&options->outlet, !options->measure && !options->compare,
			  !options->dest))
		return STREAM_WRONG;
	return STREAM_RUN;
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
		if (got == 'z' && !optarg && optind < argc && value_is_compress(argv[optind]))
			optarg = argv[optind++]; /* a space between them, as with other options */
		if (got == '?' || got == ':') {
			(void)tool_option_error(argv, got);
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
	key_file_free(&options->key);
}

