/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-create: make a qcow2 image from options alone. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/escape.h"
#include "common/progress.h"
#include "common/size.h"
#include "common/tool.h"
#include "create/create.h"
#include "create/options.h"

/* What was made, on one line: name, virtual size, options in force. */
static void
print_result(const struct create_options *options, const struct q2s_spec *spec)
{
	char human[SIZE_TEXT];

	escape_print(stdout, options->file, strlen(options->file));
	printf(": %s (%" PRIu64 " bytes)", size_human(spec->geom.size, human), spec->geom.size);
	image_options_print(stdout, &options->image);
	putchar('\n');
}

/* Which of the two files that may be made is there already. */
static int
report_existing(const struct create_options *options, const struct q2s_diag *diag)
{
	const char *const file = diag->file[0] ? diag->file : options->file;
	const char *const data = options->image.data_file;

	if (data && strcmp(file, data) == 0)
		return tool_error("%s: the data file exists already; --force replaces it, "
				  "-o keep_data_file=on uses it as it is", file);
	return tool_error("%s: exists already; --force replaces it", file);
}

/* The one place where a failure of this tool becomes a message. */
static int
report(const struct create_options *options, const struct q2s_diag *diag)
{
	switch (diag->err) {
	case Q2S_E_USAGE:
	case Q2S_E_CONFLICT:
		return tool_usage_fail(diag);
	case Q2S_E_BUSY: /* only the backing file is read */
		return tool_error("%s: %s; -u does not open it, and needs SIZE",
				  diag->file[0] ? diag->file : options->file, diag->text);
	case Q2S_E_EXISTS:
		return report_existing(options, diag);
	default:
		return tool_fail(options->file, diag);
	}
}

static int
run(struct create_options *options)
{
	struct q2s_diag diag = { 0 };
	struct q2s_spec spec;
	enum q2s_err err = progress_start(PROGRESS_QUIET, &diag);

	if (err == Q2S_OK)
		err = create_image(options, &spec, &diag);
	progress_stop();
	if (err != Q2S_OK)
		return report(options, &diag);
	if (!options->quiet)
		print_result(options, &spec);
	return 0;
}

/* --corpus is a tool of its own. */
static int
hand_over(const struct create_options *options)
{
	static const char tool[] = "q2s-corpus";

	if (options->quiet)
		(void)execlp(tool, tool, "--quiet", "--", options->corpus, (char *)NULL);
	else
		(void)execlp(tool, tool, "--", options->corpus, (char *)NULL);
	return tool_error("%s, which makes a corpus, cannot be run: %s", tool, strerror(errno));
}

int
main(int argc, char **argv)
{
	struct create_options options;
	int status;

	tool_begin("q2s-create");
	status = options_parse(&options, argc, argv);
	if (status == OPTIONS_GO)
		status = options.corpus ? hand_over(&options) : tool_finish(run(&options));
	options_free(&options);
	return status;
}
