/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each kind of header extension says. */
#include "inspect/extensions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arith.h"
#include "common/json.h"
#include "inspect/fields.h"
#include "inspect/show.h"

static const char *const feature_kinds[] = { "incompatible", "compatible", "autoclear" };

struct extension_walk
extension_walk_begin(const struct q2s_header *header, const uint8_t *head, size_t size)
{
	/* Where cluster 0 ends is known only if the header makes sense. */
	const bool known = header->cluster_bits >= Q2S_CLUSTER_BITS_MIN &&
			   header->cluster_bits <= Q2S_CLUSTER_BITS_MAX;
	const q2s_host end = known ? q2s_ext_area_end(header) : (q2s_host){ size };

	return (struct extension_walk){
		.head = head,
		.size = size,
		.end = { q2si_min(end.v, size) },
		.pos = header->header_length,
	};
}

bool
extension_walk_next(struct extension_walk *walk, struct q2s_ext *out, struct q2s_diag *fault)
{
	if (walk->pos > walk->end.v)
		return false;
	if (q2s_ext_next(walk->head, walk->size, walk->end, &walk->pos, out, fault) != Q2S_OK)
		return false;
	return out->type != Q2S_EXT_END;
}

/* ---- text -------------------------------------------------------------------------------- */

static void
bitmaps_text(FILE *out, const struct q2s_geom *geom, const struct q2s_ext *ext)
{
	struct q2s_ext_bitmaps it;

	if (q2s_ext_bitmaps_decode(geom, ext, &it, NULL) == Q2S_OK)
		fprintf(out, "%" PRIu32 " in the directory at %#" PRIx64 ", %" PRIu64 " bytes",
			it.count, it.directory_offset.v, it.directory_size);
}

static void
crypto_text(FILE *out, const struct q2s_geom *geom, const struct q2s_ext *ext)
{
	struct q2s_ext_crypto it;

	if (q2s_ext_crypto_decode(geom, ext, &it, NULL) == Q2S_OK)
		fprintf(out, "LUKS header at %#" PRIx64 ", %" PRIu64 " bytes", it.offset.v,
			it.length);
}

static uint32_t
name_count(const struct q2s_ext *ext)
{
	return ext->len / Q2S_FEATURE_NAME_SIZE;
}

static void
names_text(FILE *out, const struct q2s_ext *ext)
{
	struct q2s_feature_item item;

	for (uint32_t i = 0; i < name_count(ext); i++) {
		if (q2s_feature_item_decode(ext, i, &item, NULL) != Q2S_OK)
			continue;
		fprintf(out, "%s%s %u: ", i ? ", " : "", feature_kinds[item.kind], item.bit);
		show_name(out, item.name);
	}
}

char *
extension_text(const struct q2s_geom *geom, const struct q2s_ext *ext)
{
	char *text = NULL;
	size_t size;
	FILE *const out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	switch (ext->type) {
	case Q2S_EXT_BACKING_FORMAT:
	case Q2S_EXT_DATA_FILE:
		show_quoted(out, (struct q2s_bytes){ ext->data, ext->len });
		break;
	case Q2S_EXT_BITMAPS:
		bitmaps_text(out, geom, ext);
		break;
	case Q2S_EXT_CRYPTO:
		crypto_text(out, geom, ext);
		break;
	case Q2S_EXT_FEATURE_NAMES:
		names_text(out, ext);
		break;
	default:
		break;
	}
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

/* ---- JSON -------------------------------------------------------------------------------- */

static json_t *
names_json(const struct q2s_ext *ext)
{
	json_t *const list = json_array();
	struct q2s_feature_item item;

	for (uint32_t i = 0; i < name_count(ext); i++) {
		if (q2s_feature_item_decode(ext, i, &item, NULL) == Q2S_OK)
			json_array_append_new(list, json_pack("{s:s, s:i, s:o}", "kind",
							      feature_kinds[item.kind], "bit",
							      (int)item.bit, "name",
							      json_text(item.name)));
	}
	return list;
}

static void
set_bitmaps(json_t *node, const struct q2s_geom *geom, const struct q2s_ext *ext)
{
	struct q2s_ext_bitmaps it;

	if (q2s_ext_bitmaps_decode(geom, ext, &it, NULL) != Q2S_OK)
		return;
	json_object_set_new(node, "count", json_u64(it.count));
	json_object_set_new(node, "directory-offset", json_u64(it.directory_offset.v));
	json_object_set_new(node, "directory-size", json_u64(it.directory_size));
}

static void
set_crypto(json_t *node, const struct q2s_geom *geom, const struct q2s_ext *ext)
{
	struct q2s_ext_crypto it;

	if (q2s_ext_crypto_decode(geom, ext, &it, NULL) != Q2S_OK)
		return;
	json_object_set_new(node, "header-offset", json_u64(it.offset.v));
	json_object_set_new(node, "header-length", json_u64(it.length));
}

json_t *
extension_json(const struct q2s_geom *geom, const struct q2s_ext *ext)
{
	json_t *const node =
		json_pack("{s:o, s:s, s:o, s:I}", "type", json_sprintf("0x%08" PRIx32, ext->type),
			  "name", extension_name(ext->type), "offset", json_u64(ext->at.v),
			  "length", (json_int_t)ext->len);

	if (ext->type == Q2S_EXT_BACKING_FORMAT || ext->type == Q2S_EXT_DATA_FILE)
		json_object_set_new(node, "text", json_bytes(ext->data, ext->len));
	else if (ext->type == Q2S_EXT_FEATURE_NAMES)
		json_object_set_new(node, "names", names_json(ext));
	else if (ext->type == Q2S_EXT_BITMAPS)
		set_bitmaps(node, geom, ext);
	else if (ext->type == Q2S_EXT_CRYPTO)
		set_crypto(node, geom, ext);
	return node;
}
