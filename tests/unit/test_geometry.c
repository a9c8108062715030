/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Geometry: the format's numbers, by table, by worked example and over all legal combinations. */
#include "geoms.h"
#include "unit.h"

#define KIB 1024ull
#define MIB (KIB << 10)
#define GIB (MIB << 10)
#define TIB (GIB << 10)
#define PIB (TIB << 10)
#define EIB (PIB << 10)

static struct q2s_geom_params
v3(uint32_t cluster_bits, bool extended, uint64_t size)
{
	return (struct q2s_geom_params){
		.version = 3,
		.cluster_bits = cluster_bits,
		.refcount_order = 4,
		.extended = extended,
		.size = size,
	};
}

/* Entries a table, guest bytes a table, and the largest disk under a 32 MiB L1 table. */
START_TEST(tables_of_the_format)
{
	static const struct {
		uint32_t cluster_bits;
		bool extended;
		uint32_t entries;
		uint64_t span, size_max;
	} rows[] = {
		{ 9, false, 64, 32 * KIB, 128 * GIB },
		{ 12, false, 512, 2 * MIB, 8 * TIB },
		{ 14, false, 2048, 32 * MIB, 128 * TIB },
		{ 16, false, 8192, 512 * MIB, 2 * PIB },
		{ 21, false, 262144, 512 * GIB, 2 * EIB },
		{ 14, true, 1024, 16 * MIB, 64 * TIB },
		{ 16, true, 4096, 256 * MIB, 1 * PIB },
		{ 21, true, 131072, 256 * GIB, 1 * EIB },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct q2s_geom_params params =
			v3(rows[i].cluster_bits, rows[i].extended, rows[i].size_max);
		struct q2s_geom geom;

		assert_ok(q2s_geom_init(&params, &geom, &diag));
		ck_assert_uint_eq(geom.l2_entries, rows[i].entries);
		ck_assert_uint_eq(geom.l2_span, rows[i].span);
		ck_assert_uint_eq(geom.l1_entries, 4194304);
		params.size += 512;
		assert_refused(Q2S_E_LIMIT, NOWHERE, params.size,
			       q2s_geom_init(&params, &geom, &diag));
	}
}
END_TEST

START_TEST(a_guest_address_finds_its_entries)
{
	const struct q2s_geom standard = geom_v3(16, false, false);
	const struct q2s_geom extended = geom_v3(16, true, false);
	const q2s_guest guest = { 0x234567890 };

	ck_assert_uint_eq(q2s_l1_index(&standard, guest), 17);
	ck_assert_uint_eq(q2s_l2_index(&standard, guest), 5206);
	ck_assert_uint_eq(q2s_in_cluster(&standard, guest), 0x7890);
	ck_assert_uint_eq(q2s_sub_index(&standard, guest), 0);
	ck_assert_uint_eq(q2s_l1_index(&extended, guest), 35);
	ck_assert_uint_eq(q2s_l2_index(&extended, guest), 1110);
	ck_assert_uint_eq(q2s_in_cluster(&extended, guest), 0x7890);
	ck_assert_uint_eq(q2s_sub_index(&extended, guest), 15);
}
END_TEST

START_TEST(refcount_widths_of_the_format)
{
	static const struct {
		uint32_t order, bits;
		uint64_t max;
		uint32_t entries; /* in a block of 64 KiB */
	} rows[] = {
		{ 0, 1, 1, 524288 },        { 1, 2, 3, 262144 },      { 2, 4, 15, 131072 },
		{ 3, 8, 255, 65536 },       { 4, 16, 65535, 32768 },  { 5, 32, UINT32_MAX, 16384 },
		{ 6, 64, UINT64_MAX, 8192 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct q2s_geom_params params = v3(16, false, 0);
		struct q2s_geom geom;

		params.refcount_order = rows[i].order;
		assert_ok(q2s_geom_init(&params, &geom, &diag));
		ck_assert_uint_eq(geom.refcount_bits, rows[i].bits);
		ck_assert_uint_eq(geom.refcount_max, rows[i].max);
		ck_assert_uint_eq(geom.block_entries, rows[i].entries);
	}
}
END_TEST

static void
assert_consistent(const struct q2s_geom *g)
{
	ck_assert_uint_eq(g->cluster_size, 1u << g->cluster_bits);
	ck_assert_uint_eq(g->sub_count * g->sub_size, g->cluster_size);
	ck_assert_uint_eq(g->sub_size, 1u << g->sub_bits);
	ck_assert_uint_ge(g->sub_size, 512);
	ck_assert_uint_eq(g->sub_mask, (1ull << g->sub_count) - 1);
	ck_assert_uint_eq(g->l2_entries * g->l2_entry_size, g->cluster_size);
	ck_assert_uint_eq(g->l2_entries, 1u << g->l2_bits);
	ck_assert_uint_eq(g->l2_span, (uint64_t)g->l2_entries * g->cluster_size);
	ck_assert_uint_eq((uint64_t)g->block_entries * g->refcount_bits, g->cluster_size * 8ull);
	ck_assert_uint_eq(g->block_entries, 1u << g->block_bits);
	ck_assert_uint_ge(g->clusters * g->cluster_size, g->size);
	ck_assert_uint_lt(g->clusters * g->cluster_size - g->size, g->cluster_size);
	ck_assert_uint_ge(g->l1_entries * g->l2_span, g->size);
	ck_assert_uint_lt(g->l1_entries * g->l2_span - g->size, g->l2_span);
}

START_TEST(every_combination_is_consistent_or_refused)
{
	uint64_t seed = 1;
	unsigned legal = 0;

	for (unsigned i = 0; i < GEOMS; i++) {
		const uint64_t size = unit_random(&seed) % (128 * GIB);
		struct q2s_geom geom;

		if (!geom_at(i, size, &geom))
			continue;
		legal++;
		ck_assert_uint_eq(geom.size % 512, 0);
		ck_assert_uint_lt(geom.size - size, 512);
		assert_consistent(&geom);
	}
	ck_assert_uint_eq(legal, GEOMS_LEGAL);
}
END_TEST

START_TEST(sizes_are_rounded_up_to_sectors)
{
	static const uint64_t sizes[][2] = { { 0, 0 }, { 1, 512 }, { 512, 512 }, { 513, 1024 } };

	for (size_t i = 0; i < COUNT(sizes); i++) {
		const struct q2s_geom_params params = v3(16, false, sizes[i][0]);
		struct q2s_geom geom;

		assert_ok(q2s_geom_init(&params, &geom, &diag));
		ck_assert_uint_eq(geom.size, sizes[i][1]);
		ck_assert_uint_eq(geom.clusters, sizes[i][0] ? 1 : 0);
		ck_assert_uint_eq(geom.l1_entries, sizes[i][0] ? 1 : 0);
	}
}
END_TEST

START_TEST(each_illegal_parameter_is_refused)
{
	static const struct {
		struct q2s_geom_params params;
		enum q2s_err err;
		uint64_t value;
	} rows[] = {
		{ { 1, 16, 4, false, false, 0 }, Q2S_E_UNSUPPORTED, 1 },
		{ { 4, 16, 4, false, false, 0 }, Q2S_E_UNSUPPORTED, 4 },
		{ { 3, 8, 4, false, false, 0 }, Q2S_E_USAGE, 8 },
		{ { 3, 22, 4, false, false, 0 }, Q2S_E_USAGE, 22 },
		{ { 3, UINT32_MAX, 4, false, false, 0 }, Q2S_E_USAGE, UINT32_MAX },
		{ { 3, 16, 7, false, false, 0 }, Q2S_E_USAGE, 7 },
		{ { 2, 16, 4, true, false, 0 }, Q2S_E_CONFLICT, 2 },
		{ { 2, 16, 4, false, true, 0 }, Q2S_E_CONFLICT, 2 },
		{ { 2, 16, 3, false, false, 0 }, Q2S_E_CONFLICT, 3 },
		{ { 3, 13, 4, true, false, 0 }, Q2S_E_CONFLICT, 13 },
		{ { 3, 21, 4, false, false, 1ull << 63 }, Q2S_E_LIMIT, 1ull << 63 },
		{ { 3, 21, 4, false, false, INT64_MAX }, Q2S_E_LIMIT, INT64_MAX },
		{ { 3, 21, 4, false, false, UINT64_MAX }, Q2S_E_LIMIT, UINT64_MAX },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct q2s_geom geom = { .version = 77 };

		assert_refused(rows[i].err, NOWHERE, rows[i].value,
			       q2s_geom_init(&rows[i].params, &geom, &diag));
		ck_assert_uint_eq(geom.version, 77);
	}
}
END_TEST

UNIT_MAIN("geometry", tables_of_the_format, a_guest_address_finds_its_entries,
	  refcount_widths_of_the_format, every_combination_is_consistent_or_refused,
	  sizes_are_rounded_up_to_sectors, each_illegal_parameter_is_refused)
