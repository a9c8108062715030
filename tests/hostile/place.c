/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where things are. A path is NAME[I][J].FIELD. Pointers are followed as they are stored when the
 * line is carried out, so that damage can be done to damage.
 */
#include "place.h"

#include <ctype.h>
#include <string.h>

/* @index, @count  what stood in brackets */
struct path {
	char name[32];
	uint64_t index[2];
	unsigned count;
	char field[32];
};

static void
take_name(const char **text, char *out, size_t size)
{
	size_t len = 0;

	while (isalnum((unsigned char)**text) || **text == '_') {
		if (len + 1 == size)
			die("a name is too long");
		out[len++] = *(*text)++;
	}
	out[len] = '\0';
}

static struct path
parse(struct model *model, const char **text)
{
	struct path path = { .count = 0 };

	take_name(text, path.name, sizeof(path.name));
	while (**text == '[') {
		(*text)++;
		if (path.count == 2)
			die("too many indices");
		path.index[path.count++] = expression(model, text, 0);
		if (*(*text)++ != ']')
			die("']' is missing");
	}
	if (**text == '.') {
		(*text)++;
		take_name(text, path.field, sizeof(path.field));
	}
	return path;
}

static uint64_t
load64(struct model *model, uint64_t at)
{
	const uint8_t *raw = model_at(model, at, 8);
	uint64_t value = 0;

	for (unsigned i = 0; i < 8; i++)
		value = value << 8 | raw[i];
	return value;
}

static uint64_t
index_below(const struct path *path, unsigned which, uint64_t limit)
{
	if (which >= path->count)
		die("%s needs %u indices", path->name, which + 1);
	if (path->index[which] >= limit)
		die("%s has no number %llu", path->name, (unsigned long long)path->index[which]);
	return path->index[which];
}

/* ---- structures -------------------------------------------------------------------------- */

static uint64_t
l2_offset(struct model *model, const struct path *path)
{
	const uint64_t entry = model->l1 + 8 * index_below(path, 0, model->l1_entries);

	return load64(model, entry) & Q2S_ENTRY_HOST_MASK;
}

static uint64_t
data_offset(struct model *model, const struct path *path)
{
	const struct q2s_geom *geom = &model->geom;
	const uint64_t guest = index_below(path, 0, UINT64_MAX);
	const uint64_t l1 = model->l1 + 8 * (guest >> geom->l2_bits);
	const uint64_t l2 = load64(model, l1) & Q2S_ENTRY_HOST_MASK;
	const uint64_t at = l2 + (guest & (geom->l2_entries - 1)) * geom->l2_entry_size;
	struct q2s_l2_entry entry;
	struct q2s_diag diag = { 0 };

	must(q2s_l2_decode(geom, model_at(model, at, geom->l2_entry_size), (q2s_host){ at }, &entry,
			   &diag),
	     &diag);
	return entry.compressed ? entry.comp_at.v : entry.host.v;
}

static uint64_t
snapshot_l1_offset(struct model *model, const struct path *path)
{
	return model->snapshots[index_below(path, 0, model->snapshot_count)].l1;
}

static uint64_t
bitmap_table_offset(struct model *model, const struct path *path)
{
	return model->bitmaps[index_below(path, 0, model->bitmap_count)].table;
}

static uint64_t
bitmap_data_offset(struct model *model, const struct path *path)
{
	return load64(model, bitmap_table_offset(model, path)) & Q2S_ENTRY_HOST_MASK;
}

static uint64_t
block_offset(struct model *model, const struct path *path)
{
	return model->blocks[index_below(path, 0, model->block_count)];
}

static uint64_t
fixed_offset(struct model *model, const struct path *path)
{
	const struct {
		const char *name;
		uint64_t at;
	} fixed[] = {
		{ "header", 0 },
		{ "l1", model->l1 },
		{ "reftable", model->reftable },
		{ "snapshots", model->snapshots_at },
		{ "bitmaps", model->bitmaps_at },
		{ "crypto", model->crypto },
		{ "end", model->file_size },
	};

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (strcmp(fixed[i].name, path->name) == 0)
			return fixed[i].at;
	die("no structure is called '%s'", path->name);
}

uint64_t
place_offset(struct model *model, const char **text)
{
	static const struct {
		const char *name;
		uint64_t (*offset)(struct model *, const struct path *);
	} known[] = {
		{ "l2", l2_offset },
		{ "data", data_offset },
		{ "snapshot_l1", snapshot_l1_offset },
		{ "bitmap_table", bitmap_table_offset },
		{ "bitmap_data", bitmap_data_offset },
		{ "refblock", block_offset },
	};
	const struct path path = parse(model, text);

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(known[i].name, path.name) == 0)
			return known[i].offset(model, &path);
	return fixed_offset(model, &path);
}

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

static struct field
field_of(const struct layout *layout, uint64_t base)
{
	const uint64_t all = UINT64_MAX >> (64 - 8 * layout->bytes);

	/* Offsets are written as offsets; single bits as 0 or 1. */
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

static struct field
field_in(const struct layout *layout, const struct path *path, uint64_t base)
{
	const struct layout *found = layout_find(layout, path->field);

	if (!found)
		die("%s has no field '%s'", path->name, path->field);
	return field_of(found, base);
}

static struct field
l2_field(struct model *model, const struct path *path)
{
	const struct q2s_geom *geom = &model->geom;
	const uint64_t base = l2_offset(model, path) +
			      index_below(path, 1, geom->l2_entries) * geom->l2_entry_size;
	const struct layout *found = layout_find(extended_fields, path->field);

	return geom->extended && found ? field_of(found, base) : field_in(entry_fields, path, base);
}

static struct field
refcount_field(struct model *model, const struct path *path)
{
	const uint32_t bits = model->geom.block_bits;
	const uint64_t cluster = index_below(path, 0, (uint64_t)model->block_count << bits);

	return (struct field){
		.is_refcount = true,
		.at = model->blocks[cluster >> bits],
		.index = (uint32_t)cluster & (model->geom.block_entries - 1),
	};
}

/* u8[OFFSET], u16, u32, u64: any bytes. */
static bool
raw_field(const struct path *path, struct field *out)
{
	static const struct layout widths[] = {
		{ "u8", 0, 1, 0 },  { "u16", 0, 2, 0 }, { "u32", 0, 4, 0 },
		{ "u64", 0, 8, 0 }, { NULL, 0, 0, 0 },
	};
	const struct layout *found = layout_find(widths, path->name);

	if (found)
		*out = field_of(found, index_below(path, 0, UINT64_MAX));
	return found;
}

struct field
place_field(struct model *model, const char **text)
{
	const struct path path = parse(model, text);
	const char *name = path.name;
	struct field field;

	if (raw_field(&path, &field))
		return field;
	if (strcmp(name, "header") == 0)
		return field_in(header_fields, &path, 0);
	if (strcmp(name, "l1") == 0)
		return field_in(entry_fields, &path,
				model->l1 + 8 * index_below(&path, 0, model->l1_entries));
	if (strcmp(name, "l2") == 0)
		return l2_field(model, &path);
	if (strcmp(name, "refcount") == 0)
		return refcount_field(model, &path);
	if (strcmp(name, "reftable") == 0)
		return field_in(entry_fields, &path,
				model->reftable +
					8 * index_below(&path, 0, model->geom.cluster_size / 8));
	if (strcmp(name, "snapshot") == 0)
		return field_in(snapshot_fields, &path,
				model->snapshots[index_below(&path, 0, model->snapshot_count)].at);
	if (strcmp(name, "snapshot_l1") == 0)
		return field_in(entry_fields, &path,
				snapshot_l1_offset(model, &path) +
					8 * index_below(&path, 1, model->l1_entries));
	if (strcmp(name, "bitmap") == 0)
		return field_in(bitmap_fields, &path,
				model->bitmaps[index_below(&path, 0, model->bitmap_count)].at);
	if (strcmp(name, "bitmap_table") == 0)
		return field_in(entry_fields, &path,
				bitmap_table_offset(model, &path) +
					8 * index_below(&path, 1, model->geom.cluster_size / 8));
	if (strcmp(name, "extension") == 0)
		return field_in(
			extension_fields, &path,
			model->extensions[index_below(&path, 0, model->extension_count)].at);
	die("nothing is called '%s'", name);
}
