/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-stream: a disk in, a complete image out, in one sequence of bytes. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/guard.h"
#include "common/progress.h"
#include "common/remote.h"
#include "common/tool.h"
#include "stream/arrival.h"
#include "stream/bitmaps.h"
#include "stream/compare.h"
#include "stream/extents.h"
#include "stream/options.h"
#include "stream/salvage.h"
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
		err = extents_apply(options->extents, "--extents", &source->disk, diag);
	if (err == Q2S_OK)
		err = target_plan(options, source->disk, target, diag);
	source_warn_keys(options, source->disk, target->base.disk);
	if (err == Q2S_OK && !options->measure)
		err = target_write(target, diag);
	source_warn_cut(source);
	source_warn_cut(&target->base.source);
	return err;
}

/* What is read beside SOURCE and BASE. */
static enum q2s_err
guard_inputs(const struct stream_options *options, struct q2s_diag *diag)
{
	enum q2s_err err = guard_read_path(options->extents, diag);

	if (err == Q2S_OK)
		err = guard_read_path(options->base_extents, diag);
	if (err == Q2S_OK)
		err = guard_read_path(options->plan, diag);
	for (size_t i = 0; err == Q2S_OK && i < options->keys.count; i++)
		err = guard_read_path(options->keys.items[i].path, diag);
	if (err == Q2S_OK)
		err = guard_read_path(options->encrypt_key_file, diag);
	return err;
}

/* Does the output have space that can be allocated? What is not there yet will be a file. */
static bool
has_space(const char *dest)
{
	struct stat st;
	const int flags = dest ? 0 : fcntl(STDOUT_FILENO, F_GETFL);

	if ((dest ? stat(dest, &st) : fstat(STDOUT_FILENO, &st)) != 0)
		return dest != NULL;
	return (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) && !(flags & O_APPEND);
}

/* Can DEST be written at all? Before anything takes long. */
static bool
dest_is_refused(const struct stream_options *options)
{
	struct q2s_diag diag = { 0 };

	if (!options->measure && image_options_sink_flags(&options->image) &&
	    !has_space(options->dest)) {
		(void)tool_usage_error("preallocation=falloc and full allocate the space of a file or a "
				       "block device, and %s is neither",
				       options->dest ? options->dest : "standard output");
		return true;
	}
	if (options->measure || !options->dest ||
	    output_check(options->dest, Q2S_SINK_REPLACE | options->outlet.flags, &diag) == Q2S_OK)
		return false;
	(void)tool_fail(options->dest, &diag);
	return true;
}

static int
stream(const struct stream_options *options)
{
	struct q2s_diag diag = { 0 };
	struct source source = { 0 };
	struct target target = { 0 };
	enum q2s_err err = progress_start(options->progress, &diag);

	if (err == Q2S_OK)
		err = guard_inputs(options, &diag);
	if (err == Q2S_OK)
		err = source_open(options, &source, &diag);
	/* Now, and not only when all is known of it. */
	if (err == Q2S_OK)
		err = guard_output(options->measure ? NULL : options->dest, OUTLET_NAME, &diag);
	if (err == Q2S_OK)
		err = salvage_check_map(options, &diag);
	if (err == Q2S_OK && source.image)
		bitmaps_warn(options, source.image);
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
	if (status == 0 && err == Q2S_OK && source.salvage)
		status = salvage_tell(options, source.salvage);
	target_free(&target);
	source_close(&source);
	return status;
}

/* Once for all that is opened: a key file may be a pipe. */
static bool
load_keys(struct stream_options *options)
{
	struct q2s_diag diag = { 0 };
	enum q2s_err err = key_files_read(&options->keys, &diag);

	if (err == Q2S_OK && options->encrypt_key_file)
		err = key_file_read(options->encrypt_key_file, &options->encrypt_key, &diag);
	if (err == Q2S_OK)
		return true;
	(void)tool_fail(NULL, &diag);
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
		tool_options(TOOL_HAS_FOLLOW | TOOL_HAS_FORCE_SHARE |
			     (key_files_any(&options.keys)->path ? 0 : TOOL_HAS_KEY_FILE));
		if (!options.compare &&
		    (output_is_harmful(&options) || dest_is_refused(&options)))
			break;
		if (load_keys(&options))
			status = options.compare ? compare(&options) : stream(&options);
		break;
	case STREAM_DONE:
		status = 0;
		break;
	case STREAM_WRONG:
		break;
	}
	stream_options_free(&options);
	remote_reset();
	guard_reset();
	return status;
}
