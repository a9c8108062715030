/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From one image to all its layers: which files belong to it, and how each is read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "disk/qcow2.h"
#include "format/header.h"
#include "image/image.h"

/* ---- one layer --------------------------------------------------------------------------- */

static enum q2s_err
encryption_open(struct q2si_layer *layer, const struct q2s_disk_qcow2_options *options,
		struct q2s_diag *diag)
{
	const struct q2s_ext_crypto *header = q2s_image_crypto(layer->image);
	struct q2s_crypt_place place = {
		.method = q2s_image_header(layer->image)->crypt_method, .file = layer->file
	};

	if (place.method == Q2S_CRYPT_NONE)
		return Q2S_OK;
	if (!options->key)
		return q2si_fail(diag, Q2S_E_KEY, "crypt_method", (q2s_host){ AT_CRYPT_METHOD },
				 place.method, "encrypted by %s: give --key-file",
				 place.method == Q2S_CRYPT_LUKS ? "LUKS" : "AES");
	if (header)
		place.header = *header;
	return q2s_crypt_open(&place, options->key, options->key_len, &layer->crypt, diag);
}

/*
 * A guest that may write all of a raw disk may make it look like an image. When nobody recorded
 * that it is one, what it refers to is opened only by the word of the user.
 */
static enum q2s_err
guess_check(const struct q2si_layer *layer, enum q2s_follow follow, struct q2s_diag *diag)
{
	if (!layer->guessed || follow != Q2S_FOLLOW_BESIDE)
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_POLICY, "backing format", Q2S_NOWHERE,
			    "nobody recorded that this file is qcow2, so what it refers to is not "
			    "opened; --follow any would allow it");
}

static enum q2s_err
data_file_open(struct q2si_layer *layer, enum q2s_follow follow, struct q2s_diag *diag)
{
	if (!q2s_image_geom(layer->image)->data_file) {
		layer->data = q2s_file_ref(layer->file);
		return Q2S_OK;
	}
	Q2SI_TRY(guess_check(layer, follow, diag));
	return q2s_reference_open(layer->image, Q2S_DATA_FILE, follow, &layer->data, NULL, diag);
}

static enum q2s_err
image_layer_fill(struct q2si_layer *layer, const struct q2s_disk_qcow2_options *options,
		 const char *snapshot, struct q2s_diag *diag)
{
	/* Refcounts and bitmaps do not hide guest data; wrong ones are no reason to give up. */
	Q2SI_TRY(q2s_image_open(layer->file, Q2S_IMAGE_DAMAGED, &layer->image, diag));
	layer->l1 = q2s_image_active_l1(layer->image);
	if (snapshot)
		Q2SI_TRY(q2si_snapshot_find(layer->image, snapshot, &layer->l1, diag));
	/* Now rather than in the middle of the output. */
	Q2SI_TRY(q2si_l1_check(layer->image, &layer->l1, diag));
	layer->size = layer->l1.size;
	Q2SI_TRY(encryption_open(layer, options, diag)); /* may take seconds */
	return data_file_open(layer, options->follow, diag);
}

static void
layer_close(struct q2si_layer *layer)
{
	q2s_crypt_close(layer->crypt);
	q2s_image_close(layer->image);
	q2s_file_close(layer->data);
	q2s_file_close(layer->file);
}

/* ---- the chain --------------------------------------------------------------------------- */

/* Is the file of the last layer that of another one? */
static bool
is_loop(const struct q2si_chain *chain)
{
	const struct q2si_layer *last = &chain->layers[chain->count - 1];
	struct q2s_file_ident mine, other;

	q2s_file_ident(last->file, &mine);
	for (const struct q2si_layer *layer = chain->layers; layer < last; layer++) {
		q2s_file_ident(layer->file, &other);
		if (mine.dev == other.dev && mine.ino == other.ino)
			return true;
	}
	return false;
}

/* Append an empty layer on @file, which becomes the chain's even on failure. */
static enum q2s_err
layer_push(struct q2si_chain *chain, struct q2s_file *file, struct q2s_diag *diag)
{
	struct q2si_layer *layers =
		realloc(chain->layers, (chain->count + 1) * sizeof(*chain->layers));

	if (!layers) {
		q2s_file_close(file);
		return q2si_fail_nomem(diag, "chain");
	}
	chain->layers = layers;
	layers[chain->count++] = (struct q2si_layer){ .file = file };
	if (chain->count > Q2SI_LAYERS_MAX)
		return q2si_fail(diag, Q2S_E_LIMIT, "backing file", Q2S_NOWHERE, chain->count,
				 "more than %d layers", Q2SI_LAYERS_MAX);
	if (is_loop(chain))
		return q2si_fail_at(diag, Q2S_E_HEADER, "backing file", Q2S_NOWHERE,
				    "this file is already a layer of its own chain");
	return Q2S_OK;
}

/*
 * How is the backing file that was just pushed read? The recorded format counts, then the one of
 * a json: name; only without either do the file's own bytes decide.
 */
static enum q2s_err
format_choose(struct q2si_layer *layer, struct q2s_bytes recorded, const char *named,
	      bool *is_qcow2, struct q2s_diag *diag)
{
	char format[Q2S_FORMAT_NAME_MAX + 1] = "";

	snprintf(format, sizeof(format), "%s", named);
	if (recorded.len > 0) {
		memcpy(format, recorded.data, recorded.len);
		format[recorded.len] = '\0';
	}
	*is_qcow2 = strcmp(format, "qcow2") == 0;
	if (*is_qcow2 || strcmp(format, "raw") == 0 || strcmp(format, "file") == 0 ||
	    strcmp(format, "host_device") == 0)
		return Q2S_OK;
	if (format[0] != '\0')
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "backing format", Q2S_NOWHERE,
				    "'%s' is not qcow2 or raw", format);
	*is_qcow2 = layer->guessed = q2s_image_probe(layer->file);
	return Q2S_OK;
}

/* Push and fill the layer below the last one, which is an image with a backing file. */
static enum q2s_err
backing_open(struct q2si_chain *chain, const struct q2s_disk_qcow2_options *options,
	     struct q2s_diag *diag)
{
	const struct q2si_layer *upper = &chain->layers[chain->count - 1];
	const struct q2s_image *image = upper->image;
	char named[Q2S_FORMAT_NAME_MAX + 1] = "";
	struct q2si_layer *layer;
	struct q2s_file *file;
	bool is_qcow2;

	Q2SI_TRY(guess_check(upper, options->follow, diag));
	Q2SI_TRY(q2s_reference_open(image, Q2S_BACKING_FILE, options->follow, &file, named, diag));
	Q2SI_TRY(layer_push(chain, file, diag));
	layer = &chain->layers[chain->count - 1];
	Q2SI_TRY(format_choose(layer, q2s_image_backing_format(image), named, &is_qcow2, diag));
	if (is_qcow2)
		return image_layer_fill(layer, options, NULL, diag);
	layer->data = q2s_file_ref(layer->file);
	layer->size = q2s_file_size(layer->file);
	return Q2S_OK;
}

static enum q2s_err
chain_fill(struct q2si_chain *chain, struct q2s_file *file,
	   const struct q2s_disk_qcow2_options *options, struct q2s_diag *diag)
{
	const struct q2s_image *last;

	Q2SI_TRY(layer_push(chain, q2s_file_ref(file), diag));
	Q2SI_TRY(image_layer_fill(&chain->layers[0], options, options->snapshot, diag));
	while ((last = chain->layers[chain->count - 1].image) &&
	       q2s_image_backing_name(last).data)
		Q2SI_TRY(backing_open(chain, options, diag));
	return Q2S_OK;
}

enum q2s_err
q2si_chain_open(struct q2s_file *file, const struct q2s_disk_qcow2_options *options,
		struct q2si_chain *out, struct q2s_diag *diag)
{
	struct q2si_chain chain = { 0 };
	const enum q2s_err err = chain_fill(&chain, file, options, diag);

	if (err == Q2S_OK) {
		*out = chain;
		return Q2S_OK;
	}
	/* The layer that failed is the last one. */
	if (chain.count > 0)
		q2si_in_file(diag, err, q2s_file_name(chain.layers[chain.count - 1].file));
	q2si_chain_close(&chain);
	return err;
}

void
q2si_chain_close(struct q2si_chain *chain)
{
	for (size_t i = 0; i < chain->count; i++)
		layer_close(&chain->layers[i]);
	free(chain->layers);
	*chain = (struct q2si_chain){ 0 };
}
