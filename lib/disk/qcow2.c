/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A qcow2 image as a disk: its life, and that of its cursors. */
#include <stdlib.h>

#include <q2s/http.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/options.h"
#include "disk/qcow2.h"

static enum q2s_err
qcow2_cursor_open(struct q2s_disk *disk, struct q2s_cursor **out, struct q2s_diag *diag)
{
	const struct q2si_chain *chain = &((struct q2si_qcow2_disk *)disk)->chain;
	struct q2si_qcow2_cursor *cursor = calloc(1, sizeof(*cursor));

	if (!cursor)
		return q2si_fail_nomem(diag, "cursor");
	cursor->views = calloc(chain->count, sizeof(*cursor->views));
	if (!cursor->views) {
		free(cursor);
		return q2si_fail_nomem(diag, "cursor");
	}
	*out = &cursor->cursor;
	return Q2S_OK;
}

static void
qcow2_cursor_close(struct q2s_cursor *base)
{
	struct q2si_qcow2_cursor *cursor = (struct q2si_qcow2_cursor *)base;

	for (size_t i = 0; i < q2si_qcow2_chain(cursor)->count; i++) {
		q2s_map_close(cursor->views[i].map);
		q2s_cipher_close(cursor->views[i].cipher);
	}
	for (size_t i = 0; i < Q2SI_SLOTS; i++)
		free(cursor->slots[i].data);
	free(cursor->views);
	free(cursor);
}

/* Of each layer an L2 table and a compressed cluster, and the clusters that were decompressed. */
static size_t
qcow2_cursor_memory(const struct q2s_disk *disk)
{
	const struct q2si_chain *chain = &((const struct q2si_qcow2_disk *)disk)->chain;
	size_t layers = 0, largest = 0;

	for (size_t i = 0; i < chain->count && chain->layers[i].image; i++) {
		const size_t size = q2s_image_geom(chain->layers[i].image)->cluster_size;

		layers += size + 2 * size;
		largest = q2si_max(largest, size);
	}
	return layers + Q2SI_SLOTS * largest;
}

/* The smallest cluster of a layer: its entry may be the one that is damaged. */
static uint32_t
qcow2_unit(const struct q2s_disk *disk)
{
	const struct q2si_chain *chain = &((const struct q2si_qcow2_disk *)disk)->chain;
	uint32_t unit = 1u << Q2S_CLUSTER_BITS_MAX;

	for (size_t i = 0; i < chain->count; i++)
		if (chain->layers[i].image)
			unit = (uint32_t)q2si_min(
				unit, q2s_image_geom(chain->layers[i].image)->cluster_size);
	return unit;
}

static void
qcow2_be_strict(struct q2s_disk *disk)
{
	((struct q2si_qcow2_disk *)disk)->chain.strict = true;
}

static struct q2s_store *
qcow2_cut(const struct q2s_disk *disk, size_t index)
{
	const struct q2si_chain *chain = &((const struct q2si_qcow2_disk *)disk)->chain;

	for (size_t i = 0; i < chain->count; i++)
		if (atomic_load_explicit(&chain->layers[i].cut, memory_order_relaxed) &&
		    index-- == 0)
			return chain->layers[i].file;
	return NULL;
}

/* The files of all layers from the top down; an external data file follows its image. */
static struct q2s_store *
qcow2_file(const struct q2s_disk *disk, size_t index)
{
	const struct q2si_chain *chain = &((const struct q2si_qcow2_disk *)disk)->chain;

	for (size_t i = 0; i < chain->count; i++) {
		const struct q2si_layer *layer = &chain->layers[i];

		if (index-- == 0)
			return layer->file;
		if (layer->data != layer->file && index-- == 0)
			return layer->data;
	}
	return NULL;
}

static void
qcow2_close(struct q2s_disk *disk)
{
	struct q2si_qcow2_disk *const qcow2 = (struct q2si_qcow2_disk *)disk;

	q2si_shared_close(qcow2->tables);
	q2si_chain_close(&qcow2->chain);
	free(qcow2);
}

static const struct q2si_disk_ops qcow2_ops = {
	.cursor_open = qcow2_cursor_open,
	.cursor_close = qcow2_cursor_close,
	.cursor_memory = qcow2_cursor_memory,
	.extent = q2si_qcow2_extent,
	.read = q2si_qcow2_read,
	.will_read = q2si_qcow2_will_read,
	.file = qcow2_file,
	.unit = qcow2_unit,
	.be_strict = qcow2_be_strict,
	.cut = qcow2_cut,
	.close = qcow2_close,
};

/* The disk that @chain shows, which is taken over even on failure. */
static enum q2s_err
make_disk(struct q2si_chain *chain, size_t cache, struct q2s_disk **out, struct q2s_diag *diag)
{
	struct q2si_qcow2_disk *qcow2 = calloc(1, sizeof(*qcow2));
	enum q2s_err err;

	if (!qcow2) {
		q2si_chain_close(chain);
		return q2si_fail_nomem(diag, "disk");
	}
	qcow2->chain = *chain;
	err = q2si_shared_open(cache ? cache : Q2S_DISK_CACHE_DEFAULT, &qcow2->tables, diag);
	if (err == Q2S_OK)
		err = q2si_disk_init(&qcow2->disk, &qcow2_ops,
				     q2s_store_name(chain->layers[0].file), chain->layers[0].size,
				     diag);
	if (err != Q2S_OK) {
		qcow2_close(&qcow2->disk);
		return err;
	}
	for (size_t i = 0; i < chain->count; i++)
		qcow2->remote = qcow2->remote || q2s_store_is_remote(chain->layers[i].file) ||
				q2s_store_is_remote(chain->layers[i].data);
	*out = &qcow2->disk;
	return Q2S_OK;
}

enum q2s_err
q2s_disk_qcow2(struct q2s_store *file, const struct q2s_disk_qcow2_options *given,
	       struct q2s_disk **out, struct q2s_diag *diag)
{
	struct q2s_disk_qcow2_options options = Q2S_DISK_QCOW2_OPTIONS_INIT;
	struct q2si_chain chain;

	Q2SI_TRY(q2si_options_copy(&options, given, diag));
	Q2SI_TRY(q2si_chain_open(file, &options, &chain, diag));
	return make_disk(&chain, options.cache, out, diag);
}

enum q2s_err
q2s_disk_layers(struct q2s_store *const *files, size_t count, bool raw_bottom,
		const struct q2s_disk_qcow2_options *given, struct q2s_disk **out,
		struct q2s_diag *diag)
{
	struct q2s_disk_qcow2_options options = Q2S_DISK_QCOW2_OPTIONS_INIT;
	struct q2si_chain chain;

	Q2SI_TRY(q2si_options_copy(&options, given, diag));
	if (count == 0 || options.snapshot || options.below)
		return q2si_fail(diag, Q2S_E_USAGE, "layers", Q2S_NOWHERE, count,
				 "there are none, or only a part or a snapshot of them is wanted");
	Q2SI_TRY(q2si_chain_open_layers(files, count, raw_bottom, &options, &chain, diag));
	return make_disk(&chain, options.cache, out, diag);
}

enum q2s_err
q2s_disk_part(struct q2s_chain *layers, size_t first, size_t count,
	      const struct q2s_disk_qcow2_options *given, struct q2s_disk **out,
	      struct q2s_diag *diag)
{
	struct q2s_disk_qcow2_options options = Q2S_DISK_QCOW2_OPTIONS_INIT;
	struct q2si_chain chain;

	Q2SI_TRY(q2si_options_copy(&options, given, diag));
	if (count == 0 || first >= q2s_chain_count(layers) ||
	    count > q2s_chain_count(layers) - first || options.snapshot || options.below)
		return q2si_fail(diag, Q2S_E_USAGE, "layers", Q2S_NOWHERE, count,
				 "there are not so many, or a snapshot of them is wanted");
	Q2SI_TRY(q2si_chain_open_part(layers, first, count, &options, &chain, diag));
	return make_disk(&chain, options.cache, out, diag);
}
