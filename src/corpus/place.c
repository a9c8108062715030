/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where things are. A path is NAME[I][J].FIELD. Pointers are followed as they are stored when the
 * line is carried out, so that damage can be done to damage.
 */
#include <ctype.h>
#include <string.h>

#include "place.h"

static enum q2s_err
take_name(struct model *model, const char **text, char *out, size_t size)
{
	size_t len = 0;

	while (isalnum((unsigned char)**text) || **text == '_') {
		if (len + 1 == size)
			return model_fail(model, "a name is too long");
		out[len++] = *(*text)++;
	}
	out[len] = '\0';
	return Q2S_OK;
}

enum q2s_err
path_parse(struct model *model, const char **text, struct path *path)
{
	enum q2s_err err = take_name(model, text, path->name, sizeof(path->name));

	path->count = 0;
	path->field[0] = '\0';
	while (err == Q2S_OK && **text == '[') {
		(*text)++;
		if (path->count == 2)
			return model_fail(model, "too many indices");
		err = expression(model, text, 0, &path->index[path->count++]);
		if (err == Q2S_OK && **text != ']')
			return model_fail(model, "']' is missing");
		if (err == Q2S_OK)
			(*text)++;
	}
	if (err == Q2S_OK && **text == '.') {
		(*text)++;
		err = take_name(model, text, path->field, sizeof(path->field));
	}
	return err;
}

static enum q2s_err
load64(struct model *model, uint64_t at, uint64_t *out)
{
	const uint8_t *const raw = model_at(model, at, 8);

	if (!raw)
		return model->diag.err;
	*out = 0;
	for (unsigned i = 0; i < 8; i++)
		*out = *out << 8 | raw[i];
	return Q2S_OK;
}

enum q2s_err
path_index(struct model *model, const struct path *path, unsigned which, uint64_t limit,
	   uint64_t *out)
{
	if (which >= path->count)
		return model_fail(model, "%s needs %u indices", path->name, which + 1);
	*out = path->index[which];
	if (*out >= limit)
		return model_fail(model, "%s has no number %llu", path->name,
				  (unsigned long long)*out);
	return Q2S_OK;
}

/* ---- structures -------------------------------------------------------------------------- */

/* Where the pointer at @at leads. */
static enum q2s_err
follow(struct model *model, uint64_t at, uint64_t *out)
{
	const enum q2s_err err = load64(model, at, out);

	*out &= Q2S_ENTRY_HOST_MASK;
	return err;
}

static enum q2s_err
l2_offset(struct model *model, const struct path *path, uint64_t *out)
{
	uint64_t index = 0;
	const enum q2s_err err = path_index(model, path, 0, model->l1_entries, &index);

	return err == Q2S_OK ? follow(model, model->l1 + 8 * index, out) : err;
}

static enum q2s_err
data_offset(struct model *model, const struct path *path, uint64_t *out)
{
	const struct q2s_geom *const geom = &model->geom;
	struct q2s_l2_entry entry;
	uint64_t guest, at = 0;
	const uint8_t *raw;
	enum q2s_err err = path_index(model, path, 0, UINT64_MAX, &guest);

	if (err == Q2S_OK)
		err = follow(model, model->l1 + 8 * (guest >> geom->l2_bits), &at);
	if (err != Q2S_OK)
		return err;
	at += (guest & (geom->l2_entries - 1)) * geom->l2_entry_size;
	raw = model_at(model, at, geom->l2_entry_size);
	if (!raw || q2s_l2_decode(geom, raw, (q2s_host){ at }, &entry, &model->diag) != Q2S_OK)
		return model->diag.err;
	*out = entry.compressed ? entry.comp_at.v : entry.host.v;
	return Q2S_OK;
}

static enum q2s_err
snapshot_l1_offset(struct model *model, const struct path *path, uint64_t *out)
{
	uint64_t index = 0;
	const enum q2s_err err = path_index(model, path, 0, model->snapshot_count, &index);

	if (err == Q2S_OK)
		*out = model->snapshots[index].l1;
	return err;
}

static enum q2s_err
bitmap_table_offset(struct model *model, const struct path *path, uint64_t *out)
{
	uint64_t index = 0;
	const enum q2s_err err = path_index(model, path, 0, model->bitmap_count, &index);

	if (err == Q2S_OK)
		*out = model->bitmaps[index].table;
	return err;
}

static enum q2s_err
bitmap_data_offset(struct model *model, const struct path *path, uint64_t *out)
{
	uint64_t table;
	const enum q2s_err err = bitmap_table_offset(model, path, &table);

	return err == Q2S_OK ? follow(model, table, out) : err;
}

static enum q2s_err
block_offset(struct model *model, const struct path *path, uint64_t *out)
{
	uint64_t index = 0;
	const enum q2s_err err = path_index(model, path, 0, model->block_count, &index);

	if (err == Q2S_OK)
		*out = model->blocks[index];
	return err;
}

static enum q2s_err
fixed_offset(struct model *model, const struct path *path, uint64_t *out)
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
		if (strcmp(fixed[i].name, path->name) == 0) {
			*out = fixed[i].at;
			return Q2S_OK;
		}
	return model_fail(model, "no structure is called '%s'", path->name);
}

enum q2s_err
path_offset(struct model *model, const struct path *path, uint64_t *out)
{
	static const struct {
		const char *name;
		enum q2s_err (*offset)(struct model *, const struct path *, uint64_t *);
	} known[] = {
		{ "l2", l2_offset },
		{ "data", data_offset },
		{ "snapshot_l1", snapshot_l1_offset },
		{ "bitmap_table", bitmap_table_offset },
		{ "bitmap_data", bitmap_data_offset },
		{ "refblock", block_offset },
	};

	*out = 0;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(known[i].name, path->name) == 0)
			return known[i].offset(model, path, out);
	return fixed_offset(model, path, out);
}

enum q2s_err
place_offset(struct model *model, const char **text, uint64_t *out)
{
	struct path path;
	const enum q2s_err err = path_parse(model, text, &path);

	return err == Q2S_OK ? path_offset(model, &path, out) : err;
}
