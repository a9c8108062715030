/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-edit compact: give space back to the host. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/escape.h"
#include "common/progress.h"
#include "common/tool.h"
#include "edit/options.h"
#include "edit/verbs.h"
#include "edit/work.h"

static const char help[] =
	"Usage: q2s-edit compact --punch|--shrink [OPTIONS] FILE\n"
	"Give the space that FILE does not use back to the host.\n"
	"\n"
	"      --punch                    holes for free clusters, and for subclusters without data\n"
	"      --shrink                   move what lies at the end down, and make FILE shorter\n"
	"  -p, --progress[=bar|json]      show how far it is\n"
	OPTIONS_COMMON_HELP
	"\n"
	"FILE is checked first; one in which anything is wrong is refused. --dry-run says what can be\n"
	"won.\n";

enum { OPTION_PROGRESS = OPTION_OWN, OPTION_PUNCH, OPTION_SHRINK };

static const struct option long_options[] = {
	{ "punch", no_argument, NULL, OPTION_PUNCH },
	{ "shrink", no_argument, NULL, OPTION_SHRINK },
	{ "progress", optional_argument, NULL, OPTION_PROGRESS },
	OPTIONS_COMMON
};

struct request {
	struct options options;
	const char *file;
	bool punch, shrink;
	enum progress_mode progress;
	/* what came of it: @before, the length of the file */
	struct q2s_store *store;
	uint64_t before, punched;
};

static int
parse(struct request *out, int argc, char **argv)
{
	int got, status;

	while ((got = getopt_long(argc, argv, ":p" OPTIONS_COMMON_LETTERS, long_options, NULL)) != -1) {
		status = OPTIONS_GO_ON;
		if (got == OPTION_PUNCH)
			out->punch = true;
		else if (got == OPTION_SHRINK)
			out->shrink = true;
		else if (got == 'p' || got == OPTION_PROGRESS)
			status = options_take_progress(optarg, &out->progress);
		else
			status = options_take(&out->options, got, argv, long_options, help);
		if (status != OPTIONS_GO_ON)
			return status;
	}
	status = options_one_file(argc, argv, &out->file);
	if (status != OPTIONS_GO_ON)
		return status;
	if (!out->punch && !out->shrink)
		return tool_usage_error("--punch or --shrink is missing");
	return OPTIONS_GO_ON;
}

static enum q2s_err
compact(struct q2s_edit *edit, void *opaque, struct q2s_diag *diag)
{
	struct request *const request = opaque;
	enum q2s_err err = progress_start(request->progress, diag);

	request->store = q2s_store_ref(q2s_edit_store(edit));
	request->before = q2s_store_size(request->store);
	if (err == Q2S_OK && request->shrink)
		err = q2s_edit_shrink(edit, progress_observer(), diag);
	if (err == Q2S_OK && request->punch)
		err = q2s_edit_punch(edit, progress_observer(), &request->punched, diag);
	progress_stop();
	return err;
}

static void
report(void *opaque)
{
	const struct request *const request = opaque;

	escape_print(stdout, request->file, strlen(request->file));
	if (request->shrink)
		printf(": %" PRIu64 " bytes shorter",
		       request->before - q2s_store_size(request->store));
	if (request->punch)
		printf("%s %" PRIu64 " bytes of holes", request->shrink ? "," : ":",
		       request->punched);
	puts("");
}

int
compact_main(int argc, char **argv)
{
	struct request request = { .progress = PROGRESS_QUIET };
	int status = parse(&request, argc, argv);

	const struct work work = { .file = request.file,
				   .options = &request.options,
				   .flags = Q2S_EDIT_NO_BASE,
				   .edit = compact,
				   .report = report,
				   .opaque = &request };

	if (status == OPTIONS_GO_ON)
		status = work_do(&work);
	q2s_store_unref(request.store);
	options_free(&request.options);
	return status;
}
