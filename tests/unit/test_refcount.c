/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Refcounts of all seven widths, against known bytes and against a model of single bits. */
#include "base/bytes.h"
#include "geoms.h"
#include "unit.h"

static const q2s_host AT = { 0x10010 };

static struct q2s_geom
geom_of(uint32_t cluster_bits, uint32_t order)
{
	const struct q2s_geom_params params = {
		.version = 3,
		.cluster_bits = cluster_bits,
		.refcount_order = order,
	};
	struct q2s_geom geom = { 0 };

	ck_assert_int_eq(q2s_geom_init(&params, &geom, NULL), Q2S_OK);
	return geom;
}

/* The lower index lies in the less significant bits; whole bytes are big-endian. */
START_TEST(known_bytes)
{
	static const struct {
		uint32_t order;
		unsigned count, len;
		uint64_t counts[12];
		uint8_t bytes[16];
	} rows[] = {
		{ 0, 8, 1, { 1, 1, 1, 1, 1, 1, 1, 1 }, { 0xff } },
		{ 0, 10, 2, { 1, 0, 0, 0, 0, 0, 0, 1, 0, 1 }, { 0x81, 0x02 } },
		{ 1, 12, 3, { 1, 1, 1, 1, 3, 3, 3, 3, 1, 0, 1, 1 }, { 0x55, 0xff, 0x51 } },
		{ 2, 12, 6, { 1, 1, 1, 1, 3, 3, 3, 3, 1, 0, 1, 1 },
		  { 0x11, 0x11, 0x33, 0x33, 0x01, 0x11 } },
		{ 3, 3, 3, { 1, 0, 255 }, { 1, 0, 0xff } },
		{ 4, 3, 6, { 1, 0x1234, 65535 }, { 0, 1, 0x12, 0x34, 0xff, 0xff } },
		{ 5, 2, 8, { 1, 0x12345678 }, { 0, 0, 0, 1, 0x12, 0x34, 0x56, 0x78 } },
		{ 6, 2, 16, { 1, 0x123456789abcdef0 },
		  { 0, 0, 0, 0, 0, 0, 0, 1, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0 } },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct q2s_geom geom = geom_of(9, rows[i].order);
		uint8_t block[512] = { 0 };

		for (uint32_t c = 0; c < rows[i].count; c++)
			assert_ok(q2s_refcount_set(&geom, block, c, rows[i].counts[c], &diag));
		ck_assert_mem_eq(block, rows[i].bytes, rows[i].len);
		for (uint32_t c = 0; c < rows[i].count; c++)
			ck_assert_uint_eq(q2s_refcount_get(&geom, block, c), rows[i].counts[c]);
	}
}
END_TEST

/* Count @index as a sum of single bits, each found by the format's rule for its width. */
static uint64_t
count_by_bits(uint32_t order, const uint8_t *block, uint32_t index)
{
	const uint32_t width = 1u << order;
	uint64_t count = 0;

	for (uint32_t bit = 0; bit < width; bit++) {
		const uint32_t per_byte = 8 / width;
		size_t byte;
		uint32_t shift;

		if (width < 8) {
			byte = index / per_byte;
			shift = index % per_byte * width + bit;
		} else {
			byte = (size_t)index * (width / 8) + (width - 1 - bit) / 8;
			shift = bit % 8;
		}
		count |= (uint64_t)(block[byte] >> shift & 1) << bit;
	}
	return count;
}

START_TEST(all_widths_agree_with_single_bits)
{
	uint64_t seed = 7;

	for (uint32_t order = 0; order <= 6; order++) {
		const struct q2s_geom geom = geom_of(9, order);
		uint64_t model[4096];
		uint8_t block[512];

		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = (uint8_t)unit_random(&seed);
		for (uint32_t i = 0; i < geom.block_entries; i++)
			model[i] = count_by_bits(order, block, i);
		for (unsigned round = 0; round < 2000; round++) {
			const uint32_t i = (uint32_t)(unit_random(&seed) % geom.block_entries);

			model[i] = unit_random(&seed) & geom.refcount_max;
			assert_ok(q2s_refcount_set(&geom, block, i, model[i], &diag));
		}
		for (uint32_t i = 0; i < geom.block_entries; i++) {
			quick_assert_eq(q2s_refcount_get(&geom, block, i), model[i]);
			quick_assert_eq(count_by_bits(order, block, i), model[i]);
		}
	}
}
END_TEST

START_TEST(filling_equals_setting_one_by_one)
{
	uint64_t seed = 8;

	for (unsigned round = 0; round < 5000; round++) {
		const struct q2s_geom geom = geom_of(9, round % 7);
		const uint32_t index = (uint32_t)(unit_random(&seed) % (geom.block_entries + 1));
		const uint32_t n = (uint32_t)(unit_random_log(&seed) %
					      (geom.block_entries - index + 1));
		const uint64_t count = unit_random_log(&seed) & geom.refcount_max;
		uint8_t filled[512], set[512];

		memset(filled, round & 1 ? 0xff : 0, sizeof(filled));
		memcpy(set, filled, sizeof(set));
		assert_ok(q2s_refcount_fill(&geom, filled, index, n, count, &diag));
		for (uint32_t i = 0; i < n; i++)
			assert_ok(q2s_refcount_set(&geom, set, index + i, count, &diag));
		quick_assert(memcmp(filled, set, sizeof(set)) == 0);
	}
}
END_TEST

START_TEST(a_block_is_filled_to_its_end)
{
	for (uint32_t order = 0; order <= 6; order++) {
		const struct q2s_geom geom = geom_of(16, order);
		static uint8_t block[(64 << 10) + 1];

		memset(block, 0xee, sizeof(block));
		assert_ok(q2s_refcount_fill(&geom, block, 0, geom.block_entries, geom.refcount_max,
					    &diag));
		for (size_t i = 0; i < geom.cluster_size; i++)
			quick_assert_eq(block[i], 0xff);
		quick_assert_eq(block[geom.cluster_size], 0xee);
	}
}
END_TEST

START_TEST(a_count_that_does_not_fit_changes_nothing)
{
	for (uint32_t order = 0; order < 6; order++) {
		const struct q2s_geom geom = geom_of(9, order);
		const uint64_t over = geom.refcount_max + 1;
		uint8_t block[512] = { 0 }, zeros[512] = { 0 };

		assert_refused(Q2S_E_REFCOUNT, NOWHERE, over,
			       q2s_refcount_set(&geom, block, 3, over, &diag));
		assert_refused(Q2S_E_REFCOUNT, NOWHERE, over,
			       q2s_refcount_fill(&geom, block, 0, 40, over, &diag));
		assert_refused(Q2S_E_REFCOUNT, NOWHERE, UINT64_MAX,
			       q2s_refcount_set(&geom, block, 0, UINT64_MAX, &diag));
		ck_assert_mem_eq(block, zeros, sizeof(block));
	}
}
END_TEST

START_TEST(nothing_is_written_behind_the_block)
{
	for (uint32_t order = 0; order <= 6; order++) {
		const struct q2s_geom geom = geom_of(9, order);
		const uint32_t end = geom.block_entries;
		uint8_t block[512] = { 0 }, zeros[512] = { 0 };

		assert_refused(Q2S_E_USAGE, NOWHERE, (uint64_t)end + 1,
			       q2s_refcount_set(&geom, block, end, 1, &diag));
		assert_refused(Q2S_E_USAGE, NOWHERE, (uint64_t)end + 1,
			       q2s_refcount_fill(&geom, block, 2, end - 1, 1, &diag));
		assert_refused(Q2S_E_USAGE, NOWHERE, 1ull + UINT32_MAX,
			       q2s_refcount_fill(&geom, block, 1, UINT32_MAX, 1, &diag));
		assert_refused(Q2S_E_USAGE, NOWHERE, UINT32_MAX,
			       q2s_refcount_fill(&geom, block, UINT32_MAX, 0, 1, &diag));
		assert_ok(q2s_refcount_fill(&geom, block, end, 0, 1, &diag));
		ck_assert_mem_eq(block, zeros, sizeof(block));
	}
}
END_TEST

/* ---- table entries ------------------------------------------------------------------------- */

START_TEST(table_entries)
{
	static const uint8_t golden[8] = { 0, 0, 0, 0, 0, 0x02, 0, 0 };
	const struct q2s_geom geom = geom_of(16, 4);
	uint8_t raw[8];
	q2s_host block;

	assert_ok(q2s_reftable_decode(&geom, golden, AT, &block, &diag));
	ck_assert_uint_eq(block.v, 0x20000);
	assert_ok(q2s_reftable_encode(&geom, block, raw, &diag));
	ck_assert_mem_eq(raw, golden, 8);
	memset(raw, 0, sizeof(raw));
	assert_ok(q2s_reftable_decode(&geom, raw, AT, &block, &diag));
	ck_assert_uint_eq(block.v, 0);
}
END_TEST

START_TEST(each_illegal_bit_of_a_table_entry)
{
	const struct q2s_geom geom = geom_of(16, 4);

	for (unsigned bit = 0; bit < 64; bit++) {
		const uint64_t entry = 0x20000 ^ 1ull << bit;
		q2s_host block = { 77 };
		uint8_t raw[8];

		q2si_put_be64(raw, entry);
		if (bit >= 16 && bit < 56) {
			assert_ok(q2s_reftable_decode(&geom, raw, AT, &block, &diag));
			continue;
		}
		assert_refused(bit < 9 ? Q2S_E_RESERVED : Q2S_E_OFFSET, AT.v, entry,
			       q2s_reftable_decode(&geom, raw, AT, &block, &diag));
		ck_assert_uint_eq(block.v, 77);
		assert_refused(Q2S_E_OFFSET, NOWHERE, entry,
			       q2s_reftable_encode(&geom, (q2s_host){ entry }, raw, &diag));
	}
}
END_TEST

UNIT_MAIN("refcount", known_bytes, all_widths_agree_with_single_bits,
	  filling_equals_setting_one_by_one, a_block_is_filled_to_its_end,
	  a_count_that_does_not_fit_changes_nothing, nothing_is_written_behind_the_block,
	  table_entries, each_illegal_bit_of_a_table_entry)
