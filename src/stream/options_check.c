/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which options of q2s-stream go together. */
#include "stream/options_check.h"

#include <string.h>

#include "common/encryption.h"
#include "common/remote.h"
#include "common/tool.h"
#include "common/url.h"
#include "stream/arrival.h"
#include "stream/input.h"

/* Options that make no sense together. */
static bool
check_together(const struct stream_options *options, bool image_options_given)
{
	const struct image_options *image = &options->image;

	if (options->raw_output &&
	    (options->data_file || options->compress || options->base || options->dedup))
		(void)tool_usage_error("-O raw takes no options of a qcow2 image");
	else if (options->data_file && options->format && strcmp(options->format, "raw") != 0)
		(void)tool_usage_error("--data-file needs a raw SOURCE");
	else if (!options->data_file && (image->data_file || image->data_file_raw))
		(void)tool_usage_error("-o data_file names SOURCE for the new image; it needs -d");
	else if (options->compress && options->data_file)
		(void)tool_usage_error("-z compresses what is stored; with -d nothing is");
	else if (options->dedup && options->data_file)
		(void)tool_usage_error("--dedup shares what is stored; with -d nothing is");
	else if (options->dedup && image->refcount_bits == 1)
		(void)tool_usage_error("--dedup needs refcount_bits of 2 or more: one bit cannot "
				       "say that a cluster is shared");
	else if (options->compare && (options->base || options->extents || options->dedup))
		(void)tool_usage_error("--compare writes nothing, so it has no --diff, --extents "
				       "or --dedup");
	else if (options->into_existing && (!options->raw_output || !options->dest))
		(void)tool_usage_error("-n writes to a DEST that is there, which is done for -O raw "
				       "alone; --in-place writes a new image over it");
	else if (options->raw_output && (options->plan || options->save_plan))
		(void)tool_usage_error("-O raw has no plan");
	else if (options->plan && (image_options_given || options->data_file ||
				   options->compress || options->save_plan || options->base ||
				   options->dedup))
		(void)tool_usage_error("--plan says what the image is; -o, -b, -c, -r, -d, -z, "
				       "--dedup and --save-plan contradict it");
	else if (options->json && !options->measure && !options->compare)
		(void)tool_usage_error("--output is for --measure and --compare; "
				       "see --progress=json too");
	else
		return true;
	return false;
}

/* Does preallocation go with what else is asked for? */
static bool
check_preallocation(const struct stream_options *options)
{
	const enum image_preallocation mode = options->image.preallocation;
	const bool space = image_options_sink_flags(&options->image) != 0;

	if (mode == IMAGE_PREALLOCATION_OFF)
		return true;
	if (options->raw_output && mode == IMAGE_PREALLOCATION_METADATA)
		(void)tool_usage_error("preallocation=metadata: a raw image has none; off, falloc and "
				       "full are for it");
	else if (options->compress)
		(void)tool_usage_error("-z and preallocation exclude each other: what is compressed "
				       "has no cluster of its own");
	else if (options->dedup)
		(void)tool_usage_error("--dedup and preallocation exclude each other: what is shared "
				       "has no cluster of its own");
	else if (options->data_file && space)
		(void)tool_usage_error("preallocation=falloc and full would write to the data file, "
				       "which with -d is SOURCE; metadata does not");
	else if (options->save_plan && space)
		(void)tool_usage_error("--save-plan: a plan keeps preallocation=metadata alone; falloc "
				       "and full are about the file that it becomes");
	else if (options->compare)
		(void)tool_usage_error("--compare writes nothing, so there is nothing to allocate");
	else
		return true;
	return false;
}

/* Does encryption go with what else is asked for? Nobody can make the same keys again. */
static bool
check_encryption(const struct stream_options *options)
{
	const bool has_key = options->encrypt_key_file || key_files_any(&options->keys)->path;
	struct q2s_diag diag = { 0 };

	if (encryption_check(&options->image, &diag) != Q2S_OK)
		(void)tool_usage_fail(&diag);
	else if (!options->image.encrypt.luks && options->encrypt_key_file)
		(void)tool_usage_error("--encrypt-key-file needs -o encrypt.format=luks");
	else if (!options->image.encrypt.luks)
		return true;
	else if (!has_key && !options->measure)
		(void)tool_usage_error("encrypt.format needs a passphrase: --encrypt-key-file, or "
				       "--key-file if it is that of SOURCE too");
	else if (options->compress)
		(void)tool_usage_error("-z and encryption exclude each other: compressed clusters "
				       "would not be encrypted");
	else if (options->data_file)
		(void)tool_usage_error("-d uses SOURCE as it is, and so it would not be encrypted");
	else if (options->range.kind != RANGE_ALL)
		(void)tool_usage_error("each run makes new keys, so that parts of an encrypted image "
				       "cannot be made by several: --range, --resume and --part are not "
				       "for it");
	else if (options->save_plan)
		(void)tool_usage_error("--save-plan: the plan of an encrypted image would have to hold "
				       "its keys, and is not kept");
	else
		return true;
	return false;
}

/* Options that say more of a source than it can be asked. */
static bool
check_sources(const struct stream_options *options)
{
	const bool input = input_is(options->source);
	const bool both = options->compare && input_is(options->other);
	const char *const format = options->format;

	if (options->dest && (q2s_nbd_is_uri(options->dest) || url_is(options->dest)))
		(void)tool_usage_error("DEST is a URL, and only files, devices and pipes are "
				       "written; for NBD: q2s-stream SOURCE | nbdcopy - URI");
	else if (both && strcmp(options->source, options->other) == 0)
		(void)tool_usage_error("--compare: A and B cannot both be the same pipe");
	else if (options->verify.given && (options->compare || options->layers || options->empty ||
					   q2s_nbd_is_uri(options->source)))
		(void)tool_usage_error("--verify is about the bytes of one SOURCE, which is a file, a "
				       "pipe or an HTTP URL");
	else if (options->other_format && !options->compare && !options->base &&
		 !options->changed)
		(void)tool_usage_error("-F is the format of BASE, for --diff, or of B, for --compare");
	else if (options->data_file && (input || q2s_nbd_is_uri(options->source) ||
					remote_is(options->source)))
		(void)tool_usage_error("--data-file needs a SOURCE that is a file");
	else if (options->has_size && !options->empty &&
		 (!input || (format && strcmp(format, "raw") != 0)))
		(void)tool_usage_error("--size is for raw data on standard input, or for --measure "
				       "without SOURCE; -o size makes the new disk larger");
	else if (options->empty && (options->base || options->extents || options->snapshot ||
				    options->data_file || options->plan))
		(void)tool_usage_error("--measure --size without SOURCE is about an empty disk");
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
	return check_together(options, image_options_given) && check_preallocation(options) &&
	       check_encryption(options) && check_sources(options);
}
