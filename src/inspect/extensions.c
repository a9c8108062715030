/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each kind of header extension says. */
#include "inspect/extensions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/json.h"
#include "inspect/show.h"

static const char *const feature_kinds[] = { "incompatible", "compatible", "autoclear" };

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

void
mark_text(FILE *out, const struct q2s_mark *mark, bool valid)
{
	char text[Q2S_ID_TEXT];

	fputs(q2s_id_text(&mark->id, text), out);
	if (q2s_id_is_none(&mark->parent))
		fputs(", no parent named", out);
	else
		fprintf(out, ", parent %s", q2s_id_text(&mark->parent, text));
	if (!valid)
		fputs("; not valid: opened for writing since", out);
}

static bool
mark_is_valid(const struct q2s_header *header)
{
	return header->autoclear_features & Q2S_AUTOCLEAR_MARK;
}

static void
mark_ext_text(FILE *out, const struct q2s_header *header, const struct q2s_ext *ext)
{
	struct q2s_mark mark;

	if (q2s_ext_mark_decode(ext, &mark, NULL) == Q2S_OK)
		mark_text(out, &mark, mark_is_valid(header));
}

char *
extension_text(const struct q2s_header *header, const struct q2s_geom *geom,
	       const struct q2s_ext *ext)
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
	case Q2S_EXT_MARK:
		mark_ext_text(out, header, ext);
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
							      text_json(item.name)));
	}
	return list;
}

static void
set_bitmaps(json_t *node, const struct q2s_geom *geom, const struct q2s_ext *ext)
{
	struct q2s_ext_bitmaps it;

	if (q2s_ext_bitmaps_decode(geom, ext, &it, NULL) != Q2S_OK)
		return;
	json_object_set_new(node, "count", u64_json(it.count));
	json_object_set_new(node, "directory-offset", u64_json(it.directory_offset.v));
	json_object_set_new(node, "directory-size", u64_json(it.directory_size));
}

static void
set_crypto(json_t *node, const struct q2s_geom *geom, const struct q2s_ext *ext)
{
	struct q2s_ext_crypto it;

	if (q2s_ext_crypto_decode(geom, ext, &it, NULL) != Q2S_OK)
		return;
	json_object_set_new(node, "header-offset", u64_json(it.offset.v));
	json_object_set_new(node, "header-length", u64_json(it.length));
}

void
mark_set(json_t *node, const struct q2s_mark *mark, bool valid)
{
	char text[Q2S_ID_TEXT];

	json_object_set_new(node, "id", json_string(q2s_id_text(&mark->id, text)));
	json_object_set_new(node, "parent",
			    q2s_id_is_none(&mark->parent) ?
				    json_null() :
				    json_string(q2s_id_text(&mark->parent, text)));
	json_object_set_new(node, "valid", json_boolean(valid));
}

static void
set_mark(json_t *node, const struct q2s_header *header, const struct q2s_ext *ext)
{
	struct q2s_mark mark;

	if (q2s_ext_mark_decode(ext, &mark, NULL) == Q2S_OK)
		mark_set(node, &mark, mark_is_valid(header));
}

json_t *
extension_json(const struct q2s_header *header, const struct q2s_geom *geom,
	       const struct q2s_ext *ext)
{
	json_t *const node =
		json_pack("{s:o, s:s, s:o, s:I}", "type", json_sprintf("0x%08" PRIx32, ext->type),
			  "name", extension_name(ext->type), "offset", u64_json(ext->at.v),
			  "length", (json_int_t)ext->len);

	if (ext->type == Q2S_EXT_BACKING_FORMAT || ext->type == Q2S_EXT_DATA_FILE)
		json_object_set_new(node, "text", utf8_json(ext->data, ext->len));
	else if (ext->type == Q2S_EXT_FEATURE_NAMES)
		json_object_set_new(node, "names", names_json(ext));
	else if (ext->type == Q2S_EXT_BITMAPS)
		set_bitmaps(node, geom, ext);
	else if (ext->type == Q2S_EXT_CRYPTO)
		set_crypto(node, geom, ext);
	else if (ext->type == Q2S_EXT_MARK)
		set_mark(node, header, ext);
	return node;
}
