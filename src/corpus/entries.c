/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The active L1 and L2 tables of the image in memory, and the references of what they map. */
#include <string.h>

#include "model.h"

static uint64_t
cluster_of(const struct model *model, uint64_t at)
{
	return at >> model->geom.cluster_bits;
}

/* ---- L1 ---------------------------------------------------------------------------------- */

static uint8_t *
l1_at(struct model *model, uint64_t index)
{
	if (index >= model->l1_entries) {
		model_fail(model, "the L1 table has no entry %llu", (unsigned long long)index);
		return NULL;
	}
	return model_at(model, model->l1 + index * Q2S_L1_ENTRY_SIZE, Q2S_L1_ENTRY_SIZE);
}

enum q2s_err
model_l1_get(struct model *model, uint64_t index, struct q2s_l1_entry *out)
{
	const uint8_t *const raw = l1_at(model, index);

	if (!raw)
		return model->diag.err;
	return q2s_l1_decode(&model->geom, raw, Q2S_NOWHERE, out, &model->diag);
}

enum q2s_err
model_l1_put(struct model *model, uint64_t index, uint64_t l2, bool copied)
{
	const struct q2s_l1_entry entry = { .l2 = { l2 }, .copied = copied };
	uint8_t *const raw = l1_at(model, index);

	if (!raw)
		return model->diag.err;
	return q2s_l1_encode(&model->geom, &entry, raw, &model->diag);
}

enum q2s_err
model_own_table(struct model *model, uint64_t index, uint64_t *out)
{
	const uint32_t size = model->geom.cluster_size;
	struct q2s_l1_entry entry;
	uint8_t *to;
	const uint8_t *from;

	if (model_l1_get(model, index, &entry) != Q2S_OK)
		return model->diag.err;
	*out = entry.l2.v;
	if (entry.l2.v && model->counts[cluster_of(model, entry.l2.v)] == 1)
		return Q2S_OK;
	*out = model_alloc(model, 1, 1);
	if (*out && entry.l2.v) {
		to = model_at(model, *out, size);
		from = model_at(model, entry.l2.v, size);
		if (to && from)
			memcpy(to, from, size);
		model->counts[cluster_of(model, entry.l2.v)]--;
	}
	if (model->diag.err != Q2S_OK)
		return model->diag.err;
	return model_l1_put(model, index, *out, true);
}

/* ---- L2 ---------------------------------------------------------------------------------- */

static uint8_t *
l2_at(struct model *model, uint64_t guest)
{
	const struct q2s_geom *const geom = &model->geom;
	const uint64_t index = guest & (geom->l2_entries - 1);
	uint64_t table;

	if (model_own_table(model, guest >> geom->l2_bits, &table) != Q2S_OK)
		return NULL;
	return model_at(model, table + index * geom->l2_entry_size, geom->l2_entry_size);
}

enum q2s_err
model_l2_get(struct model *model, uint64_t guest, struct q2s_l2_entry *out)
{
	const uint8_t *const raw = l2_at(model, guest);

	if (!raw)
		return model->diag.err;
	return q2s_l2_decode(&model->geom, raw, Q2S_NOWHERE, out, &model->diag);
}

enum q2s_err
model_l2_put(struct model *model, uint64_t guest, const struct q2s_l2_entry *entry)
{
	struct q2s_l2_entry old;

	if (model_l2_get(model, guest, &old) != Q2S_OK)
		return model->diag.err;
	model_count(model, &old, -1);
	return q2s_l2_encode(&model->geom, entry, l2_at(model, guest), &model->diag);
}

void
model_count(struct model *model, const struct q2s_l2_entry *entry, int delta)
{
	struct q2s_comp_range range = { entry->host, entry->has_host ? 1 : 0 };

	if (model->geom.data_file)
		return;
	if (entry->compressed)
		range = q2s_comp_sectors(entry->comp_at, entry->comp_bytes);
	if (range.bytes == 0)
		return;
	for (uint64_t c = cluster_of(model, range.first.v);
	     c <= cluster_of(model, range.first.v + range.bytes - 1) && c < MODEL_CLUSTERS; c++)
		model->counts[c] += (uint64_t)delta;
}
