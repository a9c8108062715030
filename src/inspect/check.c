/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-inspect check: are the structures of an image sound, and do its refcounts add up? */
#include <q2s/check.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/fault.h"
#include "common/remote.h"
#include "common/tool.h"
#include "inspect/check_report.h"
#include "inspect/options.h"
#include "inspect/subject.h"
#include "inspect/verbs.h"

/* As `qemu-img check`; TOOL_FAILED when the check could not be made or completed. */
enum { EXIT_SOUND = 0, EXIT_CORRUPT = 2, EXIT_LEAKS = 3, EXIT_NOT_SUPPORTED = 63 };

#define MAX_FINDINGS 1000

/* So often is a file that changes under our eyes looked at. */
#define LOOKS_MAX 3u


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

/* One pass over the image, told to @out. */
static int
check_image(const struct check_options *options, struct q2s_image *image, FILE *out,
	    struct q2s_diag *diag)
{
	struct check_report report = { .out = out,
				       .name = remote_shown(options->name),
				       .json = options->common.json,
				       .quiet = options->quiet,
				       .max = options->max };
	const struct q2s_check_options how = { .size = sizeof(how), .finding = check_report_finding,
					       .opaque = &report,
					       .decode = options->decode };
	struct q2s_check_result result;
	enum q2s_err err;

	check_report_begin(&report);
	err = q2s_check(image, &how, &result, diag);
	check_report_end(&report, &result, err == Q2S_OK ? NULL : diag);
	return err == Q2S_OK ? exit_code(&result) : TOOL_FAILED;
}

static int
refuse_format(const char *name)
{
	char *const shown = escape_text(name);

	tool_error("%s: this image format does not support checks", shown ? shown : "?");
	free(shown);
	return EXIT_NOT_SUPPORTED;
}

/* Is somebody else writing to it? Only -U lets it come that far. */
static void
warn_of_writer(const struct subject *subject)
{
	static bool done;

	if (done || q2s_store_lock_probe(subject->file, 0, Q2S_LOCK_WRITE | Q2S_LOCK_RESIZE,
					 NULL) == Q2S_OK)
		return;
	done = true;
	tool_warn("%s: another program has it open for writing: it may change while it is "
		  "checked, and what is found may be a change in progress",
		  subject->name);
}

/*
 * A file that is written to while it is read shows tables of different times. What was found in it
 * means nothing, so it is not told.
 */
static enum q2s_err
check_once(const struct check_options *options, FILE *out, int *status, struct q2s_diag *diag)
{
	struct subject subject = { 0 };
	enum q2s_err err = subject_open_sound(options->name, &options->common, &subject, diag);

	if (err != Q2S_OK)
		return err;
	if (!subject.image) {
		*status = refuse_format(remote_shown(options->name));
	} else {
		warn_of_writer(&subject);
		*status = check_image(options, subject.image, out, diag);
		err = q2s_store_verify(subject.file, diag);
	}
	subject_close(&subject);
	return err;
}

/* One look, kept in memory until it is known to be of one state of the file. */
static enum q2s_err
look(const struct check_options *options, int *status, struct q2s_diag *failure)
{
	struct q2s_diag diag = { 0 };
	char *text = NULL;
	size_t len = 0;
	FILE *const out = open_memstream(&text, &len);
	enum q2s_err err;

	if (!out)
		return fault_nomem(failure, "report");
	err = check_once(options, out, status, &diag);
	if (fclose(out) != 0)
		err = fault_nomem(&diag, "report");
	if (err == Q2S_OK) {
		(void)fwrite(text, 1, len, stdout); /* tool_finish() sees a failure */
		if (diag.err != Q2S_OK)
			*status = tool_fail(options->name, &diag);
	}
	*failure = diag;
	free(text);
	return err;
}

/* Was it refused for a format that is not checked, and not for what it holds? */
static bool
is_container(const struct q2s_diag *diag)
{
	return diag->err == Q2S_E_UNSUPPORTED && strcmp(diag->what, "format") == 0;
}

static int
check_run(const struct check_options *options)
{
	struct q2s_diag diag = { 0 };
	enum q2s_err err;
	int status = 0;

	for (unsigned i = 0; i < LOOKS_MAX; i++) {
		diag = (struct q2s_diag){ 0 };
		err = look(options, &status, &diag);
		if (err == Q2S_OK)
			return tool_finish(status);
		if (err != Q2S_E_CHANGED) {
			status = tool_fail(options->name, &diag);
			return tool_finish(is_container(&diag) ? EXIT_NOT_SUPPORTED : status);
		}
	}
	return tool_finish(tool_error("%s: it was written to during each of %u checks, so nothing "
				      "can be said of it",
				      remote_shown(options->name), LOOKS_MAX));
}

static const struct option_row rows[] = {
	{ .name = "decode",
	  .help = "also try to decode all compressed clusters",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct check_options, decode) },
	{ .name = "max-findings",
	  .arg = "N",
	  .help = "show no more than N findings (default: 1000); all count",
	  .kind = OPTION_NUMBER,
	  .offset = offsetof(struct check_options, max) },
	{ .name = "format",
	  .letter = 'f',
	  .arg = "raw|qcow2",
	  .help = "what FILE is (default: qcow2 if it says so, else raw)",
	  .kind = OPTION_TAKE,
	  .take = options_take_format },
	{ .name = "quiet",
	  .letter = 'q',
	  .help = "say nothing: the exit code is the answer",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct check_options, quiet) },
};
static const struct option_rows own = OPTION_ROWS(rows);

static const char usage[] =
	"Usage: q2s-inspect check [OPTIONS] FILE\n"
	"Count all references of a qcow2 image again, compare them with its refcounts, and judge\n"
	"each structure on the way. Writes to nothing. The ids are explained in doc/findings.\n\n";

static const char tail[] =
	"\nExit code: 0 sound, 1 could not be checked, 2 corruption, 3 leaks only,\n"
	"63 not a format that can be checked.\n";

static const struct option_table table = {
	.usage = usage,
	.tail = tail,
	.parts = { &own, &options_common },
};

int
check_main(int argc, char **argv)
{
	struct check_options options = { .max = MAX_FINDINGS };
	int status = options_read(&table, argc, argv, &options, 1, "FILE");

	if (status != OPTIONS_GO_ON)
		return status;
	options.name = argv[optind];
	return check_run(&options);
}
