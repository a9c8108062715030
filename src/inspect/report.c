/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-inspect report: an image drawn, as one HTML file that needs nothing else. */
#include "inspect/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/guard.h"
#include "common/json.h"
#include "common/output.h"
#include "common/remote.h"
#include "common/tool.h"
#include "inspect/check_report.h"
#include "inspect/diff.h"
#include "inspect/options.h"
#include "inspect/verbs.h"


struct report_options {
	struct options common;
	const char *out;
	bool force;
	const char *before;
	const char *name;
};

/* ---- gathering --------------------------------------------------------------------------- */

static void
take_finding(void *opaque, const struct q2s_finding *finding)
{
	struct report *const report = opaque;

	report_place_finding(report, finding);
	if (report->findings++ < REPORT_FINDINGS)
		json_array_append_new(report->listed, finding_json(finding, report_hex));
}

static void
check(struct report *report)
{
	const struct q2s_check_options how = { .size = sizeof(how),
					       .finding = take_finding, .opaque = report };

	if (report->subject->image)
		report->checked = q2s_check(report->subject->image, &how, &report->check,
					    &report->check_fault) == Q2S_OK;
	else
		report->check_fault = report->subject->fault;
}

static enum q2s_err
gather_changes(struct report *report, struct q2s_diag *diag)
{
	struct diff diff = { .out = { .lines = json_array(), .limit = REPORT_CHANGES } };
	const enum q2s_err err = diff_run(&diff, report->before, report->subject, diag);

	report->changes = json_pack("{s:o, s:o}", "before", text_json(report->before->name),
				    "sections", diff.out.lines);
	report->changes_cut = diff.cut;
	diff_free(&diff);
	return err;
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
	return report->before ? gather_changes(report, diag) : Q2S_OK;
}

/* ---- writing ----------------------------------------------------------------------------- */

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
				  remote_shown(options->name));
	if (report->before && report->before->fault.err != Q2S_OK)
		return tool_fail(options->before, &report->before->fault);
	if (report->changes_cut)
		return tool_error("there are more changes than can be looked at");
	return 0;
}

/* An earlier state that gives no geometry cannot be compared with anything. */
static enum q2s_err
open_before(const struct report_options *options, struct subject *before, struct report *report,
	    struct q2s_diag *diag)
{
	enum q2s_err err;

	if (!options->before)
		return Q2S_OK;
	err = subject_open(options->before, &options->common, before, diag);
	if (err == Q2S_OK && !before->has_geom) {
		*diag = before->fault;
		err = diag->err;
	}
	report->before = before;
	return fault_in(diag, err, options->before);
}

static int
report_run(const struct report_options *options)
{
	struct subject subject = { 0 }, before = { 0 };
	struct report report = { .subject = &subject, .work = REPORT_WORK };
	struct q2s_diag diag = { 0 };
	enum q2s_err err = subject_open(options->name, &options->common, &subject, &diag);
	int status;

	if (err != Q2S_OK)
		return tool_finish(tool_fail(options->name, &diag));
	report.geom = subject.has_geom ? subject.geom : NULL;
	err = open_before(options, &before, &report, &diag);
	if (err == Q2S_OK && options->out && options->force)
		err = guard_read_layers(subject.file, NULL, &diag);
	if (err == Q2S_OK && options->out)
		err = guard_output(options->out, "--out", &diag);
	if (err == Q2S_OK)
		err = gather(&report, &diag);
	if (err == Q2S_OK)
		err = write_report(options, &report, &diag);
	status = err == Q2S_OK ? tell_gaps(options, &report) : tool_fail(options->name, &diag);
	report_maps_close(&report);
	json_decref(report.listed);
	json_decref(report.changes);
	subject_close(&before);
	subject_close(&subject);
	return tool_finish(status);
}

static const struct option_row rows[] = {
	{ .name = "out",
	  .arg = "HTML",
	  .help = "write it there (default: stdout, if that is no terminal)",
	  .kind = OPTION_WORD,
	  .offset = offsetof(struct report_options, out) },
	{ .name = "force",
	  .help = "replace HTML if it exists",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct report_options, force) },
	{ .name = "output",
	  .arg = "human|json",
	  .help = "the page, or only the data in it (default: human)",
	  .kind = OPTION_TAKE,
	  .take = options_take_output },
};
static const struct option_rows own = OPTION_ROWS(rows);

static const char usage[] =
	"Usage: q2s-inspect report [OPTIONS] FILE\n"
	"       q2s-inspect report [OPTIONS] BEFORE FILE\n"
	"The image drawn: what lies where in the file, how the guest disk reads, what is wrong. One\n"
	"HTML file that needs no network and no other file. A damaged image is drawn as far as\n"
	"possible (and the exit code is 1). Opens no other file. With BEFORE, an earlier state of\n"
	"the same image, it also shows what changed since then, as q2s-inspect diff does.\n\n";

static const struct option_table table = {
	.usage = usage,
	.parts = { &own, &options_source },
};

int
report_main(int argc, char **argv)
{
	struct report_options options = { .common = { .format = "qcow2" } };
	int status = options_parse(&table, argc, argv, &options);

	if (status == OPTIONS_GO_ON && argc - optind == 2)
		options.before = argv[optind++];
	if (status == OPTIONS_GO_ON)
		status = options_operands(argc, argv, 1, "FILE");
	if (status != OPTIONS_GO_ON)
		return status;
	if (!options.out && !options.common.json && isatty(STDOUT_FILENO))
		return tool_usage_error("a page is not for a terminal: use --out=HTML");
	options.name = argv[optind];
	return report_run(&options);
}
