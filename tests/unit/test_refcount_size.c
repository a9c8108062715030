/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fixed point of the refcount structures: worked examples, least solution, limits. */
#include "geoms.h"
#include "unit.h"

static struct q2s_geom
geom(uint32_t cluster_bits, uint32_t order)
{
	const struct q2s_geom_params params = {
		.version = 3,
		.cluster_bits = cluster_bits,
		.refcount_order = order,
	};
	struct q2s_geom out = { 0 };

	ck_assert_int_eq(q2s_geom_init(&params, &out, NULL), Q2S_OK);
	return out;
}

START_TEST(worked_examples)
{
	static const struct {
		uint32_t cluster_bits, order;
		uint64_t others, blocks, table, total;
	} rows[] = {
		{ 16, 4, 32766, 1, 1, 32768 }, /* a block exactly full */
		{ 16, 4, 32767, 2, 1, 32770 },
		{ 16, 4, 2097152, 65, 1, 2097218 },
		{ 9, 6, 62, 1, 1, 64 }, /* exactly full again */
		{ 9, 6, 63, 2, 1, 66 },
		{ 9, 6, 262080, 4162, 66, 266308 }, /* three rounds */
		{ 16, 4, 0, 1, 1, 2 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct q2s_geom g = geom(rows[i].cluster_bits, rows[i].order);
		struct q2s_refcount_size size;

		assert_ok(q2s_refcount_size_solve(&g, rows[i].others, &size, &diag));
		ck_assert_uint_eq(size.blocks, rows[i].blocks);
		ck_assert_uint_eq(size.table_clusters, rows[i].table);
		ck_assert_uint_eq(rows[i].others + size.blocks + size.table_clusters,
				  rows[i].total);
	}
}
END_TEST

static uint64_t
table_for(const struct q2s_geom *g, uint64_t blocks)
{
	const uint64_t entries = g->cluster_size / 8;
	const uint64_t clusters = (blocks + entries - 1) / entries;

	return clusters ? clusters : 1;
}

/* Enough counts for everything, and one block less (with its table) would not be enough. */
static void
assert_least(const struct q2s_geom *g, uint64_t others)
{
	struct q2s_refcount_size size;
	uint64_t fewer;

	assert_ok(q2s_refcount_size_solve(g, others, &size, &diag));
	quick_assert_eq(size.table_clusters, table_for(g, size.blocks));
	quick_assert(size.blocks * g->block_entries >=
		     others + size.blocks + size.table_clusters);
	fewer = size.blocks - 1;
	quick_assert(fewer * g->block_entries < others + fewer + table_for(g, fewer));
}

START_TEST(the_solution_is_the_least_one)
{
	uint64_t seed = 2;

	for (uint32_t order = 0; order <= 6; order++) {
		const struct q2s_geom small = geom(9, order), large = geom(16, order);

		for (uint64_t others = 0; others < 10000; others++)
			assert_least(&small, others);
		for (unsigned i = 0; i < 1000; i++) {
			assert_least(&small, unit_random(&seed) % 1000000);
			assert_least(&large, unit_random(&seed) % (1ull << 32));
		}
	}
}
END_TEST

/* 64 KiB, 16 bits: 8 MiB of table are 2^20 blocks, which count 2^35 clusters. */
START_TEST(the_table_ends_at_8_mib)
{
	const struct q2s_geom g = geom(16, 4);
	const uint64_t most = (1ull << 35) - (1 << 20) - 128;
	struct q2s_refcount_size size = { 77, 77 };

	assert_ok(q2s_refcount_size_solve(&g, most, &size, &diag));
	ck_assert_uint_eq(size.blocks, 1 << 20);
	ck_assert_uint_eq(size.table_clusters, 128);
	size.blocks = 77;
	assert_refused(Q2S_E_LIMIT, NOWHERE, most + 1,
		       q2s_refcount_size_solve(&g, most + 1, &size, &diag));
	ck_assert_uint_eq(size.blocks, 77);
}
END_TEST

/* 2 MiB, 1 bit: 2^24 counts a block, 2^35 clusters make 2^56 bytes, so 2^11 blocks and a table. */
START_TEST(the_file_ends_at_2_to_56)
{
	const struct q2s_geom g = geom(21, 0);
	const uint64_t most = (1ull << 35) - 2048 - 1;
	struct q2s_refcount_size size;

	assert_ok(q2s_refcount_size_solve(&g, most, &size, &diag));
	ck_assert_uint_eq(size.blocks, 2048);
	ck_assert_uint_eq(size.table_clusters, 1);
	assert_refused(Q2S_E_LIMIT, NOWHERE, most + 1,
		       q2s_refcount_size_solve(&g, most + 1, &size, &diag));
	assert_refused(Q2S_E_LIMIT, NOWHERE, UINT64_MAX,
		       q2s_refcount_size_solve(&g, UINT64_MAX, &size, &diag));
}
END_TEST

UNIT_MAIN("refcount_size", worked_examples, the_solution_is_the_least_one,
	  the_table_ends_at_8_mib, the_file_ends_at_2_to_56)
