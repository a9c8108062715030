/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/arrival.h"

#include <sys/stat.h>

/* What is not there yet will be a regular file. */
static bool
can_seek(const char *dest)
{
	struct stat st;

	return stat(dest, &st) != 0 || S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);
}

bool
arrival_fits(const struct stream_options *options)
{
	const struct outlet_options *outlet = &options->outlet;

	if (options->measure || options->compare || outlet->has_size_fd ||
	    options->extents || options->range.kind != RANGE_ALL)
		return false;
	if (options->raw_output)
		return true;
	return options->dest && can_seek(options->dest) && !outlet->digest &&
	       !outlet->limit_rate && !options->compress && !options->base && !options->plan &&
	       !options->save_plan && !options->image.has_size;
}

static enum q2s_err
write_qcow2(const struct stream_options *options, const struct q2s_stream *stream,
	    struct q2s_sink *sink, struct q2s_diag *diag)
{
	struct q2s_spec spec;
	enum q2s_err err = image_options_spec(&options->image, 0, &spec, diag);

	spec.data_first = true;
	return err == Q2S_OK ? q2s_emit_stream(stream, &spec, sink, diag) : err;
}

enum q2s_err
arrival_write(const struct stream_options *options, const struct q2s_stream *stream,
	      struct q2s_digest *digest, struct q2s_diag *diag)
{
	/* a raw image on a block device has to fit, as far as its size is known */
	const uint64_t length = options->raw_output && stream->has_size ? stream->size : 0;
	struct output output = { 0 };
	enum q2s_err err = outlet_open(&options->outlet, options->dest, length, digest, &output,
				       diag);

	if (err == Q2S_OK)
		err = options->raw_output ? q2s_emit_stream_raw(stream, output.sink, diag) :
					    write_qcow2(options, stream, output.sink, diag);
	if (err == Q2S_OK)
		return output_commit(&output, diag);
	output_abort(&output);
	return err;
}
