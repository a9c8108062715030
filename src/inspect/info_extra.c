/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `info` knows beyond QEMU: geometry, header fields, extensions, and where things lie. */
#include "inspect/info.h"

#include "common/json.h"
#include "inspect/show.h"

static json_t *
geometry(const struct q2s_geom *geom)
{
	return json_pack("{s:i, s:I, s:I, s:i, s:I, s:i, s:I, s:I, s:I, s:i, s:I, s:I}",
			 "cluster-bits", (int)geom->cluster_bits, "cluster-size",
			 (json_int_t)geom->cluster_size, "clusters", (json_int_t)geom->clusters,
			 "subclusters-per-cluster", (int)geom->sub_count, "subcluster-size",
			 (json_int_t)geom->sub_size, "l2-entry-size", (int)geom->l2_entry_size,
			 "l2-entries", (json_int_t)geom->l2_entries, "l2-span",
			 (json_int_t)geom->l2_span, "l1-entries", (json_int_t)geom->l1_entries,
			 "refcount-bits", (int)geom->refcount_bits, "refcount-block-entries",
			 (json_int_t)geom->block_entries, "refcount-block-span",
			 (json_int_t)((uint64_t)geom->block_entries << geom->cluster_bits));
}

static json_t *
header_object(const struct q2s_image *image)
{
	const struct q2s_header *const header = q2s_image_header(image);
	const uint8_t *const head = q2s_image_cluster0(image);
	const struct q2s_field *fields;
	const size_t count = header_fields(&fields, header->header_length);
	json_t *const object = json_object();

	for (size_t i = 0; i < count; i++)
		json_object_set_new(object, fields[i].name,
				    u64_json(q2s_field_get(&fields[i], head)));
	return object;
}

static json_t *
feature_list(unsigned kind, uint64_t bits)
{
	json_t *const list = json_array();

	for (unsigned bit = 0; bit < 64; bit++) {
		const char *const name = q2s_feature_name(kind, bit);

		if (bits >> bit & 1)
			json_array_append_new(list, json_pack("{s:i, s:s}", "bit", (int)bit, "name",
							      name ? name : "unknown"));
	}
	return list;
}

static json_t *
features(const struct q2s_header *header)
{
	return json_pack("{s:o, s:o, s:o}", "incompatible",
			 feature_list(0, header->incompatible_features), "compatible",
			 feature_list(1, header->compatible_features), "autoclear",
			 feature_list(2, header->autoclear_features));
}

static json_t *
extensions(const struct q2s_image *image)
{
	struct q2s_extensions walk = q2s_image_extensions(image);
	json_t *const list = json_array();
	struct q2s_ext ext;

	while (q2s_extensions_next(&walk, &ext, NULL))
		json_array_append_new(list, extension_json(q2s_image_header(image),
							   q2s_image_geom(image), &ext));
	return list;
}

/* ---- places ------------------------------------------------------------------------------ */

/* Where the extension records end, the end record included. */
static uint64_t
extensions_end(const struct q2s_image *image)
{
	struct q2s_extensions walk = q2s_image_extensions(image);
	struct q2s_ext ext;

	while (q2s_extensions_next(&walk, &ext, NULL))
		;
	return walk.pos;
}

static void
add(struct info_place *places, size_t *count, const char *structure, q2s_host at, uint64_t len)
{
	if (len)
		places[(*count)++] = (struct info_place){ structure, at, len };
}

size_t
info_places(const struct info *info, struct info_place places[INFO_PLACES])
{
	const struct q2s_header *const header = q2s_image_header(info->image);
	const struct q2s_geom *const geom = q2s_image_geom(info->image);
	const struct q2s_ext_bitmaps *const bitmaps = q2s_image_bitmaps(info->image);
	const struct q2s_ext_crypto *const crypto = q2s_image_crypto(info->image);
	const uint64_t length = header->header_length;
	size_t count = 0;

	add(places, &count, "header", (q2s_host){ 0 }, length);
	add(places, &count, "header extensions", (q2s_host){ length },
	    extensions_end(info->image) - length);
	if (header->backing_file_offset.v)
		add(places, &count, "backing file name", header->backing_file_offset,
		    header->backing_file_size);
	add(places, &count, "L1 table", header->l1_table_offset,
	    (uint64_t)header->l1_size * Q2S_L1_ENTRY_SIZE);
	add(places, &count, "refcount table", header->refcount_table_offset,
	    (uint64_t)header->refcount_table_clusters << geom->cluster_bits);
	add(places, &count, "snapshot table", header->snapshots_offset, info->snapshots.bytes);
	if (bitmaps)
		add(places, &count, "bitmap directory", bitmaps->directory_offset,
		    bitmaps->directory_size);
	if (crypto)
		add(places, &count, "encryption header", crypto->offset, crypto->length);
	return count;
}

static json_t *
layout(const struct info *info)
{
	struct info_place places[INFO_PLACES];
	const size_t count = info_places(info, places);
	json_t *const list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:o, s:o}", "structure", places[i].structure,
						"offset", u64_json(places[i].at.v), "length",
						u64_json(places[i].len)));
	return list;
}

static void
set_mark(json_t *object, const struct q2s_image *image)
{
	bool valid;
	const struct q2s_mark *const mark = q2s_image_mark(image, &valid);
	json_t *node;

	if (!mark)
		return;
	node = json_object();
	mark_set(node, mark, valid);
	json_object_set_new(object, "mark", node);
}

json_t *
info_extra(const struct info *info)
{
	json_t *const object =
		json_pack("{s:o}", "file-size", u64_json(q2s_store_size(info->file)));

	if (!object || !info->image)
		return object;
	json_object_set_new(object, "version",
			    json_integer(q2s_image_header(info->image)->version));
	json_object_set_new(object, "geometry", geometry(q2s_image_geom(info->image)));
	json_object_set_new(object, "header", header_object(info->image));
	json_object_set_new(object, "features", features(q2s_image_header(info->image)));
	json_object_set_new(object, "extensions", extensions(info->image));
	json_object_set_new(object, "layout", layout(info));
	set_mark(object, info->image);
	return object;
}
