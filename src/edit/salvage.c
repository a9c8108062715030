/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-edit salvage: what nothing refers to, and where on the disk it belongs, as a plan of repair. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <q2s/repair.h>
#include <q2s/store.h>

#include "common/guard.h"
#include "common/opened.h"
#include "common/tool.h"
#include "edit/options.h"
#include "edit/repair_report.h"
#include "edit/verbs.h"

static const char help[] =
	"Usage: q2s-edit salvage [OPTIONS] FILE\n"
	"List what is in host clusters of FILE that nothing refers to, and where on the disk it belongs,\n"
	"with the proof. Nothing is written to FILE.\n"
	"\n"
	"      --plan=PLAN                write a plan for `q2s-edit repair --apply` to the new file\n"
	"                                 PLAN, that puts back what got a place\n"
	"      --force                    replace PLAN if it exists\n"
	"      --certain                  only what is certain, without what is likely\n"
	OPTIONS_COMMON_HELP;

enum { OPTION_PLAN = OPTION_OWN, OPTION_FORCE, OPTION_CERTAIN };

static const struct option long_options[] = {
	{ "plan", required_argument, NULL, OPTION_PLAN },
	{ "force", no_argument, NULL, OPTION_FORCE },
	{ "certain", no_argument, NULL, OPTION_CERTAIN },
	OPTIONS_COMMON
};

struct request {
	struct options options;
	const char *file, *plan;
	bool certain, force;
};

static int
parse(struct request *out, int argc, char **argv)
{
	int got, status = OPTIONS_GO_ON;

	while (status == OPTIONS_GO_ON &&
	       (got = getopt_long(argc, argv, ":" OPTIONS_COMMON_LETTERS, long_options, NULL)) != -1) {
		if (got == OPTION_PLAN)
			out->plan = optarg;
		else if (got == OPTION_FORCE)
			out->force = true;
		else if (got == OPTION_CERTAIN)
			out->certain = true;
		else
			status = options_take(&out->options, got, argv, long_options, help);
	}
	if (status != OPTIONS_GO_ON)
		return status;
	if (optind == argc)
		return tool_usage_error("FILE is missing");
	if (optind + 1 < argc)
		return tool_usage_error("one FILE at a time, not '%s'", argv[optind + 1]);
	if (out->force && !out->plan)
		return tool_usage_error("--force needs --plan: it replaces that file");
	out->file = argv[optind];
	return OPTIONS_GO_ON;
}

static void
tell(const struct q2s_repair *repair, const struct q2s_salvage_result *result)
{
	const uint64_t steps = q2s_repair_steps(repair);

	for (uint64_t i = 0; i < steps; i++) {
		struct q2s_repair_step step;

		q2s_repair_step(repair, i, &step);
		if (!step.has_guest)
			continue; /* refcounts that others need */
		printf("%s: guest offset 0x%" PRIx64 ", %" PRIu64 " bytes of entries at host offset 0x%"
		       PRIx64 ": %s%s\n", step.sure == Q2S_SURE_CERTAIN ? "certain" : "likely",
		       step.guest.v, step.bytes, step.host.v, step.why,
		       step.also ? "; it was freed" : "");
	}
	printf("%" PRIu64 " clusters are in use by nobody, and not zeros.\n"
	       "%" PRIu64 " have a place for certain, %" PRIu64 " likely; %" PRIu64
	       " L2 tables come back with what they map.\n",
	       result->orphans, result->certain, result->likely, result->tables);
	if (result->freed)
		printf("%" PRIu64 " more are free, and not zeros: %" PRIu64 " of them have a place, "
		       "likely, if nothing newer was there.\n",
		       result->freed, result->freed_likely);
}

static enum q2s_err
salvage(const struct request *request, struct q2s_store *file, struct q2s_diag *diag)
{
	struct q2s_salvage_result result;
	struct q2s_repair *repair;
	enum q2s_err err = q2s_salvage_plan(file, request->certain ? Q2S_SALVAGE_CERTAIN : 0,
					    &repair, &result, diag);

	if (err != Q2S_OK)
		return err;
	if (request->plan)
		err = repair_write_plan(repair, request->plan, request->force, diag);
	if (err == Q2S_OK && !request->options.quiet)
		tell(repair, &result);
	q2s_repair_free(repair);
	return err;
}

int
salvage_main(int argc, char **argv)
{
	struct request request = { .file = NULL };
	struct open_request open = { .flags = Q2S_EDIT_READ_ONLY };
	struct q2s_diag diag = { 0 };
	struct q2s_store *file = NULL;
	int status = parse(&request, argc, argv);
	enum q2s_err err;

	if (status != OPTIONS_GO_ON) {
		options_free(&request.options);
		return status;
	}
	open.path = request.file;
	err = opened_store(&open, &file, &diag);
	if (err == Q2S_OK)
		err = q2s_store_lock(file, Q2S_LOCK_CONSISTENT_READ,
				     Q2S_LOCK_WRITE | Q2S_LOCK_RESIZE, &diag);
	if (err == Q2S_OK)
		err = request.force ? guard_read_layers(file, NULL, &diag)
				    : guard_read_store(file, &diag);
	if (err == Q2S_OK)
		err = guard_output(NULL, "standard output", &diag);
	if (err == Q2S_OK)
		err = salvage(&request, file, &diag);
	q2s_store_unref(file);
	options_free(&request.options);
	return err == Q2S_OK ? tool_finish(0) : tool_fail(request.file, &diag);
}
