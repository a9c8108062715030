/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fields that a spec can set, as bytes of the structures in place.c. */
#include <string.h>

#include "place.h"

/* ---- fields ------------------------------------------------------------------------------ */

/* @at, @bytes  within the structure; @mask 0: all bits */
struct layout {
	const char *name;
	unsigned at;
	unsigned bytes;
	uint64_t mask;
};

static const struct layout header_fields[] = {
	{ "magic", 0, 4, 0 },
	{ "version", 4, 4, 0 },
	{ "backing_file_offset", 8, 8, 0 },
	{ "backing_file_size", 16, 4, 0 },
	{ "cluster_bits", 20, 4, 0 },
	{ "size", 24, 8, 0 },
	{ "crypt_method", 32, 4, 0 },
	{ "l1_size", 36, 4, 0 },
	{ "l1_table_offset", 40, 8, 0 },
	{ "refcount_table_offset", 48, 8, 0 },
	{ "refcount_table_clusters", 56, 4, 0 },
	{ "nb_snapshots", 60, 4, 0 },
	{ "snapshots_offset", 64, 8, 0 },
	{ "incompatible_features", 72, 8, 0 },
	{ "compatible_features", 80, 8, 0 },
	{ "autoclear_features", 88, 8, 0 },
	{ "refcount_order", 96, 4, 0 },
	{ "header_length", 100, 4, 0 },
	{ "compression_type", 104, 1, 0 },
	{ "padding", 105, 1, 0 },
	{ NULL, 0, 0, 0 },
};

static const struct layout entry_fields[] = {
	{ "", 0, 8, 0 },
	{ "offset", 0, 8, Q2S_ENTRY_HOST_MASK },
	{ "copied", 0, 8, Q2S_ENTRY_COPIED },
	{ "compressed", 0, 8, Q2S_ENTRY_COMPRESSED },
	{ "zero", 0, 8, Q2S_ENTRY_ZERO },
	{ NULL, 0, 0, 0 },
};

static const struct layout extended_fields[] = {
	{ "bitmap", 8, 8, 0 },
	{ "zeros", 8, 4, 0 },
	{ "alloc", 12, 4, 0 },
	{ NULL, 0, 0, 0 },
};

static const struct layout snapshot_fields[] = {
	{ "l1_table_offset", 0, 8, 0 },
	{ "l1_size", 8, 4, 0 },
	{ "id_size", 12, 2, 0 },
	{ "name_size", 14, 2, 0 },
	{ "vm_state_size", 32, 4, 0 },
	{ "extra_size", 36, 4, 0 },
	{ "vm_state_size_large", 40, 8, 0 },
	{ "disk_size", 48, 8, 0 },
	{ "id", 64, 1, 0 },
	{ NULL, 0, 0, 0 },
};

static const struct layout bitmap_fields[] = {
	{ "table_offset", 0, 8, 0 },
	{ "table_size", 8, 4, 0 },
	{ "flags", 12, 4, 0 },
	{ "type", 16, 1, 0 },
	{ "granularity_bits", 17, 1, 0 },
	{ "name_size", 18, 2, 0 },
	{ "extra_size", 20, 4, 0 },
	{ "name", 24, 1, 0 },
	{ NULL, 0, 0, 0 },
};

/* From the record's head on: the data of those that are known follow at 8. */
static const struct layout extension_fields[] = {
	{ "type", 0, 4, 0 },
	{ "length", 4, 4, 0 },
	{ "nb_bitmaps", 8, 4, 0 },
	{ "reserved", 12, 4, 0 },
	{ "directory_size", 16, 8, 0 },
	{ "directory_offset", 24, 8, 0 },
	{ "crypto_offset", 8, 8, 0 },
	{ "crypto_length", 16, 8, 0 },
	{ NULL, 0, 0, 0 },
};

/* Offsets are written as offsets; single bits as 0 or 1. */
static struct field
field_of(const struct layout *layout, uint64_t base)
{
	const uint64_t all = UINT64_MAX >> (64 - 8 * layout->bytes);

	return (struct field){
		.at = base + layout->at,
		.bytes = layout->bytes,
		.mask = layout->mask ? layout->mask : all,
		.shift = layout->mask && !(layout->mask & (layout->mask - 1))
				 ? (unsigned)__builtin_ctzll(layout->mask)
				 : 0,
	};
}

static const struct layout *
layout_find(const struct layout *layout, const char *name)
{
	for (; layout->name; layout++)
		if (strcmp(layout->name, name) == 0)
			return layout;
	return NULL;
}

/* ---- where the fields begin --------------------------------------------------------------- */

/* Element @which, of @size bytes, of the table that the path's name stands for. */
static enum q2s_err
element(struct model *model, const struct path *path, unsigned which, uint64_t limit, size_t size,
	uint64_t *out)
{
	uint64_t index = 0;
	enum q2s_err err = path_offset(model, path, out);

	if (err == Q2S_OK)
		err = path_index(model, path, which, limit, &index);
	*out += index * size;
	return err;
}

static enum q2s_err
l1_base(struct model *model, const struct path *path, uint64_t *out)
{
	return element(model, path, 0, model->l1_entries, Q2S_L1_ENTRY_SIZE, out);
}

static enum q2s_err
l2_base(struct model *model, const struct path *path, uint64_t *out)
{
	return element(model, path, 1, model->geom.l2_entries, model->geom.l2_entry_size, out);
}

static enum q2s_err
reftable_base(struct model *model, const struct path *path, uint64_t *out)
{
	const uint64_t bytes = (uint64_t)model->reftable_clusters * model->geom.cluster_size;

	return element(model, path, 0, bytes / Q2S_REFTABLE_ENTRY_SIZE, Q2S_REFTABLE_ENTRY_SIZE,
		       out);
}

static enum q2s_err
snapshot_l1_base(struct model *model, const struct path *path, uint64_t *out)
{
	return element(model, path, 1, model->l1_entries, Q2S_L1_ENTRY_SIZE, out);
}

static enum q2s_err
bitmap_table_base(struct model *model, const struct path *path, uint64_t *out)
{
	return element(model, path, 1, model->geom.cluster_size / 8, 8, out);
}

static enum q2s_err
snapshot_base(struct model *model, const struct path *path, uint64_t *out)
{
	uint64_t index;
	const enum q2s_err err = path_index(model, path, 0, model->snapshot_count, &index);

	if (err == Q2S_OK)
		*out = model->snapshots[index].at;
	return err;
}

static enum q2s_err
bitmap_base(struct model *model, const struct path *path, uint64_t *out)
{
	uint64_t index;
	const enum q2s_err err = path_index(model, path, 0, model->bitmap_count, &index);

	if (err == Q2S_OK)
		*out = model->bitmaps[index].at;
	return err;
}

static enum q2s_err
extension_base(struct model *model, const struct path *path, uint64_t *out)
{
	uint64_t index;
	const enum q2s_err err = path_index(model, path, 0, model->extension_count, &index);

	if (err == Q2S_OK)
		*out = model->extensions[index].at;
	return err;
}

/* ---- fields by name ----------------------------------------------------------------------- */

static const struct kind {
	const char *name;
	enum q2s_err (*base)(struct model *, const struct path *, uint64_t *);
	const struct layout *fields;
} kinds[] = {
	{ "header", path_offset, header_fields },
	{ "l1", l1_base, entry_fields },
	{ "l2", l2_base, entry_fields },
	{ "reftable", reftable_base, entry_fields },
	{ "snapshot", snapshot_base, snapshot_fields },
	{ "snapshot_l1", snapshot_l1_base, entry_fields },
	{ "bitmap", bitmap_base, bitmap_fields },
	{ "bitmap_table", bitmap_table_base, entry_fields },
	{ "extension", extension_base, extension_fields },
};

static enum q2s_err
refcount_field(struct model *model, const struct path *path, struct field *out)
{
	const struct q2s_geom *const geom = &model->geom;
	const uint64_t limit = (uint64_t)model->block_count << geom->block_bits;
	uint64_t cluster;

	if (path_index(model, path, 0, limit, &cluster) != Q2S_OK)
		return model->diag.err;
	*out = (struct field){
		.is_refcount = true,
		.block = model->blocks[cluster >> geom->block_bits],
		.index = (uint32_t)cluster & (geom->block_entries - 1),
	};
	out->at = out->block + (((uint64_t)out->index << geom->refcount_order) >> 3);
	return Q2S_OK;
}

/* u8[OFFSET], u16, u32, u64: any bytes. */
static enum q2s_err
raw_field(struct model *model, const struct path *path, struct field *out)
{
	static const struct layout widths[] = {
		{ "u8", 0, 1, 0 },  { "u16", 0, 2, 0 }, { "u32", 0, 4, 0 },
		{ "u64", 0, 8, 0 }, { NULL, 0, 0, 0 },
	};
	const struct layout *const found = layout_find(widths, path->name);
	uint64_t at;

	if (!found)
		return model_fail(model, "nothing is called '%s'", path->name);
	if (path_index(model, path, 0, UINT64_MAX, &at) != Q2S_OK)
		return model->diag.err;
	*out = field_of(found, at);
	return Q2S_OK;
}

static enum q2s_err
field_in(struct model *model, const struct kind *kind, const struct path *path, struct field *out)
{
	const bool extended = model->geom.extended && kind->base == l2_base;
	const struct layout *found = extended ? layout_find(extended_fields, path->field) : NULL;
	uint64_t base = 0;

	if (!found)
		found = layout_find(kind->fields, path->field);
	if (!found)
		return model_fail(model, "%s has no field '%s'", path->name, path->field);
	if (kind->base(model, path, &base) != Q2S_OK)
		return model->diag.err;
	*out = field_of(found, base);
	return Q2S_OK;
}

enum q2s_err
place_field(struct model *model, const char **text, struct field *out)
{
	struct path path;

	*out = (struct field){ 0 };
	if (path_parse(model, text, &path) != Q2S_OK)
		return model->diag.err;
	if (strcmp(path.name, "refcount") == 0)
		return refcount_field(model, &path, out);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(path.name, kinds[i].name) == 0)
			return field_in(model, &kinds[i], &path, out);
	return raw_field(model, &path, out);
}
