/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "edit/layers.h"

#include <string.h>

#include "common/fault.h"
#include "common/guard.h"

enum q2s_err
layers_guard(struct q2s_chain *chain, size_t first, size_t but, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	for (size_t i = first; err == Q2S_OK && i < q2s_chain_count(chain); i++) {
		const struct q2s_layer *const layer = q2s_chain_layer(chain, i);
		struct q2s_store *data;

		if (i == but)
			continue;
		err = guard_read_store(layer->file, diag);
		if (err == Q2S_OK && layer->image && q2s_image_geom(layer->image)->data_file) {
			err = q2s_chain_data_file(chain, i, &data, diag);
			if (err == Q2S_OK)
				err = guard_read_store(data, diag);
		}
	}
	return err;
}

/* @file: what the chain begins with. */
static enum q2s_err
open_top(struct layers *layers, struct q2s_store **file, struct q2s_diag *diag)
{
	enum q2s_err err;

	if (!layers->options->dry_run) {
		err = opened_writable(layers->path, &layers->top, diag);
		*file = err == Q2S_OK ? q2s_store_ref(layers->top) : NULL;
		return err;
	}
	err = q2s_store_open(layers->path, file, diag);
	return err == Q2S_OK ? rehearsal_of(*file, REHEARSAL_LABEL, &layers->sum, &layers->top, diag) : err;
}

enum q2s_err
layers_open(const struct options *options, const char *path, bool below, struct layers *out,
	    struct q2s_diag *diag)
{
	const struct q2s_chain_options how = { .size = sizeof(how), .format = "qcow2",
					       .follow = options->follow,
					       .partial = !below,
					       .force_share = options->force_share };
	struct q2s_store *file = NULL;
	enum q2s_err err = guard_edit(path, diag);

	out->options = options;
	out->path = path;
	if (err == Q2S_OK)
		err = open_top(out, &file, diag);
	if (err == Q2S_OK)
		err = fault_in(diag, q2s_chain_open(file, &how, &out->chain, diag), path);
	q2s_store_unref(file);
	return err;
}

void
layers_close(struct layers *layers)
{
	q2s_chain_unref(layers->chain);
	q2s_store_unref(layers->top);
	*layers = (struct layers){ 0 };
	guard_reset();
}

enum q2s_err
layers_disk(const struct layers *layers, size_t first, size_t count, struct q2s_disk **out,
	    struct q2s_diag *diag)
{
	struct q2s_disk_qcow2_options how = { .size = sizeof(how),
					      .follow = layers->options->follow };

	key_files_give(&layers->options->keys, &how);
	return key_files_explain(&layers->options->keys, layers->path,
				 q2s_disk_part(layers->chain, first, count, &how, out, diag), diag);
}

/* Its lock as something that is read would be in the way of that of a writer, though both are ours. */
static enum q2s_err
unlock_data(const struct layers *layers, size_t depth, struct q2s_diag *diag)
{
	const struct q2s_image *const image = q2s_chain_layer(layers->chain, depth)->image;
	struct q2s_store *data;
	enum q2s_err err;

	if (layers->options->dry_run || !q2s_image_geom(image)->data_file)
		return Q2S_OK;
	err = q2s_chain_data_file(layers->chain, depth, &data, diag);
	if (err == Q2S_OK)
		q2s_store_unlock(data);
	return err;
}

enum q2s_err
layers_edit(const struct layers *layers, size_t depth, struct q2s_store *store,
	    struct q2s_disk *base, unsigned flags, struct opened *out, struct q2s_diag *diag)
{
	const struct open_request request = {
		.path = q2s_store_name(store),
		.store = store,
		.origin = q2s_chain_layer(layers->chain, depth)->file,
		.wrap = layers->options->dry_run ? rehearsal_wrap : opened_writable_again,
		.base = base,
		.follow = layers->options->follow,
		.keys = &layers->options->keys,
		.flags = flags,
	};

	enum q2s_err err = unlock_data(layers, depth, diag);

	if (err == Q2S_OK)
		err = opened_open(&request, out, diag);
	return fault_in(diag, err, request.path);
}
