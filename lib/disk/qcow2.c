/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A qcow2 image as a disk: its life, and that of its cursors. */
#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
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

/* The files of all layers from the top down; an external data file follows its image. */
static struct q2s_file *
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
	q2si_chain_close(&((struct q2si_qcow2_disk *)disk)->chain);
	free(disk);
}

static const struct q2si_disk_ops qcow2_ops = {
	.cursor_open = qcow2_cursor_open,
	.cursor_close = qcow2_cursor_close,
	.cursor_memory = qcow2_cursor_memory,
	.extent = q2si_qcow2_extent,
	.read = q2si_qcow2_read,
	.file = qcow2_file,
	.close = qcow2_close,
};

enum q2s_err
q2s_disk_qcow2(struct q2s_file *file, const struct q2s_disk_qcow2_options *options,
	       struct q2s_disk **out, struct q2s_diag *diag)
{
	const struct q2s_disk_qcow2_options none = { 0 };
	struct q2si_qcow2_disk *qcow2 = calloc(1, sizeof(*qcow2));
	enum q2s_err err;

	if (!qcow2)
		return q2si_fail_nomem(diag, "disk");
	err = q2si_chain_open(file, options ? options : &none, &qcow2->chain, diag);
	if (err == Q2S_OK)
		err = q2si_disk_init(&qcow2->disk, &qcow2_ops, q2s_file_name(file),
				     qcow2->chain.layers[0].size, diag);
	if (err != Q2S_OK) {
		qcow2_close(&qcow2->disk);
		return err;
	}
	*out = &qcow2->disk;
	return Q2S_OK;
}
