/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-edit repair: makes a plan, keeps it for review, applies it, takes it back. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <q2s/repair.h>
#include <q2s/store.h>

#include "common/escape.h"
#include "common/fault.h"
#include "common/guard.h"
#include "common/opened.h"
#include "common/output.h"
#include "common/tool.h"
#include "edit/options.h"
#include "edit/repair_report.h"
#include "edit/verbs.h"

static const char help[] =
	"Usage: q2s-edit repair -r leaks|all [OPTIONS] FILE\n"
	"       q2s-edit repair --apply=PLAN [--undo=UNDO] FILE\n"
	"       q2s-edit repair --revert=UNDO FILE\n"
	"Repair what q2s-inspect check finds in the image FILE.\n"
	"\n"
	"  -r, --repair=leaks|all         what: clusters that nobody uses, or whatever can be\n"
	"      --plan=PLAN                write no more than a plan, to the new file PLAN: a text,\n"
	"                                 of which steps may be struck out\n"
	"      --apply=PLAN               do what a plan says, if FILE is as it was\n"
	"      --undo=UNDO                first write what --revert needs to the new file UNDO\n"
	"      --revert=UNDO              make FILE what it was before the repair, byte by byte\n"
	"      --drop=bitmaps,snapshots   give up those that are malformed\n"
	"      --drop=orphans             give up leaked clusters that may be the last copy of guest\n"
	"                                 data; they are kept otherwise (see q2s-edit salvage)\n"
	"      --force                    replace PLAN if it exists\n"
	"      --output=human|json        how to say it (default: human)\n"
	OPTIONS_COMMON_HELP
	"\n"
	"Exit code: 0 all is well now, 1 it could not be done, 2 corruption is left, 3 leaks are\n"
	"left. With --plan or --dry-run: what will be left.\n";

enum { OPTION_PLAN = OPTION_OWN, OPTION_APPLY, OPTION_UNDO, OPTION_REVERT, OPTION_DROP,
       OPTION_FORCE, OPTION_OUTPUT };

static const struct option long_options[] = {
	{ "repair", required_argument, NULL, 'r' },
	{ "plan", required_argument, NULL, OPTION_PLAN },
	{ "apply", required_argument, NULL, OPTION_APPLY },
	{ "undo", required_argument, NULL, OPTION_UNDO },
	{ "revert", required_argument, NULL, OPTION_REVERT },
	{ "drop", required_argument, NULL, OPTION_DROP },
	{ "force", no_argument, NULL, OPTION_FORCE },
	{ "output", required_argument, NULL, OPTION_OUTPUT },
	OPTIONS_COMMON
};

struct request {
	struct options options;
	const char *file;
	const char *plan, *apply, *undo, *revert;
	bool repair, all, json, force;
	unsigned drop;
};

/* ---- command line ------------------------------------------------------------------------ */

static int
take_drop(struct request *out, const char *list)
{
	static const char *const words[] = { "bitmaps", "snapshots", "orphans" };
	static const unsigned flags[] = { Q2S_REPAIR_DROP_BITMAPS, Q2S_REPAIR_DROP_SNAPSHOTS,
					  Q2S_REPAIR_DROP_ORPHANS };

	for (const char *at = list;;) {
		const size_t len = strcspn(at, ",");
		size_t i;

		for (i = 0; i < 3; i++)
			if (strlen(words[i]) == len && strncmp(words[i], at, len) == 0)
				break;
		if (i == 3)
			return tool_usage_error("--drop '%s': must be some of bitmaps, snapshots "
						"and orphans, with commas", list);
		out->drop |= flags[i];
		if (!at[len])
			return OPTIONS_GO_ON;
		at += len + 1;
	}
}

static int
take_word(const char *option, const char *word, const char *no, const char *yes, bool *out)
{
	*out = strcmp(word, yes) == 0;
	if (*out || strcmp(word, no) == 0)
		return OPTIONS_GO_ON;
	return tool_usage_error("%s '%s': must be %s or %s", option, word, no, yes);
}

static int
take_option(struct request *out, int got, char **argv)
{
	switch (got) {
	case 'r':
		out->repair = true;
		return take_word("-r", optarg, "leaks", "all", &out->all);
	case OPTION_OUTPUT:
		return take_word("--output", optarg, "human", "json", &out->json);
	case OPTION_PLAN:
		out->plan = optarg;
		break;
	case OPTION_APPLY:
		out->apply = optarg;
		break;
	case OPTION_UNDO:
		out->undo = optarg;
		break;
	case OPTION_REVERT:
		out->revert = optarg;
		break;
	case OPTION_DROP:
		return take_drop(out, optarg);
	case OPTION_FORCE:
		out->force = true;
		break;
	default:
		return options_take(&out->options, got, argv, long_options, help);
	}
	return OPTIONS_GO_ON;
}

static int
check_request(const struct request *request)
{
	if (!!request->repair + !!request->apply + !!request->revert != 1)
		return tool_usage_error("exactly one of -r, --apply and --revert is needed");
	if (request->plan && !request->repair)
		return tool_usage_error("--plan needs -r");
	if (request->drop & ~Q2S_REPAIR_DROP_ORPHANS && !(request->repair && request->all))
		return tool_usage_error("--drop=bitmaps and --drop=snapshots need -r all");
	if (request->drop && !request->repair)
		return tool_usage_error("--drop needs -r");
	if (request->force && !request->plan)
		return tool_usage_error("--force needs --plan: it replaces that file");
	if (request->undo && (request->plan || request->revert))
		return tool_usage_error("--undo and %s exclude each other",
					request->plan ? "--plan" : "--revert");
	if (request->options.dry_run && request->revert)
		return tool_usage_error("--dry-run and --revert exclude each other");
	return OPTIONS_GO_ON;
}

static int
parse(struct request *out, int argc, char **argv)
{
	int got, status;

	while ((got = getopt_long(argc, argv, ":r:" OPTIONS_COMMON_LETTERS, long_options, NULL)) != -1) {
		status = take_option(out, got, argv);
		if (status != OPTIONS_GO_ON)
			return status;
	}
	if (optind == argc)
		return tool_usage_error("FILE is missing");
	if (optind + 1 < argc)
		return tool_usage_error("one FILE at a time, not '%s'", argv[optind + 1]);
	out->file = argv[optind];
	return check_request(out);
}

/* ---- files beside the image -------------------------------------------------------------- */

static enum q2s_err
put_stdout(void *opaque, const char *text, size_t len)
{
	(void)opaque;
	(void)fwrite(text, 1, len, stdout); /* tool_finish() sees a failure */
	return Q2S_OK;
}

/* An undo is written, or compared with the one of an application that was interrupted. */
struct undo_target {
	struct output output;
	struct q2s_store *before;
	uint64_t at;
	struct q2s_diag *diag;
};

static enum q2s_err
put_undo(void *opaque, const void *data, size_t len)
{
	struct undo_target *target = opaque;
	uint8_t *bytes;
	bool same;

	if (!target->before)
		return q2s_sink_write(target->output.sink, data, len, target->diag);
	bytes = malloc(len);
	same = bytes && q2s_store_read(target->before, target->at, bytes, len, NULL) == Q2S_OK &&
	       memcmp(bytes, data, len) == 0;
	free(bytes);
	target->at += len;
	return same ? Q2S_OK
		    : fault(target->diag, Q2S_E_EXISTS, "--undo",
			    "it exists, and is not the undo of this repair");
}

static enum q2s_err
open_undo(const struct request *request, struct undo_target *target, struct q2s_diag *diag)
{
	struct q2s_diag missing = { 0 };
	enum q2s_err err = q2s_store_open(request->undo, &target->before, &missing);

	target->diag = diag;
	if (err == Q2S_OK)
		return q2s_store_size(target->before) ? Q2S_OK
						      : fault(diag, Q2S_E_EXISTS, "--undo",
							      "it exists, and is empty");
	target->before = NULL;
	return output_open(&target->output, request->undo, Q2S_SINK_SYNC, 0, diag);
}

/* Durable, with its name, before the image is touched. */
static enum q2s_err
write_undo(const struct request *request, const struct q2s_repair *repair, struct q2s_store *file,
	   struct q2s_diag *diag)
{
	struct undo_target target = { .before = NULL };
	enum q2s_err err = guard_output(request->undo, "--undo", diag);

	if (err == Q2S_OK)
		err = open_undo(request, &target, diag);
	if (err == Q2S_OK)
		err = q2s_repair_undo(repair, file, put_undo, &target, diag);
	if (err == Q2S_OK && target.before && q2s_store_size(target.before) != target.at)
		err = fault(diag, Q2S_E_EXISTS, "--undo",
			    "it exists, and is not the undo of this repair");
	if (err == Q2S_OK)
		err = output_commit(&target.output, diag);
	else
		output_abort(&target.output);
	q2s_store_unref(target.before);
	return fault_in(diag, err, request->undo);
}

/* ---- work -------------------------------------------------------------------------------- */

static enum q2s_err
check_again(struct q2s_store *file, struct q2s_check_result *out, struct q2s_diag *diag)
{
	struct q2s_image *image;
	enum q2s_err err = q2s_image_open(file, Q2S_IMAGE_DAMAGED, &image, diag);

	if (err != Q2S_OK)
		return err;
	err = q2s_check(image, NULL, out, diag);
	q2s_image_close(image);
	return err;
}

/* Say how it went; @fixed is NULL for a saved plan, @applied for any other. */
static enum q2s_err
tell(const struct request *request, struct q2s_store *file, const struct q2s_repair_result *fixed,
     const struct q2s_repair *applied, int *status, struct q2s_diag *diag)
{
	struct q2s_check_result now;
	enum q2s_err err = check_again(file, &now, diag);

	if (err != Q2S_OK)
		return err;
	*status = repair_exit_code(&now);
	if (request->json) {
		if (repair_print_json(request->file, fixed, applied, &now) != 0)
			return fault_nomem(diag, "report");
	} else if (!request->options.quiet || *status) {
		repair_print_result(fixed, applied, &now);
	}
	return Q2S_OK;
}

static enum q2s_err
do_plan(const struct request *request, const struct q2s_repair *repair, struct q2s_store *file,
	struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	if (q2s_repair_steps(repair) == 0)
		return Q2S_OK;
	if (request->undo)
		err = write_undo(request, repair, file, diag);
	return err == Q2S_OK ? q2s_repair_apply(repair, file, diag) : err;
}

static enum q2s_err
repair_now(const struct request *request, struct q2s_store *file, int *status,
	   struct q2s_diag *diag)
{
	struct q2s_repair_options options = Q2S_REPAIR_OPTIONS_INIT;
	struct q2s_repair_result result;
	struct q2s_repair *repair;
	enum q2s_err err;

	options.flags = (request->all ? Q2S_REPAIR_ALL : 0) | request->drop;
	err = q2s_repair_plan(file, &options, &repair, &result, diag);
	if (err != Q2S_OK)
		return err;
	*status = repair_exit_code(&result.after);
	if (request->options.dry_run) {
		err = q2s_repair_save(repair, put_stdout, NULL);
	} else if (request->plan) {
		err = repair_write_plan(repair, request->plan, request->force, diag);
		if (err == Q2S_OK && request->json)
			err = repair_print_json(request->file, &result, NULL, &result.after) == 0
				      ? Q2S_OK
				      : fault_nomem(diag, "report");
		else if (err == Q2S_OK && !request->options.quiet)
			repair_print_plan(repair, &result);
	} else {
		err = do_plan(request, repair, file, diag);
		if (err == Q2S_OK && !request->json && !request->options.quiet)
			repair_print_steps(repair);
		if (err == Q2S_OK)
			err = tell(request, file, &result, NULL, status, diag);
	}
	q2s_repair_free(repair);
	return err;
}

static enum q2s_err
apply_kept(const struct request *request, struct q2s_store *file, int *status,
	   struct q2s_diag *diag)
{
	struct q2s_repair *repair = NULL;
	struct q2s_store *text;
	enum q2s_err err = q2s_store_open(request->apply, &text, diag);

	if (err != Q2S_OK)
		return fault_in(diag, err, request->apply);
	err = guard_read_store(text, diag);
	if (err == Q2S_OK && !request->options.dry_run)
		err = guard_output(request->file, "FILE", diag);
	if (err == Q2S_OK)
		err = fault_in(diag, q2s_repair_load(text, &repair, diag), request->apply);
	if (err == Q2S_OK)
		err = q2s_repair_fits(repair, file, diag);
	if (err == Q2S_OK && request->options.dry_run)
		err = q2s_repair_save(repair, put_stdout, NULL);
	else if (err == Q2S_OK)
		err = do_plan(request, repair, file, diag);
	if (err == Q2S_OK && !request->options.dry_run)
		err = tell(request, file, NULL, repair, status, diag);
	q2s_repair_free(repair);
	q2s_store_unref(text);
	return err;
}

static enum q2s_err
revert(const struct request *request, struct q2s_store *file, struct q2s_diag *diag)
{
	struct q2s_store *undo;
	enum q2s_err err = q2s_store_open(request->revert, &undo, diag);

	if (err != Q2S_OK)
		return fault_in(diag, err, request->revert);
	err = guard_read_store(undo, diag);
	if (err == Q2S_OK)
		err = guard_output(request->file, "FILE", diag);
	if (err == Q2S_OK)
		err = q2s_repair_revert(undo, file, diag);
	q2s_store_unref(undo);
	if (err == Q2S_OK && !request->options.quiet) {
		escape_print(stdout, request->file, strlen(request->file));
		puts(": it is what it was before the repair, and on the disk");
	}
	return err;
}

static int
run(const struct request *request)
{
	const bool reads = request->plan || request->options.dry_run;
	const struct open_request open = { .path = request->file,
					   .flags = reads ? Q2S_EDIT_READ_ONLY : 0 };
	struct q2s_store *file;
	struct q2s_diag diag = { 0 };
	int status = 0;
	enum q2s_err err = opened_store(&open, &file, &diag);

	if (err != Q2S_OK)
		return tool_fail(request->file, &diag);
	if (reads)
		err = q2s_store_lock(file, Q2S_LOCK_CONSISTENT_READ,
				     Q2S_LOCK_WRITE | Q2S_LOCK_RESIZE, &diag);
	if (err == Q2S_OK)
		err = request->force ? guard_read_layers(file, NULL, &diag)
		      : reads	     ? guard_read_store(file, &diag)
				     : guard_output(request->file, "FILE", &diag);
	if (err == Q2S_OK)
		err = guard_output(NULL, "standard output", &diag);
	if (err == Q2S_OK && request->repair)
		err = repair_now(request, file, &status, &diag);
	else if (err == Q2S_OK && request->apply)
		err = apply_kept(request, file, &status, &diag);
	else if (err == Q2S_OK)
		err = revert(request, file, &diag);
	q2s_store_unref(file);
	return err == Q2S_OK ? tool_finish(status) : tool_fail(request->file, &diag);
}

int
repair_main(int argc, char **argv)
{
	struct request request = { .file = NULL };
	int status = parse(&request, argc, argv);

	if (status == OPTIONS_GO_ON)
		status = run(&request);
	options_free(&request.options);
	return status;
}
