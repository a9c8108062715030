/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Walking down the backing files. */
#include "inspect/chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "common/escape.h"
#include "common/fault.h"

/** How a layer that was just opened is read; @guessed: by its own bytes alone. */
struct below {
	bool is_qcow2;
	bool guessed;
};

static uint64_t
layer_size(const struct q2s_file *file, const struct q2s_image *image)
{
	if (image)
		return q2s_image_geom(image)->size;
	return q2si_round_up(q2s_file_size(file), Q2S_SECTOR);
}

/* Takes over @file and @image, also on failure. */
static enum q2s_err
push(struct chain *chain, struct q2s_file *file, struct q2s_image *image, bool guessed,
     struct q2s_diag *diag)
{
	struct layer *const layers = realloc(chain->layers, (chain->count + 1) * sizeof(*layers));

	if (!layers) {
		q2s_image_close(image);
		q2s_file_close(file);
		return fault_nomem(diag, "backing chain");
	}
	layers[chain->count++] = (struct layer){
		.file = file, .image = image, .size = layer_size(file, image), .guessed = guessed
	};
	chain->layers = layers;
	return Q2S_OK;
}

/* The same file twice is a loop, whatever names led there. */
static bool
is_in(const struct chain *chain, const struct q2s_file *file)
{
	struct q2s_file_ident seen, now;

	q2s_file_ident(file, &now);
	for (size_t i = 0; i < chain->count; i++) {
		q2s_file_ident(chain->layers[i].file, &seen);
		if (seen.dev == now.dev && seen.ino == now.ino)
			return true;
	}
	return false;
}

static bool
is_word(struct q2s_bytes bytes, const char *word)
{
	return bytes.len == strlen(word) && memcmp(bytes.data, word, bytes.len) == 0;
}

static bool
is_raw(struct q2s_bytes format)
{
	return is_word(format, "raw") || is_word(format, "file") || is_word(format, "host_device");
}

/*
 * How is the backing file of @above read? The recorded format counts, then the driver of a json:
 * name; with neither, the magic decides, as for a file that the user names.
 */
static enum q2s_err
judge_format(const struct q2s_image *above, const char *driver, struct q2s_file *file,
	     struct below *out, struct q2s_diag *diag)
{
	struct q2s_bytes format = q2s_image_backing_format(above);
	char *shown;

	if (!format.len)
		format = (struct q2s_bytes){ (const uint8_t *)driver, strlen(driver) };
	out->guessed = !format.len;
	out->is_qcow2 = out->guessed ? q2s_image_probe(file) : is_word(format, "qcow2");
	if (out->guessed || out->is_qcow2 || is_raw(format))
		return Q2S_OK;
	shown = escape_bytes(format.data, format.len);
	fault(diag, Q2S_E_UNSUPPORTED, "backing format", "'%s' is neither qcow2 nor raw",
	      shown ? shown : "?");
	free(shown);
	return Q2S_E_UNSUPPORTED;
}

/* Open the file below @above and append it; which files may be opened is the library's word. */
static enum q2s_err
descend(struct chain *chain, const struct q2s_image *above, enum q2s_follow follow,
	struct q2s_diag *diag)
{
	struct q2s_image *image = NULL;
	struct q2s_file *file = NULL;
	struct below below = { false, false };
	char driver[Q2S_FORMAT_NAME_MAX + 1] = "";
	enum q2s_err err = q2s_reference_open(above, Q2S_BACKING_FILE, follow, &file, driver, diag);

	if (err != Q2S_OK)
		return err;
	if (is_in(chain, file))
		err = fault(diag, Q2S_E_HEADER, "backing file", "the chain comes back to itself");
	else if (chain->count == CHAIN_MAX)
		err = fault(diag, Q2S_E_LIMIT, "backing file", "chain of more than %u layers",
			    CHAIN_MAX);
	if (err == Q2S_OK)
		err = judge_format(above, driver, file, &below, diag);
	if (err == Q2S_OK && below.is_qcow2)
		err = q2s_image_open(file, Q2S_IMAGE_DAMAGED, &image, diag);
	if (err == Q2S_OK)
		return push(chain, file, image, below.guessed, diag);
	if (!diag->file[0])
		snprintf(diag->file, sizeof(diag->file), "%s", q2s_file_name(file));
	q2s_file_close(file);
	return err;
}

enum q2s_err
chain_may_refer(const struct layer *layer, const char *kind, enum q2s_follow follow,
		struct q2s_diag *diag)
{
	if (!layer->guessed || follow == Q2S_FOLLOW_ANY)
		return Q2S_OK;
	return fault(diag, Q2S_E_POLICY, kind,
		     "nobody recorded that the layer which names it is qcow2, so it is not opened; "
		     "--follow any would allow it");
}

enum q2s_err
chain_open(const struct subject *subject, enum q2s_follow follow, struct chain *out,
	   struct q2s_diag *diag)
{
	struct chain chain = { 0 };
	enum q2s_err err = push(&chain, q2s_file_ref(subject->file), NULL, false, diag);
	const struct q2s_image *above = subject->image;

	if (err == Q2S_OK && above)
		chain.layers[0].size = layer_size(subject->file, above);
	while (err == Q2S_OK && above && q2s_image_backing_name(above).len) {
		chain.cut = follow == Q2S_FOLLOW_NONE;
		if (chain.cut)
			break;
		err = chain_may_refer(&chain.layers[chain.count - 1], "backing file", follow, diag);
		if (err == Q2S_OK)
			err = descend(&chain, above, follow, diag);
		if (err == Q2S_OK)
			above = chain.layers[chain.count - 1].image;
	}
	*out = chain;
	if (err != Q2S_OK)
		chain_close(out);
	else
		out->layers[0].image = subject->image;
	return err;
}

void
chain_close(struct chain *chain)
{
	for (size_t i = 0; i < chain->count; i++) {
		if (i > 0) /* layer 0 is the subject's */
			q2s_image_close(chain->layers[i].image);
		q2s_file_close(chain->layers[i].file);
	}
	free(chain->layers);
	*chain = (struct chain){ 0 };
}
