/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-inspect diff: what changed between two states of one image. */
#include "inspect/diff.h"

#include <inttypes.h>

#include "common/json.h"
#include "common/size.h"
#include "common/tool.h"
#include "inspect/options.h"
#include "inspect/show.h"
#include "inspect/verbs.h"


struct diff_options {
	struct options common;
	bool no_data;
	uint64_t max;
	const char *names[2];
};

/* What keeps the answer from being complete. */
static int
verdict(const struct diff_options *options, const struct diff *diff)
{
	const struct subject *const subjects[] = { diff->before, diff->after };

	for (int i = 0; i < 2; i++) {
		if (subjects[i]->fault.err != Q2S_OK)
			return tool_fail(options->names[i], &subjects[i]->fault);
	}
	if (diff->cut)
		return tool_error("there are more changes than can be looked at: not all "
				  "are explained");
	return 0;
}

static void
begin(const struct diff_options *options, struct diff *diff)
{
	FILE *const out = diff->out.out;

	if (!out) {
		diff->out.root = json_pack("{s:o, s:o}", "before", text_json(options->names[0]),
					   "after", text_json(options->names[1]));
		return;
	}
	fputs("From ", out);
	show_name(out, options->names[0]);
	fputs(" to ", out);
	show_name(out, options->names[1]);
	fputc('\n', out);
}

static int
finish(const struct diff_options *options, struct diff *diff)
{
	FILE *const out = diff->out.out;

	if (!out) {
		json_object_set_new(diff->out.root, "l2-compared",
				    json_boolean(diff->same_entries));
		json_object_set_new(diff->out.root, "refcounts-compared",
				    json_boolean(diff->same_counts));
		return output_json(stdout, json_incref(diff->out.root));
	}
	if (!diff->out.any)
		fprintf(out, "\nno difference%s\n", options->no_data ? " in the metadata" : "");
	else if (diff->after->geom->data_file)
		fputs("\nguest data lies in the external data file, which was not looked at\n",
		      out);
	if (!diff->same_entries)
		fputs("\nthe L2 entries have another size now, and were not compared\n", out);
	if (!diff->same_counts)
		fputs("\nthe refcounts have another size now, and were not compared\n", out);
	return ferror(out) ? -1 : 0;
}

static enum q2s_err
open_state(const char *name, const struct options *options, struct subject *out,
	   struct q2s_diag *diag)
{
	enum q2s_err err = subject_open(name, options, out, diag);

	if (err != Q2S_OK || out->has_geom)
		return err;
	*diag = out->fault;
	return diag->err;
}

static int
diff_all(const struct diff_options *options)
{
	struct subject subjects[2] = { 0 };
	struct diff diff = { .no_data = options->no_data,
			     .out = { .out = options->common.json ? NULL : stdout,
				      .limit = options->max } };
	struct q2s_diag diag = { 0 };
	enum q2s_err err = Q2S_OK;
	const char *name = NULL;
	int status;

	for (int i = 0; i < 2 && err == Q2S_OK; i++) {
		name = options->names[i];
		err = open_state(name, &options->common, &subjects[i], &diag);
	}
	if (err == Q2S_OK) {
		begin(options, &diff);
		err = diff_run(&diff, &subjects[0], &subjects[1], &diag);
	}
	if (err != Q2S_OK)
		status = tool_fail(name, &diag);
	else if (finish(options, &diff) != 0 && !tool_reader_is_gone())
		status = tool_error("standard output: cannot write all");
	else
		status = verdict(options, &diff);
	json_decref(diff.out.root);
	diff_free(&diff);
	subject_close(&subjects[0]);
	subject_close(&subjects[1]);
	return tool_finish(status);
}

static const struct option_row rows[] = {
	{ .name = "no-data",
	  .help = "look at the metadata only, not for other bytes",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct diff_options, no_data) },
	{ .name = "max",
	  .arg = "N",
	  .help = "no more than N items of each kind (default: 1000)",
	  .kind = OPTION_NUMBER,
	  .offset = offsetof(struct diff_options, max) },
};
static const struct option_rows own = OPTION_ROWS(rows);

static const char usage[] =
	"Usage: q2s-inspect diff [OPTIONS] BEFORE AFTER\n"
	"What changed between two states of one image, BEFORE and AFTER (copies of it): header\n"
	"fields, entries, refcounts, clusters, and the guest operations that explain it.\n\n";

static const struct option_table table = {
	.usage = usage,
	.parts = { &own, &options_common },
};

int
diff_main(int argc, char **argv)
{
	struct diff_options options = { .common = { .format = "qcow2" }, .max = DIFF_ITEMS };
	int status = options_read(&table, argc, argv, &options, 2, "BEFORE or AFTER");

	if (status != OPTIONS_GO_ON)
		return status;
	options.names[0] = argv[optind];
	options.names[1] = argv[optind + 1];
	return diff_all(&options);
}
