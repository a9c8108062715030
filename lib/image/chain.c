/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From one file to all layers below it. */
#include <q2s/chain.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/options.h"
#include "image/image.h"

/* What the chain keeps of a layer beside what it shows. */
struct slot {
	struct q2s_layer layer;
	struct q2s_store *data; /* the external data file, once it is open */
};

struct q2s_chain {
	atomic_uint owners;
	struct q2s_chain_options options; /* but for the format */
	struct slot *slots;
	size_t count, room;
	struct q2s_diag end; /* q2s_chain_end() */
};

/* ---- layers ------------------------------------------------------------------------------ */

bool
q2si_is_same_file(const struct q2s_store *a, const struct q2s_store *b)
{
	struct q2s_store_ident one, other;

	q2s_store_ident(a, &one);
	q2s_store_ident(b, &other);
	return one.dev == other.dev && one.ino == other.ino;
}

/* The same file twice is a loop, whatever names led there. */
static bool
is_loop(const struct q2s_chain *chain, const struct q2s_store *file)
{
	for (size_t i = 0; i < chain->count; i++)
		if (q2si_is_same_file(chain->slots[i].layer.file, file))
			return true;
	return false;
}

enum q2s_err
q2si_lock_to_read(struct q2s_store *file, bool force_share, struct q2s_diag *diag)
{
	if (force_share)
		return Q2S_OK;
	return q2s_store_lock(file, Q2S_LOCK_CONSISTENT_READ, Q2S_LOCK_WRITE | Q2S_LOCK_RESIZE,
			      diag);
}

static enum q2s_err
lock(const struct q2s_chain *chain, struct q2s_store *file, struct q2s_diag *diag)
{
	return q2si_lock_to_read(file, chain->options.force_share, diag);
}

static enum q2s_err
grow(struct q2s_chain *chain, struct q2s_diag *diag)
{
	const size_t room = chain->room ? 2 * chain->room : 4;
	struct slot *slots;

	if (chain->count < chain->room)
		return Q2S_OK;
	slots = realloc(chain->slots, room * sizeof(*slots));
	if (!slots)
		return q2si_fail_nomem(diag, "chain");
	chain->slots = slots;
	chain->room = room;
	return Q2S_OK;
}

/* Make @file the next layer; a reference is taken. */
static enum q2s_err
push(struct q2s_chain *chain, struct q2s_store *file, bool is_qcow2, bool guessed,
     struct q2s_diag *diag)
{
	struct q2s_layer layer = { .file = file, .guessed = guessed };

	Q2SI_TRY(grow(chain, diag));
	/* Refcounts and bitmaps do not hide guest data; wrong ones are no reason to give up. */
	if (is_qcow2)
		Q2SI_TRY(q2s_image_open(file, Q2S_IMAGE_DAMAGED, &layer.image, diag));
	layer.size = layer.image ? q2s_image_geom(layer.image)->size :
				   q2si_round_up(q2s_store_size(file), Q2S_SECTOR);
	q2s_store_ref(file);
	chain->slots[chain->count++] = (struct slot){ .layer = layer };
	return Q2S_OK;
}

/* ---- formats ----------------------------------------------------------------------------- */

/* Up to a NUL byte, as in QEMU: writers have padded names. */
static bool
is_word(struct q2s_bytes bytes, const char *word)
{
	const size_t len = bytes.len > 0 ? strnlen((const char *)bytes.data, bytes.len) : 0;

	return len == strlen(word) && (len == 0 || memcmp(bytes.data, word, len) == 0);
}

static bool
is_raw(struct q2s_bytes format)
{
	return is_word(format, "raw") || is_word(format, "file") || is_word(format, "host_device");
}

/*
 * How is the backing file of @above read? The recorded format counts, as in QEMU also against the
 * driver of a json: name; only without either do the file's own bytes decide.
 */
static enum q2s_err
format_choose(const struct q2s_image *above, const char *driver, struct q2s_store *file,
	      bool *is_qcow2, bool *guessed, struct q2s_diag *diag)
{
	struct q2s_bytes format = q2s_image_backing_format(above);
	const struct q2s_container *container;

	if (format.len == 0)
		format = (struct q2s_bytes){ (const uint8_t *)driver, strlen(driver) };
	*guessed = false;
	*is_qcow2 = is_word(format, "qcow2");
	if (*is_qcow2 || is_raw(format))
		return Q2S_OK;
	if (format.len > 0)
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "backing format", Q2S_NOWHERE,
				    "'%.*s' is not qcow2 or raw", (int)format.len,
				    (const char *)format.data);
	container = q2s_container_probe(file);
	if (container)
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "backing format", Q2S_NOWHERE,
				    "it is recorded nowhere, and the file begins as %s",
				    container->name);
	*is_qcow2 = *guessed = q2s_image_probe(file);
	return Q2S_OK;
}

/* ---- going down -------------------------------------------------------------------------- */

/*
 * A guest that may write all of a raw disk may make it look like an image. When it is recorded
 * nowhere that it is one, what it refers to is opened only with the policy that allows everything.
 */
static enum q2s_err
guess_check(const struct q2s_chain *chain, const struct q2s_layer *layer, struct q2s_diag *diag)
{
	enum q2s_err err;

	if (!layer->guessed || chain->options.follow == Q2S_FOLLOW_ANY)
		return Q2S_OK;
	err = q2si_fail_policy(diag, Q2S_FOLLOW_ANY, "backing format", Q2S_NOWHERE,
			       "it is recorded nowhere that this file is qcow2, so what it refers "
			       "to is not opened");
	return q2si_in_file(diag, err, q2s_store_name(layer->file));
}

static enum q2s_err
below_push(struct q2s_chain *chain, const struct q2s_image *above, const char *driver,
	   struct q2s_store *file, struct q2s_diag *diag)
{
	bool is_qcow2, guessed;

	if (is_loop(chain, file))
		return q2si_fail_at(diag, Q2S_E_HEADER, "backing file", Q2S_NOWHERE,
				    "this file is already a layer of its own chain");
	if (chain->count >= Q2S_CHAIN_MAX)
		return q2si_fail(diag, Q2S_E_LIMIT, "backing file", Q2S_NOWHERE, chain->count + 1,
				 "more than %u layers", Q2S_CHAIN_MAX);
	Q2SI_TRY(lock(chain, file, diag));
	Q2SI_TRY(format_choose(above, driver, file, &is_qcow2, &guessed, diag));
	return push(chain, file, is_qcow2, guessed, diag);
}

/* Open the backing file of the last layer. */
static enum q2s_err
descend(struct q2s_chain *chain, struct q2s_diag *diag)
{
	const struct q2s_layer *above = &chain->slots[chain->count - 1].layer;
	char driver[Q2S_FORMAT_NAME_MAX + 1] = "";
	struct q2s_store *file;
	enum q2s_err err;

	Q2SI_TRY(guess_check(chain, above, diag));
	Q2SI_TRY(q2s_reference_open(above->image, Q2S_BACKING_FILE, chain->options.follow, &file,
				    driver, diag));
	err = below_push(chain, above->image, driver, file, diag);
	q2si_in_file(diag, err, q2s_store_name(file));
	q2s_store_unref(file);
	return err;
}

static bool
has_below(const struct q2s_chain *chain)
{
	const struct q2s_image *const image = chain->slots[chain->count - 1].layer.image;

	return image && q2s_image_backing_name(image).len > 0;
}

static enum q2s_err
top_push(struct q2s_chain *chain, struct q2s_store *file, const char *format,
	 struct q2s_diag *diag)
{
	const bool is_qcow2 = format ? strcmp(format, "qcow2") == 0 : q2s_image_probe(file);

	if (format && !is_qcow2 && strcmp(format, "raw") != 0)
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "format", Q2S_NOWHERE,
				    "'%.32s' is not qcow2 or raw", format);
	Q2SI_TRY(lock(chain, file, diag));
	return push(chain, file, is_qcow2, false, diag);
}

static enum q2s_err
fill(struct q2s_chain *chain, struct q2s_store *file, const char *format, struct q2s_diag *diag)
{
	enum q2s_err err;

	err = top_push(chain, file, format, diag);
	if (err != Q2S_OK)
		return q2si_in_file(diag, err, q2s_store_name(file));
	while (err == Q2S_OK && has_below(chain))
		err = descend(chain, &chain->end);
	if (err == Q2S_OK || chain->options.partial)
		return Q2S_OK;
	if (diag && diag->err == Q2S_OK)
		*diag = chain->end;
	return err;
}

enum q2s_err
q2s_chain_open(struct q2s_store *file, const struct q2s_chain_options *options,
	       struct q2s_chain **out, struct q2s_diag *diag)
{
	struct q2s_chain *chain = calloc(1, sizeof(*chain));
	const char *format;
	enum q2s_err err;

	if (!chain)
		return q2si_fail_nomem(diag, "chain");
	atomic_init(&chain->owners, 1);
	chain->options = (struct q2s_chain_options)Q2S_CHAIN_OPTIONS_INIT;
	err = q2si_options_copy(&chain->options, options, diag);
	format = chain->options.format;
	chain->options.format = NULL; /* the caller's, and not needed again */
	if (err == Q2S_OK)
		err = fill(chain, file, format, diag);
	if (err == Q2S_OK)
		*out = chain;
	else
		q2s_chain_unref(chain);
	return err;
}

struct q2s_chain *
q2s_chain_ref(struct q2s_chain *chain)
{
	atomic_fetch_add_explicit(&chain->owners, 1, memory_order_relaxed);
	return chain;
}

void
q2s_chain_unref(struct q2s_chain *chain)
{
	if (!chain || atomic_fetch_sub_explicit(&chain->owners, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < chain->count; i++) {
		q2s_image_close(chain->slots[i].layer.image);
		q2s_store_unref(chain->slots[i].layer.file);
		q2s_store_unref(chain->slots[i].data);
	}
	free(chain->slots);
	free(chain);
}

/* ---- asking ------------------------------------------------------------------------------ */

size_t
q2s_chain_count(const struct q2s_chain *chain)
{
	return chain->count;
}

const struct q2s_layer *
q2s_chain_layer(const struct q2s_chain *chain, size_t depth)
{
	return &chain->slots[depth].layer;
}

enum q2s_err
q2s_chain_end(const struct q2s_chain *chain, struct q2s_diag *diag)
{
	if (diag && diag->err == Q2S_OK && chain->end.err != Q2S_OK)
		*diag = chain->end;
	return chain->end.err;
}

enum q2s_err
q2s_chain_data_file(struct q2s_chain *chain, size_t depth, struct q2s_store **out,
		    struct q2s_diag *diag)
{
	struct slot *slot = &chain->slots[depth];
	struct q2s_store *data;
	enum q2s_err err;

	if (!slot->data) {
		Q2SI_TRY(guess_check(chain, &slot->layer, diag));
		Q2SI_TRY(q2s_reference_open(slot->layer.image, Q2S_DATA_FILE,
					    chain->options.follow, &data, NULL, diag));
		err = lock(chain, data, diag);
		if (err != Q2S_OK) {
			q2s_store_unref(data);
			return err;
		}
		slot->data = data;
	}
	*out = slot->data;
	return Q2S_OK;
}
