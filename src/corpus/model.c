/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clusters of the image in memory: allocated one behind the other, refcount blocks as needed. */
#include "model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"

enum q2s_err
model_fail(struct model *model, const char *fmt, ...)
{
	char text[Q2S_DIAG_TEXT];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return fault(&model->diag, Q2S_E_USAGE, "spec", "%s", text);
}

struct model *
model_new(void)
{
	struct model *const model = calloc(1, sizeof(*model));

	if (!model)
		return NULL;
	model->params.version = 3;
	model->params.cluster_bits = Q2S_CLUSTER_BITS_DEFAULT;
	model->params.refcount_order = 4;
	model->params.size = 1 << 20;
	model->header_length = Q2S_HEADER_V3_SIZE;
	model->reftable_clusters = 1;
	return model;
}

void
model_free(struct model *model)
{
	if (!model)
		return;
	free(model->bytes);
	free(model->counts);
	free(model);
}

/* ---- clusters ---------------------------------------------------------------------------- */

/* Take @n host clusters from where the next ones are due; true, or a failure. */
static bool
take_clusters(struct model *model, uint64_t n, uint64_t count)
{
	if (n > MODEL_CLUSTERS || model->next > MODEL_CLUSTERS - n) {
		model_fail(model, "more than %u clusters", MODEL_CLUSTERS);
		return false;
	}
	for (uint64_t end = model->next + n; model->next < end; model->next++) {
		if (model->counts[model->next]) {
			model_fail(model, "host cluster %llu is taken",
				   (unsigned long long)model->next);
			return false;
		}
		model->counts[model->next] = count;
	}
	if (model->clusters < model->next)
		model->clusters = model->next;
	return true;
}

/* As in QEMU: a block that is needed lies right where the need arose, and counts itself. */
static bool
make_room(struct model *model, uint64_t n)
{
	const uint64_t most = (uint64_t)model->reftable_clusters * model->geom.cluster_size /
			      Q2S_REFTABLE_ENTRY_SIZE;

	for (;;) {
		const uint64_t end = model->next + n > model->clusters ? model->next + n
									: model->clusters;

		if (end >> model->geom.block_bits < model->block_count)
			return true;
		if (model->block_count >= most || model->block_count >= MODEL_BLOCKS) {
			model_fail(model, "more refcount blocks than the table can hold");
			return false;
		}
		model->blocks[model->block_count++] = model->next << model->geom.cluster_bits;
		if (!take_clusters(model, 1, 1))
			return false;
	}
}

/* Make @bytes as long as the file; what is new is zero. */
static bool
grow(struct model *model)
{
	const uint64_t bytes = model->clusters << model->geom.cluster_bits;
	uint8_t *const grown = realloc(model->bytes, bytes);

	if (!grown) {
		fault_nomem(&model->diag, "spec");
		return false;
	}
	model->bytes = grown;
	if (bytes > model->file_size)
		memset(model->bytes + model->file_size, 0, bytes - model->file_size);
	model->file_size = bytes;
	return true;
}

uint64_t
model_alloc(struct model *model, uint64_t n, uint64_t count)
{
	uint64_t first;

	if (!make_room(model, n))
		return 0;
	first = model->next;
	if (!take_clusters(model, n, count) || !grow(model))
		return 0;
	return first << model->geom.cluster_bits;
}

uint8_t *
model_at(struct model *model, uint64_t at, uint64_t len)
{
	const uint64_t have = model->clusters << model->geom.cluster_bits;

	if (at > have || len > have - at) {
		model_fail(model, "0x%llx is past the end of the image", (unsigned long long)at);
		return NULL;
	}
	return model->bytes + at;
}

/* ---- the first structures ---------------------------------------------------------------- */

/* The header, wherever `at` says that the rest shall lie, and the refcount table. */
static bool
take_first(struct model *model)
{
	const uint64_t wanted = model->next;

	model->next = 0;
	if (!take_clusters(model, 1, 1))
		return false;
	if (wanted)
		model->next = wanted;
	model->reftable = model->next << model->geom.cluster_bits;
	return take_clusters(model, model->reftable_clusters, 1);
}

enum q2s_err
model_begin(struct model *model)
{
	uint64_t l1_bytes;

	if (model->begun)
		return Q2S_OK;
	model->begun = true;
	model->params.data_file = model->data_file[0] != '\0';
	if (q2s_geom_init(&model->params, &model->geom, &model->diag) != Q2S_OK)
		return model->diag.err;
	if (model->l1_entries == 0)
		model->l1_entries = (uint32_t)model->geom.l1_entries;
	model->counts = calloc(MODEL_CLUSTERS, sizeof(*model->counts));
	if (!model->counts)
		return fault_nomem(&model->diag, "spec");
	if (!take_first(model))
		return model->diag.err;
	l1_bytes = (uint64_t)model->l1_entries * Q2S_L1_ENTRY_SIZE;
	model->l1 = model_alloc(
		model, (l1_bytes + model->geom.cluster_size - 1) >> model->geom.cluster_bits, 1);
	if (model->l1 && model->luks)
		model->crypto = model_alloc(model, 1, 1);
	return model->diag.err;
}
