/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-edit amend: the form of an image that is there, with the options of qemu-img amend. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/fault.h"
#include "common/keyval.h"
#include "common/tool.h"
#include "edit/options.h"
#include "edit/verbs.h"
#include "edit/work.h"

static const char help[] =
	"Usage: q2s-edit amend [OPTIONS] -o KEY=VALUE[,KEY=VALUE...] FILE\n"
	"Change the form of FILE. The guest disk shows the same as before.\n"
	"\n"
	"  -o, --options=LIST             what to change, may be repeated; -o help lists the keys\n"
	"      --force                        as for QEMU, where it is about keys alone; without effect\n"
	"  -t, --cache=MODE               a cache mode of QEMU; without effect, as every write is safe\n"
	"  -p, --progress                 as for QEMU; nothing here takes long enough to be shown\n"
	"      --materialise              for extended_l2=off: write as data the clusters of which a\n"
	"                                 standard L2 entry cannot say what they show\n"
	OPTIONS_COMMON_HELP;

enum { OPTION_MATERIALISE = OPTION_OWN, OPTION_FORCE };

static const struct option long_options[] = {
	{ "options", required_argument, NULL, 'o' },
	{ "cache", required_argument, NULL, 't' },
	{ "force", no_argument, NULL, OPTION_FORCE },
	{ "progress", no_argument, NULL, 'p' },
	{ "materialise", no_argument, NULL, OPTION_MATERIALISE },
	{ "materialize", no_argument, NULL, OPTION_MATERIALISE },
	OPTIONS_COMMON
};

static const char *const compat_choices[] = { "0.10", "1.1", "v2", "v3", NULL };

enum key {
	KEY_COMPAT,
	KEY_REFCOUNT_BITS,
	KEY_EXTENDED_L2,
	KEY_LAZY_REFCOUNTS,
	KEY_DATA_FILE,
	KEY_DATA_FILE_RAW,
	KEY_SIZE,
	KEY_BACKING_FILE,
	KEY_BACKING_FMT,
	KEYS,
};

static const struct keyval_key table[KEYS] = {
	[KEY_COMPAT] = { "compat", KEYVAL_CHOICE, NULL, "format version: v2 is 0.10, v3 is 1.1",
			 compat_choices, 1 },
	[KEY_REFCOUNT_BITS] = { "refcount_bits", KEYVAL_NUMBER, NULL,
				"width of a reference count: a power of two from 1 to 64", NULL, 1 },
	[KEY_EXTENDED_L2] = { "extended_l2", KEYVAL_BOOL, NULL,
			      "allocate by subclusters of 1/32 cluster; needs clusters of 16k or more",
			      NULL, 1 },
	[KEY_LAZY_REFCOUNTS] = { "lazy_refcounts", KEYVAL_BOOL, NULL,
				 "let writers postpone refcount updates", NULL, 1 },
	[KEY_DATA_FILE] = { "data_file", KEYVAL_TEXT, NULL,
			    "the recorded name of the external data file; empty: none", NULL, 1 },
	[KEY_DATA_FILE_RAW] = { "data_file_raw", KEYVAL_BOOL, NULL,
				"off: the data file alone need no longer be a raw image", NULL, 1 },
	[KEY_SIZE] = { "size", KEYVAL_SIZE, NULL, "a larger virtual disk size, as resize", NULL, 1 },
	[KEY_BACKING_FILE] = { "backing_file", KEYVAL_TEXT, NULL,
			       "taken only if it is the one that is there", NULL, 1 },
	[KEY_BACKING_FMT] = { "backing_fmt", KEYVAL_TEXT, NULL,
			      "taken only if it is the one that is there", NULL, 1 },
};

struct request {
	struct options options;
	struct keyval_list list;
	bool given[KEYS];
	struct keyval_value values[KEYS];
	bool materialise;
	const char *file;
	uint64_t blocked; /* ranges that were printed */
};

/* ---- command line ------------------------------------------------------------------------ */

static int
take_option(struct request *out, int got, char **argv)
{
	struct q2s_diag diag = { 0 };

	switch (got) {
	case 'o':
		if (keyval_add(&out->list, optarg, &diag) != Q2S_OK)
			return tool_usage_fail(&diag);
		return OPTIONS_GO_ON;
	case OPTION_MATERIALISE:
		out->materialise = true;
		return OPTIONS_GO_ON;
	case 't':
		return options_take_cache(got, optarg);
	case 'p':
	case OPTION_FORCE:
		return OPTIONS_GO_ON;
	default:
		return options_take(&out->options, got, argv, long_options, help);
	}
}

static enum q2s_err
take_item(struct request *out, const struct keyval *item, struct q2s_diag *diag)
{
	const struct keyval_key *key;
	enum q2s_err err = keyval_find(table, KEYS, 1, item->key, &key, diag);
	const size_t i = err == Q2S_OK ? (size_t)(key - table) : 0;

	if (err != Q2S_OK)
		return err;
	out->given[i] = true;
	if (key->type == KEYVAL_TEXT && item->value && !item->value[0]) {
		out->values[i] = (struct keyval_value){ .text = item->value };
		return Q2S_OK;
	}
	return keyval_judge(key, item->value, &out->values[i], diag);
}

static int
take_list(struct request *out)
{
	struct q2s_diag diag = { 0 };

	if (out->list.count == 0)
		return tool_usage_error("-o is missing");
	for (size_t i = 0; i < out->list.count; i++)
		if (take_item(out, &out->list.items[i], &diag) != Q2S_OK)
			return tool_usage_fail(&diag);
	if (out->materialise &&
	    (!out->given[KEY_EXTENDED_L2] || out->values[KEY_EXTENDED_L2].number))
		return tool_usage_error("--materialise belongs to -o extended_l2=off");
	return OPTIONS_GO_ON;
}

static int
parse(struct request *out, int argc, char **argv)
{
	int got, status;

	while ((got = getopt_long(argc, argv, ":o:pt:" OPTIONS_COMMON_LETTERS, long_options, NULL)) != -1) {
		status = take_option(out, got, argv);
		if (status != OPTIONS_GO_ON)
			return status;
	}
	if (out->list.help) {
		keyval_help(stdout, table, KEYS, 1);
		return tool_finish(0);
	}
	status = take_list(out);
	if (status != OPTIONS_GO_ON)
		return status;
	if (optind == argc)
		return tool_usage_error("FILE is missing");
	if (optind + 1 < argc)
		return tool_usage_error("'%s': one word too many", argv[optind + 1]);
	out->file = argv[optind];
	return OPTIONS_GO_ON;
}

/* ---- work -------------------------------------------------------------------------------- */

static bool
is_text(struct q2s_bytes bytes, const char *text)
{
	return bytes.len == strlen(text) &&
	       (bytes.len == 0 || memcmp(bytes.data, text, bytes.len) == 0);
}

/* As qemu-img: what shows other data is no matter of the image's form. */
static enum q2s_err
check_backing(const struct request *request, const struct q2s_image *image, struct q2s_diag *diag)
{
	if ((!request->given[KEY_BACKING_FILE] ||
	     is_text(q2s_image_backing_name(image), request->values[KEY_BACKING_FILE].text)) &&
	    (!request->given[KEY_BACKING_FMT] ||
	     is_text(q2s_image_backing_format(image), request->values[KEY_BACKING_FMT].text)))
		return Q2S_OK;
	return fault(diag, Q2S_E_CONFLICT, "backing file",
		     "cannot be amended to another one: that is what rebase does");
}

static enum q2s_err
check_image(const struct request *request, struct q2s_edit *edit, uint32_t *version,
	    struct q2s_diag *diag)
{
	struct q2s_image *image;
	enum q2s_err err = q2s_image_open(q2s_edit_store(edit), 0, &image, diag);

	if (err != Q2S_OK)
		return err;
	*version = q2s_image_header(image)->version;
	err = check_backing(request, image, diag);
	q2s_image_close(image);
	return err;
}

static void
print_blocked(void *opaque, q2s_guest at, uint64_t len)
{
	struct request *const request = opaque;

	if (request->blocked++ == 0)
		fprintf(stderr, "guest ranges that a standard L2 entry cannot say:\n");
	fprintf(stderr, "  0x%" PRIx64 "+0x%" PRIx64 "\n", at.v, len);
}

static enum q2s_err
set_extended(struct request *request, struct q2s_edit *edit, struct q2s_diag *diag)
{
	const struct q2s_edit_blocked blocked = { print_blocked, request };

	return q2s_edit_set_extended_l2(edit, request->values[KEY_EXTENDED_L2].number,
					request->materialise ? Q2S_EDIT_MATERIALISE : 0, &blocked,
					diag);
}

static struct q2s_edit_features
features_of(const struct request *request)
{
	const struct keyval_value *const values = request->values;
	const char *const data_file =
		request->given[KEY_DATA_FILE] ? values[KEY_DATA_FILE].text : "";

	return (struct q2s_edit_features){
		.set_version = request->given[KEY_COMPAT],
		.set_lazy_refcounts = request->given[KEY_LAZY_REFCOUNTS],
		.set_data_file = request->given[KEY_DATA_FILE],
		.set_data_file_raw = request->given[KEY_DATA_FILE_RAW],
		.version = values[KEY_COMPAT].number % 2 ? 3 : 2,
		.lazy_refcounts = values[KEY_LAZY_REFCOUNTS].number,
		.data_file = { (const uint8_t *)data_file, strlen(data_file) },
		.data_file_raw = values[KEY_DATA_FILE_RAW].number,
	};
}

/* What needs version 3 comes after it is one, and before it is none any more. */
static enum q2s_err
amend(struct q2s_edit *edit, void *opaque, struct q2s_diag *diag)
{
	struct request *const request = opaque;
	const struct q2s_edit_features features = features_of(request);
	const bool *const given = request->given;
	uint32_t version;
	enum q2s_err err = check_image(request, edit, &version, diag);
	const bool lowers = err == Q2S_OK && features.set_version && features.version < version;
	const bool sets = features.set_version || features.set_lazy_refcounts ||
			  features.set_data_file || features.set_data_file_raw;

	if (err == Q2S_OK && sets && !lowers)
		err = q2s_edit_set_features(edit, &features, diag);
	if (err == Q2S_OK && given[KEY_EXTENDED_L2])
		err = set_extended(request, edit, diag);
	if (err == Q2S_OK && given[KEY_REFCOUNT_BITS])
		err = q2s_edit_set_refcount_bits(edit, request->values[KEY_REFCOUNT_BITS].number,
						 diag);
	if (err == Q2S_OK && lowers)
		err = q2s_edit_set_features(edit, &features, diag);
	if (err == Q2S_OK && given[KEY_SIZE])
		err = q2s_edit_resize(edit, request->values[KEY_SIZE].number, 0,
				      Q2S_PREALLOCATION_OFF, diag);
	return err;
}

/* Does it matter what the guest sees? Then a base has to be open, for instance. */
static bool
needs_guest(const struct request *request)
{
	return (request->given[KEY_COMPAT] && request->values[KEY_COMPAT].number % 2 == 0) ||
	       (request->given[KEY_EXTENDED_L2] && !request->values[KEY_EXTENDED_L2].number) ||
	       request->given[KEY_SIZE];
}

/* These two, when they are alone, look at all before they write; and their tables may be large. */
static bool
needs_try(const struct request *request)
{
	size_t others = 0;

	for (size_t i = 0; i < KEYS; i++)
		others += request->given[i] && i != KEY_REFCOUNT_BITS && i != KEY_EXTENDED_L2;
	return others > 0 || (request->given[KEY_REFCOUNT_BITS] && request->given[KEY_EXTENDED_L2]);
}

int
amend_main(int argc, char **argv)
{
	struct request request = { .file = NULL };
	int status = parse(&request, argc, argv);
	const struct work work = { .file = request.file,
				   .options = &request.options,
				   .flags = needs_guest(&request) ? 0 : Q2S_EDIT_TABLES_ONLY,
				   .try = needs_try(&request),
				   .edit = amend,
				   .opaque = &request };

	if (status == OPTIONS_GO_ON)
		status = work_do(&work);
	keyval_free(&request.list);
	options_free(&request.options);
	return status;
}
