/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-edit snapshot: internal snapshots, by words or by the letters of qemu-img snapshot. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <q2s/store.h>

#include "common/guard.h"
#include "common/json.h"
#include "common/snapshots.h"
#include "common/tool.h"
#include "common/words.h"
#include "edit/options.h"
#include "edit/verbs.h"
#include "edit/work.h"

static const char help[] =
	"Usage: q2s-edit snapshot [OPTIONS] create|apply|delete FILE NAME\n"
	"       q2s-edit snapshot [OPTIONS] list FILE\n"
	"Internal snapshots of FILE. create keeps the disk as it is now; apply shows it again as\n"
	"it was, and gives up what it is now; delete gives up what it was. NAME of apply and\n"
	"delete may be the id.\n"
	"\n"
	"  -c, --create=NAME              the same by the letters of qemu-img, with FILE alone behind\n"
	"  -a, --apply=NAME               them; without any of them, FILE alone is listed\n"
	"  -d, --delete=NAME\n"
	"  -l, --list\n"
	"      --output=human|json        how to list (default: human)\n"
	"  -U, --force-share              list what others change; nothing is locked anyway\n"
	OPTIONS_COMMON_HELP;

enum { OPTION_OUTPUT = OPTION_OWN };

static const struct option long_options[] = {
	{ "apply", required_argument, NULL, 'a' },
	{ "create", required_argument, NULL, 'c' },
	{ "delete", required_argument, NULL, 'd' },
	{ "list", no_argument, NULL, 'l' },
	{ "output", required_argument, NULL, OPTION_OUTPUT },
	{ "force-share", no_argument, NULL, 'U' },
	OPTIONS_COMMON
};

enum action { ACTION_CREATE, ACTION_APPLY, ACTION_DELETE, ACTION_LIST, ACTION_NONE };

static const char *const action_words[] = { "create", "apply", "delete", "list", NULL };

struct request {
	struct options options;
	enum action action;
	const char *name;
	const char *file;
	bool json;
};

/* ---- command line ------------------------------------------------------------------------ */

static int
take_action(struct request *out, enum action action, const char *name)
{
	if (out->action != ACTION_NONE)
		return tool_usage_error("only one of -a, -c, -d and -l can be done");
	out->action = action;
	out->name = name;
	return OPTIONS_GO_ON;
}

static int
take_option(struct request *out, int got, char **argv)
{
	switch (got) {
	case 'a':
		return take_action(out, ACTION_APPLY, optarg);
	case 'c':
		return take_action(out, ACTION_CREATE, optarg);
	case 'd':
		return take_action(out, ACTION_DELETE, optarg);
	case 'l':
		return take_action(out, ACTION_LIST, NULL);
	case 'U':
		out->options.force_share = true;
		return OPTIONS_GO_ON;
	case OPTION_OUTPUT:
		out->json = strcmp(optarg, "json") == 0;
		if (!out->json && strcmp(optarg, "human") != 0)
			return tool_usage_error("--output '%s': must be human or json", optarg);
		return OPTIONS_GO_ON;
	default:
		return options_take(&out->options, got, argv, long_options, help);
	}
}

static int
take_word(struct request *out, const char *word)
{
	char list[WORDS_LIST], hint[WORDS_HINT];

	for (size_t i = 0; action_words[i]; i++)
		if (strcmp(word, action_words[i]) == 0)
			return take_action(out, (enum action)i, NULL);
	return tool_usage_error("'%s': it is one of %s%s", word, words_list(action_words, list),
				words_hint(word, action_words, hint));
}

static bool
is_action(const char *word)
{
	for (size_t i = 0; action_words[i]; i++)
		if (strcmp(word, action_words[i]) == 0)
			return true;
	return false;
}

static int
take_operands(struct request *out, char **operands, int count)
{
	bool by_letter = out->action != ACTION_NONE;
	int status = OPTIONS_GO_ON, used = 0;

	if (!by_letter && count == 0)
		return tool_usage_error("create, apply, delete or list is missing");
	if (!by_letter && count == 1 && !is_action(operands[0]) && access(operands[0], F_OK) == 0) {
		by_letter = true;
		out->action = ACTION_LIST;
	}
	if (!by_letter)
		status = take_word(out, operands[used++]);
	if (status != OPTIONS_GO_ON)
		return status;
	if (used == count)
		return tool_usage_error("FILE is missing");
	out->file = operands[used++];
	if (!by_letter && out->action != ACTION_LIST) {
		if (used == count)
			return tool_usage_error("NAME is missing");
		out->name = operands[used++];
	}
	if (used < count)
		return tool_usage_error("'%s': one word too many", operands[used]);
	if (out->options.force_share && out->action != ACTION_LIST)
		return tool_usage_error("--force-share belongs to list: the others write");
	if (out->json && out->action != ACTION_LIST)
		return tool_usage_error("--output belongs to list");
	return OPTIONS_GO_ON;
}

static int
parse(struct request *out, int argc, char **argv)
{
	int got, status;

	while ((got = getopt_long(argc, argv, ":Ula:c:d:" OPTIONS_COMMON_LETTERS, long_options, NULL)) != -1) {
		status = take_option(out, got, argv);
		if (status != OPTIONS_GO_ON)
			return status;
	}
	return take_operands(out, argv + optind, argc - optind);
}

/* ---- work -------------------------------------------------------------------------------- */

static enum q2s_err
create(struct q2s_edit *edit, const char *name, struct q2s_diag *diag)
{
	struct q2s_edit_snapshot snapshot = { .name = name, .name_len = strlen(name) };
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	snapshot.date_sec = (uint32_t)now.tv_sec;
	snapshot.date_nsec = (uint32_t)now.tv_nsec;
	return q2s_edit_snapshot_create(edit, &snapshot, diag);
}

static enum q2s_err
change(struct q2s_edit *edit, void *opaque, struct q2s_diag *diag)
{
	const struct request *const request = opaque;
	const size_t len = strlen(request->name);

	switch (request->action) {
	case ACTION_CREATE:
		return create(edit, request->name, diag);
	case ACTION_APPLY:
		return q2s_edit_snapshot_apply(edit, request->name, len, diag);
	default:
		return q2s_edit_snapshot_delete(edit, request->name, len, diag);
	}
}

static int
print(const struct request *request, const struct q2s_snapshots *snapshots)
{
	if (!request->json)
		snapshots_print(stdout, snapshots);
	else if (output_json(stdout, snapshots_json(snapshots)) != 0 && !ferror(stdout))
		return tool_error("out of memory");
	return tool_finish(0);
}

static int
list(const struct request *request)
{
	struct q2s_store *store = NULL;
	struct q2s_image *image = NULL;
	struct q2s_snapshots snapshots = { 0 };
	struct q2s_diag diag = { 0 };
	enum q2s_err err = q2s_store_open(request->file, &store, &diag);
	int status;

	if (err == Q2S_OK)
		err = guard_read_store(store, &diag);
	if (err == Q2S_OK)
		err = guard_output(NULL, "standard output", &diag);
	if (err == Q2S_OK)
		err = q2s_image_open(store, 0, &image, &diag);
	if (err == Q2S_OK)
		err = q2s_image_snapshots(image, &snapshots, &diag);
	status = err == Q2S_OK ? print(request, &snapshots) : tool_fail(request->file, &diag);
	q2s_snapshots_free(&snapshots);
	q2s_image_close(image);
	q2s_store_unref(store);
	return status;
}

int
snapshot_main(int argc, char **argv)
{
	struct request request = { .action = ACTION_NONE };
	int status = parse(&request, argc, argv);
	const struct work work = { .file = request.file,
				   .options = &request.options,
				   .flags = Q2S_EDIT_TABLES_ONLY,
				   .edit = change,
				   .opaque = &request };

	if (status == OPTIONS_GO_ON)
		status = request.action == ACTION_LIST ? list(&request) : work_do(&work);
	options_free(&request.options);
	return status;
}
