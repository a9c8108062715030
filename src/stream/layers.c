/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/layers.h"

#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/keyval.h"
#include "common/open_source.h"
#include "common/remote.h"
#include "common/tool.h"
#include "stream/layers_warn.h"
#include "common/url.h"

bool
layers_check(const struct stream_options *options)
{
	const char *const format = options->format;

	if (!options->layers)
		return true;
	if (options->data_file)
		(void)tool_usage_error("--data-file needs one SOURCE, not layers");
	else if (options->snapshot)
		(void)tool_usage_error("--layers: a snapshot is chosen in a SOURCE, not in layers");
	else if (options->bitmaps && strcmp(options->bitmaps, "none") != 0)
		(void)tool_usage_error("--bitmaps: name the image that has them as SOURCE, not as a "
				       "layer");
	else if (options->changed)
		(void)tool_usage_error("--changed: name the image that says it as SOURCE, not as a "
				       "layer");
	else if (format && strcmp(format, "raw") != 0 && strcmp(format, "qcow2") != 0)
		(void)tool_usage_error("--layers: the format of the lowest layer (-f) is raw or "
				       "qcow2");
	else
		return true;
	return false;
}

/* The files of the layers. */
struct files {
	struct q2s_store **list;
	size_t count;
};

static void
close_files(struct files *files)
{
	for (size_t i = 0; i < files->count; i++)
		q2s_store_unref(files->list[i]);
	free(files->list);
}

static enum q2s_err
open_one(struct files *files, const char *name, struct q2s_diag *diag)
{
	struct q2s_store **const grown =
		reallocarray(files->list, files->count + 1, sizeof(*grown));
	enum q2s_err err;

	if (!grown)
		return fault_nomem(diag, "--layers");
	files->list = grown;
	if (name[0] == '\0')
		return fault(diag, Q2S_E_USAGE, "--layers", "the name of a layer is empty");
	err = remote_is(name) ? open_source(name, &grown[files->count], diag) :
				q2s_store_open(name, &grown[files->count], diag);
	err = url_explain(name, err, diag);
	if (err == Q2S_OK)
		files->count++;
	return fault_in(diag, err, name);
}

static enum q2s_err
open_files(const char *text, struct files *files, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	for (const char *at = text; err == Q2S_OK;) {
		char *const name = keyval_take_value(&at);

		err = name ? open_one(files, name, diag) : fault_nomem(diag, "--layers");
		free(name);
		if (*at++ == '\0')
			break;
	}
	return err;
}

enum q2s_err
layers_open(const struct stream_options *options, struct q2s_disk **out, struct q2s_diag *diag)
{
	struct q2s_disk_qcow2_options how = {
		.size = sizeof(how),
		.follow = options->follow,
		.force_share = options->force_share,
	};
	struct files files = { 0 };
	enum q2s_err err = open_files(options->layers, &files, diag);

	key_files_give(&options->keys, &how);
	if (err == Q2S_OK) {
		const bool raw = options->format ? strcmp(options->format, "raw") == 0 :
						   !q2s_image_probe(files.list[0]);

		err = q2s_disk_layers(files.list, files.count, raw, &how, out, diag);
		if (err == Q2S_OK)
			err = layers_warn(files.list, files.count, raw, diag);
	}
	close_files(&files);
	return key_files_explain(&options->keys, NULL, err, diag);
}
