/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The JSON of `qemu-img info`, key by key. */
#include "inspect/info.h"

#include <string.h>

#include "common/json.h"
#include "common/snapshots.h"
#include "inspect/show.h"

/* What QEMU knows of the file below the image. */
static json_t *
file_node(const struct q2s_store *file)
{
	const char *const driver = q2s_store_is_block_device(file) ? "host_device" : "file";

	return json_pack("{s:[], s:o, s:o, s:s, s:o, s:{s:s, s:{}}, s:b}", "children",
			 "virtual-size", u64_json(info_file_size(file)), "filename",
			 text_json(q2s_store_name(file)), "format", driver, "actual-size",
			 u64_json(q2s_store_allocated(file)), "format-specific", "type", driver,
			 "data", "dirty-flag", false);
}

json_t *
info_bitmap_json(const struct q2s_bitmap *bitmap)
{
	json_t *const flags = json_array();

	if (bitmap->flags & Q2S_BITMAP_IN_USE)
		json_array_append_new(flags, json_string("in-use"));
	if (bitmap->flags & Q2S_BITMAP_AUTO)
		json_array_append_new(flags, json_string("auto"));
	return json_pack("{s:o, s:I, s:o}", "name", utf8_json(bitmap->name, bitmap->name_len),
			 "granularity", (json_int_t)1 << bitmap->granularity_bits, "flags", flags);
}

static json_t *
bitmap_list(const struct q2s_bitmaps *bitmaps)
{
	json_t *const list = json_array();

	for (uint32_t i = 0; i < bitmaps->count; i++)
		json_array_append_new(list, info_bitmap_json(&bitmaps->list[i]));
	return list;
}

static json_t *
slot_node(const struct q2s_luks_slot *slot)
{
	json_t *const node = json_pack("{s:b, s:o}", "active", slot->active, "key-offset",
				       u64_json(slot->key_offset));

	if (node && slot->active) {
		json_object_set_new(node, "iters", json_integer(slot->iterations));
		json_object_set_new(node, "stripes", json_integer(slot->stripes));
	}
	return node;
}

static json_t *
luks_node(const struct q2s_luks *luks)
{
	json_t *const slots = json_array();
	struct q2s_luks_words words;
	json_t *node;

	q2s_luks_words(luks, &words);
	for (size_t i = 0; i < Q2S_LUKS_SLOTS; i++)
		json_array_append_new(slots, slot_node(&luks->slots[i]));
	node = json_pack("{s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "format", "luks",
			 "detached-header", false, "cipher-alg", text_json(words.alg),
			 "cipher-mode", text_json(words.mode), "ivgen-alg", text_json(words.ivgen),
			 "hash-alg", text_json(luks->hash), "uuid", text_json(luks->uuid),
			 "payload-offset", u64_json(luks->payload_offset), "master-key-iters",
			 (json_int_t)luks->master_iterations, "slots", slots);
	if (node && words.ivhash[0])
		json_object_set_new(node, "ivgen-hash-alg", text_json(words.ivhash));
	return node;
}

/* Shown even where no feature bit says that there is such a file, and so the name means nothing. */
static void
set_data_file(json_t *data, const struct info *info)
{
	struct q2s_extensions walk = q2s_image_extensions(info->image);
	struct q2s_ext ext;

	while (q2s_extensions_next(&walk, &ext, NULL)) {
		if (ext.type == Q2S_EXT_DATA_FILE)
			json_object_set_new(data, "data-file", utf8_json(ext.data, ext.len));
	}
}

/* What only version 3 can say. */
static void
set_v3(json_t *data, const struct info *info, const struct q2s_header *header)
{
	const uint64_t incompatible = header->incompatible_features;

	json_object_set_new(data, "lazy-refcounts",
			    json_boolean(header->compatible_features & Q2S_COMPAT_LAZY_REFCOUNTS));
	json_object_set_new(data, "corrupt", json_boolean(incompatible & Q2S_INCOMPAT_CORRUPT));
	json_object_set_new(data, "extended-l2",
			    json_boolean(incompatible & Q2S_INCOMPAT_EXTENDED_L2));
	if (info->bitmaps.count)
		json_object_set_new(data, "bitmaps", bitmap_list(&info->bitmaps));
	set_data_file(data, info);
	if (incompatible & Q2S_INCOMPAT_DATA_FILE)
		json_object_set_new(
			data, "data-file-raw",
			json_boolean(header->autoclear_features & Q2S_AUTOCLEAR_DATA_FILE_RAW));
}

static json_t *
format_specific(const struct info *info)
{
	const struct q2s_header *const header = q2s_image_header(info->image);
	json_t *const data =
		json_pack("{s:s, s:s, s:i}", "compat", header->version == 2 ? "0.10" : "1.1",
			  "compression-type", compression_name(header->compression_type),
			  "refcount-bits", (int)q2s_image_geom(info->image)->refcount_bits);

	if (data && header->version >= 3)
		set_v3(data, info, header);
	if (data && info->has_luks)
		json_object_set_new(data, "encrypt", luks_node(&info->luks));
	else if (data && header->crypt_method == Q2S_CRYPT_AES)
		json_object_set_new(data, "encrypt", json_pack("{s:s}", "format", "aes"));
	return json_pack("{s:s, s:o}", "type", "qcow2", "data", data);
}

static void
set_image(json_t *object, const struct info *info)
{
	const struct q2s_header *const header = q2s_image_header(info->image);
	const struct q2s_bytes name = q2s_image_backing_name(info->image);
	const struct q2s_bytes format = q2s_image_backing_format(info->image);

	json_object_set_new(object, "cluster-size",
			    json_integer(q2s_image_geom(info->image)->cluster_size));
	json_object_set_new(object, "format-specific", format_specific(info));
	if (header->crypt_method != Q2S_CRYPT_NONE)
		json_object_set_new(object, "encrypted", json_true());
	if (info->snapshots.count)
		json_object_set_new(object, "snapshots", snapshots_json(&info->snapshots));
	if (!name.len)
		return;
	json_object_set_new(object, "backing-filename", utf8_json(name.data, name.len));
	if (info->full_backing)
		json_object_set_new(object, "full-backing-filename", text_json(info->full_backing));
	if (format.len)
		json_object_set_new(object, "backing-filename-format",
				    utf8_json(format.data, format.len));
}

json_t *
info_qemu(const struct info *info)
{
	const struct q2s_image *const image = info->image;
	const uint64_t size = image ? q2s_image_geom(image)->size : info_file_size(info->file);
	const bool dirty =
		image && q2s_image_header(image)->incompatible_features & Q2S_INCOMPAT_DIRTY;
	json_t *const object = json_pack(
		"{s:o, s:o, s:s, s:o, s:b, s:[{s:s, s:o}]}", "virtual-size", u64_json(size),
		"filename", text_json(q2s_store_name(info->file)), "format",
		image ? "qcow2" : "raw", "actual-size", u64_json(q2s_store_allocated(info->file)),
		"dirty-flag", dirty, "children", "name", "file", "info", file_node(info->file));

	if (object && image)
		set_image(object, info);
	return object;
}
