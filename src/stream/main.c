/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-stream: a disk in, a complete image out, in one sequence of bytes. */
#include "common/progress.h"
#include "common/tool.h"
#include "stream/arrival.h"
#include "stream/compare.h"
#include "stream/extents.h"
#include "stream/options.h"
#include "stream/source.h"
#include "stream/target.h"

/* Refuse what would only do harm, before anything is looked at. */
static bool
output_is_harmful(const struct stream_options *options)
{
	if (options->measure)
		return false;
	if (output_is_terminal(options->dest))
		(void)tool_error("refusing to write an image to a terminal; "
				 "redirect it or name a DEST");
	else if (source_is_output(options, options->dest))
		(void)tool_error("SOURCE and the output are the same file");
	else
		return false;
	return true;
}

/* What is wrong with the options may show only when the source is known. */
static int
report(const struct stream_options *options, const struct q2s_diag *diag)
{
	if (q2s_err_class(diag->err) == Q2S_CLASS_USAGE && !diag->file[0])
		return tool_usage_fail(diag);
	return tool_fail(source_shown(options->source), diag);
}

/* All is known of the output before its first byte. */
static enum q2s_err
write_planned(const struct stream_options *options, struct source *source, struct target *target,
	      struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	if (options->extents)
		err = extents_apply(options->extents, &source->disk, diag);
	if (err == Q2S_OK)
		err = target_plan(options, source->disk, target, diag);
	if (err == Q2S_OK && !options->measure)
		err = target_write(target, diag);
	return err;
}

static int
stream(const struct stream_options *options)
{
	struct q2s_diag diag = { 0 };
	struct source source = { 0 };
	struct target target = { 0 };
	enum q2s_err err = progress_start(options->progress, &diag);

	if (err == Q2S_OK)
		err = source_open(options, &source, &diag);
	if (err == Q2S_OK && source.arrives)
		err = arrival_write(options, &source.input.stream, &target.digest, &diag);
	else if (err == Q2S_OK)
		err = write_planned(options, &source, &target, &diag);
	progress_stop();
	int status = 0;

	if (err != Q2S_OK)
		status = report(options, &diag);
	else if (options->measure)
		status = target_print_measure(&target, options->json);
	else
		status = outlet_print_digest(&options->outlet, &target.digest,
					     options->progress == PROGRESS_JSON);
	target_free(&target);
	source_close(&source);
	return status;
}

/* Once for all that is opened: the key file may be a pipe. */
static bool
load_key(struct stream_options *options)
{
	struct q2s_diag diag = { 0 };

	if (!options->key_file || key_file_read(options->key_file, &options->key, &diag) == Q2S_OK)
		return true;
	(void)tool_fail(options->key_file, &diag);
	return false;
}

int
main(int argc, char **argv)
{
	struct stream_options options;
	int status = 1;

	tool_begin("q2s-stream");
	switch (stream_options_parse(&options, argc, argv)) {
	case STREAM_RUN:
		if (!options.compare && output_is_harmful(&options))
			break;
		if (load_key(&options))
			status = options.compare ? compare(&options) : stream(&options);
		break;
	case STREAM_DONE:
		status = 0;
		break;
	case STREAM_WRONG:
		break;
	}
	stream_options_free(&options);
	return status;
}
