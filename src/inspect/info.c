/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-inspect info: what an image is, for people and for scripts that know qemu-img. */
#include "inspect/info.h"

#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/json.h"
#include "common/tool.h"
#include "inspect/options.h"
#include "inspect/subject.h"
#include "inspect/verbs.h"


struct info_options {
	struct options common;
	bool backing_chain;
	const char *name;
};

/* ---- gathering --------------------------------------------------------------------------- */

/* Where to report the next fault; the last place is shared by all that are too many. */
static struct q2s_diag *
next_fault(struct info *info)
{
	return &info->faults[info->fault_count < INFO_FAULTS ? info->fault_count : INFO_FAULTS - 1];
}

static bool
gathered(struct info *info, enum q2s_err err)
{
	if (err != Q2S_OK && info->fault_count < INFO_FAULTS)
		info->fault_count++;
	return err == Q2S_OK;
}

static void
gather_luks(struct info *info)
{
	const struct q2s_ext_crypto *const crypto = q2s_image_crypto(info->image);
	struct q2s_diag *const diag = next_fault(info);
	uint8_t raw[Q2S_LUKS_SIZE];
	enum q2s_err err;

	if (!crypto)
		return;
	err = q2s_store_read(info->file, crypto->offset.v, raw, sizeof(raw), diag);
	if (err == Q2S_OK)
		err = q2s_luks_decode(raw, crypto->offset, &info->luks, diag);
	info->has_luks = gathered(info, err);
}

/* Bitmaps that are marked consistent, by an extension that may be malformed. */
static void
gather_bitmaps(struct info *info)
{
	struct q2s_extensions walk = q2s_image_extensions(info->image);
	const uint64_t autoclear = q2s_image_header(info->image)->autoclear_features;
	struct q2s_ext_bitmaps bitmaps;
	struct q2s_ext ext;

	if (q2s_image_bitmaps(info->image)) {
		gathered(info,
			 q2s_image_bitmap_directory(info->image, &info->bitmaps, next_fault(info)));
		return;
	}
	while (autoclear & Q2S_AUTOCLEAR_BITMAPS && q2s_extensions_next(&walk, &ext, NULL)) {
		if (ext.type == Q2S_EXT_BITMAPS)
			gathered(info, q2s_ext_bitmaps_decode(q2s_image_geom(info->image), &ext,
							      &bitmaps, next_fault(info)));
	}
}

/*
 * The name as QEMU computes it: json: and PROTOCOL: names and absolute paths stay, others start
 * from the image's folder. Only text; nothing is opened or looked for.
 */
static char *
full_backing_name(const char *image, struct q2s_bytes name)
{
	const uint8_t *const colon = memchr(name.data, ':', name.len);
	const uint8_t *const slash = memchr(name.data, '/', name.len);
	const char *const last = strrchr(image, '/');
	const bool has_protocol = colon && (!slash || colon < slash);
	const size_t folder =
		last && !has_protocol && slash != name.data ? (size_t)(last - image) + 1 : 0;
	char *const full = malloc(folder + name.len + 1);

	if (!full)
		return NULL;
	memcpy(full, image, folder);
	memcpy(full + folder, name.data, name.len);
	full[folder + name.len] = '\0';
	return full;
}

void
info_gather(struct q2s_store *file, struct q2s_image *image, struct info *out)
{
	struct q2s_bytes backing;

	*out = (struct info){ .file = file, .image = image };
	if (!image)
		return;
	gathered(out, q2s_image_snapshots(image, &out->snapshots, next_fault(out)));
	gather_bitmaps(out);
	gather_luks(out);
	gathered(out, q2s_header_check_tables(q2s_image_header(image), next_fault(out)));
	backing = q2s_image_backing_name(image);
	if (backing.len) {
		out->full_backing = full_backing_name(q2s_store_name(file), backing);
		if (!out->full_backing)
			gathered(out, fault_nomem(next_fault(out), "backing file name"));
	}
}

void
info_free(struct info *info)
{
	q2s_snapshots_free(&info->snapshots);
	q2s_bitmaps_free(&info->bitmaps);
	free(info->full_backing);
	*info = (struct info){ 0 };
}

uint64_t
info_file_size(const struct q2s_store *file)
{
	const uint64_t size = q2s_store_size(file);

	return size + (Q2S_SECTOR - size % Q2S_SECTOR) % Q2S_SECTOR;
}

/* ---- saying ------------------------------------------------------------------------------ */

static json_t *
info_json(const struct info *info)
{
	json_t *const object = info_qemu(info);

	if (!object || json_object_set_new(object, "q2s", info_extra(info)) == 0)
		return object;
	json_decref(object);
	return NULL;
}

/* Faults go to stderr behind the rest, and make the exit code 1. */
static int
report_faults(const struct info *info)
{
	for (size_t i = 0; i < info->fault_count; i++)
		tool_fail(q2s_store_name(info->file), &info->faults[i]);
	return info->fault_count ? TOOL_FAILED : 0;
}

/* One layer; @list receives its object, or is NULL for text. */
static int
say_layer(struct q2s_store *file, struct q2s_image *image, json_t *list)
{
	struct info info;
	int status;

	info_gather(file, image, &info);
	if (!list)
		info_human(stdout, &info);
	else if (json_array_append_new(list, info_json(&info)) != 0)
		gathered(&info, fault_nomem(next_fault(&info), "JSON"));
	status = report_faults(&info);
	info_free(&info);
	return status;
}

static int
say_chain(const struct q2s_chain *chain, const struct info_options *options, json_t *list)
{
	int status = 0;

	for (size_t i = 0; i < q2s_chain_count(chain); i++) {
		const struct q2s_layer *const layer = q2s_chain_layer(chain, i);

		if (i > 0 && !list)
			putchar('\n');
		if (say_layer(layer->file, layer->image, list) != 0)
			status = TOOL_FAILED;
	}
	if (!list)
		return status;
	if (options->backing_chain)
		json_incref(list);
	if (output_json(stdout,
			options->backing_chain ? list : json_incref(json_array_get(list, 0))) &&
	    !tool_reader_is_gone())
		return tool_error("standard output: cannot write the JSON");
	return status;
}

/* The layers that cannot be opened are an error, after what the others are. */
static int
say_all(const struct info_options *options, const struct q2s_chain *chain)
{
	json_t *const list = options->common.json ? json_array() : NULL;
	struct q2s_diag diag = { 0 };
	int status = say_chain(chain, options, list);

	json_decref(list);
	if (!options->backing_chain || q2s_chain_end(chain, &diag) == Q2S_OK)
		return status;
	if (options->common.follow != Q2S_FOLLOW_NONE)
		return tool_fail(options->name, &diag);
	tool_warn("%s: the layers below are not shown: --follow any lets them be opened",
		  options->name);
	return status;
}

static int
info_run(const struct info_options *options)
{
	struct options common = options->common;
	struct q2s_diag diag = { 0 };
	struct subject subject = { 0 };
	struct q2s_chain *chain = NULL;
	int status;

	if (!options->backing_chain)
		common.follow = Q2S_FOLLOW_NONE;
	if (subject_open_sound(options->name, &common, &subject, &diag) != Q2S_OK ||
	    subject_chain(&subject, &common, &chain, &diag) != Q2S_OK)
		status = tool_fail(options->name, &diag);
	else
		status = say_all(options, chain);
	q2s_chain_unref(chain);
	subject_close(&subject);
	return tool_finish(status);
}

static const struct option_row rows[] = {
	{ .name = "backing-chain",
	  .help = "each layer (as far as --follow allows)",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct info_options, backing_chain) },
};
static const struct option_rows own = OPTION_ROWS(rows);

static const char usage[] =
	"Usage: q2s-inspect info [OPTIONS] FILE\n"
	"What the image is: size, geometry, features, references, snapshots, bitmaps, and where\n"
	"each structure lies. The JSON has the keys of `qemu-img info`, and more under \"q2s\".\n\n";

static const struct option_table table = {
	.usage = usage,
	.parts = { &own, &options_follow, &options_common },
};

int
info_main(int argc, char **argv)
{
	struct info_options options = { 0 };
	int status = options_read(&table, argc, argv, &options, 1, "FILE");

	if (status != OPTIONS_GO_ON)
		return status;
	options.name = argv[optind];
	return info_run(&options);
}
