/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-corpus: a folder of images for those who test readers of the format. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/escape.h"
#include "common/progress.h"
#include "common/tool.h"
#include "corpus/corpus.h"

static const char usage[] =
	"Usage: q2s-corpus [-q] DIR\n"
	"Make the folder DIR with legal and illegal qcow2 images, and a manifest that says of each how\n"
	"it was made, what a guest reads in it, and what a check must find.\n"
	"\n"
	"  -q, --quiet    print nothing when all is well\n"
	"      --help     print this and exit\n"
	"      --version  print version and libraries and exit\n"
	"\n"
	"DIR must not exist, or be empty; it appears when all is complete. q2s-create makes most of\n"
	"the legal images, and must be in PATH.\n";

enum { OPTION_HELP = 256, OPTION_VERSION };

static const struct option long_options[] = {
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ 0 },
};

static void
print_result(const char *folder, size_t count)
{
	escape_print(stdout, folder, strlen(folder));
	printf(": %zu images%s\n", count,
	       corpus_has_digests() ? "" : "; no digests, as this build has no libgcrypt");
}

static int
run(const char *folder, bool quiet)
{
	struct q2s_diag diag = { 0 };
	size_t count = 0;
	enum q2s_err err = progress_start(PROGRESS_QUIET, &diag);

	if (err == Q2S_OK)
		err = corpus_create(folder, &count, &diag);
	progress_stop();
	if (err != Q2S_OK)
		return tool_fail(folder, &diag);
	if (!quiet)
		print_result(folder, count);
	return 0;
}

static int
run_with(char *const *operands, bool quiet)
{
	if (!operands[0])
		return tool_usage_error("DIR is missing");
	if (operands[1])
		return tool_usage_error("unexpected '%s' after DIR", operands[1]);
	if (*operands[0] == '\0')
		return tool_usage_error("DIR is empty");
	return tool_finish(run(operands[0], quiet));
}

int
main(int argc, char **argv)
{
	bool quiet = false;
	int got;

	tool_begin("q2s-corpus");
	while ((got = getopt_long(argc, argv, ":q", long_options, NULL)) != -1) {
		switch (got) {
		case 'q':
			quiet = true;
			break;
		case OPTION_HELP:
			fputs(usage, stdout);
			return tool_finish(0);
		case OPTION_VERSION:
			return tool_version();
		default:
			return tool_option_error(argv, got, long_options);
		}
	}
	return run_with(argv + optind, quiet);
}
