/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The content of a bitmap in memory, against an array of bytes. */
#include <q2s/plan.h>

#include "base/arith.h"
#include "plan/bits.h"
#include "unit.h"

enum { ROUNDS = 40, SETS = 60 };

static void
judge(const struct q2s_bits *bits, const uint8_t *model, uint64_t *rng)
{
	uint8_t raw[5000];
	uint64_t at = 0, start, end = 0;

	while (q2si_bits_next(bits, end, &start, &end)) {
		for (; at < start; at++)
			quick_assert_eq(model[at], 0);
		for (; at < end; at++)
			quick_assert_eq(model[at], 1);
	}
	for (; at < bits->count; at++)
		quick_assert_eq(model[at], 0);
	for (int i = 0; i < 40; i++) {
		const uint64_t from = unit_random(rng) % (bits->count / 8 + 10);
		const size_t len = unit_random(rng) % sizeof(raw);

		q2si_bits_copy(bits, from, raw, len);
		for (uint64_t bit = 8 * from; bit < 8 * (from + len); bit++)
			quick_assert_eq(raw[bit / 8 - from] >> (bit & 7) & 1,
					bit < bits->count ? model[bit] : 0);
	}
	for (uint64_t per = 64; per <= 1 << 20; per *= 8) {
		const uint64_t first = unit_random(rng) % bits->count / per * per;
		const uint64_t last = q2si_min(first + per, bits->count);
		uint64_t dirty = 0;

		for (uint64_t bit = first; bit < last; bit++)
			dirty += model[bit];
		quick_assert_eq(q2si_bits_kind(bits, first, last),
				dirty == 0 ? Q2SI_BITS_CLEAN :
				dirty == last - first ? Q2SI_BITS_DIRTY : Q2SI_BITS_MIXED);
	}
}

START_TEST(bits_are_set_by_bytes_of_the_disk)
{
	uint64_t rng = 31337;

	for (int round = 0; round < ROUNDS; round++) {
		const uint32_t shift = 9 + unit_random(&rng) % 8;
		const uint64_t count = 1 + unit_random(&rng) % 200000;
		const uint64_t size = (count << shift) - unit_random(&rng) % (1u << shift);
		uint8_t *const model = calloc(count, 1);
		struct q2s_bits *bits;

		assert_ok(q2s_bits_new(size, shift, &bits, &diag));
		ck_assert_uint_eq(bits->count, count);
		for (int i = 0; i < SETS; i++) {
			const uint64_t at = unit_random(&rng) % (size + 5000);
			const uint64_t len = unit_random_log(&rng) % (size + 5000);

			assert_ok(q2s_bits_set(bits, (q2s_guest){ at }, len, &diag));
			for (uint64_t k = at >> shift;
			     len > 0 && k < count && k <= (at + len - 1) >> shift; k++)
				model[k] = 1;
			if (i % 20 == 0)
				judge(bits, model, &rng);
		}
		judge(bits, model, &rng);
		assert_ok(q2s_bits_set(bits, (q2s_guest){ 0 }, UINT64_MAX, &diag));
		ck_assert_int_eq(q2si_bits_kind(bits, 0, count), Q2SI_BITS_DIRTY);
		q2s_bits_unref(q2s_bits_ref(bits));
		q2s_bits_unref(bits);
		free(model);
	}
}
END_TEST

START_TEST(a_map_becomes_bits)
{
	const struct q2s_pattern regions[] = {
		{ .start = { 5000 }, .len = 1, .state = Q2S_DATA },
		{ .start = { 9000 }, .len = 3000, .state = Q2S_ZERO },
		{ .start = { 65535 }, .len = 2, .state = Q2S_DATA },
	};
	uint64_t start, end;
	struct q2s_disk *map;
	struct q2s_bits *bits;

	assert_ok(q2s_disk_pattern(1 << 20, regions, COUNT(regions), &map, &diag));
	assert_ok(q2s_bits_from_map(map, 2 << 20, 12, &bits, &diag));
	ck_assert_uint_eq(bits->count, 512);
	ck_assert(q2si_bits_next(bits, 0, &start, &end));
	ck_assert(start == 1 && end == 2);
	ck_assert(q2si_bits_next(bits, end, &start, &end));
	ck_assert(start == 15 && end == 17);
	ck_assert(!q2si_bits_next(bits, end, &start, &end));
	q2s_bits_unref(bits);
	q2s_disk_close(map);
}
END_TEST

START_TEST(limits_are_those_of_the_format)
{
	struct q2s_bits *bits;

	assert_ok(q2s_bits_new(2ull << 40, 9, &bits, &diag));
	assert_ok(q2s_bits_set(bits, (q2s_guest){ 0 }, 2ull << 40, &diag));
	ck_assert_int_eq(q2si_bits_kind(bits, 0, bits->count), Q2SI_BITS_DIRTY);
	q2s_bits_unref(bits);
	assert_refused(Q2S_E_LIMIT, NOWHERE, 512, q2s_bits_new((2ull << 40) + 1, 9, &bits, &diag));
	assert_refused(Q2S_E_USAGE, NOWHERE, 8, q2s_bits_new(1, 8, &bits, &diag));
	assert_refused(Q2S_E_USAGE, NOWHERE, 32, q2s_bits_new(1, 32, &bits, &diag));
}
END_TEST

UNIT_MAIN("bits", bits_are_set_by_bytes_of_the_disk, a_map_becomes_bits,
	  limits_are_those_of_the_format)
