/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-edit rebase: another backing file, and the same disk on top of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/fault.h"
#include "common/guard.h"
#include "common/names.h"
#include "common/progress.h"
#include "common/tool.h"
#include "common/words.h"
#include "edit/layers.h"
#include "edit/verbs.h"

static const char help[] =
	"Usage: q2s-edit rebase [OPTIONS] -b NEW -F FORMAT FILE\n"
	"Give FILE another backing file, and write into FILE what would look different on top of it.\n"
	"\n"
	"  -b, --backing=NEW              the backing file, as it is to be recorded: relative to the\n"
	"                                 folder of FILE; '' for none\n"
	"  -B, -F, --backing-format=FORMAT   its format: raw or qcow2; with -u any that QEMU knows\n"
	"  -u, --backing-unsafe           change the name alone: open no backing file\n"
	"  -U, --force-share              lock no backing file: others may be writing to it\n"
	"  -t, --cache=MODE               a cache mode of QEMU; without effect, as every write is safe\n"
	"  -T, --backing-cache=MODE       the same for what is read\n"
	"  -p, --progress[=bar|json]      show how far it is\n"
	OPTIONS_COMMON_HELP
	"\n"
	"A rebase that was interrupted is made complete by the same command. --follow says also which\n"
	"files NEW may make us open; NEW itself is opened wherever it is.\n";

enum { OPTION_PROGRESS = OPTION_OWN };

static const struct option long_options[] = {
	{ "backing", required_argument, NULL, 'b' },
	{ "backing-format", required_argument, NULL, 'F' },
	{ "backing-unsafe", no_argument, NULL, 'u' },
	{ "backing-cache", required_argument, NULL, 'T' },
	{ "cache", required_argument, NULL, 't' },
	{ "compress", no_argument, NULL, 'c' },
	{ "force-share", no_argument, NULL, 'U' },
	{ "progress", optional_argument, NULL, OPTION_PROGRESS },
	{ "unsafe", no_argument, NULL, 'u' },
	OPTIONS_COMMON
};

struct request {
	struct options options;
	const char *file;
	const char *new; /* empty: none */
	const char *format;
	bool unsafe;
	enum progress_mode progress;
};

/* ---- command line ------------------------------------------------------------------------ */

static int
take_option(struct request *out, int got, char **argv)
{
	switch (got) {
	case 'b':
		out->new = optarg;
		break;
	case 'B':
	case 'F':
		out->format = optarg;
		break;
	case 'u':
		out->unsafe = true;
		break;
	case 'c':
		return tool_usage_error("--compress: what is written here is not compressed; "
					"q2s-stream --compress makes a compressed image");
	case 'U':
		out->options.force_share = true;
		break;
	case 't':
	case 'T':
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
check_format(const struct request *request)
{
	static const char *const known[] = { "raw", "qcow2", "qcow", "qed", "vdi", "vhdx", "vmdk",
					     "vpc", "parallels", "bochs", "cloop", "dmg", "luks",
					     "host_device", "file", "nbd", NULL };
	char list[WORDS_LIST], hint[WORDS_HINT];
	size_t readable = request->unsafe ? sizeof(known) / sizeof(known[0]) - 1 : 2;

	if (request->new[0] == '\0')
		return OPTIONS_GO_ON;
	if (!request->format)
		return tool_usage_error("-F is missing: the format of '%s'", request->new);
	for (size_t i = 0; i < readable; i++)
		if (strcmp(request->format, known[i]) == 0)
			return OPTIONS_GO_ON;
	if (!request->unsafe)
		return tool_usage_error("-F '%s': only raw and qcow2 can be opened; -u opens nothing",
					request->format);
	return tool_usage_error("-F '%s': it is one of %s%s", request->format,
				words_list(known, list), words_hint(request->format, known, hint));
}

static int
parse(struct request *out, int argc, char **argv)
{
	int got, status;

	while ((got = getopt_long(argc, argv, ":b:B:cF:pt:T:uU" OPTIONS_COMMON_LETTERS, long_options, NULL)) != -1) {
		status = take_option(out, got, argv);
		if (status != OPTIONS_GO_ON)
			return status;
	}
	status = options_one_file(argc, argv, &out->file);
	if (status != OPTIONS_GO_ON)
		return status;
	if (!out->new)
		return tool_usage_error("-b is missing: the new backing file, or '' for none");
	return check_format(out);
}

/* ---- work -------------------------------------------------------------------------------- */

/*
 * All that is open. @old, @new: what is below now, and what will be; an empty disk for none.
 *
 * @diff  what the image has to hold so that nobody sees the difference
 */
struct work {
	struct layers layers;
	struct q2s_chain *new_chain;
	struct q2s_disk *old, *new, *diff;
	struct opened top;
};

/* The new backing file with its layers; the image must not be among them. */
static enum q2s_err
open_new_chain(const struct request *request, struct work *work, struct q2s_diag *diag)
{
	const struct q2s_chain_options how = { .size = sizeof(how), .format = request->format,
					       .follow = request->options.follow,
					       .force_share = request->options.force_share };
	char *const path = name_beside(request->file, request->new);
	struct q2s_store *file = NULL;
	enum q2s_err err;

	if (!path)
		return fault_nomem(diag, "backing file");
	if (!name_is_plain(request->new))
		err = fault(diag, Q2S_E_UNSUPPORTED, "-b",
			    "'%.128s' is no plain file name and cannot be opened here; -u does not "
			    "open it",
			    request->new);
	else
		err = fault_in(diag, q2s_store_open(path, &file, diag), path);
	if (err == Q2S_OK)
		err = fault_in(diag, q2s_chain_open(file, &how, &work->new_chain, diag), path);
	if (err == Q2S_OK)
		err = layers_guard(work->new_chain, 0, SIZE_MAX, diag);
	q2s_store_unref(file);
	free(path);
	return err;
}

static enum q2s_err
open_new(const struct request *request, struct work *work, uint64_t size, struct q2s_diag *diag)
{
	struct q2s_disk_qcow2_options how = { .size = sizeof(how),
					      .follow = request->options.follow };

	key_files_give(&request->options.keys, &how);
	if (!work->new_chain)
		return q2s_disk_empty(size, &work->new, diag);
	return q2s_disk_part(work->new_chain, 0, q2s_chain_count(work->new_chain), &how, &work->new,
			     diag);
}

static enum q2s_err
open_old(struct work *work, uint64_t size, struct q2s_diag *diag)
{
	const size_t count = q2s_chain_count(work->layers.chain);
	enum q2s_err err = layers_guard(work->layers.chain, 1, SIZE_MAX, diag);

	if (err == Q2S_OK)
		err = count > 1 ? layers_disk(&work->layers, 1, count - 1, &work->old, diag)
				: q2s_disk_empty(size, &work->old, diag);
	/* Asked again, as more files are known now. */
	return err == Q2S_OK ? guard_edit(work->layers.path, diag) : err;
}

static enum q2s_err
open_disks(const struct request *request, struct work *work, struct q2s_diag *diag)
{
	const struct q2s_image *const image = q2s_chain_layer(work->layers.chain, 0)->image;
	const struct q2s_geom *const geom = q2s_image_geom(image);
	uint64_t size = geom->size;
	enum q2s_err err = open_old(work, size, diag);

	if (err == Q2S_OK)
		err = open_new(request, work, size, diag);
	if (err != Q2S_OK)
		return err;
	if (size < q2s_disk_size(work->old))
		size = q2s_disk_size(work->old);
	return q2s_disk_diff(work->old, work->new, size, geom->sub_size, &work->diff, diag);
}

static enum q2s_err
open_all(const struct request *request, struct work *work, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	if (!request->unsafe && request->new[0])
		err = open_new_chain(request, work, diag);
	if (err == Q2S_OK)
		err = layers_open(&request->options, request->file, !request->unsafe,
				  &work->layers, diag);
	if (err == Q2S_OK && !request->unsafe)
		err = open_disks(request, work, diag);
	if (err == Q2S_OK)
		err = layers_edit(&work->layers, 0, work->layers.top, work->diff,
				  work->diff ? 0 : Q2S_EDIT_NO_BASE, &work->top, diag);
	return err;
}

static struct q2s_bytes
bytes_of(const char *text)
{
	if (!text)
		return (struct q2s_bytes){ 0 };
	return (struct q2s_bytes){ (const uint8_t *)text, strlen(text) };
}

static enum q2s_err
rebase(const struct request *request, struct work *work, struct q2s_diag *diag)
{
	enum q2s_err err = progress_start(request->progress, diag);

	if (err == Q2S_OK && work->diff)
		err = q2s_edit_fill(work->top.edit, progress_observer(), diag);
	if (err == Q2S_OK)
		err = q2s_edit_set_backing(work->top.edit, bytes_of(request->new),
					   bytes_of(request->format), diag);
	progress_stop();
	return err;
}

static enum q2s_err
close_all(struct work *work, struct q2s_diag *diag)
{
	const enum q2s_err err = opened_close(&work->top, diag);

	q2s_disk_close(work->diff);
	q2s_disk_close(work->old);
	q2s_disk_close(work->new);
	q2s_chain_unref(work->new_chain);
	return err;
}

static void
report(const struct request *request, const struct work *work)
{
	if (request->options.dry_run) {
		rehearsal_sum_print(request->file, &work->layers.sum);
	} else if (!request->options.quiet) {
		escape_print(stdout, request->file, strlen(request->file));
		puts(": rebased, and on the disk");
	}
}

static int
run(const struct request *request)
{
	struct work work = { 0 };
	struct q2s_diag diag = { 0 };
	enum q2s_err err = open_all(request, &work, &diag), closed;

	if (err == Q2S_OK)
		err = rebase(request, &work, &diag);
	closed = close_all(&work, &diag);
	if (err == Q2S_OK)
		err = closed;
	if (err == Q2S_OK)
		report(request, &work);
	layers_close(&work.layers);
	return err == Q2S_OK ? tool_finish(0) : tool_fail(request->file, &diag);
}

int
rebase_main(int argc, char **argv)
{
	struct request request = { .progress = PROGRESS_QUIET };
	int status = parse(&request, argc, argv);

	if (status == OPTIONS_GO_ON)
		status = run(&request);
	options_free(&request.options);
	return status;
}
