/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fields that a spec can set, as bytes of the structures in place.c. */
#include <string.h>

#include <q2s/fields.h>

#include "place.h"

/* ---- fields ------------------------------------------------------------------------------ */

/* @at, @bytes  within the structure; @mask 0: all bits */
struct layout {
	const char *name;
	unsigned at;
	unsigned bytes;
	uint64_t mask;
};

/* What is no field of the format's, beside those of q2s_fields(). */
static const struct layout header_more[] = { { "padding", 105, 1, 0 }, { NULL, 0, 0, 0 } };
static const struct layout snapshot_more[] = { { "id", 64, 1, 0 }, { NULL, 0, 0, 0 } };
static const struct layout bitmap_more[] = { { "name", 24, 1, 0 }, { NULL, 0, 0, 0 } };

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
	for (; layout && layout->name; layout++)
		if (strcmp(layout->name, name) == 0)
			return layout;
	return NULL;
}

/* A field of the format's by its name: the data of an extension lie behind its head. */
static bool
find_stored(const char *name, const enum q2s_record *records, size_t count, struct layout *out)
{
	for (size_t i = 0; i < count; i++) {
		const struct q2s_field *const found = q2s_field_find(records[i], name);

		if (!found || found->kind == Q2S_FIELD_STRING)
			continue;
		*out = (struct layout){ .name = name, .at = found->at, .bytes = found->size };
		if (i > 0)
			out->at += Q2S_EXT_HEAD_SIZE;
		return true;
	}
	return false;
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

#define RECORDS_MAX 3

/* @records, @record_count  structures with fields in q2s_fields(): an extension's head, then its data */
static const struct kind {
	const char *name;
	enum q2s_err (*base)(struct model *, const struct path *, uint64_t *);
	const struct layout *fields;
	size_t record_count;
	enum q2s_record records[RECORDS_MAX];
} kinds[] = {
	{ "header", path_offset, header_more, 1, { Q2S_RECORD_HEADER } },
	{ "l1", l1_base, entry_fields, 0, { 0 } },
	{ "l2", l2_base, entry_fields, 0, { 0 } },
	{ "reftable", reftable_base, entry_fields, 0, { 0 } },
	{ "snapshot", snapshot_base, snapshot_more, 1, { Q2S_RECORD_SNAPSHOT } },
	{ "snapshot_l1", snapshot_l1_base, entry_fields, 0, { 0 } },
	{ "bitmap", bitmap_base, bitmap_more, 1, { Q2S_RECORD_BITMAP } },
	{ "bitmap_table", bitmap_table_base, entry_fields, 0, { 0 } },
	{ "extension",
	  extension_base,
	  NULL,
	  3,
	  { Q2S_RECORD_EXTENSION, Q2S_RECORD_EXT_BITMAPS, Q2S_RECORD_EXT_CRYPTO } },
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
	struct layout stored;
	uint64_t base = 0;

	if (!found)
		found = layout_find(kind->fields, path->field);
	if (!found && find_stored(path->field, kind->records, kind->record_count, &stored))
		found = &stored;
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
