/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-stream: a disk in, a complete image out, in one sequence of bytes. */
#include <unistd.h>

#include "common/progress.h"
#include "common/tool.h"
#include "stream/extents.h"
#include "stream/options.h"
#include "stream/source.h"
#include "stream/target.h"

/* Refuse what would only do harm, before anything is looked at. */
static bool output_is_harmful(const struct stream_options *options)
{
	if (options->measure)
		return false;
	if (!options->dest && isatty(STDOUT_FILENO))
		(void)tool_error("refusing to write an image to a terminal; "
				 "redirect it or name a DEST");
	else if (source_is_output(options, options->dest))
		(void)tool_error("SOURCE and the output are the same file");
	else
		return false;
	return true;
}

static int stream(const struct stream_options *options)
{
	struct q2s_diag diag = { 0 };
	struct q2s_disk *disk = NULL;
	struct target target = { 0 };
	enum q2s_err err = progress_start(options->progress, &diag);

	if (err == Q2S_OK)
		err = source_open(options, &disk, &diag);
	if (err == Q2S_OK && options->extents)
		err = extents_apply(options->extents, &disk, &diag);
	if (err == Q2S_OK)
		err = target_plan(options, disk, &target, &diag);
	if (err == Q2S_OK && !options->measure)
		err = target_write(&target, &diag);
	progress_stop();
	int status = 0;

	if (err != Q2S_OK)
		status = tool_fail(options->source, &diag);
	else if (options->measure)
		status = target_print_measure(&target, options->json);
	else
		outlet_print_digest(&options->outlet, &target.digest,
				    options->progress == PROGRESS_JSON);
	target_free(&target);
	q2s_disk_close(disk);
	return status;
}

int main(int argc, char **argv)
{
	struct stream_options options;
	int status = 1;

	tool_begin("q2s-stream");
	switch (stream_options_parse(&options, argc, argv)) {
	case STREAM_RUN:
		if (!output_is_harmful(&options))
			status = stream(&options);
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
