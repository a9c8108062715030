/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-edit resize: another size of the disk, with the words of qemu-img resize. */
#include <inttypes.h>
#include <string.h>

#include "common/fault.h"
#include "common/size.h"
#include "common/tool.h"
#include "edit/options.h"
#include "edit/verbs.h"
#include "edit/work.h"

static const char help[] =
	"Usage: q2s-edit resize [OPTIONS] FILE SIZE|+N|-N\n"
	"Give the guest disk of FILE the size SIZE, or make it N bytes longer or shorter. What is\n"
	"new reads as zero.\n"
	"\n"
	"      --shrink                   allow a smaller size: what is behind the new end is lost\n"
	"      --preallocation=MODE       of what is new: off (default), metadata, falloc or full\n"
	OPTIONS_COMMON_HELP;

enum { OPTION_SHRINK = OPTION_OWN, OPTION_PREALLOCATION };

static const struct option long_options[] = {
	{ "shrink", no_argument, NULL, OPTION_SHRINK },
	{ "preallocation", required_argument, NULL, OPTION_PREALLOCATION },
	OPTIONS_COMMON
};

struct request {
	struct options options;
	const char *file;
	const char *size;
	unsigned flags;
	enum q2s_preallocation preallocation;
};

/* ---- command line ------------------------------------------------------------------------ */

static int
take_preallocation(struct request *out, const char *word)
{
	static const char *const words[] = {
		[Q2S_PREALLOCATION_OFF] = "off",
		[Q2S_PREALLOCATION_METADATA] = "metadata",
		[Q2S_PREALLOCATION_FALLOC] = "falloc",
		[Q2S_PREALLOCATION_FULL] = "full",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(word, words[i]) == 0) {
			out->preallocation = (enum q2s_preallocation)i;
			return OPTIONS_GO_ON;
		}
	}
	return tool_usage_error("--preallocation '%s': must be off, metadata, falloc or full",
				word);
}

static int
take_option(struct request *out, int got, char **argv)
{
	switch (got) {
	case OPTION_SHRINK:
		out->flags |= Q2S_EDIT_SHRINK;
		return OPTIONS_GO_ON;
	case OPTION_PREALLOCATION:
		return take_preallocation(out, optarg);
	default:
		return options_take(&out->options, got, argv, long_options, help);
	}
}

static int
take_operands(struct request *out, char **operands, int count)
{
	const int want = out->size ? 1 : 2;
	uint64_t bytes;
	const char *wrong;

	if (count == 0)
		return tool_usage_error("FILE is missing");
	if (count < want)
		return tool_usage_error("SIZE is missing");
	if (count > want)
		return tool_usage_error("'%s': one word too many", operands[want]);
	out->file = operands[0];
	if (!out->size)
		out->size = operands[1];
	wrong = size_parse(out->size + (*out->size == '+' || *out->size == '-'), &bytes);
	return wrong ? tool_usage_error("size '%s': %s", out->size, wrong) : OPTIONS_GO_ON;
}

/* A last word such as -1M is no option, as with qemu-img. */
static int
parse(struct request *out, int argc, char **argv)
{
	const char *const last = argv[argc - 1];
	int got, status;

	if (argc > 2 && last[0] == '-' && strspn(last + 1, "0123456789") > 0)
		out->size = argv[--argc];
	while ((got = getopt_long(argc, argv, ":" OPTIONS_COMMON_LETTERS, long_options, NULL)) != -1) {
		status = take_option(out, got, argv);
		if (status != OPTIONS_GO_ON)
			return status;
	}
	return take_operands(out, argv + optind, argc - optind);
}

/* ---- work -------------------------------------------------------------------------------- */

static enum q2s_err
new_size(const struct request *request, uint64_t now, uint64_t *out, struct q2s_diag *diag)
{
	const char *const word = request->size;
	uint64_t bytes = 0;

	(void)size_parse(word + (*word == '+' || *word == '-'), &bytes);
	*out = bytes;
	if (*word == '+' && __builtin_add_overflow(now, bytes, out))
		return fault(diag, Q2S_E_OVERFLOW, "size", "%s leaves 64 bits", word);
	if (*word == '-' && bytes >= now)
		return fault(diag, Q2S_E_USAGE, "size",
			     "%s is all of the disk, which has %" PRIu64 " bytes, or more", word,
			     now);
	if (*word == '-')
		*out = now - bytes;
	return Q2S_OK;
}

static enum q2s_err
resize(struct q2s_edit *edit, void *opaque, struct q2s_diag *diag)
{
	const struct request *const request = opaque;
	const uint64_t now = q2s_edit_size(edit);
	uint64_t size;
	enum q2s_err err = new_size(request, now, &size, diag);

	if (err != Q2S_OK)
		return err;
	if (size < now && size > 0 && !(request->flags & Q2S_EDIT_SHRINK))
		return fault(diag, Q2S_E_CONFLICT, "size",
			     "smaller than the disk of %" PRIu64 " bytes, whose end would be lost: "
			     "--shrink allows it", now);
	return q2s_edit_resize(edit, size, request->flags, request->preallocation, diag);
}

int
resize_main(int argc, char **argv)
{
	struct request request = { .preallocation = Q2S_PREALLOCATION_OFF };
	int status = parse(&request, argc, argv);
	const struct work work = { .file = request.file,
				   .options = &request.options,
				   .edit = resize,
				   .opaque = &request };

	if (status == OPTIONS_GO_ON)
		status = work_do(&work);
	options_free(&request.options);
	return status;
}
