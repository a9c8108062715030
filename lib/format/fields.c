/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of fields, for those who show them. */
#include <q2s/fields.h>

#include <string.h>

#include "format/fields.h"

#define FIELD(at_name, name, at, size, kind, meaning) \
	{ name, at, size, Q2S_FIELD_##kind, meaning },
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct q2s_field header[] = { Q2SI_HEADER_FIELDS(FIELD) };
static const struct q2s_field extension[] = { Q2SI_EXTENSION_FIELDS(FIELD) };
static const struct q2s_field ext_bitmaps[] = { Q2SI_EXT_BITMAPS_FIELDS(FIELD) };
static const struct q2s_field ext_crypto[] = { Q2SI_EXT_CRYPTO_FIELDS(FIELD) };
static const struct q2s_field snapshot[] = { Q2SI_SNAPSHOT_FIELDS(FIELD) };
static const struct q2s_field bitmap[] = { Q2SI_BITMAP_FIELDS(FIELD) };
static const struct q2s_field luks[] = { Q2SI_LUKS_FIELDS(FIELD) };
static const struct q2s_field luks_slot[] = { Q2SI_LUKS_SLOT_FIELDS(FIELD) };

static const struct {
	const struct q2s_field *fields;
	size_t count;
} records[] = {
	[Q2S_RECORD_HEADER] = { header, COUNT(header) },
	[Q2S_RECORD_EXTENSION] = { extension, COUNT(extension) },
	[Q2S_RECORD_EXT_BITMAPS] = { ext_bitmaps, COUNT(ext_bitmaps) },
	[Q2S_RECORD_EXT_CRYPTO] = { ext_crypto, COUNT(ext_crypto) },
	[Q2S_RECORD_SNAPSHOT] = { snapshot, COUNT(snapshot) },
	[Q2S_RECORD_BITMAP] = { bitmap, COUNT(bitmap) },
	[Q2S_RECORD_LUKS] = { luks, COUNT(luks) },
	[Q2S_RECORD_LUKS_SLOT] = { luks_slot, COUNT(luks_slot) },
};

const struct q2s_field *
q2s_fields(enum q2s_record record, size_t *count)
{
	*count = records[record].count;
	return records[record].fields;
}

const struct q2s_field *
q2s_field_find(enum q2s_record record, const char *name)
{
	for (size_t i = 0; i < records[record].count; i++) {
		if (strcmp(records[record].fields[i].name, name) == 0)
			return &records[record].fields[i];
	}
	return NULL;
}

uint64_t
q2s_field_get(const struct q2s_field *field, const uint8_t *raw)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < field->size; i++)
		value = value << 8 | raw[field->at + i];
	return value;
}
