/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fixed header: known bytes, every rule, and what must be tolerated. */
#include "geoms.h"
#include "unit.h"

/*
 * Version 3 with something in each field: 1 GiB in clusters of 64 KiB with extended L2, so that a
 * table of 64 KiB / 16 = 4096 entries spans 256 MiB and the L1 table needs 4 entries.
 */
static const uint8_t golden_v3[112] = {
	0x51, 0x46, 0x49, 0xfb,                /*   0 magic "QFI\xfb" */
	0, 0, 0, 3,                            /*   4 version */
	0, 0, 0, 0, 0, 0, 0x02, 0x10,          /*   8 backing_file_offset 0x210 */
	0, 0, 0, 9,                            /*  16 backing_file_size */
	0, 0, 0, 16,                           /*  20 cluster_bits */
	0, 0, 0, 0, 0x40, 0, 0, 0,             /*  24 size 2^30 */
	0, 0, 0, 0,                            /*  32 crypt_method */
	0, 0, 0, 4,                            /*  36 l1_size */
	0, 0, 0, 0, 0, 0x03, 0, 0,             /*  40 l1_table_offset: cluster 3 */
	0, 0, 0, 0, 0, 0x01, 0, 0,             /*  48 refcount_table_offset: cluster 1 */
	0, 0, 0, 1,                            /*  56 refcount_table_clusters */
	0, 0, 0, 2,                            /*  60 nb_snapshots */
	0, 0, 0, 0, 0, 0x05, 0, 0,             /*  64 snapshots_offset: cluster 5 */
	0, 0, 0, 0, 0, 0, 0, 0x19,             /*  72 dirty, compression, extended L2 */
	0, 0, 0, 0, 0, 0, 0, 0x01,             /*  80 compatible: lazy refcounts */
	0x80, 0, 0, 0, 0, 0, 0, 0x01,          /*  88 autoclear: bitmaps and an unknown bit */
	0, 0, 0, 3,                            /*  96 refcount_order: 8 bits */
	0, 0, 0, 112,                          /* 100 header_length */
	1, 0, 0, 0, 0, 0, 0, 0,                /* 104 compression_type zstd, padding */
};

static const struct q2s_header decoded_v3 = {
	.version = 3,
	.backing_file_offset = { 0x210 },
	.backing_file_size = 9,
	.cluster_bits = 16,
	.size = 1 << 30,
	.l1_size = 4,
	.l1_table_offset = { 0x30000 },
	.refcount_table_offset = { 0x10000 },
	.refcount_table_clusters = 1,
	.nb_snapshots = 2,
	.snapshots_offset = { 0x50000 },
	.incompatible_features = 0x19,
	.compatible_features = 1,
	.autoclear_features = 0x8000000000000001,
	.refcount_order = 3,
	.header_length = 112,
	.compression_type = 1,
};

static void
assert_same(const struct q2s_header *a, const struct q2s_header *b)
{
	quick_assert_eq(a->version, b->version);
	quick_assert_eq(a->backing_file_offset.v, b->backing_file_offset.v);
	quick_assert_eq(a->backing_file_size, b->backing_file_size);
	quick_assert_eq(a->cluster_bits, b->cluster_bits);
	quick_assert_eq(a->size, b->size);
	quick_assert_eq(a->crypt_method, b->crypt_method);
	quick_assert_eq(a->l1_size, b->l1_size);
	quick_assert_eq(a->l1_table_offset.v, b->l1_table_offset.v);
	quick_assert_eq(a->refcount_table_offset.v, b->refcount_table_offset.v);
	quick_assert_eq(a->refcount_table_clusters, b->refcount_table_clusters);
	quick_assert_eq(a->nb_snapshots, b->nb_snapshots);
	quick_assert_eq(a->snapshots_offset.v, b->snapshots_offset.v);
	quick_assert_eq(a->incompatible_features, b->incompatible_features);
	quick_assert_eq(a->compatible_features, b->compatible_features);
	quick_assert_eq(a->autoclear_features, b->autoclear_features);
	quick_assert_eq(a->refcount_order, b->refcount_order);
	quick_assert_eq(a->header_length, b->header_length);
	quick_assert_eq(a->compression_type, b->compression_type);
}

/* Version 2, 100 MiB in clusters of 4 KiB: a table of 512 entries spans 2 MiB, so 50 entries. */
static const uint8_t golden_v2[72] = {
	0x51, 0x46, 0x49, 0xfb,       /*  0 magic */
	0, 0, 0, 2,                   /*  4 version */
	0, 0, 0, 0, 0, 0, 0, 0,       /*  8 no backing file */
	0, 0, 0, 0,                   /* 16 */
	0, 0, 0, 12,                  /* 20 cluster_bits */
	0, 0, 0, 0, 0x06, 0x40, 0, 0, /* 24 size 100 << 20 */
	0, 0, 0, 1,                   /* 32 crypt_method: AES */
	0, 0, 0, 50,                  /* 36 l1_size */
	0, 0, 0, 0, 0, 0, 0x30, 0,    /* 40 l1_table_offset: cluster 3 */
	0, 0, 0, 0, 0, 0, 0x10, 0,    /* 48 refcount_table_offset: cluster 1 */
	0, 0, 0, 1,                   /* 56 refcount_table_clusters */
	0, 0, 0, 0,                   /* 60 nb_snapshots */
	0, 0, 0, 0, 0, 0, 0, 0,       /* 64 snapshots_offset */
};

static const struct q2s_header decoded_v2 = {
	.version = 2,
	.cluster_bits = 12,
	.size = 100 << 20,
	.crypt_method = Q2S_CRYPT_AES,
	.l1_size = 50,
	.l1_table_offset = { 0x3000 },
	.refcount_table_offset = { 0x1000 },
	.refcount_table_clusters = 1,
	.refcount_order = 4,
	.header_length = 72,
};

START_TEST(known_bytes_of_version_3)
{
	struct q2s_header header;
	uint8_t raw[112];

	assert_ok(q2s_header_decode(golden_v3, sizeof(golden_v3), &header, &diag));
	assert_same(&header, &decoded_v3);
	memset(raw, 0xff, sizeof(raw));
	assert_ok(q2s_header_encode(&decoded_v3, raw, sizeof(raw), &diag));
	ck_assert_mem_eq(raw, golden_v3, sizeof(raw));
	assert_ok(q2s_header_check_tables(&header, &diag));
}
END_TEST

START_TEST(known_bytes_of_version_2)
{
	struct q2s_header header;
	uint8_t raw[80];

	assert_ok(q2s_header_decode(golden_v2, sizeof(golden_v2), &header, &diag));
	assert_same(&header, &decoded_v2);
	memset(raw, 0xff, sizeof(raw));
	assert_ok(q2s_header_encode(&decoded_v2, raw, 72, &diag));
	ck_assert_mem_eq(raw, golden_v2, 72);
	ck_assert_uint_eq(raw[72], 0xff); /* extensions may lie there already */
}
END_TEST

/* ---- each rule ----------------------------------------------------------------------------- */

struct patch {
	unsigned at, bytes;
	uint64_t value;
};

static void
apply(uint8_t *raw, const struct patch *patch)
{
	for (unsigned i = 0; i < patch->bytes; i++)
		raw[patch->at + i] = (uint8_t)(patch->value >> 8 * (patch->bytes - 1 - i));
}

/* An image without features: all that a rule needs is patched in. */
static void
plain_v3(uint8_t *raw)
{
	struct q2s_header header = decoded_v3;

	header.backing_file_offset.v = 0;
	header.backing_file_size = 0;
	header.incompatible_features = 0;
	header.autoclear_features = 0;
	header.compression_type = 0;
	ck_assert_int_eq(q2s_header_encode(&header, raw, 112, NULL), Q2S_OK);
}

#define FORMAT_VERSION(v) { 4, 4, v }
#define BACKING_OFFSET(v) { 8, 8, v }
#define BACKING_SIZE(v) { 16, 4, v }
#define CLUSTER_BITS(v) { 20, 4, v }
#define SIZE(v) { 24, 8, v }
#define CRYPT(v) { 32, 4, v }
#define L1_SIZE(v) { 36, 4, v }
#define L1_OFFSET(v) { 40, 8, v }
#define REFTABLE_OFFSET(v) { 48, 8, v }
#define REFTABLE_CLUSTERS(v) { 56, 4, v }
#define NB_SNAPSHOTS(v) { 60, 4, v }
#define SNAPSHOTS_OFFSET(v) { 64, 8, v }
#define INCOMPATIBLE(v) { 72, 8, v }
#define AUTOCLEAR(v) { 88, 8, v }
#define ORDER(v) { 96, 4, v }
#define LENGTH(v) { 100, 4, v }
#define COMPRESSION(v) { 104, 1, v }

struct rule {
	struct patch patches[3];
	enum q2s_err err;
	uint64_t at, value;
};

static const struct rule header_rules[] = {
	{ { FORMAT_VERSION(0) }, Q2S_E_UNSUPPORTED, 4, 0 },
	{ { FORMAT_VERSION(1) }, Q2S_E_UNSUPPORTED, 4, 1 },
	{ { FORMAT_VERSION(4) }, Q2S_E_UNSUPPORTED, 4, 4 },
	{ { CLUSTER_BITS(8) }, Q2S_E_HEADER, 20, 8 },
	{ { CLUSTER_BITS(22) }, Q2S_E_HEADER, 20, 22 },
	{ { CLUSTER_BITS(UINT32_MAX) }, Q2S_E_HEADER, 20, UINT32_MAX },
	{ { CRYPT(3) }, Q2S_E_UNSUPPORTED, 32, 3 },
	{ { INCOMPATIBLE(0x20) }, Q2S_E_UNSUPPORTED, 72, 0x20 },
	{ { INCOMPATIBLE(0x8000000000000023) }, Q2S_E_UNSUPPORTED, 72, 0x8000000000000020 },
	{ { INCOMPATIBLE(1ull << 63), SIZE(1ull << 63) }, Q2S_E_UNSUPPORTED, 72, 1ull << 63 },
	{ { ORDER(7) }, Q2S_E_HEADER, 96, 7 },
	{ { LENGTH(0) }, Q2S_E_HEADER, 100, 0 },
	{ { LENGTH(100) }, Q2S_E_HEADER, 100, 100 },
	{ { LENGTH(103) }, Q2S_E_HEADER, 100, 103 },
	{ { LENGTH(65537) }, Q2S_E_HEADER, 100, 65537 },
	{ { LENGTH(UINT32_MAX) }, Q2S_E_HEADER, 100, UINT32_MAX },
	{ { INCOMPATIBLE(0x10), CLUSTER_BITS(13) }, Q2S_E_HEADER, 20, 13 },
	{ { COMPRESSION(1) }, Q2S_E_HEADER, 104, 1 },
	{ { INCOMPATIBLE(8) }, Q2S_E_HEADER, 104, 0 },
	{ { INCOMPATIBLE(8), COMPRESSION(1), LENGTH(104) }, Q2S_E_HEADER, 104, 0 },
	{ { COMPRESSION(2) }, Q2S_E_UNSUPPORTED, 104, 2 },
	{ { INCOMPATIBLE(8), COMPRESSION(255) }, Q2S_E_UNSUPPORTED, 104, 255 },
	{ { AUTOCLEAR(2) }, Q2S_E_HEADER, 88, 2 },
	{ { BACKING_OFFSET(65537) }, Q2S_E_HEADER, 8, 65537 },
	{ { BACKING_OFFSET(UINT64_MAX) }, Q2S_E_HEADER, 8, UINT64_MAX },
	{ { BACKING_OFFSET(512), BACKING_SIZE(1024) }, Q2S_E_HEADER, 16, 1024 },
	{ { BACKING_OFFSET(65530), BACKING_SIZE(7) }, Q2S_E_HEADER, 16, 7 },
	{ { BACKING_OFFSET(65536), BACKING_SIZE(1) }, Q2S_E_HEADER, 16, 1 },
	{ { SIZE(1ull << 63) }, Q2S_E_LIMIT, 24, 1ull << 63 },
	{ { SIZE(UINT64_MAX) }, Q2S_E_LIMIT, 24, UINT64_MAX },
	{ { SIZE((2ull << 50) + 512), L1_SIZE(4194304) }, Q2S_E_LIMIT, 24, (2ull << 50) + 512 },
	{ { L1_SIZE(4194305) }, Q2S_E_LIMIT, 36, 4194305 },
	{ { L1_SIZE(UINT32_MAX) }, Q2S_E_LIMIT, 36, UINT32_MAX },
	{ { L1_SIZE(1) }, Q2S_E_HEADER, 36, 1 },
	{ { L1_SIZE(0) }, Q2S_E_HEADER, 36, 0 },
	{ { INCOMPATIBLE(0x10), L1_SIZE(3) }, Q2S_E_HEADER, 36, 3 },
	{ { L1_OFFSET(0) }, Q2S_E_OFFSET, 40, 0 },
	{ { L1_OFFSET(0x30200) }, Q2S_E_OFFSET, 40, 0x30200 },
	{ { L1_OFFSET(0x7fffffffffff0000), L1_SIZE(8192) }, Q2S_E_OFFSET, 40, 0x7fffffffffff0000 },
	{ { L1_OFFSET(0xffffffffffff0000) }, Q2S_E_OFFSET, 40, 0xffffffffffff0000 },
};

START_TEST(each_rule_of_the_header)
{
	for (size_t i = 0; i < COUNT(header_rules); i++) {
		const struct rule *rule = &header_rules[i];
		struct q2s_header header = { .version = 77 };
		uint8_t raw[112];

		plain_v3(raw);
		assert_ok(q2s_header_decode(raw, sizeof(raw), &header, &diag));
		header.version = 77;
		for (size_t p = 0; p < COUNT(rule->patches); p++)
			apply(raw, &rule->patches[p]);
		assert_refused(rule->err, rule->at, rule->value,
			       q2s_header_decode(raw, sizeof(raw), &header, &diag));
		ck_assert_uint_eq(header.version, 77);
	}
}
END_TEST

static const struct rule table_rules[] = {
	{ { REFTABLE_CLUSTERS(0) }, Q2S_E_REFCOUNT, 56, 0 },
	{ { REFTABLE_CLUSTERS(129) }, Q2S_E_LIMIT, 56, 129 },
	{ { REFTABLE_CLUSTERS(UINT32_MAX) }, Q2S_E_LIMIT, 56, UINT32_MAX },
	{ { REFTABLE_OFFSET(0) }, Q2S_E_OFFSET, 48, 0 },
	{ { REFTABLE_OFFSET(0x18000) }, Q2S_E_OFFSET, 48, 0x18000 },
	{ { REFTABLE_OFFSET(0x7fffffffffff0000) }, Q2S_E_OFFSET, 48, 0x7fffffffffff0000 },
	{ { NB_SNAPSHOTS(65537) }, Q2S_E_LIMIT, 60, 65537 },
	{ { SNAPSHOTS_OFFSET(0) }, Q2S_E_OFFSET, 64, 0 },
	{ { SNAPSHOTS_OFFSET(0x50008) }, Q2S_E_OFFSET, 64, 0x50008 },
	{ { NB_SNAPSHOTS(0), SNAPSHOTS_OFFSET(0x50008) }, Q2S_E_OFFSET, 64, 0x50008 },
	{ { NB_SNAPSHOTS(65536), SNAPSHOTS_OFFSET(0x7fffffffffff0000) },
	  Q2S_E_OFFSET, 64, 0x7fffffffffff0000 },
};

/* Damage in these does not keep anybody from the guest's data. */
START_TEST(each_rule_of_the_other_tables)
{
	for (size_t i = 0; i < COUNT(table_rules); i++) {
		const struct rule *rule = &table_rules[i];
		struct q2s_header header;
		uint8_t raw[112];

		plain_v3(raw);
		for (size_t p = 0; p < COUNT(rule->patches); p++)
			apply(raw, &rule->patches[p]);
		assert_ok(q2s_header_decode(raw, sizeof(raw), &header, &diag));
		assert_refused(rule->err, rule->at, rule->value,
			       q2s_header_check_tables(&header, &diag));
	}
}
END_TEST

static const struct patch tolerated[][3] = {
	{ LENGTH(104) },
	{ LENGTH(105) },
	{ LENGTH(108) },
	{ LENGTH(120) },
	{ LENGTH(4096) },
	{ LENGTH(65536) },
	{ LENGTH(104), COMPRESSION(9) },          /* the first byte of an extension */
	{ INCOMPATIBLE(3) },                      /* dirty and corrupt */
	{ INCOMPATIBLE(4), AUTOCLEAR(2) },        /* raw data file */
	{ INCOMPATIBLE(0x10), CLUSTER_BITS(16) },
	{ AUTOCLEAR(UINT64_MAX - 2) },
	{ { 80, 8, UINT64_MAX } },                /* compatible features */
	{ CRYPT(1) },
	{ CRYPT(2) },
	{ BACKING_OFFSET(65536), BACKING_SIZE(0) },
	{ BACKING_OFFSET(64513), BACKING_SIZE(1023) },
	{ BACKING_OFFSET(0), BACKING_SIZE(UINT32_MAX) },
	{ SIZE(0), L1_SIZE(0), L1_OFFSET(0) },
	{ SIZE(0), L1_OFFSET(0) },
	{ SIZE((1 << 30) - 1) },
	{ SIZE(2ull << 50), L1_SIZE(4194304) },
	{ L1_SIZE(4194304) },
	{ L1_OFFSET(0x7fffffffffff0000), L1_SIZE(8191) },
	{ { 105, 4, 0xdeadbeef } },               /* padding */
};

/* 128 clusters of 64 KiB are the largest refcount table. */
START_TEST(the_largest_tables_are_legal)
{
	struct q2s_header header = decoded_v3;

	header.refcount_table_clusters = 128;
	header.nb_snapshots = 65536;
	assert_ok(q2s_header_check_tables(&header, &diag));
	header.nb_snapshots = 0;
	header.snapshots_offset.v = 0;
	assert_ok(q2s_header_check_tables(&header, &diag));
}
END_TEST

START_TEST(what_must_be_tolerated)
{
	for (size_t i = 0; i < COUNT(tolerated); i++) {
		struct q2s_header header;
		uint8_t raw[112];

		plain_v3(raw);
		for (size_t p = 0; p < COUNT(tolerated[i]); p++)
			apply(raw, &tolerated[i][p]);
		assert_ok(q2s_header_decode(raw, sizeof(raw), &header, &diag));
	}
}
END_TEST

/* ---- length of the file -------------------------------------------------------------------- */

static void
assert_not_qcow2(const uint8_t *buf, size_t len)
{
	struct q2s_header header;
	struct q2s_diag diag = { 0 };

	ck_assert_int_eq(q2s_header_decode(buf, len, &header, &diag), Q2S_E_MAGIC);
	ck_assert_uint_eq(diag.at.v, 0);
}

START_TEST(other_files_are_told_from_short_ones)
{
	struct q2s_header header;

	assert_not_qcow2((const uint8_t *)"QFI", 3 + 1);
	assert_not_qcow2((const uint8_t *)"KDMV", 4);
	assert_not_qcow2((const uint8_t *)"\0", 1);
	for (size_t len = 0; len < 104; len++)
		assert_refused(Q2S_E_SHORT, 0, len,
			       q2s_header_decode(golden_v3, len, &header, &diag));
	for (size_t len = 0; len < 72; len++)
		assert_refused(Q2S_E_SHORT, 0, len,
			       q2s_header_decode(golden_v2, len, &header, &diag));
}
END_TEST

/* A file of 104 bytes that says 112: the compression type behind its end is 0. */
START_TEST(missing_bytes_are_zero)
{
	struct q2s_header header;
	uint8_t raw[112];

	plain_v3(raw);
	assert_ok(q2s_header_decode(raw, 104, &header, &diag));
	ck_assert_uint_eq(header.compression_type, 0);
	assert_refused(Q2S_E_HEADER, 104, 0,
		       q2s_header_decode(golden_v3, 104, &header, &diag));
}
END_TEST

/* ---- encoding ------------------------------------------------------------------------------ */

/* The shortest header of version 3 ends before compression_type; an extension may follow. */
START_TEST(a_short_header_ends_where_it_says)
{
	struct q2s_header header = decoded_v3, again;
	uint8_t raw[112];

	header.incompatible_features = 0;
	header.compression_type = 0;
	header.header_length = 104;
	memset(raw, 0xff, sizeof(raw));
	assert_ok(q2s_header_encode(&header, raw, 104, &diag));
	ck_assert_uint_eq(raw[104], 0xff);
	assert_ok(q2s_header_decode(raw, sizeof(raw), &again, &diag));
	assert_same(&header, &again);
}
END_TEST

START_TEST(nothing_is_written_that_would_not_be_read)
{
	struct q2s_header header;
	uint8_t raw[112], untouched[112];

	memset(untouched, 0xee, sizeof(untouched));
	memcpy(raw, untouched, sizeof(raw));
	header = decoded_v3;
	header.l1_size = 3;
	assert_refused(Q2S_E_HEADER, 36, 3, q2s_header_encode(&header, raw, 112, &diag));
	header = decoded_v3;
	header.header_length = 108;
	assert_refused(Q2S_E_HEADER, 100, 108, q2s_header_encode(&header, raw, 112, &diag));
	header.header_length = 104;
	assert_refused(Q2S_E_HEADER, 100, 104, q2s_header_encode(&header, raw, 112, &diag));
	header.header_length = 112;
	assert_refused(Q2S_E_USAGE, NOWHERE, 111, q2s_header_encode(&header, raw, 111, &diag));
	assert_refused(Q2S_E_USAGE, NOWHERE, 71, q2s_header_encode(&decoded_v2, raw, 71, &diag));
	ck_assert_mem_eq(raw, untouched, sizeof(raw));
}
END_TEST

START_TEST(version_2_holds_nothing_of_version_3)
{
	struct q2s_header header;
	uint8_t raw[112];

	header = decoded_v2;
	header.compatible_features = 1;
	assert_refused(Q2S_E_HEADER, 4, 1, q2s_header_encode(&header, raw, 112, &diag));
	header = decoded_v2;
	header.incompatible_features = 1ull << 40;
	assert_refused(Q2S_E_UNSUPPORTED, 72, 1ull << 40,
		       q2s_header_encode(&header, raw, 112, &diag));
	header = decoded_v2;
	header.refcount_order = 5;
	assert_refused(Q2S_E_HEADER, 96, 5, q2s_header_encode(&header, raw, 112, &diag));
	header = decoded_v2;
	header.header_length = 104;
	assert_refused(Q2S_E_HEADER, 100, 104, q2s_header_encode(&header, raw, 112, &diag));
	header = decoded_v2;
	header.compression_type = 1;
	assert_refused(Q2S_E_HEADER, 104, 1, q2s_header_encode(&header, raw, 112, &diag));
}
END_TEST

/* A legal header of this kind with chance in every field that has some freedom. */
static struct q2s_header
random_header(const struct q2s_geom *geom, uint64_t *seed)
{
	const uint64_t cluster = geom->cluster_size;
	struct q2s_header h = {
		.version = geom->version,
		.cluster_bits = geom->cluster_bits,
		.size = geom->size,
		.crypt_method = (uint32_t)(unit_random(seed) % 3),
		.l1_size = (uint32_t)(geom->l1_entries + unit_random(seed) % 100),
		.l1_table_offset = { (1 + unit_random(seed) % 1000000) * cluster },
		.refcount_table_offset = { unit_random(seed) },
		.refcount_table_clusters = (uint32_t)unit_random(seed),
		.nb_snapshots = (uint32_t)unit_random(seed),
		.snapshots_offset = { unit_random(seed) },
		.refcount_order = geom->refcount_order,
		.header_length = 72,
	};

	if (unit_random(seed) & 1) {
		const uint64_t room = unit_random(seed) % cluster;

		h.backing_file_offset.v = cluster - room;
		h.backing_file_size = (uint32_t)(unit_random(seed) % (room + 1) % 1024);
	}
	if (h.version == 2)
		return h;
	h.compression_type = unit_random(seed) & 1;
	h.incompatible_features = (unit_random(seed) & 3) | (geom->data_file ? 4 : 0) |
				  (h.compression_type ? 8 : 0) | (geom->extended ? 16 : 0);
	h.compatible_features = unit_random(seed);
	h.autoclear_features = unit_random(seed) & ~(geom->data_file ? 0 : 2ull);
	h.header_length = (uint32_t)(112 + unit_random(seed) % ((cluster - 112) / 8 + 1) * 8);
	return h;
}

START_TEST(every_kind_of_image_makes_the_round)
{
	static uint8_t raw[2 << 20];
	uint64_t seed = 3;
	unsigned rounds = 0;

	for (unsigned i = 0; i < GEOMS * 20; i++) {
		const uint64_t size = unit_random(&seed) % (1ull << 35) & ~511ull;
		struct q2s_header header, again;
		struct q2s_geom geom, derived;

		if (!geom_at(i % GEOMS, size, &geom))
			continue;
		header = random_header(&geom, &seed);
		assert_ok(q2s_header_encode(&header, raw, sizeof(raw), &diag));
		assert_ok(q2s_header_decode(raw, header.header_length, &again, &diag));
		assert_same(&header, &again);
		assert_ok(q2s_header_geom(&again, &derived, &diag));
		quick_assert_eq(derived.version, geom.version);
		quick_assert_eq(derived.cluster_bits, geom.cluster_bits);
		quick_assert_eq(derived.refcount_order, geom.refcount_order);
		quick_assert(derived.extended == geom.extended);
		quick_assert(derived.data_file == geom.data_file);
		quick_assert_eq(derived.size, geom.size);
		rounds++;
	}
	quick_assert_eq(rounds, GEOMS_LEGAL * 20);
}
END_TEST

START_TEST(geometry_rounds_the_size_down)
{
	struct q2s_header header = decoded_v3;
	struct q2s_geom geom;

	header.size = 524188;
	assert_ok(q2s_header_geom(&header, &geom, &diag));
	ck_assert_uint_eq(geom.size, 523776);
}
END_TEST

UNIT_MAIN("header", known_bytes_of_version_3, known_bytes_of_version_2, each_rule_of_the_header,
	  each_rule_of_the_other_tables, the_largest_tables_are_legal,
	  what_must_be_tolerated, other_files_are_told_from_short_ones, missing_bytes_are_zero,
	  a_short_header_ends_where_it_says, nothing_is_written_that_would_not_be_read,
	  version_2_holds_nothing_of_version_3,
	  every_kind_of_image_makes_the_round, geometry_rounds_the_size_down)
