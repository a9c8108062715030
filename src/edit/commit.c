/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-edit commit: what an overlay holds goes into the image below it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/fault.h"
#include "common/guard.h"
#include "common/names.h"
#include "common/progress.h"
#include "common/size.h"
#include "common/tool.h"
#include "edit/layers.h"
#include "edit/verbs.h"

static const char help[] =
	"Usage: q2s-edit commit [OPTIONS] FILE\n"
	"Write what FILE and the layers between it and its base hold into the base, then empty FILE.\n"
	"\n"
	"  -b, --base=BASE                the layer of FILE's chain that is written to (default: its\n"
	"                                 backing file); FILE is not emptied then\n"
	"  -d, --drop                     do not empty FILE: it is going to be deleted\n"
	"  -r, --rate-limit=BYTES         bytes of data a second that are copied, at most\n"
	"  -t, --cache=MODE               a cache mode of QEMU; without effect, as every write is safe\n"
	"  -p, --progress[=bar|json]      show how far it is\n"
	OPTIONS_COMMON_HELP
	"\n"
	"A commit that was interrupted is made complete by the same command.\n";

enum { OPTION_PROGRESS = OPTION_OWN };

static const struct option long_options[] = {
	{ "base", required_argument, NULL, 'b' },
	{ "drop", no_argument, NULL, 'd' },
	{ "rate-limit", required_argument, NULL, 'r' },
	{ "cache", required_argument, NULL, 't' },
	{ "progress", optional_argument, NULL, OPTION_PROGRESS },
	OPTIONS_COMMON
};

struct request {
	struct options options;
	const char *file;
	const char *base;
	bool drop;
	uint64_t rate; /* 0: no limit */
	enum progress_mode progress;
};

/* ---- command line ------------------------------------------------------------------------ */

static int
take_option(struct request *out, int got, char **argv)
{
	const char *wrong;

	switch (got) {
	case 'b':
		out->base = optarg;
		out->drop = true;
		break;
	case 'd':
		out->drop = true;
		break;
	case 'r':
		wrong = size_parse(optarg, &out->rate);
		if (wrong)
			return tool_usage_error("--rate-limit '%s': %s", optarg, wrong);
		break;
	case 't':
		return options_take_cache(got, optarg);
	case 'p':
	case OPTION_PROGRESS:
		return options_take_progress(optarg, &out->progress);
	default:
		return options_take(&out->options, got, argv, long_options, help);
	}
	return OPTIONS_GO_ON;
}

static int
parse(struct request *out, int argc, char **argv)
{
	int got, status;

	while ((got = getopt_long(argc, argv, ":b:dpr:t:" OPTIONS_COMMON_LETTERS, long_options, NULL)) != -1) {
		status = take_option(out, got, argv);
		if (status != OPTIONS_GO_ON)
			return status;
	}
	return options_one_file(argc, argv, &out->file);
}

/* ---- work -------------------------------------------------------------------------------- */

/*
 * All that is open. The base is @depth in the chain.
 *
 * @upper  what the layers above the base hold
 * @below  what the base lies on, or NULL
 * @base   an image; else the raw disk @store
 */
struct work {
	struct layers layers;
	size_t depth;
	struct q2s_disk *upper, *below;
	struct q2s_store *store;
	struct rehearsal_sum sum;
	struct opened base, top;
};

static enum q2s_err
find_base(const struct request *request, struct work *work, struct q2s_diag *diag)
{
	const size_t count = q2s_chain_count(work->layers.chain);
	enum q2s_err err = Q2S_OK;
	char *path;

	if (count < 2)
		return fault(diag, Q2S_E_USAGE, "backing file", "'%.200s' has none to commit to",
			     request->file);
	work->depth = 1;
	if (!request->base)
		return Q2S_OK;
	path = name_beside(request->file, request->base);
	if (!path)
		return fault_nomem(diag, "--base");
	for (; work->depth < count; work->depth++) {
		const char *const name =
			q2s_store_name(q2s_chain_layer(work->layers.chain, work->depth)->file);

		if (name_is_same_file(name, request->base) || name_is_same_file(name, path))
			break;
	}
	if (work->depth == count)
		err = fault(diag, Q2S_E_USAGE, "--base", "'%.200s' is not below '%.200s'",
			    request->base, request->file);
	free(path);
	return err;
}

/* The base as it is changed. Its lock as something that is read has to go before. */
static enum q2s_err
open_base_store(struct work *work, bool dry_run, struct q2s_diag *diag)
{
	struct q2s_store *const file = q2s_chain_layer(work->layers.chain, work->depth)->file;
	enum q2s_err err = layers_guard(work->layers.chain, 1, work->depth, diag);

	if (err == Q2S_OK)
		err = guard_output_fd(q2s_store_fd(file), q2s_store_name(file), "backing file",
				      diag);
	if (err == Q2S_OK)
		err = guard_output(NULL, "standard output", diag);
	if (err == Q2S_OK && dry_run)
		return rehearsal_of(file, REHEARSAL_LABEL, &work->sum, &work->store, diag);
	q2s_store_unlock(file);
	return err == Q2S_OK ? opened_writable_again(file, &work->store, diag) : err;
}

static enum q2s_err
open_base(struct work *work, struct q2s_diag *diag)
{
	const size_t count = q2s_chain_count(work->layers.chain), next = work->depth + 1;
	enum q2s_err err = Q2S_OK;

	if (!q2s_chain_layer(work->layers.chain, work->depth)->image)
		return Q2S_OK;
	if (next < count)
		err = layers_disk(&work->layers, next, count - next, &work->below, diag);
	return err == Q2S_OK ? layers_edit(&work->layers, work->depth, work->store, work->below, 0, &work->base,
					   diag)
			     : err;
}

static enum q2s_err
open_all(const struct request *request, struct work *work, struct q2s_diag *diag)
{
	enum q2s_err err = layers_open(&request->options, request->file, true, &work->layers, diag);

	if (err == Q2S_OK)
		err = find_base(request, work, diag);
	if (err == Q2S_OK)
		err = open_base_store(work, request->options.dry_run, diag);
	if (err == Q2S_OK)
		err = open_base(work, diag);
	if (err == Q2S_OK)
		err = layers_disk(&work->layers, 0, work->depth, &work->upper, diag);
	/* Also one that is not going to be emptied: what is corrupt or dirty is refused. */
	if (err == Q2S_OK)
		err = layers_edit(&work->layers, 0, work->layers.top, NULL, Q2S_EDIT_NO_BASE,
				  &work->top, diag);
	return err;
}

/* As in QEMU: a smaller base becomes as large as what is above it; a larger one stays. */
static enum q2s_err
commit(const struct request *request, struct work *work, struct q2s_diag *diag)
{
	const struct q2s_commit how = { .size = sizeof(how),
					.base = work->base.edit,
					.raw = work->base.edit ? NULL : work->store,
					.observer = progress_observer(),
					.rate = request->rate };
	enum q2s_err err = progress_start(request->progress, diag);

	if (err == Q2S_OK)
		err = q2s_commit_layers(work->upper, &how, diag);
	fault_in(diag, err, q2s_store_name(work->store));
	if (err == Q2S_OK && !request->drop)
		err = fault_in(diag, q2s_edit_empty(work->top.edit, diag), request->file);
	progress_stop();
	return err;
}

/* The first failure counts, and is in @diag. */
static enum q2s_err
close_all(struct work *work, struct q2s_diag *diag)
{
	enum q2s_err base, top;

	q2s_disk_close(work->upper);
	base = opened_close(&work->base, diag);
	top = opened_close(&work->top, diag);
	q2s_disk_close(work->below);
	q2s_store_unref(work->store);
	return base != Q2S_OK ? base : top;
}

static void
report(const struct request *request, const struct work *work)
{
	const struct q2s_store *const base =
		q2s_chain_layer(work->layers.chain, work->depth)->file;

	if (request->options.dry_run) {
		rehearsal_sum_print(q2s_store_name(base), &work->sum);
		rehearsal_sum_print(request->file, &work->layers.sum);
	} else if (!request->options.quiet) {
		escape_print(stdout, request->file, strlen(request->file));
		printf(": committed%s, and on the disk\n", request->drop ? "" : " and emptied");
	}
}

static int
run(const struct request *request)
{
	struct work work = { 0 };
	struct q2s_diag diag = { 0 };
	enum q2s_err err = open_all(request, &work, &diag), closed;

	if (err == Q2S_OK)
		err = commit(request, &work, &diag);
	closed = close_all(&work, &diag);
	if (err == Q2S_OK)
		err = closed;
	if (err == Q2S_OK)
		report(request, &work);
	layers_close(&work.layers);
	if (err == Q2S_OK)
		return tool_finish(0);
	return diag.err == Q2S_E_USAGE && !diag.file[0] ? tool_usage_fail(&diag)
							: tool_fail(request->file, &diag);
}

int
commit_main(int argc, char **argv)
{
	struct request request = { .progress = PROGRESS_QUIET };
	int status = parse(&request, argc, argv);

	if (status == OPTIONS_GO_ON)
		status = run(&request);
	options_free(&request.options);
	return status;
}
