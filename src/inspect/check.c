/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-inspect check: are the structures of an image sound, and do its refcounts add up? */
#include <q2s/check.h>

#include <errno.h>
#include <stdlib.h>

#include "common/escape.h"
#include "common/tool.h"
#include "inspect/check_report.h"
#include "inspect/options.h"
#include "inspect/subject.h"
#include "inspect/verbs.h"

/* As `qemu-img check`; TOOL_FAILED when the check could not be made or completed. */
enum { EXIT_SOUND = 0, EXIT_CORRUPT = 2, EXIT_LEAKS = 3, EXIT_NOT_SUPPORTED = 63 };

#define MAX_FINDINGS 1000

enum { OPTION_DECODE = OPTION_OWN, OPTION_MAX_FINDINGS };

static const char help_text[] =
	"Usage: q2s-inspect check [OPTIONS] FILE\n"
	"Count all references of a qcow2 image again, compare them with its refcounts, and judge\n"
	"each structure on the way. Writes to nothing. The ids are explained in doc/findings.\n\n"
	"      --decode                   also try to decode all compressed clusters\n"
	"      --max-findings=N           show no more than N findings (default: 1000); all count\n"
	"  -f, --format=raw|qcow2         what FILE is (default: qcow2 if it says so, else raw)\n"
	"  -q, --quiet                    say nothing: the exit code is the "
	"answer\n" OPTIONS_COMMON_HELP
	"\nExit code: 0 sound, 1 could not be checked, 2 corruption, 3 leaks only,\n"
	"63 not a format that can be checked.\n";

struct check_options {
	struct options common;
	bool decode;
	bool quiet;
	uint64_t max;
	const char *name;
};

static int
exit_code(const struct q2s_check_result *result)
{
	if (result->check_errors)
		return TOOL_FAILED;
	if (result->corruptions)
		return EXIT_CORRUPT;
	return result->leaks ? EXIT_LEAKS : EXIT_SOUND;
}

static int
check_image(const struct check_options *options, struct q2s_image *image)
{
	struct check_report report = { .out = stdout,
				       .name = options->name,
				       .json = options->common.json,
				       .quiet = options->quiet,
				       .max = options->max };
	const struct q2s_check_options how = { .finding = check_report_finding,
					       .opaque = &report,
					       .decode = options->decode };
	struct q2s_check_result result;
	struct q2s_diag diag = { 0 };
	enum q2s_err err;

	check_report_begin(&report);
	err = q2s_check(image, &how, &result, &diag);
	check_report_end(&report, &result, err == Q2S_OK ? NULL : &diag);
	return err == Q2S_OK ? exit_code(&result) : tool_fail(options->name, &diag);
}

static int
refuse_format(const char *name)
{
	char *const shown = escape_text(name);

	tool_error("%s: this image format does not support checks", shown ? shown : "?");
	free(shown);
	return EXIT_NOT_SUPPORTED;
}

static int
check_run(const struct check_options *options)
{
	const enum subject_format format = subject_format(options->common.format);
	struct subject subject = { 0 };
	struct q2s_diag diag = { 0 };
	int status;

	if (subject_open_sound(options->name, format, &subject, &diag) != Q2S_OK)
		return tool_finish(tool_fail(options->name, &diag));
	status = subject.image ? check_image(options, subject.image) : refuse_format(options->name);
	subject_close(&subject);
	return tool_finish(status);
}

static int
take_max(const char *word, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(word, &end, 10);
	if (errno || end == word || *end || *word < '0' || *word > '9')
		return tool_usage_error("--max-findings must be a number");
	return OPTIONS_GO_ON;
}

int
check_main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "decode", no_argument, NULL, OPTION_DECODE },
		{ "max-findings", required_argument, NULL, OPTION_MAX_FINDINGS },
		{ "quiet", no_argument, NULL, 'q' },
		{ "format", required_argument, NULL, 'f' },
		OPTIONS_COMMON,
	};
	struct check_options options = { .max = MAX_FINDINGS };
	int got, status;

	while ((got = getopt_long(argc, argv, ":f:q", longs, NULL)) != -1) {
		status = OPTIONS_GO_ON;
		if (got == OPTION_DECODE)
			options.decode = true;
		else if (got == OPTION_MAX_FINDINGS)
			status = take_max(optarg, &options.max);
		else if (got == 'q')
			options.quiet = true;
		else
			status = options_take(&options.common, got, argv, help_text);
		if (status != OPTIONS_GO_ON)
			return status;
	}
	status = options_operands(argc, argv, 1, "FILE");
	if (status != OPTIONS_GO_ON)
		return status;
	options.name = argv[optind];
	return check_run(&options);
}
