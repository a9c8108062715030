/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-inspect report: an image drawn, as one HTML file that needs nothing else. */
#include "inspect/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/json.h"
#include "common/output.h"
#include "common/tool.h"
#include "inspect/options.h"
#include "inspect/verbs.h"

static const char help_text[] =
	"Usage: q2s-inspect report [OPTIONS] FILE\n"
	"The image drawn: what lies where in the file, how the guest disk reads, what is wrong. One\n"
	"HTML file that needs no network and no other file. A damaged image is drawn as far as\n"
	"possible (and the exit code is 1). Opens no other file.\n\n"
	"      --out=HTML                 write it there (default: stdout, if that is no terminal)\n"
	"      --force                    replace HTML if it exists\n"
	"      --output=human|json        the page, or only the data in it (default: human)\n"
	"      --help, --version\n";

enum { OPTION_OUT = OPTION_OWN, OPTION_FORCE };

struct report_options {
	struct options common;
	const char *out;
	bool force;
	const char *name;
};

/* ---- gathering --------------------------------------------------------------------------- */

static void
take_finding(void *opaque, const struct q2s_finding *finding)
{
	struct report *const report = opaque;

	report_place_finding(report, finding);
	if (report->findings++ < REPORT_FINDINGS)
		json_array_append_new(report->listed, report_finding_json(finding));
}

static void
check(struct report *report)
{
	const struct q2s_check_options how = { .finding = take_finding, .opaque = report };

	if (report->subject->image)
		report->checked = q2s_check(report->subject->image, &how, &report->check,
					    &report->check_fault) == Q2S_OK;
	else
		report->check_fault = report->subject->fault;
}

static enum q2s_err
gather(struct report *report, struct q2s_diag *diag)
{
	enum q2s_err err;

	report->listed = json_array();
	if (!report->listed)
		return fault_nomem(diag, "report");
	if (!report->geom)
		return Q2S_OK;
	err = report_maps_open(report, diag);
	if (err != Q2S_OK)
		return err;
	report_metadata(report);
	report_tables(report);
	report_refcounts(report);
	report_host_count(report);
	check(report);
	return Q2S_OK;
}

/* ---- writing ----------------------------------------------------------------------------- */

/* With --force the page would take the place of the very image that it shows. */
static enum q2s_err
not_itself(const struct report_options *options, const struct subject *subject,
	   struct q2s_diag *diag)
{
	struct q2s_file_ident ident;
	struct stat st;

	q2s_file_ident(subject->file, &ident);
	if (stat(options->out, &st) != 0 || st.st_ino != ident.ino || st.st_dev != ident.dev)
		return Q2S_OK;
	return fault(diag, Q2S_E_CONFLICT, "--out", "is the image itself");
}

static enum q2s_err
write_page(const struct report_options *options, const char *page, size_t len,
	   struct q2s_diag *diag)
{
	struct output output = { 0 };
	enum q2s_err err;

	if (!options->out) {
		fwrite(page, 1, len, stdout); /* tool_finish() sees a failure */
		return Q2S_OK;
	}
	err = output_open(&output, options->out, options->force ? Q2S_SINK_REPLACE : 0, len, diag);
	if (err == Q2S_OK)
		err = q2s_sink_write(output.sink, page, len, diag);
	if (err == Q2S_OK)
		return output_commit(&output, diag);
	output_abort(&output);
	return fault_in(diag, err, options->out);
}

static enum q2s_err
write_report(const struct report_options *options, const struct report *report,
	     struct q2s_diag *diag)
{
	json_t *const data = report_json(report);
	size_t len = 0;
	char *const page = options->common.json ? json_dumps(data, JSON_COMPACT) :
						  report_page(data, &len);
	enum q2s_err err;

	if (options->common.json) {
		for (len = 0; page && page[len];)
			len++;
		json_decref(data);
	}
	err = page ? write_page(options, page, len, diag) : fault_nomem(diag, "report");
	free(page);
	return err;
}

/* ---- the verb ---------------------------------------------------------------------------- */

/* The page says it too; the exit code is for who does not look at it. */
static int
tell_gaps(const struct report_options *options, const struct report *report)
{
	const struct subject *const subject = report->subject;

	if (subject->fault.err != Q2S_OK)
		return tool_fail(options->name, &subject->fault);
	if (report->troubles)
		return tool_fail(options->name, &report->trouble);
	if (report->check_fault.err != Q2S_OK)
		return tool_fail(options->name, &report->check_fault);
	if (report->cut)
		return tool_error("%s: its tables share clusters so often that not all were drawn",
				  options->name);
	return 0;
}

static int
report_run(const struct report_options *options)
{
	struct subject subject = { 0 };
	struct report report = { .subject = &subject, .work = REPORT_WORK };
	struct q2s_diag diag = { 0 };
	enum q2s_err err = subject_open(options->name, SUBJECT_QCOW2, &subject, &diag);
	int status;

	if (err != Q2S_OK)
		return tool_finish(tool_fail(options->name, &diag));
	report.geom = subject.has_geom ? &subject.geom : NULL;
	if (options->out)
		err = not_itself(options, &subject, &diag);
	if (err == Q2S_OK)
		err = gather(&report, &diag);
	if (err == Q2S_OK)
		err = write_report(options, &report, &diag);
	status = err == Q2S_OK ? tell_gaps(options, &report) : tool_fail(options->name, &diag);
	report_maps_close(&report);
	json_decref(report.listed);
	subject_close(&subject);
	return tool_finish(status);
}

int
report_main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "out", required_argument, NULL, OPTION_OUT },
		{ "force", no_argument, NULL, OPTION_FORCE },
		OPTIONS_COMMON,
	};
	struct report_options options = { 0 };
	int got, status;

	while ((got = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		status = OPTIONS_GO_ON;
		if (got == OPTION_OUT)
			options.out = optarg;
		else if (got == OPTION_FORCE)
			options.force = true;
		else
			status = options_take(&options.common, got, argv, help_text);
		if (status != OPTIONS_GO_ON)
			return status;
	}
	status = options_operands(argc, argv, 1, "FILE");
	if (status != OPTIONS_GO_ON)
		return status;
	if (!options.out && !options.common.json && isatty(STDOUT_FILENO))
		return tool_usage_error("a page is not for a terminal: use --out=HTML");
	options.name = argv[optind];
	return report_run(&options);
}
