/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clusters of the image in memory: allocated one behind the other, refcount blocks as needed. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

void
must(enum q2s_err err, const struct q2s_diag *diag)
{
	char text[512];

	if (err == Q2S_OK)
		return;
	q2s_diag_format(diag, text, sizeof(text));
	die("%s", text);
}

static uint64_t
take_cluster(struct model *model, uint64_t count)
{
	if (model->clusters == MODEL_CLUSTERS)
		die("more than %u clusters", MODEL_CLUSTERS);
	model->counts[model->clusters] = count;
	return model->clusters++;
}

/* As in QEMU: a block that is needed lies right where the need arose, and counts itself. */
static void
make_room(struct model *model, uint64_t n)
{
	while ((model->clusters + n) >> model->geom.block_bits >= model->block_count) {
		if (model->block_count >= model->geom.cluster_size / Q2S_REFTABLE_ENTRY_SIZE ||
		    model->block_count >= sizeof(model->blocks) / sizeof(model->blocks[0]))
			die("more refcount blocks than one cluster of the table can hold");
		model->blocks[model->block_count++] = take_cluster(model, 1)
						      << model->geom.cluster_bits;
	}
}

uint64_t
model_alloc(struct model *model, uint64_t n, uint64_t count)
{
	uint64_t first, bytes;

	make_room(model, n);
	first = model->clusters;
	for (uint64_t i = 0; i < n; i++)
		take_cluster(model, count);
	bytes = model->clusters << model->geom.cluster_bits;
	model->bytes = realloc(model->bytes, bytes);
	if (!model->bytes)
		die("out of memory");
	/* What was taken by refcount blocks is new, too. */
	if (bytes > model->file_size)
		memset(model->bytes + model->file_size, 0, bytes - model->file_size);
	model->file_size = bytes;
	return first << model->geom.cluster_bits;
}

uint8_t *
model_at(struct model *model, uint64_t at, uint64_t len)
{
	const uint64_t have = model->clusters << model->geom.cluster_bits;

	if (at > have || len > have - at)
		die("0x%llx is past the end of the image", (unsigned long long)at);
	return model->bytes + at;
}

void
model_begin(struct model *model)
{
	struct q2s_diag diag = { 0 };
	uint64_t l1_bytes;

	if (model->begun)
		return;
	model->begun = true;
	model->params.data_file = model->data_file[0] != '\0';
	must(q2s_geom_init(&model->params, &model->geom, &diag), &diag);
	if (model->l1_entries == 0)
		model->l1_entries = (uint32_t)model->geom.l1_entries;
	model->counts = calloc(MODEL_CLUSTERS, sizeof(*model->counts));
	if (!model->counts)
		die("out of memory");
	take_cluster(model, 1);
	model->reftable = take_cluster(model, 1) << model->geom.cluster_bits;
	l1_bytes = (uint64_t)model->l1_entries * Q2S_L1_ENTRY_SIZE;
	model->l1 = model_alloc(
		model, (l1_bytes + model->geom.cluster_size - 1) >> model->geom.cluster_bits, 1);
	if (model->luks)
		model->crypto = model_alloc(model, 1, 1);
}
