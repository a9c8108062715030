/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which options of q2s-stream go together. */
#include "stream/options_check.h"

#include <string.h>

#include "common/tool.h"
#include "stream/arrival.h"

/* Options that make no sense together. */
static bool
check_together(const struct stream_options *options, bool image_options_given)
{
	const struct image_options *image = &options->image;

	if (options->raw_output && (image_options_given || options->data_file ||
				    options->compress || options->base))
		(void)tool_usage_error("-O raw takes no options of a qcow2 image");
	else if (options->data_file && options->format && strcmp(options->format, "raw") != 0)
		(void)tool_usage_error("--data-file needs a raw SOURCE");
	else if (!options->data_file && (image->data_file || image->data_file_raw))
		(void)tool_usage_error("-o data_file names SOURCE for the new image; it needs -d");
	else if (options->compress && options->data_file)
		(void)tool_usage_error("-z compresses what is stored; with -d nothing is");
	else if (options->compare && (options->base || options->extents))
		(void)tool_usage_error("--compare writes nothing, so it has no --diff or "
				       "--extents");
	else if (options->raw_output && (options->plan || options->save_plan))
		(void)tool_usage_error("-O raw has no plan");
	else if (options->plan && (image_options_given || options->data_file ||
				   options->compress || options->save_plan || options->base))
		(void)tool_usage_error("--plan says what the image is; "
				       "-o, -b, -c, -r, -d, -z and --save-plan contradict it");
	else if (options->json && !options->measure && !options->compare)
		(void)tool_usage_error("--output is for --measure and --compare; "
				       "see --progress=json too");
	else
		return true;
	return false;
}

/* Options that say more of a source than it can be asked. */
static bool
check_sources(const struct stream_options *options)
{
	const bool input = strcmp(options->source, "-") == 0;
	const bool both = options->compare && strcmp(options->other, "-") == 0;
	const char *const format = options->format;

	if (input && both)
		(void)tool_usage_error("--compare: A and B cannot both be standard input");
	else if (options->other_format && !options->compare && !options->base)
		(void)tool_usage_error("-F is the format of BASE, for --diff, or of B, for --compare");
	else if (options->data_file && (input || q2s_nbd_is_uri(options->source)))
		(void)tool_usage_error("--data-file needs a SOURCE that is a file");
	else if (options->has_size && (!input || (format && strcmp(format, "raw") != 0)))
		(void)tool_usage_error("--size is for raw data on standard input");
	else if (options->no_spool && (both || (input && !arrival_fits(options))))
		(void)tool_usage_error("--spool none: what comes through a pipe has to wait "
				       "somewhere");
	else
		return true;
	return false;
}

bool
stream_options_check(const struct stream_options *options, bool image_options_given)
{
	return check_together(options, image_options_given) && check_sources(options);
}
