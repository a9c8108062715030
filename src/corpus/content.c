/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guest sees: data, zeros, compressed clusters, sharing, snapshots; and bitmaps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "model.h"

/* ---- guest clusters ---------------------------------------------------------------------- */

/* A pattern that tells clusters apart, and that does not compress to nothing. */
static void
fill(uint8_t *data, uint32_t size, uint64_t guest)
{
	uint32_t state = (uint32_t)guest * 2654435761u + 1;

	for (uint32_t i = 0; i < size; i++) {
		if (i % 16 == 0)
			state = state * 1664525u + 1013904223u;
		data[i] = (uint8_t)(state >> 24);
	}
}

enum q2s_err
model_data(struct model *model, uint64_t guest, uint32_t alloc, uint32_t zero)
{
	const uint32_t size = model->geom.cluster_size;
	struct q2s_l2_entry entry = {
		.has_host = true, .copied = true, .alloc = alloc, .zero = zero
	};
	struct q2s_l2_entry old;
	uint8_t *data;

	if (model_l2_get(model, guest, &old) != Q2S_OK) /* so that the table lies before its data */
		return model->diag.err;
	if (model->geom.data_file) {
		entry.host.v = guest << model->geom.cluster_bits;
		return model_l2_put(model, guest, &entry);
	}
	entry.host.v = model_alloc(model, 1, 1);
	data = entry.host.v ? model_at(model, entry.host.v, size) : NULL;
	if (!data)
		return model->diag.err;
	fill(data, size, guest);
	return model_l2_put(model, guest, &entry);
}

enum q2s_err
model_zero(struct model *model, uint64_t guest)
{
	const struct q2s_l2_entry entry = { .zero = model->geom.sub_mask };

	return model_l2_put(model, guest, &entry);
}

/* Where a stream of @len bytes goes: behind the last one if it fits there, else a new cluster. */
static uint8_t *
stream_place(struct model *model, size_t len)
{
	const uint32_t size = model->geom.cluster_size;
	const uint64_t room = model->stream_at ? size - (model->stream_at & (size - 1)) : 0;

	if (model->stream_at == 0 || room == size || len > room)
		model->stream_at = model_alloc(model, (len + size - 1) / size, 0);
	return model->stream_at ? model_at(model, model->stream_at, len) : NULL;
}

/* @buf: room for the cluster, and for twice of it behind. */
static enum q2s_err
compress_into(struct model *model, uint64_t guest, uint8_t *buf)
{
	const uint32_t size = model->geom.cluster_size;
	struct q2s_l2_entry entry = { .compressed = true };
	uint8_t *place;
	size_t len;

	fill(buf, size, guest);
	len = model_compress(model, buf, buf + size);
	place = len ? stream_place(model, len) : NULL;
	if (!place)
		return model->diag.err;
	memcpy(place, buf + size, len);
	entry.comp_at.v = model->stream_at;
	entry.comp_bytes = (uint32_t)len;
	model->stream_at += len;
	model_count(model, &entry, 1);
	return model_l2_put(model, guest, &entry);
}

enum q2s_err
model_compressed(struct model *model, uint64_t guest)
{
	uint8_t *const buf = malloc(3 * (size_t)model->geom.cluster_size);
	struct q2s_l2_entry old;
	enum q2s_err err = buf ? model_l2_get(model, guest, &old)
			       : fault_nomem(&model->diag, "spec");

	if (err == Q2S_OK)
		err = compress_into(model, guest, buf);
	free(buf);
	return err;
}

/* ---- sharing ----------------------------------------------------------------------------- */

enum q2s_err
model_share(struct model *model, uint64_t guest, uint64_t other)
{
	struct q2s_l2_entry entry;

	if (model_l2_get(model, other, &entry) != Q2S_OK)
		return model->diag.err;
	entry.copied = model->geom.data_file;
	model_count(model, &entry, 2); /* one is lost when @other is put again */
	if (model_l2_put(model, other, &entry) != Q2S_OK)
		return model->diag.err;
	return model_l2_put(model, guest, &entry);
}

/* One more reference to all that a table maps, and COPIED no longer but in a data file. */
static enum q2s_err
share_entries(struct model *model, uint64_t table)
{
	const struct q2s_geom *const geom = &model->geom;
	uint8_t *raw = model_at(model, table, geom->cluster_size);

	if (!raw)
		return model->diag.err;
	for (uint32_t i = 0; i < geom->l2_entries; i++, raw += geom->l2_entry_size) {
		struct q2s_l2_entry entry;

		if (q2s_l2_decode(geom, raw, Q2S_NOWHERE, &entry, &model->diag) != Q2S_OK)
			return model->diag.err;
		entry.copied = geom->data_file && entry.has_host;
		model_count(model, &entry, 1);
		if (q2s_l2_encode(geom, &entry, raw, &model->diag) != Q2S_OK)
			return model->diag.err;
	}
	model->counts[table >> geom->cluster_bits]++;
	return Q2S_OK;
}

enum q2s_err
model_share_table(struct model *model, uint64_t index, uint64_t other)
{
	uint64_t table = 0;
	enum q2s_err err = model_own_table(model, other, &table);

	if (err == Q2S_OK)
		err = share_entries(model, table);
	if (err == Q2S_OK)
		err = model_l1_put(model, index, table, false);
	if (err == Q2S_OK)
		err = model_l1_put(model, other, table, false);
	return err;
}

/* ---- snapshots --------------------------------------------------------------------------- */

static enum q2s_err
share_with_snapshot(struct model *model, uint64_t index)
{
	struct q2s_l1_entry l1;

	if (model_l1_get(model, index, &l1) != Q2S_OK)
		return model->diag.err;
	if (l1.l2.v == 0)
		return Q2S_OK;
	if (share_entries(model, l1.l2.v) != Q2S_OK)
		return model->diag.err;
	return model_l1_put(model, index, l1.l2.v, false);
}

enum q2s_err
model_snapshot(struct model *model, const char *name, uint64_t vm_state_size)
{
	const uint64_t bytes = (uint64_t)model->l1_entries * Q2S_L1_ENTRY_SIZE;
	const uint64_t size = model->geom.cluster_size;
	struct model_snapshot *snapshot;
	const uint8_t *from;
	uint8_t *to;

	if (model->snapshot_count == MODEL_ITEMS)
		return model_fail(model, "too many snapshots");
	snapshot = &model->snapshots[model->snapshot_count++];
	snprintf(snapshot->name, sizeof(snapshot->name), "%s", name);
	snapshot->vm_state_size = vm_state_size;
	snapshot->l1_entries = model->l1_entries;
	snapshot->l1 = model_alloc(model, (bytes + size - 1) / size, 1);
	for (uint64_t i = 0; snapshot->l1 && i < model->l1_entries; i++)
		if (share_with_snapshot(model, i) != Q2S_OK)
			return model->diag.err;
	to = snapshot->l1 ? model_at(model, snapshot->l1, bytes) : NULL;
	from = to ? model_at(model, model->l1, bytes) : NULL;
	if (!from)
		return model->diag.err;
	memcpy(to, from, bytes);
	return Q2S_OK;
}

/* ---- bitmaps and extensions -------------------------------------------------------------- */

/* The first entry of a bitmap's table: a cluster of its own, or what stands for one. */
static enum q2s_err
first_bits(struct model *model, enum model_bits bits, struct q2s_bitmap_table_entry *out)
{
	uint8_t *data;

	*out = (struct q2s_bitmap_table_entry){ .ones = bits == MODEL_BITS_ONES };
	if (bits != MODEL_BITS_DATA)
		return Q2S_OK;
	out->cluster.v = model_alloc(model, 1, 1);
	data = out->cluster.v ? model_at(model, out->cluster.v, 1) : NULL;
	if (!data)
		return model->diag.err;
	*data = 1;
	return Q2S_OK;
}

enum q2s_err
model_bitmap(struct model *model, const char *name, uint64_t granularity, uint32_t flags,
	     enum model_bits bits)
{
	const uint64_t size = model->geom.cluster_size;
	const uint64_t count = (model->geom.size + granularity - 1) / granularity;
	const uint64_t entries = (count + 8 * size - 1) / (8 * size);
	struct q2s_bitmap_table_entry entry;
	struct model_bitmap *bitmap;
	uint8_t *raw;

	if (model->bitmap_count == MODEL_ITEMS)
		return model_fail(model, "too many bitmaps");
	bitmap = &model->bitmaps[model->bitmap_count++];
	snprintf(bitmap->name, sizeof(bitmap->name), "%s", name);
	bitmap->granularity_bits = (uint8_t)__builtin_ctzll(granularity);
	bitmap->flags = flags;
	bitmap->entries = (uint32_t)entries;
	bitmap->table = model_alloc(model, (8 * entries + size - 1) / size, 1);
	if (!bitmap->table || first_bits(model, bits, &entry) != Q2S_OK)
		return model->diag.err;
	raw = model_at(model, bitmap->table, 8);
	return raw ? q2s_bitmap_table_encode(&model->geom, &entry, raw, &model->diag)
		   : model->diag.err;
}

enum q2s_err
model_extension(struct model *model, uint32_t type, const void *data, uint32_t len)
{
	struct model_extension *extension;

	if (model->extension_count == MODEL_ITEMS || len > sizeof(extension->data))
		return model_fail(model, "too many extensions, or one too large");
	extension = &model->extensions[model->extension_count++];
	extension->type = type;
	extension->len = len;
	memcpy(extension->data, data, len);
	return Q2S_OK;
}
