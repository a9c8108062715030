/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Header extensions: the walk, its bounds, and the records that we understand. */
#include "geoms.h"
#include "unit.h"

static const q2s_host END = { 512 };

/* Two records from 104 on, then the end record: "raw" padded to 8, and one of 8 bytes. */
static const uint8_t golden[] = {
	0xe2, 0x79, 0x2a, 0xca, 0, 0, 0, 3, 'r', 'a', 'w', 0, 0, 0, 0, 0, /* 104 backing format */
	0x12, 0x34, 0x56, 0x78, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8,       /* 120 of no known type */
	0, 0, 0, 0, 0, 0, 0, 0,                                           /* 136 end */
};

static uint8_t buf[512];

static void
start(void)
{
	memset(buf, 0, sizeof(buf));
	memcpy(buf + 104, golden, sizeof(golden));
}

START_TEST(known_bytes_are_walked)
{
	struct q2s_ext ext;
	uint64_t pos = 104;

	start();
	assert_ok(q2s_ext_next(buf, sizeof(buf), END, &pos, &ext, &diag));
	ck_assert_uint_eq(ext.type, Q2S_EXT_BACKING_FORMAT);
	ck_assert_uint_eq(ext.len, 3);
	ck_assert_uint_eq(ext.at.v, 104);
	ck_assert_ptr_eq(ext.data, buf + 112);
	ck_assert_uint_eq(pos, 120);
	assert_ok(q2s_ext_next(buf, sizeof(buf), END, &pos, &ext, &diag));
	ck_assert_uint_eq(ext.type, 0x12345678);
	ck_assert_uint_eq(ext.len, 8);
	ck_assert_ptr_eq(ext.data, buf + 128);
	ck_assert_uint_eq(pos, 136);
	assert_ok(q2s_ext_next(buf, sizeof(buf), END, &pos, &ext, &diag));
	ck_assert_uint_eq(ext.type, Q2S_EXT_END);
	ck_assert_uint_eq(ext.len, 0);
	ck_assert_uint_eq(ext.at.v, 136);
	ck_assert_ptr_null(ext.data);
	pos = 136; /* the area may end right behind the end record */
	assert_ok(q2s_ext_next(buf, sizeof(buf), (q2s_host){ 144 }, &pos, &ext, &diag));
}
END_TEST

START_TEST(known_bytes_are_written)
{
	static const uint8_t eight[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	uint64_t pos = 104;

	memset(buf, 0xff, sizeof(buf));
	assert_ok(q2s_ext_encode(Q2S_EXT_BACKING_FORMAT, "raw", 3, buf, 144, &pos, &diag));
	assert_ok(q2s_ext_encode(0x12345678, eight, 8, buf, 144, &pos, &diag));
	assert_ok(q2s_ext_encode(Q2S_EXT_END, NULL, 0, buf, 144, &pos, &diag));
	ck_assert_uint_eq(pos, 144);
	ck_assert_mem_eq(buf + 104, golden, sizeof(golden));
	ck_assert_uint_eq(buf[144], 0xff);
}
END_TEST

START_TEST(a_record_without_room_is_not_written)
{
	uint64_t pos = 104;

	memset(buf, 0xff, sizeof(buf));
	assert_refused(Q2S_E_LIMIT, 104, 3,
		       q2s_ext_encode(1, "raw", 3, buf, 119, &pos, &diag));
	assert_refused(Q2S_E_LIMIT, 104, UINT32_MAX,
		       q2s_ext_encode(1, "raw", UINT32_MAX, buf, 512, &pos, &diag));
	ck_assert_uint_eq(pos, 104);
	ck_assert_uint_eq(buf[104], 0xff);
	pos = 513;
	assert_refused(Q2S_E_LIMIT, 513, 0, q2s_ext_encode(0, NULL, 0, buf, 512, &pos, &diag));
}
END_TEST

START_TEST(a_record_stays_in_its_area)
{
	struct q2s_ext ext = { .type = 77 };
	uint64_t pos = 104;

	start();
	for (uint64_t end = 105; end < 115; end++)
		assert_refused(Q2S_E_EXTENSION, 104, 3,
			       q2s_ext_next(buf, sizeof(buf), (q2s_host){ end }, &pos, &ext,
					    &diag));
	ck_assert_uint_eq(pos, 104);
	ck_assert_uint_eq(ext.type, 77);
	/* only the padding crosses the end: as QEMU, no error */
	assert_ok(q2s_ext_next(buf, sizeof(buf), (q2s_host){ 115 }, &pos, &ext, &diag));
	assert_ok(q2s_ext_next(buf, sizeof(buf), (q2s_host){ 115 }, &pos, &ext, &diag));
	ck_assert_uint_eq(ext.type, Q2S_EXT_END);
	memset(buf + 108, 0xff, 4);
	pos = 104;
	assert_refused(Q2S_E_EXTENSION, 104, UINT32_MAX,
		       q2s_ext_next(buf, sizeof(buf), END, &pos, &ext, &diag));
}
END_TEST

START_TEST(a_record_of_one_byte)
{
	struct q2s_ext ext;
	uint64_t pos = 104;

	memset(buf, 0xff, sizeof(buf));
	assert_ok(q2s_ext_encode(7, "x", 1, buf, sizeof(buf), &pos, &diag));
	ck_assert_uint_eq(pos, 120);
	ck_assert_mem_eq(buf + 104, "\0\0\0\x07\0\0\0\x01x\0\0\0\0\0\0\0", 16);
	pos = 104;
	assert_ok(q2s_ext_next(buf, sizeof(buf), END, &pos, &ext, &diag));
	ck_assert_ptr_eq(ext.data, buf + 112);
	pos = 104;
	assert_refused(Q2S_E_EXTENSION, 104, 1, q2s_ext_next(buf, 112, END, &pos, &ext, &diag));
}
END_TEST

START_TEST(the_area_may_end_without_a_record)
{
	struct q2s_ext ext;
	uint64_t pos;

	start();
	pos = 136;
	assert_ok(q2s_ext_next(buf, sizeof(buf), (q2s_host){ 136 }, &pos, &ext, &diag));
	ck_assert_uint_eq(ext.type, Q2S_EXT_END);
	ck_assert_uint_eq(pos, 136);
	pos = 104; /* a backing file name that starts inside the header */
	assert_ok(q2s_ext_next(buf, sizeof(buf), (q2s_host){ 80 }, &pos, &ext, &diag));
	ck_assert_uint_eq(ext.type, Q2S_EXT_END);
}
END_TEST

START_TEST(bytes_behind_the_file_are_zero)
{
	struct q2s_ext ext;
	uint64_t pos;

	start();
	for (size_t len = 136; len <= 144; len++) { /* the file ends somewhere in the end record */
		pos = 136;
		assert_ok(q2s_ext_next(buf, len, END, &pos, &ext, &diag));
		ck_assert_uint_eq(ext.type, Q2S_EXT_END);
	}
	pos = 104; /* the file ends with the header */
	assert_ok(q2s_ext_next(buf, 104, END, &pos, &ext, &diag));
	ck_assert_uint_eq(ext.type, Q2S_EXT_END);
	for (size_t len = 112; len < 115; len++) {
		pos = 104;
		assert_refused(Q2S_E_EXTENSION, 104, 3,
			       q2s_ext_next(buf, len, END, &pos, &ext, &diag));
	}
	pos = 104;
	assert_ok(q2s_ext_next(buf, 115, END, &pos, &ext, &diag));
	ck_assert_uint_eq(ext.type, Q2S_EXT_BACKING_FORMAT);
}
END_TEST

START_TEST(the_area_ends_at_the_name_or_the_cluster)
{
	struct q2s_header header = { .cluster_bits = 9 };

	ck_assert_uint_eq(q2s_ext_area_end(&header).v, 512);
	header.backing_file_offset.v = 200;
	ck_assert_uint_eq(q2s_ext_area_end(&header).v, 200);
	header = (struct q2s_header){ .cluster_bits = 21 };
	ck_assert_uint_eq(q2s_ext_area_end(&header).v, 2 << 20);
}
END_TEST

/* ---- bitmaps and encryption ---------------------------------------------------------------- */

static const uint8_t golden_bitmaps[24] = {
	0, 0, 0, 2,                   /*  0 two bitmaps */
	0, 0, 0, 0,                   /*  4 reserved */
	0, 0, 0, 0, 0, 0, 0, 0x40,    /*  8 directory of 64 bytes: 2 * (24 + name, padded to 32) */
	0, 0, 0, 0, 0, 0x07, 0, 0,    /* 16 at 0x70000 */
};

static struct q2s_ext
bitmaps_ext(const uint8_t *data)
{
	return (struct q2s_ext){ Q2S_EXT_BITMAPS, 24, { 0x100 }, data };
}

START_TEST(bitmaps_are_located)
{
	const struct q2s_geom geom = geom_v3(16, false, false);
	const struct q2s_ext ext = bitmaps_ext(golden_bitmaps);
	struct q2s_ext_bitmaps bitmaps;
	uint8_t raw[24];

	assert_ok(q2s_ext_bitmaps_decode(&geom, &ext, &bitmaps, &diag));
	ck_assert_uint_eq(bitmaps.count, 2);
	ck_assert_uint_eq(bitmaps.directory_size, 64);
	ck_assert_uint_eq(bitmaps.directory_offset.v, 0x70000);
	memset(raw, 0xff, sizeof(raw));
	q2s_ext_bitmaps_encode(&bitmaps, raw);
	ck_assert_mem_eq(raw, golden_bitmaps, sizeof(raw));
}
END_TEST

START_TEST(each_rule_of_the_bitmaps_extension)
{
	static const struct {
		unsigned byte;
		uint8_t value;
		enum q2s_err err;
		uint64_t at, found;
	} rows[] = {
		{ 3, 0, Q2S_E_BITMAP, 0x108, 0 },
		{ 1, 1, Q2S_E_BITMAP, 0x108, 0x10002 },
		{ 3, 3, Q2S_E_BITMAP, 0x110, 64 },           /* three records need 96 bytes */
		{ 4, 1, Q2S_E_BITMAP, 0x10c, 0x1000000 },
		{ 11, 1, Q2S_E_BITMAP, 0x110, 0x100000040 }, /* over 65535 * 1024 */
		{ 22, 1, Q2S_E_OFFSET, 0x118, 0x70100 },
		{ 21, 0, Q2S_E_OFFSET, 0x118, 0 },
		{ 16, 0x80, Q2S_E_OFFSET, 0x118, 0x8000000000070000 },
	};
	const struct q2s_geom geom = geom_v3(16, false, false);
	struct q2s_ext_bitmaps bitmaps;
	struct q2s_ext ext = bitmaps_ext(golden_bitmaps);

	ext.len = 16;
	assert_refused(Q2S_E_BITMAP, 0x100, 16,
		       q2s_ext_bitmaps_decode(&geom, &ext, &bitmaps, &diag));
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint8_t raw[24];

		memcpy(raw, golden_bitmaps, sizeof(raw));
		raw[rows[i].byte] = rows[i].value;
		ext = bitmaps_ext(raw);
		assert_refused(rows[i].err, rows[i].at, rows[i].found,
			       q2s_ext_bitmaps_decode(&geom, &ext, &bitmaps, &diag));
	}
}
END_TEST

/* 65535 records of 1024 bytes each are the largest directory: 0xffff, 0x3fffc00. */
START_TEST(the_largest_directory_is_legal)
{
	const struct q2s_geom geom = geom_v3(16, false, false);
	struct q2s_ext_bitmaps bitmaps = { 65535, 1024ull * 65535, { 0x70000 } };
	uint8_t raw[24];
	const struct q2s_ext ext = bitmaps_ext(raw);

	q2s_ext_bitmaps_encode(&bitmaps, raw);
	assert_ok(q2s_ext_bitmaps_decode(&geom, &ext, &bitmaps, &diag));
	bitmaps.directory_size++;
	q2s_ext_bitmaps_encode(&bitmaps, raw);
	assert_refused(Q2S_E_BITMAP, 0x110, 0x3fffc01,
		       q2s_ext_bitmaps_decode(&geom, &ext, &bitmaps, &diag));
}
END_TEST

START_TEST(the_encryption_header_is_located)
{
	static const uint8_t known[16] = {
		0, 0, 0, 0, 0, 0x04, 0, 0,    /* at 0x40000 */
		0, 0, 0, 0, 0, 0x1f, 0x90, 0, /* 2,068,480 bytes */
	};
	static const struct {
		unsigned byte;
		uint8_t value;
		enum q2s_err err;
		uint64_t at, found;
	} rows[] = {
		{ 6, 2, Q2S_E_OFFSET, 0x108, 0x40200 },
		{ 5, 0, Q2S_E_OFFSET, 0x108, 0 },
		{ 0, 0x80, Q2S_E_OFFSET, 0x108, 0x8000000000040000 },
		{ 8, 0x80, Q2S_E_CRYPTO, 0x110, 0x80000000001f9000 },
	};
	const struct q2s_geom geom = geom_v3(16, false, false);
	struct q2s_ext ext = { Q2S_EXT_CRYPTO, 16, { 0x100 }, known };
	struct q2s_ext_crypto crypto;
	uint8_t raw[16];

	assert_ok(q2s_ext_crypto_decode(&geom, &ext, &crypto, &diag));
	ck_assert_uint_eq(crypto.offset.v, 0x40000);
	ck_assert_uint_eq(crypto.length, 2068480);
	q2s_ext_crypto_encode(&crypto, raw);
	ck_assert_mem_eq(raw, known, sizeof(raw));
	ext.len = 15;
	assert_refused(Q2S_E_CRYPTO, 0x100, 15,
		       q2s_ext_crypto_decode(&geom, &ext, &crypto, &diag));
	ext = (struct q2s_ext){ Q2S_EXT_CRYPTO, 16, { 0x100 }, raw };
	for (size_t i = 0; i < COUNT(rows); i++) {
		memcpy(raw, known, sizeof(raw));
		raw[rows[i].byte] = rows[i].value;
		assert_refused(rows[i].err, rows[i].at, rows[i].found,
			       q2s_ext_crypto_decode(&geom, &ext, &crypto, &diag));
	}
	memcpy(raw, known, sizeof(raw));
	memset(raw + 8, 0, 8);
	assert_refused(Q2S_E_CRYPTO, 0x110, 0,
		       q2s_ext_crypto_decode(&geom, &ext, &crypto, &diag));
}
END_TEST

/* ---- feature names ------------------------------------------------------------------------- */

static struct q2s_feature_item
item(uint8_t kind, uint8_t bit, const char *name)
{
	struct q2s_feature_item out = { .kind = kind, .bit = bit };

	strcpy(out.name, name);
	return out;
}

START_TEST(feature_items_make_the_round)
{
	static const char longest[] = "0123456789012345678901234567890123456789012345";
	struct q2s_feature_item in[] = { item(0, 63, "time travel"), item(2, 0, longest) }, out;
	uint8_t raw[2 * Q2S_FEATURE_NAME_SIZE];
	struct q2s_ext ext = { Q2S_EXT_FEATURE_NAMES, sizeof(raw), { 0x70 }, raw };

	memset(raw, 0xff, sizeof(raw));
	for (uint32_t i = 0; i < COUNT(in); i++)
		q2s_feature_item_encode(&in[i], raw + i * Q2S_FEATURE_NAME_SIZE);
	ck_assert_mem_eq(raw, "\x00\x3f" "time travel\0\0\0", 16);
	ck_assert_uint_eq(raw[47], 0);
	ck_assert_uint_eq(raw[95], '5'); /* 46 bytes of name need no NUL */
	for (uint32_t i = 0; i < COUNT(in); i++) {
		assert_ok(q2s_feature_item_decode(&ext, i, &out, &diag));
		ck_assert_uint_eq(out.kind, in[i].kind);
		ck_assert_uint_eq(out.bit, in[i].bit);
		ck_assert_str_eq(out.name, in[i].name);
	}
	assert_refused(Q2S_E_EXTENSION, 0x70, 2, q2s_feature_item_decode(&ext, 2, &out, &diag));
	assert_refused(Q2S_E_EXTENSION, 0x70, UINT32_MAX,
		       q2s_feature_item_decode(&ext, UINT32_MAX, &out, &diag));
	raw[48] = 3;
	assert_refused(Q2S_E_EXTENSION, 0x70 + 8 + 48, 3,
		       q2s_feature_item_decode(&ext, 1, &out, &diag));
	raw[1] = 64;
	assert_refused(Q2S_E_EXTENSION, 0x70 + 8 + 1, 64,
		       q2s_feature_item_decode(&ext, 0, &out, &diag));
}
END_TEST

START_TEST(known_bits_have_names)
{
	ck_assert_str_eq(q2s_feature_name(0, 0), "dirty bit");
	ck_assert_str_eq(q2s_feature_name(0, 4), "extended L2 entries");
	ck_assert_str_eq(q2s_feature_name(1, 0), "lazy refcounts");
	ck_assert_str_eq(q2s_feature_name(2, 1), "raw external data");
	for (unsigned bit = 0; bit < 70; bit++) {
		ck_assert(!q2s_feature_name(0, bit) == (bit > 4));
		ck_assert(!q2s_feature_name(1, bit) == (bit > 0));
		ck_assert(!q2s_feature_name(2, bit) == (bit > 1 && bit != 48));
		ck_assert_ptr_null(q2s_feature_name(3, bit));
	}
}
END_TEST

static const uint8_t golden_mark[32] = {
	0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10,
	[31] = 1,
};

START_TEST(a_mark_makes_the_round)
{
	const struct q2s_ext ext = { Q2S_EXT_MARK, 32, { 0x90 }, golden_mark };
	char text[Q2S_ID_TEXT];
	struct q2s_mark mark;
	uint8_t raw[32];

	assert_ok(q2s_ext_mark_decode(&ext, &mark, &diag));
	ck_assert_str_eq(q2s_id_text(&mark.id, text), "01234567-89ab-cdef-fedc-ba9876543210");
	ck_assert_str_eq(q2s_id_text(&mark.parent, text), "00000000-0000-0000-0000-000000000001");
	memset(raw, 0xff, sizeof(raw));
	q2s_ext_mark_encode(&mark, raw);
	ck_assert_mem_eq(raw, golden_mark, sizeof(raw));
}
END_TEST

START_TEST(each_rule_of_the_mark)
{
	uint8_t raw[33] = { 0 };
	struct q2s_ext ext = { Q2S_EXT_MARK, 32, { 0x90 }, raw };
	struct q2s_mark mark = { .id = { { 7 } } };

	ck_assert_int_eq(q2s_ext_mark_decode(&ext, &mark, NULL), Q2S_E_EXTENSION); /* no id */
	memcpy(raw, golden_mark, 32);
	for (ext.len = 0; ext.len <= sizeof(raw); ext.len++)
		ck_assert_int_eq(q2s_ext_mark_decode(&ext, &mark, NULL),
				 ext.len == 32 ? Q2S_OK : Q2S_E_EXTENSION);
	ext.len = 31;
	mark.id.bytes[0] = 7;
	assert_refused(Q2S_E_EXTENSION, 0x90, 31, q2s_ext_mark_decode(&ext, &mark, &diag));
	ck_assert_uint_eq(mark.id.bytes[0], 7);
	ext.len = 32;
	memcpy(raw + 16, raw, 16); /* its own parent */
	ck_assert_int_eq(q2s_ext_mark_decode(&ext, &mark, NULL), Q2S_E_EXTENSION);
}
END_TEST

START_TEST(ids_are_read_in_both_forms)
{
	static const char *const good[] = {
		"0123456789abcdeffedcba9876543210",
		"0123456789ABCDEFfedcba9876543210",
		"01234567-89ab-cdef-fedc-ba9876543210",
	};
	static const char *const bad[] = {
		"", "1", "0123456789abcdeffedcba987654321", "0123456789abcdeffedcba98765432100",
		"0123456789abcdeffedcba987654321g", "01234567-89ab-cdef-fedcba9876543210",
		"01234567-89ab-cdef-fedc-ba987654321", "01234567-89ab-cdef-fedc-ba98765432101",
		"0123456-789ab-cdef-fedc-ba9876543210", "01234567 89ab-cdef-fedc-ba9876543210",
		"00000000000000000000000000000000", "00000000-0000-0000-0000-000000000000",
		" 0123456789abcdeffedcba987654321", "0x23456789abcdeffedcba9876543210",
		"0123456789abcdeffedcba98765432-1-abc",
	};
	struct q2s_id id;

	for (size_t i = 0; i < COUNT(good); i++) {
		ck_assert(q2s_id_parse(good[i], &id));
		ck_assert_mem_eq(id.bytes, golden_mark, 16);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		ck_assert_msg(!q2s_id_parse(bad[i], &id), "'%s'", bad[i]);
	ck_assert_mem_eq(id.bytes, golden_mark, 16);
}
END_TEST

START_TEST(known_types_have_names)
{
	ck_assert_str_eq(q2s_ext_name(Q2S_EXT_END), "end");
	ck_assert_str_eq(q2s_ext_name(Q2S_EXT_BITMAPS), "bitmaps");
	ck_assert_ptr_null(q2s_ext_name(0x12345678));
}
END_TEST

/* An empty image whose feature name table starts at 112 and names incompatible bits 5 and 6. */
static void
image_with_names(void)
{
	const struct q2s_feature_item names[] = { item(0, 5, "five"), item(0, 6, "six") };
	const struct q2s_header header = {
		.version = 3,
		.cluster_bits = 9,
		.refcount_order = 4,
		.header_length = 112,
	};
	uint8_t table[2 * Q2S_FEATURE_NAME_SIZE];
	uint64_t pos = 112;

	memset(buf, 0, sizeof(buf));
	for (size_t i = 0; i < COUNT(names); i++)
		q2s_feature_item_encode(&names[i], table + i * Q2S_FEATURE_NAME_SIZE);
	ck_assert_int_eq(q2s_header_encode(&header, buf, sizeof(buf), NULL), Q2S_OK);
	ck_assert_int_eq(q2s_ext_encode(Q2S_EXT_BACKING_FORMAT, "raw", 3, buf, sizeof(buf), &pos,
					NULL), Q2S_OK);
	ck_assert_int_eq(q2s_ext_encode(Q2S_EXT_FEATURE_NAMES, table, sizeof(table), buf,
					sizeof(buf), &pos, NULL), Q2S_OK);
}

START_TEST(an_unknown_bit_is_named_by_its_image)
{
	struct q2s_feature_item found;
	struct q2s_header header;

	image_with_names();
	ck_assert(q2s_feature_find(buf, sizeof(buf), 0, 5, &found));
	ck_assert_str_eq(found.name, "five");
	ck_assert(q2s_feature_find(buf, sizeof(buf), 0, 6, &found));
	buf[79] = 0x40; /* incompatible bit 6 */
	assert_refused(Q2S_E_UNSUPPORTED, 72, 0x40,
		       q2s_header_decode(buf, sizeof(buf), &header, &diag));
	ck_assert(q2s_feature_find(buf, sizeof(buf), 0, 6, &found));
	ck_assert_str_eq(found.name, "six");
	ck_assert(!q2s_feature_find(buf, sizeof(buf), 0, 7, &found));
	ck_assert(!q2s_feature_find(buf, sizeof(buf), 1, 6, &found));
	for (size_t len = 0; len < 112 + 16 + 8 + 96; len++)
		ck_assert(!q2s_feature_find(buf, len, 0, 6, &found));
	buf[112 + 16 + 8] = 9; /* the first item is broken, the second is not */
	ck_assert(!q2s_feature_find(buf, sizeof(buf), 0, 5, &found));
	ck_assert(q2s_feature_find(buf, sizeof(buf), 0, 6, &found));
	buf[23] = 99; /* cluster_bits */
	ck_assert(!q2s_feature_find(buf, sizeof(buf), 0, 6, &found));
}
END_TEST

UNIT_MAIN("extension", known_bytes_are_walked, known_bytes_are_written,
	  a_record_without_room_is_not_written, a_record_stays_in_its_area, a_record_of_one_byte,
	  the_area_may_end_without_a_record, bytes_behind_the_file_are_zero,
	  the_area_ends_at_the_name_or_the_cluster, bitmaps_are_located,
	  each_rule_of_the_bitmaps_extension, the_largest_directory_is_legal,
	  the_encryption_header_is_located, feature_items_make_the_round, known_bits_have_names,
	  an_unknown_bit_is_named_by_its_image, a_mark_makes_the_round, each_rule_of_the_mark,
	  ids_are_read_in_both_forms, known_types_have_names)
