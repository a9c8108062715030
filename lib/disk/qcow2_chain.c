/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a reader needs of the layers of a chain: which table, which key, which data file. */
#include <errno.h>
#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "disk/qcow2.h"
#include "format/header.h"
#include "image/image.h"

/* The key of a layer: its own, or that of all. */
static struct q2s_layer_key
key_of(const struct q2si_layer *layer, const struct q2s_disk_qcow2_options *options)
{
	for (size_t i = 0; i < options->layer_key_count; i++)
		if (q2si_same_file(layer->file, &options->layer_keys[i].file))
			return options->layer_keys[i];
	return (struct q2s_layer_key){ .key = options->key, .key_len = options->key_len };
}

static enum q2s_err
encryption_open(struct q2si_layer *layer, const struct q2s_disk_qcow2_options *options,
		struct q2s_diag *diag)
{
	const struct q2s_ext_crypto *header = q2s_image_crypto(layer->image);
	const struct q2s_layer_key key = key_of(layer, options);
	struct q2s_crypt_place place = {
		.method = q2s_image_header(layer->image)->crypt_method, .file = layer->file
	};

	if (place.method == Q2S_CRYPT_NONE)
		return Q2S_OK;
	if (!key.key)
		return q2si_fail(diag, Q2S_E_KEY, "crypt_method", (q2s_host){ AT_CRYPT_METHOD },
				 place.method, "encrypted by %s, and there is no key",
				 place.method == Q2S_CRYPT_LUKS ? "LUKS" : "AES");
	if (header)
		place.header = *header;
	return q2s_crypt_open(&place, key.key, key.key_len, &layer->crypt, diag);
}

/* Where plain clusters lie: a reference of its own unless the chain has it. */
static enum q2s_err
data_fill(struct q2si_chain *chain, struct q2si_layer *layer, size_t depth,
	  const struct q2s_disk_qcow2_options *options, struct q2s_diag *diag)
{
	const bool has_file = q2s_image_geom(layer->image)->data_file;

	if (chain->chain)
		return has_file ? q2s_chain_data_file(chain->chain, depth, &layer->data, diag) :
				  Q2S_OK;
	if (!has_file) {
		layer->data = q2s_store_ref(layer->file);
		return Q2S_OK;
	}
	Q2SI_TRY(q2s_reference_open(layer->image, Q2S_DATA_FILE, options->follow, &layer->data,
				    NULL, diag));
	return q2si_lock_to_read(layer->data, options->force_share, diag);
}

/* @depth: of the layer in the chain of files, which may begin above the layers that are read. */
static enum q2s_err
image_fill(struct q2si_chain *chain, struct q2si_layer *layer, size_t depth,
	   const struct q2s_disk_qcow2_options *options, struct q2s_diag *diag)
{
	layer->l1 = q2s_image_active_l1(layer->image);
	if (depth == 0 && options->snapshot)
		Q2SI_TRY(q2si_snapshot_find(layer->image, options->snapshot, &layer->l1, diag));
	/* Now rather than in the middle of the output. */
	Q2SI_TRY(q2si_l1_check(layer->image, &layer->l1, diag));
	layer->size = layer->l1.size;
	Q2SI_TRY(encryption_open(layer, options, diag)); /* may take seconds */
	return data_fill(chain, layer, depth, options, diag);
}

static enum q2s_err
layer_fill(struct q2si_chain *chain, struct q2si_layer *layer, size_t depth,
	   const struct q2s_disk_qcow2_options *options, struct q2s_diag *diag)
{
	const struct q2s_layer *from = q2s_chain_layer(chain->chain, depth);
	enum q2s_err err;

	*layer = (struct q2si_layer){ .file = from->file, .image = from->image,
				      .data = from->file, .size = from->size };
	if (!from->image)
		return Q2S_OK;
	err = image_fill(chain, layer, depth, options, diag);
	return q2si_in_file(diag, err, q2s_store_name(from->file));
}

/* A chain may end at a backing file that is not there, and at nothing else. */
static enum q2s_err
end_check(const struct q2s_chain *chain, struct q2s_diag *missing, struct q2s_diag *diag)
{
	struct q2s_diag why = { 0 };
	const enum q2s_err err = q2s_chain_end(chain, &why);

	if (err == Q2S_E_IO && why.sys_errno == ENOENT)
		*missing = why;
	else if (err != Q2S_OK && diag)
		*diag = why;
	return err == Q2S_E_IO && why.sys_errno == ENOENT ? Q2S_OK : err;
}

/* A file may have got another content under the name that a layer above it has for it. */
static enum q2s_err
chain_marks_check(const struct q2s_chain *chain, struct q2s_diag *diag)
{
	const size_t count = q2s_chain_count(chain);
	const struct q2s_image **const images = calloc(count, sizeof(*images));
	enum q2s_err err;

	if (!images)
		return q2si_fail_nomem(diag, "chain");
	for (size_t i = 0; i < count; i++)
		images[i] = q2s_chain_layer(chain, i)->image;
	err = q2si_marks_check(images, count, false, diag);
	free(images);
	return err;
}

/* The layers of chain->chain from number @first on. */
static enum q2s_err
layers_fill(struct q2si_chain *chain, size_t first, size_t count,
	    const struct q2s_disk_qcow2_options *options, struct q2s_diag *diag)
{
	chain->count = count;
	chain->layers = calloc(count, sizeof(*chain->layers));
	if (!chain->layers)
		return q2si_fail_nomem(diag, "chain");
	for (size_t i = 0; i < count; i++)
		Q2SI_TRY(layer_fill(chain, &chain->layers[i], i + first, options, diag));
	return Q2S_OK;
}

static enum q2s_err
chain_fill(struct q2si_chain *chain, struct q2s_store *file,
	   const struct q2s_disk_qcow2_options *options, struct q2s_diag *diag)
{
	const struct q2s_chain_options how = { .size = sizeof(how), .format = "qcow2",
					       .follow = options->follow,
					       .partial = options->missing != NULL,
					       .force_share = options->force_share };
	const size_t first = options->below ? 1 : 0;

	Q2SI_TRY(q2s_chain_open(file, &how, &chain->chain, diag));
	Q2SI_TRY(chain_marks_check(chain->chain, diag));
	if (options->missing)
		Q2SI_TRY(end_check(chain->chain, options->missing, diag));
	if (q2s_chain_count(chain->chain) <= first)
		return q2si_fail_at(diag, Q2S_E_USAGE, "backing file", Q2S_NOWHERE,
				    "the image has none");
	return layers_fill(chain, first, q2s_chain_count(chain->chain) - first, options, diag);
}

/* Hand @chain out, or close it. */
static enum q2s_err
hand_out(struct q2si_chain *chain, enum q2s_err err, struct q2si_chain *out)
{
	if (err == Q2S_OK)
		*out = *chain;
	else
		q2si_chain_close(chain);
	return err;
}

enum q2s_err
q2si_chain_open(struct q2s_store *file, const struct q2s_disk_qcow2_options *options,
		struct q2si_chain *out, struct q2s_diag *diag)
{
	struct q2si_chain chain = { 0 };

	return hand_out(&chain, chain_fill(&chain, file, options, diag), out);
}

enum q2s_err
q2si_chain_open_part(struct q2s_chain *from, size_t first, size_t count,
		     const struct q2s_disk_qcow2_options *options, struct q2si_chain *out,
		     struct q2s_diag *diag)
{
	struct q2si_chain chain = { .chain = q2s_chain_ref(from),
				    .part = first + count < q2s_chain_count(from) };

	return hand_out(&chain, layers_fill(&chain, first, count, options, diag), out);
}

/* ---- layers that the caller names -------------------------------------------------------- */

static enum q2s_err
loop_check(const struct q2si_chain *chain, const struct q2s_store *file, struct q2s_diag *diag)
{
	for (size_t depth = 0; depth < chain->count; depth++)
		if (q2si_is_same_file(chain->layers[depth].file, file))
			return q2si_fail_at(diag, Q2S_E_HEADER, "layers", Q2S_NOWHERE,
					    "this file is already a layer of its own chain");
	return Q2S_OK;
}

/* What goes on below the last layer is among the layers, or one is missing. */
static enum q2s_err
bottom_check(const struct q2si_layer *bottom, struct q2s_diag *diag)
{
	struct q2s_bytes name;

	if (!bottom->image)
		return Q2S_OK;
	name = q2s_image_backing_name(bottom->image);
	if (!name.data)
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_CONFLICT, "layers", Q2S_NOWHERE,
			    "a layer is missing: the lowest one refers to the backing file '%.*s'",
			    (int)q2si_min(name.len, 128), (const char *)name.data);
}

/* A disk may become larger from one layer to the next; one that is smaller is of another disk. */
static enum q2s_err
size_check(const struct q2si_layer *upper, const struct q2si_layer *lower, struct q2s_diag *diag)
{
	if (upper->size / Q2S_SECTOR >= q2si_div_up(lower->size, Q2S_SECTOR))
		return Q2S_OK;
	return q2si_fail(diag, Q2S_E_CONFLICT, "layers", Q2S_NOWHERE, lower->size,
			 "this disk is larger than that of the layer above it, so that they are in "
			 "the wrong order or of different disks");
}

/* Make @file the lowest layer; no chain owns its parts. */
static enum q2s_err
named_layer_fill(struct q2si_chain *chain, struct q2s_store *file, bool raw,
		 const struct q2s_disk_qcow2_options *options, struct q2s_diag *diag)
{
	struct q2si_layer *const layer = &chain->layers[chain->count];

	Q2SI_TRY(loop_check(chain, file, diag));
	Q2SI_TRY(q2si_lock_to_read(file, options->force_share, diag));
	layer->file = q2s_store_ref(file);
	chain->count++;
	if (raw) {
		layer->data = q2s_store_ref(file);
		layer->size = q2si_round_up(q2s_store_size(file), Q2S_SECTOR);
	} else {
		Q2SI_TRY(q2s_image_open(file, Q2S_IMAGE_DAMAGED, &layer->image, diag));
		Q2SI_TRY(image_fill(chain, layer, chain->count - 1, options, diag));
	}
	return chain->count < 2 ? Q2S_OK : size_check(layer - 1, layer, diag);
}

static enum q2s_err
named_marks_check(const struct q2si_chain *chain, struct q2s_diag *diag)
{
	const struct q2s_image **const images = calloc(chain->count, sizeof(*images));
	enum q2s_err err;

	if (!images)
		return q2si_fail_nomem(diag, "chain");
	for (size_t i = 0; i < chain->count; i++)
		images[i] = chain->layers[i].image;
	err = q2si_marks_check(images, chain->count, true, diag);
	free(images);
	return err;
}

static enum q2s_err
named_layers_fill(struct q2si_chain *chain, struct q2s_store *const *files, size_t count,
		  bool raw_bottom, const struct q2s_disk_qcow2_options *options,
		  struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	if (count > Q2S_CHAIN_MAX)
		return q2si_fail(diag, Q2S_E_LIMIT, "layers", Q2S_NOWHERE, count,
				 "more than %u layers", Q2S_CHAIN_MAX);
	chain->layers = calloc(count, sizeof(*chain->layers));
	if (!chain->layers)
		return q2si_fail_nomem(diag, "chain");
	for (size_t i = count; err == Q2S_OK && i-- > 0;) {
		err = named_layer_fill(chain, files[i], i == 0 && raw_bottom, options, diag);
		if (err == Q2S_OK && i == 0)
			err = bottom_check(&chain->layers[count - 1], diag);
		q2si_in_file(diag, err, q2s_store_name(files[i]));
	}
	return err == Q2S_OK ? named_marks_check(chain, diag) : err;
}

enum q2s_err
q2si_chain_open_layers(struct q2s_store *const *files, size_t count, bool raw_bottom,
		       const struct q2s_disk_qcow2_options *options, struct q2si_chain *out,
		       struct q2s_diag *diag)
{
	struct q2si_chain chain = { 0 };

	return hand_out(&chain,
			named_layers_fill(&chain, files, count, raw_bottom, options, diag), out);
}

/* ---- closing ----------------------------------------------------------------------------- */

static void
layer_close(const struct q2si_chain *chain, struct q2si_layer *layer)
{
	q2s_crypt_close(layer->crypt);
	if (chain->chain)
		return; /* all else is its */
	q2s_image_close(layer->image);
	q2s_store_unref(layer->data);
	q2s_store_unref(layer->file);
}

void
q2si_chain_close(struct q2si_chain *chain)
{
	for (size_t i = 0; chain->layers && i < chain->count; i++)
		layer_close(chain, &chain->layers[i]);
	free(chain->layers);
	q2s_chain_unref(chain->chain);
	*chain = (struct q2si_chain){ 0 };
}
