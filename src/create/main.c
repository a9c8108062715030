/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-create: make a qcow2 image from options alone. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/escape.h"
#include "common/progress.h"
#include "common/size.h"
#include "common/tool.h"
#include "create/corpus.h"
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

static void
print_corpus(const char *folder, size_t count)
{
	escape_print(stdout, folder, strlen(folder));
	printf(": %zu images%s\n", count,
	       corpus_has_digests() ? "" : "; no digests, as this build has no libgcrypt");
}

/* The one place where a failure of this tool becomes a message. */
static int
report(const struct create_options *options, const struct q2s_diag *diag)
{
	switch (diag->err) {
	case Q2S_E_USAGE:
	case Q2S_E_CONFLICT:
		return tool_usage_fail(diag);
	case Q2S_E_EXISTS:
		return tool_error("%s: exists already; --force replaces it",
				  diag->file[0] ? diag->file : options->file);
	default:
		return tool_fail(options->file, diag);
	}
}

static int
run(struct create_options *options)
{
	struct q2s_diag diag = { 0 };
	struct q2s_spec spec;
	size_t count;
	enum q2s_err err = progress_start(PROGRESS_QUIET, &diag);

	if (err == Q2S_OK)
		err = options->corpus ? corpus_create(options->corpus, &count, &diag)
				      : create_image(options, &spec, &diag);
	progress_stop();
	if (err != Q2S_OK)
		return report(options, &diag);
	if (options->quiet)
		return 0;
	if (options->corpus)
		print_corpus(options->corpus, count);
	else
		print_result(options, &spec);
	return 0;
}

int
main(int argc, char **argv)
{
	struct create_options options;
	int status;

	tool_begin("q2s-create");
	status = options_parse(&options, argc, argv);
	if (status == OPTIONS_GO)
		status = tool_finish(run(&options));
	options_free(&options);
	return status;
}
