/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Naming the features that we do not know: the image's own name table exists for this message. */
#include "image.h"

#include <stdio.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"

#define INCOMPATIBLE_AT 72 /* of incompatible_features in the header of version 3 */
#define AREA_MAX 4096      /* bytes of cluster 0 in which the name table is looked for */
#define NAMES_MAX 256      /* bytes of all names in the message */

/*
 * Decode the header again without its unknown features: so the code that reads headers finds out
 * whether they were the reason, and where the name table may be. Returns the unknown features.
 */
static uint64_t
unknown_find(const uint8_t *raw, size_t len, struct q2s_header *header)
{
	uint8_t masked[Q2S_HEADER_V3_SIZE] = { 0 };
	uint64_t features;

	if (len < Q2S_HEADER_V3_MIN)
		return 0;
	memcpy(masked, raw, q2si_min(len, sizeof(masked)));
	features = q2si_get_be64(masked + INCOMPATIBLE_AT);
	q2si_put_be64(masked + INCOMPATIBLE_AT, features & Q2S_INCOMPAT_KNOWN);
	if (q2s_header_decode(masked, len, header, NULL) != Q2S_OK || header->version < 3)
		return 0;
	return features & ~Q2S_INCOMPAT_KNOWN;
}

/* Find the name table in the first @len bytes of the file; a damaged area has none. */
static bool
table_find(const uint8_t *start, size_t len, const struct q2s_header *header, struct q2s_ext *out)
{
	const q2s_host end = { q2si_min(q2s_ext_area_end(header).v, len) };
	uint64_t pos = header->header_length;

	while (pos <= end.v && q2s_ext_next(start, len, end, &pos, out, NULL) == Q2S_OK) {
		if (out->type == Q2S_EXT_END)
			return false;
		if (out->type == Q2S_EXT_FEATURE_NAMES)
			return true;
	}
	return false;
}

/* The name that @table gives to incompatible bit @bit, fit for a terminal; false without one. */
static bool
name_find(const struct q2s_ext *table, unsigned bit, struct q2s_feature_item *item)
{
	for (uint32_t i = 0; i < table->len / Q2S_FEATURE_NAME_SIZE; i++) {
		if (q2s_feature_item_decode(table, i, item, NULL) != Q2S_OK || item->kind != 0 ||
		    item->bit != bit || item->name[0] == '\0')
			continue;
		for (char *c = item->name; *c != '\0'; c++)
			if (*c < ' ' || *c > '~')
				*c = '?';
		return true;
	}
	return false;
}

/* List what @unknown means: 'name' (bit N), or bit N. What does not fit is left out. */
static void
names_list(uint64_t unknown, const struct q2s_ext *table, char list[NAMES_MAX])
{
	struct q2s_feature_item item;
	size_t used = 0;

	list[0] = '\0';
	for (unsigned bit = 0; bit < 64 && used < NAMES_MAX; bit++) {
		const char *comma = used > 0 ? ", " : "";
		int wrote;

		if (!(unknown >> bit & 1))
			continue;
		if (table && name_find(table, bit, &item))
			wrote = snprintf(list + used, NAMES_MAX - used, "%s'%s' (bit %u)", comma,
					 item.name, bit);
		else
			wrote = snprintf(list + used, NAMES_MAX - used, "%sbit %u", comma, bit);
		used += wrote > 0 ? (size_t)wrote : 0;
	}
}

enum q2s_err
q2si_features_check(struct q2s_file *file, const uint8_t *raw, size_t len, struct q2s_diag *diag)
{
	uint8_t start[AREA_MAX];
	struct q2s_header header;
	struct q2s_ext table;
	char list[NAMES_MAX];
	size_t got;
	const uint64_t unknown = unknown_find(raw, len, &header);

	if (unknown == 0)
		return Q2S_OK;
	Q2SI_TRY(q2s_file_read_padded(file, 0, start, sizeof(start), &got, diag));
	names_list(unknown, table_find(start, got, &header, &table) ? &table : NULL, list);
	return q2si_fail(diag, Q2S_E_UNSUPPORTED, "incompatible_features",
			 (q2s_host){ INCOMPATIBLE_AT }, unknown, "unknown feature: %s", list);
}
