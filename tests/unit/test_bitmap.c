/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Persistent bitmaps: directory records and table entries. */
#include "base/bytes.h"
#include "geoms.h"
#include "unit.h"

static const q2s_host AT = { 0x70000 };

/* 24 + 5 bytes of name = 29, padded to 32; a disk of 1 MiB has 16 granules: one cluster of bits. */
static const uint8_t golden[32] = {
	0, 0, 0, 0, 0, 0x08, 0, 0,         /*  0 table at 0x80000 */
	0, 0, 0, 1,                        /*  8 one entry */
	0, 0, 0, 2,                        /* 12 flags: auto */
	1,                                 /* 16 dirty tracking */
	16,                                /* 17 granularity 64 KiB */
	0, 5,                              /* 18 length of the name */
	0, 0, 0, 0,                        /* 20 no extra data */
	'b', 'a', 'c', 'k', '1', 0, 0, 0,  /* 24 name, padding */
};

START_TEST(known_bytes)
{
	const struct q2s_geom geom = geom_v3(16, false, false);
	struct q2s_bitmap bitmap;
	uint8_t raw[40];
	size_t used;

	assert_ok(q2s_bitmap_decode(&geom, golden, sizeof(golden), AT, &bitmap, &used, &diag));
	ck_assert_uint_eq(used, 32);
	ck_assert_uint_eq(bitmap.table_offset.v, 0x80000);
	ck_assert_uint_eq(bitmap.table_entries, 1);
	ck_assert_uint_eq(bitmap.flags, Q2S_BITMAP_AUTO);
	ck_assert_uint_eq(bitmap.type, 1);
	ck_assert_uint_eq(bitmap.granularity_bits, 16);
	ck_assert_uint_eq(bitmap.name_len, 5);
	ck_assert_mem_eq(bitmap.name, "back1", 5);
	ck_assert_uint_eq(bitmap.extra_size, 0);
	memset(raw, 0xff, sizeof(raw));
	assert_ok(q2s_bitmap_encode(&geom, &bitmap, raw, 32, &used, &diag));
	ck_assert_uint_eq(used, 32);
	ck_assert_mem_eq(raw, golden, 32);
	ck_assert_uint_eq(raw[32], 0xff);
}
END_TEST

START_TEST(a_short_buffer_says_what_it_needs)
{
	const struct q2s_geom geom = geom_v3(16, false, false);
	struct q2s_bitmap bitmap;
	size_t used;

	for (size_t len = 0; len < 29; len++) {
		uint8_t *copy = malloc(len + 1);

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, golden, len);
		used = 0;
		assert_refused(Q2S_E_SHORT, AT.v, len,
			       q2s_bitmap_decode(&geom, copy, len, AT, &bitmap, &used, &diag));
		ck_assert_uint_eq(used, len < 24 ? 24 : 29);
		free(copy);
	}
	assert_ok(q2s_bitmap_decode(&geom, golden, 29, AT, &bitmap, &used, &diag));
	ck_assert_uint_eq(used, 32);
}
END_TEST

static uint8_t record[4096];

static void
put(unsigned at, unsigned bytes, uint64_t value)
{
	for (unsigned i = 0; i < bytes; i++)
		record[at + i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

START_TEST(each_rule_of_a_record)
{
	static const struct {
		unsigned at, bytes;
		uint64_t value;
	} rows[] = {
		{ 0, 8, 0 },                        /* table over the header */
		{ 0, 8, 0x80200 },                  /* not aligned */
		{ 0, 8, 0x8000000000000000 },       /* beyond 2^63 */
		{ 8, 4, 0 },                        /* no table */
		{ 8, 4, 2 },                        /* longer than the disk */
		{ 8, 4, (1 << 27) + 1 },            /* over the entries that QEMU takes */
		{ 8, 4, 8193 },                     /* 512 MiB and a cluster */
		{ 8, 4, UINT32_MAX },
		{ 12, 4, 8 },                       /* a flag without meaning */
		{ 12, 4, 0x80000002 },
		{ 16, 1, 0 },                       /* type */
		{ 16, 1, 2 },
		{ 17, 1, 8 },                       /* granularity */
		{ 17, 1, 32 },
		{ 17, 1, 255 },
		{ 18, 2, 0 },                       /* name */
		{ 18, 2, 1024 },
		{ 20, 4, 8 },                       /* extra data that must be understood */
		{ 20, 4, 0xfffffff0 },              /* and that no directory can hold */
	};
	const struct q2s_geom geom = geom_v3(16, false, false);

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct q2s_bitmap bitmap = { .flags = 77 };
		size_t used;

		memset(record, 0, sizeof(record));
		memcpy(record, golden, sizeof(golden));
		put(rows[i].at, rows[i].bytes, rows[i].value);
		assert_refused(Q2S_E_BITMAP, AT.v + rows[i].at, rows[i].value,
			       q2s_bitmap_decode(&geom, record, sizeof(record), AT, &bitmap, &used,
						 &diag));
		ck_assert_uint_eq(bitmap.flags, 77);
	}
}
END_TEST

/* What is in use may be of another disk size, but not of any. */
START_TEST(limits_hold_for_bitmaps_in_use_too)
{
	static const uint64_t entries[] = { 0, 8193, (1 << 27) + 1, UINT32_MAX };
	const struct q2s_geom geom = geom_v3(16, false, false);

	for (size_t i = 0; i < COUNT(entries); i++) {
		struct q2s_bitmap bitmap;
		size_t used;

		memcpy(record, golden, sizeof(golden));
		put(12, 4, Q2S_BITMAP_IN_USE);
		put(8, 4, entries[i]);
		assert_refused(Q2S_E_BITMAP, AT.v + 8, entries[i],
			       q2s_bitmap_decode(&geom, record, sizeof(record), AT, &bitmap, &used,
						 &diag));
	}
}
END_TEST

/* What is in use may be of another disk size; extra data may be ignored when they say so. */
START_TEST(what_must_be_tolerated)
{
	const struct q2s_geom geom = geom_v3(16, false, false);
	struct q2s_bitmap bitmap;
	size_t used;

	memcpy(record, golden, sizeof(golden));
	put(8, 4, 8192);
	put(12, 4, Q2S_BITMAP_IN_USE);
	assert_ok(q2s_bitmap_decode(&geom, record, sizeof(record), AT, &bitmap, &used, &diag));
	ck_assert_uint_eq(bitmap.table_entries, 8192);

	memcpy(record, golden, sizeof(golden));
	put(12, 4, Q2S_BITMAP_EXTRA_COMPATIBLE);
	put(18, 2, 2);
	put(20, 4, 3);
	assert_ok(q2s_bitmap_decode(&geom, record, sizeof(record), AT, &bitmap, &used, &diag));
	ck_assert_uint_eq(used, 32);
	ck_assert_uint_eq(bitmap.extra_size, 3);
	ck_assert_mem_eq(bitmap.extra, "bac", 3);
	ck_assert_mem_eq(bitmap.name, "k1", 2);
}
END_TEST

/* A table has an entry for each cluster of bits, and a bit for each granule of the disk. */
START_TEST(the_table_matches_the_disk)
{
	static const struct {
		uint64_t size;
		uint8_t granularity_bits;
		uint32_t entries;
	} rows[] = {
		{ 512, 9, 1 },
		{ 2 << 20, 9, 1 },         /* 4096 granules fill 512 bytes */
		{ (2 << 20) + 512, 9, 2 },
		{ 1ull << 37, 9, 65536 },
		{ 1ull << 37, 31, 1 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct q2s_geom_params params = {
			.version = 3,
			.cluster_bits = 9,
			.refcount_order = 4,
			.size = rows[i].size,
		};
		struct q2s_bitmap b = {
			.table_offset = { 512 },
			.table_entries = rows[i].entries,
			.type = 1,
			.granularity_bits = rows[i].granularity_bits,
			.name = (const uint8_t *)"n",
			.name_len = 1,
		};
		struct q2s_geom geom;
		size_t used;

		assert_ok(q2s_geom_init(&params, &geom, &diag));
		assert_ok(q2s_bitmap_encode(&geom, &b, record, sizeof(record), &used, &diag));
		b.table_entries++;
		assert_refused(Q2S_E_BITMAP, NOWHERE, b.table_entries,
			       q2s_bitmap_encode(&geom, &b, record, sizeof(record), &used, &diag));
	}
}
END_TEST

START_TEST(nothing_is_written_that_does_not_fit)
{
	const struct q2s_geom geom = geom_v3(16, false, false);
	uint8_t raw[32] = { 0 }, zeros[32] = { 0 };
	struct q2s_bitmap bitmap;
	size_t used;

	assert_ok(q2s_bitmap_decode(&geom, golden, sizeof(golden), AT, &bitmap, &used, &diag));
	assert_refused(Q2S_E_LIMIT, NOWHERE, 32,
		       q2s_bitmap_encode(&geom, &bitmap, raw, 31, &used, &diag));
	bitmap.granularity_bits = 8;
	assert_refused(Q2S_E_BITMAP, NOWHERE, 8,
		       q2s_bitmap_encode(&geom, &bitmap, raw, 32, &used, &diag));
	ck_assert_mem_eq(raw, zeros, sizeof(raw));
}
END_TEST

START_TEST(extra_data_make_the_round)
{
	const struct q2s_geom geom = geom_v3(16, false, false);
	struct q2s_bitmap in = {
		.table_offset = { 0x80000 },
		.table_entries = 1,
		.flags = Q2S_BITMAP_EXTRA_COMPATIBLE,
		.type = 1,
		.granularity_bits = 9,
	};
	uint64_t seed = 10;
	uint8_t text[2048];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)unit_random(&seed);
	for (uint16_t len = 1; len <= Q2S_BITMAP_NAME_MAX; len++) {
		struct q2s_bitmap out;
		size_t used, again;

		in.name = text;
		in.name_len = len;
		in.extra = text + 1000;
		in.extra_size = len % 37;
		assert_ok(q2s_bitmap_encode(&geom, &in, record, sizeof(record), &used, &diag));
		ck_assert_uint_eq(used % 8, 0);
		assert_ok(q2s_bitmap_decode(&geom, record, used, AT, &out, &again, &diag));
		ck_assert_uint_eq(used, again);
		ck_assert_uint_eq(out.name_len, len);
		ck_assert_mem_eq(out.name, in.name, len);
		ck_assert_uint_eq(out.extra_size, in.extra_size);
		if (in.extra_size)
			ck_assert_mem_eq(out.extra, in.extra, in.extra_size);
	}
}
END_TEST

/* ---- table entries ------------------------------------------------------------------------- */

START_TEST(table_entries)
{
	static const struct {
		uint64_t raw;
		struct q2s_bitmap_table_entry entry;
	} rows[] = {
		{ 0, { { 0 }, false } },
		{ 1, { { 0 }, true } },
		{ 0x90000, { { 0x90000 }, false } },
		{ 0x00ffffffffff0000, { { 0x00ffffffffff0000 }, false } },
	};
	const struct q2s_geom geom = geom_v3(16, false, false);

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct q2s_bitmap_table_entry entry;
		uint8_t raw[8], again[8];

		q2si_put_be64(raw, rows[i].raw);
		assert_ok(q2s_bitmap_table_decode(&geom, raw, AT, &entry, &diag));
		ck_assert_uint_eq(entry.cluster.v, rows[i].entry.cluster.v);
		ck_assert(entry.ones == rows[i].entry.ones);
		assert_ok(q2s_bitmap_table_encode(&geom, &entry, again, &diag));
		ck_assert_mem_eq(raw, again, 8);
	}
}
END_TEST

START_TEST(each_illegal_bit_of_a_table_entry)
{
	const struct q2s_geom geom = geom_v3(16, false, false);

	for (unsigned bit = 0; bit < 64; bit++) {
		const uint64_t entry = 0x90000 ^ 1ull << bit;
		const struct q2s_bitmap_table_entry in = { .cluster = { entry } };
		struct q2s_bitmap_table_entry out;
		uint8_t raw[8];

		q2si_put_be64(raw, entry);
		if (bit >= 16 && bit < 56) {
			assert_ok(q2s_bitmap_table_decode(&geom, raw, AT, &out, &diag));
			continue;
		}
		assert_refused(bit == 0                ? Q2S_E_BITMAP :
			       bit >= 9 && bit < 16    ? Q2S_E_OFFSET :
							 Q2S_E_RESERVED,
			       AT.v, entry, q2s_bitmap_table_decode(&geom, raw, AT, &out, &diag));
		assert_refused(Q2S_E_OFFSET, NOWHERE, entry,
			       q2s_bitmap_table_encode(&geom, &in, raw, &diag));
	}
}
END_TEST

START_TEST(all_ones_have_no_cluster)
{
	const struct q2s_geom geom = geom_v3(16, false, false);
	const struct q2s_bitmap_table_entry in = { .cluster = { 0x90000 }, .ones = true };
	uint8_t raw[8];

	assert_refused(Q2S_E_BITMAP, NOWHERE, 0x90000,
		       q2s_bitmap_table_encode(&geom, &in, raw, &diag));
}
END_TEST

UNIT_MAIN("bitmap", known_bytes, a_short_buffer_says_what_it_needs, each_rule_of_a_record,
	  limits_hold_for_bitmaps_in_use_too, what_must_be_tolerated, the_table_matches_the_disk,
	  nothing_is_written_that_does_not_fit, extra_data_make_the_round, table_entries,
	  each_illegal_bit_of_a_table_entry, all_ones_have_no_cluster)
