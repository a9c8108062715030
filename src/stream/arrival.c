/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/arrival.h"

#include <inttypes.h>
#include <sys/stat.h>

#include "common/fault.h"
#include "stream/mark.h"

/* What is not there yet will be a regular file. */
static bool
can_seek(const char *dest)
{
	struct stat st;

	return stat(dest, &st) != 0 || S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);
}

/* Whatever has to be known before the first byte. */
static bool
needs_length(const struct stream_options *options)
{
	return options->measure || options->compare || options->extents || options->salvage ||
	       options->outlet.has_size_fd || options->range.kind != RANGE_ALL;
}

/* Whatever makes a qcow2 image depend on more than the cluster that has just come. */
static bool
needs_plan(const struct stream_options *options)
{
	return options->compress || options->dedup || options->base || options->changed || options->plan ||
	       options->bitmaps || options->new_bitmaps.count > 0 ||
	       options->save_plan || options->image.has_size ||
	       options->image.preallocation != IMAGE_PREALLOCATION_OFF ||
	       options->image.encrypt.luks;
}

bool
arrival_fits(const struct stream_options *options)
{
	if (needs_length(options))
		return false;
	if (options->raw_output)
		return true;
	if (needs_plan(options) || options->outlet.digest || options->outlet.limit_rate)
		return false; /* the last two take bytes in order */
	return options->dest && can_seek(options->dest);
}

/* How long the raw image will be; 0: nobody knows. */
static uint64_t
raw_length(const struct stream_options *options, const struct q2s_stream *stream)
{
	const struct image_options *image = &options->image;
	const uint64_t size = image->has_size ? image->size : stream->has_size ? stream->size : 0;

	return (size + Q2S_SECTOR - 1) / Q2S_SECTOR * Q2S_SECTOR;
}

/* More than the image has room for shows at once where the size of the disk is known. */
static enum q2s_err
write_raw(const struct stream_options *options, const struct q2s_stream *stream,
	  struct q2s_sink *sink, struct q2s_diag *diag)
{
	if (options->image.has_size && stream->has_size && stream->size > options->image.size)
		return fault(diag, Q2S_E_USAGE, "size",
			     "is less than the %" PRIu64 " bytes of the disk", stream->size);
	return q2s_emit_stream_raw(stream, options->image.has_size ? raw_length(options, stream) : 0,
				   sink, diag);
}

static enum q2s_err
write_qcow2(const struct stream_options *options, const struct q2s_stream *stream,
	    struct q2s_sink *sink, struct q2s_diag *diag)
{
	struct q2s_spec spec = { 0 };
	enum q2s_err err = image_options_spec(&options->image, 0, &spec, diag);

	if (err == Q2S_OK)
		err = mark_make(options, NULL, &spec.mark, diag);
	if (err != Q2S_OK)
		return err;
	spec.data_first = true;
	return q2s_emit_stream(stream, &spec, sink, diag);
}

enum q2s_err
arrival_write(const struct stream_options *options, const struct q2s_stream *stream,
	      struct q2s_digest *digest, struct q2s_diag *diag)
{
	/* a raw image on a block device has to fit, as far as its size is known */
	const uint64_t length = options->raw_output ? raw_length(options, stream) : 0;
	struct output output = { 0 };
	enum q2s_err err = outlet_open(&options->outlet, options->dest, length, digest, &output,
				       diag);

	if (err == Q2S_OK)
		err = options->raw_output ? write_raw(options, stream, output.sink, diag) :
					    write_qcow2(options, stream, output.sink, diag);
	if (err == Q2S_OK)
		return output_commit(&output, diag);
	output_abort(&output);
	return err;
}
