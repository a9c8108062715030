/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Feature bits by name: the ones that we know, and the table in which an image names its own. */
#include <q2s/format.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "format/check.h"
#include "format/header.h"

struct feature {
	uint8_t kind;
	uint8_t bit;
	const char *name;
};

/* The names are those that QEMU writes, so that both tools say the same about an image. */
static const struct feature features[] = {
	{ 0, 0, "dirty bit" },
	{ 0, 1, "corrupt bit" },
	{ 0, 2, "external data file" },
	{ 0, 3, "compression type" },
	{ 0, 4, "extended L2 entries" },
	{ 1, 0, "lazy refcounts" },
	{ 2, 0, "bitmaps" },
	{ 2, 1, "raw external data" },
	{ 2, 48, "mark of the layer (private to q2s)" },
};

const char *
q2s_feature_name(unsigned kind, unsigned bit)
{
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		if (features[i].kind == kind && features[i].bit == bit)
			return features[i].name;
	return NULL;
}

#define ITEM_TEXT (Q2S_FEATURE_NAME_SIZE - 2)
_Static_assert(sizeof(((struct q2s_feature_item *)0)->name) == ITEM_TEXT + 1, "room for the NUL");

enum q2s_err
q2s_feature_item_decode(const struct q2s_ext *ext, uint32_t index, struct q2s_feature_item *out,
			struct q2s_diag *diag)
{
	const uint64_t offset = (uint64_t)index * Q2S_FEATURE_NAME_SIZE;
	const q2s_host at = q2si_field_at(ext->at, Q2S_EXT_HEAD_SIZE + offset);
	const uint8_t *raw;

	if (offset + Q2S_FEATURE_NAME_SIZE > ext->len)
		return q2si_fail(diag, Q2S_E_EXTENSION, "feature name table", ext->at, index,
				 "no such item");
	raw = ext->data + offset;
	if (raw[0] > 2)
		return q2si_fail(diag, Q2S_E_EXTENSION, "feature name table", at, raw[0],
				 "kind of feature not in 0..2");
	if (raw[1] > 63)
		return q2si_fail(diag, Q2S_E_EXTENSION, "feature name table", q2si_field_at(at, 1),
				 raw[1], "feature bit not in 0..63");
	*out = (struct q2s_feature_item){ .kind = raw[0], .bit = raw[1] };
	memcpy(out->name, raw + 2, ITEM_TEXT);
	return Q2S_OK;
}

void
q2s_feature_item_encode(const struct q2s_feature_item *item, uint8_t *raw)
{
	memset(raw, 0, Q2S_FEATURE_NAME_SIZE);
	raw[0] = item->kind;
	raw[1] = item->bit;
	memcpy(raw + 2, item->name, strnlen(item->name, ITEM_TEXT));
}

static bool
find_in_table(const struct q2s_ext *table, unsigned kind, unsigned bit,
	      struct q2s_feature_item *out)
{
	struct q2s_feature_item item;

	for (uint32_t i = 0; i < table->len / Q2S_FEATURE_NAME_SIZE; i++) {
		if (q2s_feature_item_decode(table, i, &item, NULL) != Q2S_OK)
			continue; /* one bad item does not take the other names away */
		if (item.kind == kind && item.bit == bit) {
			*out = item;
			return true;
		}
	}
	return false;
}

/* The header as it would be without the bits that we do not know, for which it is refused. */
static enum q2s_err
decode_known_part(const uint8_t *buf, size_t len, struct q2s_header *out)
{
	uint8_t raw[Q2S_HEADER_V3_SIZE] = { 0 };
	uint8_t *const word = raw + AT_INCOMPATIBLE_FEATURES;

	memcpy(raw, buf, q2si_min_size(len, sizeof(raw)));
	q2si_put_be64(word, q2si_get_be64(word) & Q2S_INCOMPAT_KNOWN);
	return q2s_header_decode(raw, q2si_min_size(len, sizeof(raw)), out, NULL);
}

bool
q2s_feature_find(const uint8_t *buf, size_t len, unsigned kind, unsigned bit,
		 struct q2s_feature_item *out)
{
	struct q2s_header header;
	struct q2s_ext ext;
	uint64_t pos;

	if (decode_known_part(buf, len, &header) != Q2S_OK)
		return false;
	pos = header.header_length;
	do {
		if (q2s_ext_next(buf, len, q2s_ext_area_end(&header), &pos, &ext, NULL) != Q2S_OK)
			return false;
		if (ext.type == Q2S_EXT_FEATURE_NAMES)
			return find_in_table(&ext, kind, bit, out);
	} while (ext.type != Q2S_EXT_END);
	return false;
}
