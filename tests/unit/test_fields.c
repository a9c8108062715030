/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of fields: whole, in order, and what the codecs write. */
#include <q2s/fields.h>
#include <q2s/format.h>

#include <string.h>

#include "unit.h"

/* Structures without gaps, and where their last field ends. */
START_TEST(fields_lie_end_to_end)
{
	static const struct {
		enum q2s_record record;
		uint32_t end;
	} rows[] = {
		{ Q2S_RECORD_HEADER, 105 },
		{ Q2S_RECORD_EXTENSION, Q2S_EXT_HEAD_SIZE },
		{ Q2S_RECORD_EXT_BITMAPS, Q2S_EXT_BITMAPS_SIZE },
		{ Q2S_RECORD_EXT_CRYPTO, Q2S_EXT_CRYPTO_SIZE },
		{ Q2S_RECORD_SNAPSHOT, Q2S_SNAPSHOT_FIXED_SIZE + 24 },
		{ Q2S_RECORD_BITMAP, Q2S_BITMAP_FIXED_SIZE },
		{ Q2S_RECORD_LUKS, 208 },
		{ Q2S_RECORD_LUKS_SLOT, Q2S_LUKS_SLOT_SIZE },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t count;
		const struct q2s_field *const fields = q2s_fields(rows[i].record, &count);
		uint32_t end = 0;

		for (size_t k = 0; k < count; k++) {
			ck_assert_msg(fields[k].at == end, "%s is not at %u", fields[k].name, end);
			end += fields[k].size;
			ck_assert_ptr_eq(q2s_field_find(rows[i].record, fields[k].name), &fields[k]);
		}
		ck_assert_uint_eq(end, rows[i].end);
	}
	ck_assert_ptr_null(q2s_field_find(Q2S_RECORD_HEADER, "l1_offset"));
}
END_TEST

START_TEST(values_are_what_the_codec_wrote)
{
	const struct q2s_header header = {
		.version = 3,
		.cluster_bits = 16,
		.size = 0x123456789a00,
		.l1_size = 0x2468b,
		.l1_table_offset = { 0x30000 },
		.refcount_table_offset = { 0x10000 },
		.refcount_table_clusters = 1,
		.compatible_features = Q2S_COMPAT_LAZY_REFCOUNTS,
		.refcount_order = 4,
		.header_length = Q2S_HEADER_V3_SIZE,
	};
	static const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{ "magic", Q2S_MAGIC },
		{ "cluster_bits", 16 },
		{ "size", 0x123456789a00 },
		{ "l1_size", 0x2468b },
		{ "refcount_table_offset", 0x10000 },
		{ "compatible_features", Q2S_COMPAT_LAZY_REFCOUNTS },
		{ "header_length", Q2S_HEADER_V3_SIZE },
		{ "compression_type", 0 },
	};
	uint8_t raw[Q2S_HEADER_V3_SIZE];

	ck_assert_int_eq(q2s_header_encode(&header, raw, sizeof(raw), NULL), Q2S_OK);
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct q2s_field *const field =
			q2s_field_find(Q2S_RECORD_HEADER, rows[i].name);

		ck_assert_ptr_nonnull(field);
		ck_assert_uint_eq(q2s_field_get(field, raw), rows[i].value);
	}
}
END_TEST

UNIT_MAIN("fields", fields_lie_end_to_end, values_are_what_the_codec_wrote)
