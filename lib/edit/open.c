/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of an edit: what is refused at opening, and what closing leaves. */
#include "edit/edit.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/options.h"
#include "format/header.h"

/* Flushes that closing needs at most: what one gives back changes counts, which the next writes. */
#define CLOSE_ROUNDS 4u

/* ---- what is refused ----------------------------------------------------------------------- */

static enum q2s_err
marks_check(const struct q2s_header *header, struct q2s_diag *diag)
{
	const q2s_host at = { AT_INCOMPATIBLE_FEATURES };
	const uint64_t features = header->incompatible_features;

	if (features & Q2S_INCOMPAT_CORRUPT)
		return q2si_fail(diag, Q2S_E_UNSUPPORTED, "incompatible_features", at, features,
				 "the image is marked corrupt, and has to be repaired first");
	return Q2S_OK;
}

static enum q2s_err
options_check(const struct q2s_edit *edit, const struct q2s_edit_options *options,
	      struct q2s_diag *diag)
{
	const struct q2s_header *header = &edit->header;
	const bool writes = !(options->flags & Q2S_EDIT_READ_ONLY);
	const bool tables_only = options->flags & Q2S_EDIT_TABLES_ONLY;

	if (writes && !q2s_store_is_writable(q2s_image_file(edit->image)))
		return q2si_fail_at(diag, Q2S_E_USAGE, "image", Q2S_NOWHERE,
				    "it is not open for writing");
	if (edit->geom.data_file != (options->data != NULL) && (options->data || !tables_only))
		return q2si_fail_at(diag, options->data ? Q2S_E_USAGE : Q2S_E_CONFLICT, "data file",
				    Q2S_NOWHERE, "%s",
				    options->data ? "the image has no external data file"
						  : "the image needs its external data file");
	if (writes && options->data && !q2s_store_is_writable(options->data))
		return q2si_fail_at(diag, Q2S_E_USAGE, "data file", Q2S_NOWHERE,
				    "it is not open for writing");
	if (q2s_image_backing_name(edit->image).data && !options->base &&
	    !(options->flags & (Q2S_EDIT_NO_BASE | Q2S_EDIT_TABLES_ONLY)))
		return q2si_fail_at(diag, Q2S_E_CONFLICT, "backing file",
				    header->backing_file_offset,
				    "the image needs its backing file");
	if (header->l1_size < edit->geom.l1_entries)
		return q2si_fail(diag, Q2S_E_HEADER, "l1_size", (q2s_host){ AT_L1_SIZE },
				 header->l1_size, "too small for the disk");
	if (!writes)
		return Q2S_OK;
	return marks_check(header, diag);
}

/* ---- opening ------------------------------------------------------------------------------- */

static enum q2s_err
crypt_open(struct q2s_edit *edit, const struct q2s_edit_options *options, struct q2s_diag *diag)
{
	const struct q2s_ext_crypto *header = q2s_image_crypto(edit->image);
	struct q2s_crypt_place place = { .method = edit->header.crypt_method,
					 .file = q2s_image_file(edit->image) };

	if (place.method == Q2S_CRYPT_NONE || options->flags & Q2S_EDIT_TABLES_ONLY)
		return Q2S_OK;
	if (!options->key)
		return q2si_fail(diag, Q2S_E_KEY, "crypt_method", (q2s_host){ AT_CRYPT_METHOD },
				 place.method, "encrypted by %s: a key is needed",
				 place.method == Q2S_CRYPT_LUKS ? "LUKS" : "AES");
	if (header)
		place.header = *header;
	return q2s_crypt_open(&place, options->key, options->key_len, &edit->crypt, diag);
}

static void
stores_set(struct q2s_edit *edit, const struct q2s_edit_options *options)
{
	edit->sync[0].store = q2s_store_ref(q2s_image_file(edit->image));
	edit->data = &edit->sync[0];
	if (edit->geom.data_file) {
		edit->sync[1].store = options->data ? q2s_store_ref(options->data) : NULL;
		edit->data = &edit->sync[1];
		edit->raw_data = edit->header.autoclear_features & Q2S_AUTOCLEAR_DATA_FILE_RAW;
	}
	edit->base = options->base;
	edit->base_size = options->base ? q2s_disk_size(options->base) : 0;
}

static enum q2s_err
edit_fill(struct q2s_edit *edit, struct q2s_store *store, const struct q2s_edit_options *options,
	  struct q2s_diag *diag)
{
	const size_t bytes = options->cache ? options->cache : Q2S_EDIT_CACHE_DEFAULT;

	Q2SI_TRY(q2s_image_open(store, 0, &edit->image, diag));
	edit->header = *q2s_image_header(edit->image);
	edit->geom = *q2s_image_geom(edit->image);
	edit->flags = options->flags;
	memcpy(edit->sector, q2s_image_cluster0(edit->image), sizeof(edit->sector));
	Q2SI_TRY(options_check(edit, options, diag));
	stores_set(edit, options);
	Q2SI_TRY(crypt_open(edit, options, diag));
	edit->file_end = q2si_round_up(q2s_store_size(store), edit->geom.cluster_size);
	Q2SI_TRY(q2si_cache_init(&edit->cache, store,
				 (uint32_t)q2si_min(edit->geom.cluster_size, Q2SI_SLICE_MAX), bytes,
				 diag));
	if (edit->flags & Q2S_EDIT_READ_ONLY)
		return Q2S_OK;
	Q2SI_TRY(q2si_tracking_load(edit, diag));
	Q2SI_TRY(q2si_overlap_init(edit, diag));
	return q2si_dirty_mend(edit, diag);
}

static void
edit_free(struct q2s_edit *edit)
{
	q2si_workers_free(edit);
	q2si_tracking_free(edit);
	q2si_cache_free(&edit->cache);
	q2s_crypt_close(edit->crypt);
	q2s_store_unref(edit->sync[0].store);
	q2s_store_unref(edit->sync[1].store);
	q2s_image_close(edit->image);
	free(edit->metadata.list);
	free(edit->freed.list);
	pthread_mutex_destroy(&edit->workers_lock);
	pthread_mutex_destroy(&edit->lock);
	pthread_cond_destroy(&edit->moved);
	free(edit);
}

enum q2s_err
q2s_edit_open(struct q2s_store *image, const struct q2s_edit_options *given,
	      struct q2s_edit **out, struct q2s_diag *diag)
{
	struct q2s_edit_options options = Q2S_EDIT_OPTIONS_INIT;
	struct q2s_edit *edit;
	enum q2s_err err;

	Q2SI_TRY(q2si_options_copy(&options, given, diag));
	edit = calloc(1, sizeof(*edit));
	if (!edit)
		return q2si_fail_nomem(diag, "edit");
	atomic_init(&edit->owners, 1);
	pthread_mutex_init(&edit->lock, NULL);
	pthread_mutex_init(&edit->workers_lock, NULL);
	pthread_cond_init(&edit->moved, NULL);
	err = edit_fill(edit, image, &options, diag);
	if (err != Q2S_OK) {
		q2si_in_file(diag, err, q2s_store_name(image));
		edit_free(edit);
		return err;
	}
	*out = edit;
	return Q2S_OK;
}

/* ---- closing ------------------------------------------------------------------------------- */

struct q2s_edit *
q2s_edit_ref(struct q2s_edit *edit)
{
	atomic_fetch_add_explicit(&edit->owners, 1, memory_order_relaxed);
	return edit;
}

void
q2s_edit_unref(struct q2s_edit *edit)
{
	if (edit && atomic_fetch_sub_explicit(&edit->owners, 1, memory_order_acq_rel) == 1)
		edit_free(edit);
}

enum q2s_err
q2s_edit_flush(struct q2s_edit *edit, struct q2s_diag *diag)
{
	enum q2s_err err;

	if (edit->flags & Q2S_EDIT_READ_ONLY)
		return Q2S_OK;
	pthread_mutex_lock(&edit->lock);
	err = q2si_stopped(edit, diag);
	if (err == Q2S_OK)
		err = q2si_flush(edit, diag);
	pthread_mutex_unlock(&edit->lock);
	return err;
}

enum q2s_err
q2s_edit_close(struct q2s_edit *edit, struct q2s_diag *diag)
{
	enum q2s_err err, flushed = Q2S_OK;

	if (!edit)
		return Q2S_OK;
	pthread_mutex_lock(&edit->lock);
	err = q2si_stopped(edit, diag);
	if (err == Q2S_OK)
		err = q2si_tracking_end(edit, diag);
	pthread_mutex_unlock(&edit->lock);
	/* The guest's data also when a bitmap could not be stored. */
	for (unsigned i = 0; i < CLOSE_ROUNDS && flushed == Q2S_OK; i++)
		flushed = q2s_edit_flush(edit, diag);
	q2s_edit_unref(edit);
	return err != Q2S_OK ? err : flushed;
}

uint64_t
q2s_edit_size(const struct q2s_edit *edit)
{
	return edit->geom.size;
}

uint32_t
q2s_edit_subcluster_size(const struct q2s_edit *edit)
{
	return edit->geom.sub_size;
}

bool
q2s_edit_has_fast_zeros(const struct q2s_edit *edit)
{
	return edit->geom.version > 2 || edit->base_size == 0;
}

struct q2s_store *
q2s_edit_store(const struct q2s_edit *edit)
{
	return edit->sync[0].store;
}

struct q2s_store *
q2s_edit_data_store(const struct q2s_edit *edit)
{
	return edit->data->store;
}
