/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-edit bitmap: persistent bitmaps of an image, by the words of qemu-img bitmap or by verbs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bitmap_options.h"
#include "common/fault.h"
#include "common/guard.h"
#include "common/size.h"
#include "common/tool.h"
#include "common/words.h"
#include "edit/options.h"
#include "edit/verbs.h"
#include "edit/work.h"

static const char help[] =
	"Usage: q2s-edit bitmap add|remove|clear|enable|disable [OPTIONS] FILE NAME\n"
	"       q2s-edit bitmap merge [OPTIONS] FILE NAME SOURCE\n"
	"       q2s-edit bitmap remove --all [OPTIONS] FILE\n"
	"Change the persistent bitmap NAME of FILE. merge adds to it what the bitmap SOURCE calls dirty.\n"
	"\n"
	"  -g, --granularity=SIZE         add: guest bytes for each bit (default: a cluster, but from\n"
	"                                 4k to 64k)\n"
	"  -b, --source-file=OTHER        merge: SOURCE is a bitmap of the image OTHER\n"
	"  -F, --source-format=qcow2      what OTHER is\n"
	"      --all                      remove: all bitmaps, also --remove-all\n"
	"      --add, --remove, --clear, --enable, --disable, --merge=SOURCE\n"
	"                                 as the words do, in the order given\n"
	OPTIONS_COMMON_HELP;

enum action { ADD, REMOVE, CLEAR, ENABLE, DISABLE, MERGE, REMOVE_ALL };

enum { OPTION_ALL = OPTION_OWN, OPTION_ACTION };

static const struct option long_options[] = {
	{ "granularity", required_argument, NULL, 'g' },
	{ "source-file", required_argument, NULL, 'b' },
	{ "source-format", required_argument, NULL, 'F' },
	{ "all", no_argument, NULL, OPTION_ALL },
	{ "add", no_argument, NULL, OPTION_ACTION + ADD },
	{ "remove", no_argument, NULL, OPTION_ACTION + REMOVE },
	{ "clear", no_argument, NULL, OPTION_ACTION + CLEAR },
	{ "enable", no_argument, NULL, OPTION_ACTION + ENABLE },
	{ "disable", no_argument, NULL, OPTION_ACTION + DISABLE },
	{ "merge", required_argument, NULL, OPTION_ACTION + MERGE },
	{ "remove-all", no_argument, NULL, OPTION_ACTION + REMOVE_ALL },
	OPTIONS_COMMON
};

/* One thing to do. */
struct step {
	enum action action;
	const char *source; /* of a merge */
};

#define STEPS_MAX 64

struct request {
	struct options options;
	const char *file, *name;
	struct step steps[STEPS_MAX];
	size_t count;
	uint64_t granularity; /* 0: the default */
	const char *other;
	bool all;
};

/* ---- command line ------------------------------------------------------------------------ */

static int
add_step(struct request *out, enum action action, const char *source)
{
	if (out->count == STEPS_MAX)
		return tool_usage_error("more than %d things to do", STEPS_MAX);
	out->steps[out->count++] = (struct step){ action, source };
	return OPTIONS_GO_ON;
}

static int
take_granularity(struct request *out, const char *word)
{
	const char *const wrong = size_parse(word, &out->granularity);

	if (wrong)
		return tool_usage_error("--granularity '%s': %s", word, wrong);
	for (unsigned bits = Q2S_BITMAP_GRANULARITY_BITS_MIN;
	     bits <= Q2S_BITMAP_GRANULARITY_BITS_MAX; bits++)
		if (out->granularity == 1ull << bits)
			return OPTIONS_GO_ON;
	return tool_usage_error("--granularity '%s': no power of two from 512 bytes to 2 GiB", word);
}

static int
take_option(struct request *out, int got, char **argv)
{
	switch (got) {
	case 'g':
		return take_granularity(out, optarg);
	case 'b':
		out->other = optarg;
		return OPTIONS_GO_ON;
	case 'F':
		if (strcmp(optarg, "qcow2") != 0)
			return tool_usage_error("-F '%s': only qcow2 images have bitmaps", optarg);
		return OPTIONS_GO_ON;
	case OPTION_ALL:
		out->all = true;
		return OPTIONS_GO_ON;
	default:
		if (got >= OPTION_ACTION + ADD && got <= OPTION_ACTION + REMOVE_ALL)
			return add_step(out, (enum action)(got - OPTION_ACTION), optarg);
		return options_take(&out->options, got, argv, long_options, help);
	}
}

static bool
has(const struct request *request, enum action action)
{
	for (size_t i = 0; i < request->count; i++)
		if (request->steps[i].action == action)
			return true;
	return false;
}

static int
check_request(const struct request *request)
{
	if (request->granularity && !has(request, ADD))
		return tool_usage_error("--granularity is for add");
	if (request->other && !has(request, MERGE))
		return tool_usage_error("--source-file is for merge");
	if (has(request, REMOVE_ALL) && request->count > 1)
		return tool_usage_error("when all bitmaps are removed nothing else can be done");
	for (size_t i = 0; i + 1 < request->count; i++)
		if (request->steps[i].action == REMOVE)
			return tool_usage_error("nothing can follow remove");
	return OPTIONS_GO_ON;
}

static int
take_operands(struct request *out, char **operands, int count)
{
	const int names = has(out, REMOVE_ALL) ? 1 : 2;

	if (count < 1)
		return tool_usage_error("FILE is missing");
	if (count < names)
		return tool_usage_error("the NAME of a bitmap is missing");
	if (count > names)
		return tool_usage_error("'%s': too many words", operands[names]);
	out->file = operands[0];
	out->name = names > 1 ? operands[1] : NULL;
	return check_request(out);
}

/* The word that says what to do comes first, as a verb does; with options as qemu-img's it is not there. */
static int
take_word(struct request *out, char **operands, int *count)
{
	static const char *const words[] = { [ADD] = "add", [REMOVE] = "remove", [CLEAR] = "clear",
					     [ENABLE] = "enable", [DISABLE] = "disable",
					     [MERGE] = "merge", [REMOVE_ALL] = NULL };
	char list[WORDS_LIST], hint[WORDS_HINT];
	size_t i = 0;
	int status;

	while (words[i] && (*count == 0 || strcmp(operands[0], words[i]) != 0))
		i++;
	if (!words[i] && out->count > 0)
		return OPTIONS_GO_ON;
	if (*count == 0)
		return tool_usage_error("what to do is missing: %s", words_list(words, list));
	if (!words[i])
		return tool_usage_error("'%s': it is one of %s%s", operands[0],
					words_list(words, list), words_hint(operands[0], words, hint));
	if (i == MERGE && *count < 4)
		return tool_usage_error("merge needs FILE, NAME and SOURCE");
	if (i == REMOVE && out->all)
		i = REMOVE_ALL;
	/* What the word says comes before what options say: "add --disable". */
	memmove(out->steps + 1, out->steps, (STEPS_MAX - 1) * sizeof(*out->steps));
	out->steps[0].action = (enum action)i;
	out->steps[0].source = i == MERGE ? operands[3] : NULL;
	if (out->count < STEPS_MAX)
		out->count++;
	status = take_operands(out, operands + 1, *count - 1 - (i == MERGE ? 1 : 0));
	*count = 0;
	return status;
}

static int
parse(struct request *out, int argc, char **argv)
{
	int got, status, count;

	while ((got = getopt_long(argc, argv, ":b:F:g:" OPTIONS_COMMON_LETTERS, long_options, NULL)) != -1) {
		status = take_option(out, got, argv);
		if (status != OPTIONS_GO_ON)
			return status;
	}
	count = argc - optind;
	status = take_word(out, argv + optind, &count);
	if (status == OPTIONS_GO_ON && !out->file)
		status = take_operands(out, argv + optind, count);
	if (status == OPTIONS_GO_ON && out->all && !has(out, REMOVE_ALL))
		return tool_usage_error("--all is for remove");
	return status;
}

/* ---- work -------------------------------------------------------------------------------- */

static struct q2s_bytes
bytes_of(const char *text)
{
	return (struct q2s_bytes){ (const uint8_t *)text, strlen(text) };
}

static enum q2s_err
add(const struct request *request, struct q2s_edit *edit, struct q2s_diag *diag)
{
	struct q2s_image *image;
	uint32_t bits = 0;
	enum q2s_err err;

	if (request->granularity) {
		bits = (uint32_t)__builtin_ctzll(request->granularity);
	} else {
		err = q2s_image_open(q2s_edit_store(edit), 0, &image, diag);
		if (err != Q2S_OK)
			return err;
		bits = bitmap_default_granularity(q2s_image_geom(image));
		q2s_image_close(image);
	}
	return q2s_edit_bitmap_add(edit, bytes_of(request->name), bits, true, diag);
}

/* Another image is locked as what is read. */
static enum q2s_err
open_source(const struct request *request, struct q2s_edit *edit, struct q2s_store **out,
	    struct q2s_diag *diag)
{
	enum q2s_err err;

	if (!request->other) {
		*out = q2s_store_ref(q2s_edit_store(edit));
		return Q2S_OK;
	}
	err = q2s_store_open(request->other, out, diag);
	if (err != Q2S_OK)
		return err;
	err = guard_read_store(*out, diag);
	if (err == Q2S_OK)
		err = guard_edit(request->file, diag);
	if (err == Q2S_OK)
		err = q2s_store_lock(*out, Q2S_LOCK_CONSISTENT_READ,
				     Q2S_LOCK_WRITE | Q2S_LOCK_RESIZE, diag);
	if (err != Q2S_OK) {
		q2s_store_unref(*out);
		*out = NULL;
	}
	return fault_in(diag, err, request->other);
}

static enum q2s_err
merge(const struct request *request, const char *source, struct q2s_edit *edit,
      struct q2s_diag *diag)
{
	struct q2s_store *store = NULL;
	struct q2s_disk *map = NULL;
	enum q2s_err err = open_source(request, edit, &store, diag);

	if (err == Q2S_OK)
		err = q2s_disk_bitmap(store, bytes_of(source), &map, diag);
	if (err == Q2S_OK)
		err = q2s_edit_bitmap_merge(edit, bytes_of(request->name), map, diag);
	q2s_disk_close(map);
	q2s_store_unref(store);
	return err;
}

static enum q2s_err
do_step(const struct request *request, const struct step *step, struct q2s_edit *edit,
	struct q2s_diag *diag)
{
	const struct q2s_bytes name = bytes_of(request->name ? request->name : "");

	switch (step->action) {
	case ADD:
		return add(request, edit, diag);
	case REMOVE:
		return q2s_edit_bitmap_remove(edit, name, diag);
	case CLEAR:
		return q2s_edit_bitmap_clear(edit, name, diag);
	case ENABLE:
	case DISABLE:
		return q2s_edit_bitmap_enable(edit, name, step->action == ENABLE, diag);
	case MERGE:
		return merge(request, step->source, edit, diag);
	case REMOVE_ALL:
		break;
	}
	return q2s_edit_bitmap_remove_all(edit, diag);
}

static enum q2s_err
do_all(struct q2s_edit *edit, void *opaque, struct q2s_diag *diag)
{
	const struct request *const request = opaque;
	enum q2s_err err = Q2S_OK;

	for (size_t i = 0; err == Q2S_OK && i < request->count; i++)
		err = do_step(request, &request->steps[i], edit, diag);
	return err;
}

int
bitmap_main(int argc, char **argv)
{
	struct request request = { .file = NULL };
	int status = parse(&request, argc, argv);

	const struct work work = { .file = request.file,
				   .options = &request.options,
				   .flags = Q2S_EDIT_NO_BASE,
				   .try = request.count > 1,
				   .edit = do_all,
				   .opaque = &request };

	if (status == OPTIONS_GO_ON)
		status = work_do(&work);
	options_free(&request.options);
	return status;
}
