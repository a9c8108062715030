/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guest sees: data, zeros, compressed clusters, sharing, snapshots. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t
cluster_of(const struct model *model, uint64_t at)
{
	return at >> model->geom.cluster_bits;
}

/* ---- L1 and L2 --------------------------------------------------------------------------- */

static struct q2s_l1_entry
l1_get(struct model *model, uint64_t index)
{
	struct q2s_l1_entry entry;
	struct q2s_diag diag = { 0 };

	if (index >= model->l1_entries)
		die("the L1 table has no entry %llu", (unsigned long long)index);
	must(q2s_l1_decode(&model->geom, model_at(model, model->l1 + 8 * index, 8), Q2S_NOWHERE,
			   &entry, &diag),
	     &diag);
	return entry;
}

static void
l1_put(struct model *model, uint64_t index, uint64_t l2, bool copied)
{
	const struct q2s_l1_entry entry = { .l2 = { l2 }, .copied = copied };
	struct q2s_diag diag = { 0 };

	must(q2s_l1_encode(&model->geom, &entry, model_at(model, model->l1 + 8 * index, 8), &diag),
	     &diag);
}

/* The L2 table of an L1 entry, private to the active table: allocated or copied as needed. */
static uint64_t
own_table(struct model *model, uint64_t index)
{
	const struct q2s_l1_entry entry = l1_get(model, index);
	const uint32_t size = model->geom.cluster_size;
	uint64_t table;

	if (entry.l2.v && model->counts[cluster_of(model, entry.l2.v)] == 1)
		return entry.l2.v;
	table = model_alloc(model, 1, 1);
	if (entry.l2.v) {
		memcpy(model_at(model, table, size), model_at(model, entry.l2.v, size), size);
		model->counts[cluster_of(model, entry.l2.v)]--;
	}
	l1_put(model, index, table, true);
	return table;
}

uint8_t *
model_entry(struct model *model, uint64_t guest)
{
	const struct q2s_geom *geom = &model->geom;
	const uint64_t table = own_table(model, guest >> geom->l2_bits);
	const uint64_t index = guest & (geom->l2_entries - 1);

	return model_at(model, table + index * geom->l2_entry_size, geom->l2_entry_size);
}

struct q2s_l2_entry
model_entry_get(struct model *model, uint64_t guest)
{
	struct q2s_l2_entry entry;
	struct q2s_diag diag = { 0 };

	must(q2s_l2_decode(&model->geom, model_entry(model, guest), Q2S_NOWHERE, &entry, &diag),
	     &diag);
	return entry;
}

/* Add @delta to the counts of all that an entry refers to. */
static void
count(struct model *model, const struct q2s_l2_entry *entry, int delta)
{
	struct q2s_comp_range range = { entry->host, entry->has_host ? 1 : 0 };

	if (model->geom.data_file)
		return;
	if (entry->compressed)
		range = q2s_comp_sectors(entry->comp_at, entry->comp_bytes);
	if (range.bytes == 0)
		return;
	for (uint64_t c = cluster_of(model, range.first.v);
	     c <= cluster_of(model, range.first.v + range.bytes - 1); c++)
		model->counts[c] += (uint64_t)delta;
}

/* Put an entry whose references are already counted; what was there before loses its own. */
static void
entry_put(struct model *model, uint64_t guest, const struct q2s_l2_entry *entry)
{
	const struct q2s_l2_entry old = model_entry_get(model, guest);
	struct q2s_diag diag = { 0 };

	count(model, &old, -1);
	must(q2s_l2_encode(&model->geom, entry, model_entry(model, guest), &diag), &diag);
}

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

void
model_data(struct model *model, uint64_t guest, uint32_t alloc, uint32_t zero)
{
	const uint32_t size = model->geom.cluster_size;
	struct q2s_l2_entry entry = {
		.has_host = true, .copied = true, .alloc = alloc, .zero = zero
	};

	model_entry(model, guest); /* so that the table lies before its data */
	if (model->geom.data_file) {
		entry.host.v = guest << model->geom.cluster_bits;
	} else {
		entry.host.v = model_alloc(model, 1, 1);
		fill(model_at(model, entry.host.v, size), size, guest);
	}
	entry_put(model, guest, &entry);
}

void
model_zero(struct model *model, uint64_t guest)
{
	const struct q2s_l2_entry entry = { .zero = model->geom.sub_mask };

	entry_put(model, guest, &entry);
}

/* Where a stream of @len bytes goes: behind the last one if it fits there, else a new cluster. */
static uint64_t
stream_place(struct model *model, size_t len)
{
	const uint32_t size = model->geom.cluster_size;
	const uint64_t room = model->stream_at ? size - (model->stream_at & (size - 1)) : 0;

	if (model->stream_at == 0 || room == size || len > room)
		model->stream_at = model_alloc(model, (len + size - 1) / size, 0);
	return model->stream_at;
}

void
model_compressed(struct model *model, uint64_t guest)
{
	const uint32_t size = model->geom.cluster_size;
	uint8_t *buf = malloc(3 * (size_t)size);
	struct q2s_l2_entry entry = { .compressed = true };
	size_t len;

	if (!buf)
		die("out of memory");
	model_entry(model, guest);
	fill(buf, size, guest);
	len = model_compress(model, buf, buf + size);
	entry.comp_at.v = stream_place(model, len);
	entry.comp_bytes = (uint32_t)len;
	memcpy(model_at(model, entry.comp_at.v, len), buf + size, len);
	model->stream_at += len;
	free(buf);
	count(model, &entry, 1);
	entry_put(model, guest, &entry);
}

void
model_share(struct model *model, uint64_t guest, uint64_t other)
{
	struct q2s_l2_entry entry = model_entry_get(model, other);
	struct q2s_diag diag = { 0 };

	entry.copied = model->geom.data_file;
	count(model, &entry, 1);
	must(q2s_l2_encode(&model->geom, &entry, model_entry(model, other), &diag), &diag);
	entry_put(model, guest, &entry);
}

void
model_share_table(struct model *model, uint64_t index, uint64_t other)
{
	const uint64_t table = own_table(model, other);
	const uint64_t first = other << model->geom.l2_bits;

	for (uint32_t i = 0; i < model->geom.l2_entries; i++) {
		struct q2s_l2_entry entry = model_entry_get(model, first + i);
		struct q2s_diag diag = { 0 };

		entry.copied = false;
		count(model, &entry, 1);
		must(q2s_l2_encode(&model->geom, &entry, model_entry(model, first + i), &diag),
		     &diag);
	}
	model->counts[cluster_of(model, table)]++;
	l1_put(model, index, table, false);
	l1_put(model, other, table, false);
}

/* ---- snapshots --------------------------------------------------------------------------- */

/* What a snapshot shares with the active layer: one more reference, and COPIED no longer. */
static void
share_with_snapshot(struct model *model, uint64_t index)
{
	const struct q2s_geom *geom = &model->geom;
	const struct q2s_l1_entry l1 = l1_get(model, index);

	if (l1.l2.v == 0)
		return;
	for (uint32_t i = 0; i < geom->l2_entries; i++) {
		uint8_t *raw =
			model_at(model, l1.l2.v + i * geom->l2_entry_size, geom->l2_entry_size);
		struct q2s_l2_entry entry;
		struct q2s_diag diag = { 0 };

		must(q2s_l2_decode(geom, raw, Q2S_NOWHERE, &entry, &diag), &diag);
		entry.copied = geom->data_file && entry.has_host;
		count(model, &entry, 1);
		must(q2s_l2_encode(geom, &entry, raw, &diag), &diag);
	}
	model->counts[cluster_of(model, l1.l2.v)]++;
	l1_put(model, index, l1.l2.v, false);
}

void
model_snapshot(struct model *model, const char *name, uint64_t vm_state_size)
{
	const uint64_t bytes = (uint64_t)model->l1_entries * Q2S_L1_ENTRY_SIZE;
	const uint64_t size = model->geom.cluster_size;
	struct model_snapshot *snapshot;

	if (model->snapshot_count == MODEL_ITEMS)
		die("too many snapshots");
	snapshot = &model->snapshots[model->snapshot_count++];
	snprintf(snapshot->name, sizeof(snapshot->name), "%s", name);
	snapshot->vm_state_size = vm_state_size;
	snapshot->l1_entries = model->l1_entries;
	snapshot->l1 = model_alloc(model, (bytes + size - 1) / size, 1);
	for (uint64_t i = 0; i < model->l1_entries; i++)
		share_with_snapshot(model, i);
	memcpy(model_at(model, snapshot->l1, bytes), model_at(model, model->l1, bytes), bytes);
}

/* ---- bitmaps and extensions -------------------------------------------------------------- */

void
model_bitmap(struct model *model, const char *name, uint64_t granularity, uint32_t flags)
{
	const uint64_t size = model->geom.cluster_size;
	const uint64_t bits = (model->geom.size + granularity - 1) / granularity;
	const uint64_t entries = (bits + 8 * size - 1) / (8 * size);
	struct q2s_bitmap_table_entry entry = { 0 };
	struct q2s_diag diag = { 0 };
	struct model_bitmap *bitmap;

	if (model->bitmap_count == MODEL_ITEMS)
		die("too many bitmaps");
	bitmap = &model->bitmaps[model->bitmap_count++];
	snprintf(bitmap->name, sizeof(bitmap->name), "%s", name);
	bitmap->granularity_bits = (uint8_t)__builtin_ctzll(granularity);
	bitmap->flags = flags;
	bitmap->entries = (uint32_t)entries;
	bitmap->table = model_alloc(model, (8 * entries + size - 1) / size, 1);
	entry.cluster.v = model_alloc(model, 1, 1);
	*model_at(model, entry.cluster.v, 1) = 1;
	must(q2s_bitmap_table_encode(&model->geom, &entry, model_at(model, bitmap->table, 8),
				     &diag),
	     &diag);
}

void
model_extension(struct model *model, uint32_t type, const void *data, uint32_t len)
{
	struct model_extension *extension;

	if (model->extension_count == MODEL_ITEMS || len > sizeof(extension->data))
		die("too many extensions, or one too large");
	extension = &model->extensions[model->extension_count++];
	extension->type = type;
	extension->len = len;
	memcpy(extension->data, data, len);
}
