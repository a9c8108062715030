/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The code of slot runs: what goes in comes out, and how little it takes. */
#include "plan/slot_code.h"
#include "slots.h"

#define MASK 0xffffffffu

static void
assert_round_trip(const struct q2si_slot_run *runs, size_t count, uint32_t mask)
{
	struct q2si_store store = { 0 };
	uint64_t pos = 0;

	for (size_t i = 0; i < count; i++)
		assert_ok(q2si_slot_put(&store, &runs[i], mask, &diag));
	for (size_t i = 0; i < count; i++) {
		struct q2si_slot_run got;

		q2si_slot_get(&store, &pos, mask, &got);
		if (!slots_equal(&got.slot, &runs[i].slot) || got.count != runs[i].count)
			ck_abort_msg("run %zu: %d %x %x %u x %" PRIu64, i, got.slot.host,
				     got.slot.alloc, got.slot.zero, got.slot.comp_bytes, got.count);
	}
	ck_assert_uint_eq(pos, store.len);
	q2si_store_free(&store);
	ck_assert_uint_eq(store.len, 0);
}

/* Each class at each count at which the code grows by a byte. */
START_TEST(every_class_and_length_comes_back)
{
	static const struct q2s_slot slots[] = {
		{ 0 },
		{ .host = true, .alloc = MASK },
		{ .zero = MASK },
		{ .host = true },
		{ .host = true, .zero = MASK },
		{ .host = true, .alloc = 1 },
		{ .host = true, .alloc = 0x80000000, .zero = 0x7fffffff },
		{ .host = true, .zero = 0x55555555 },
		{ .zero = 0x80000001 },
		{ .comp_bytes = 1 },
		{ .comp_bytes = 2097152 },
		{ .comp_bytes = UINT32_MAX },
		{ .back = 1 },
		{ .back = 128 },
		{ .back = UINT64_MAX },
	};
	static const uint64_t counts[] = { 1,	  2,	 29,	 30,	31,    32,
					   127,	  128,	 16383,	 16384, 1 << 18, 1ull << 54 };
	struct q2si_slot_run runs[COUNT(slots) * COUNT(counts)];
	size_t n = 0;

	for (size_t s = 0; s < COUNT(slots); s++)
		for (size_t c = 0; c < COUNT(counts); c++)
			runs[n++] = (struct q2si_slot_run){ slots[s], counts[c] };
	assert_round_trip(runs, n, MASK);
}
END_TEST

START_TEST(random_runs_come_back)
{
	static struct q2si_slot_run runs[50000]; /* several blocks of the store */
	uint64_t seed = 5;

	for (uint32_t mask = 1; mask; mask = mask == 1 ? MASK : 0) {
		const struct q2s_geom geom = {
			.version = 3,
			.cluster_size = 65536,
			.extended = mask != 1,
			.sub_mask = mask,
		};

		for (size_t i = 0; i < COUNT(runs); i++)
			runs[i] = (struct q2si_slot_run){ random_slot(&geom, true, &seed),
							  1 + unit_random_log(&seed) % (1 << 20) };
		assert_round_trip(runs, COUNT(runs), mask);
	}
}
END_TEST

/* The promise of the planner's memory: a byte for a short run of the plain classes. */
START_TEST(a_short_plain_run_takes_one_byte)
{
	static const struct q2s_slot plain[] = {
		{ 0 },
		{ .host = true, .alloc = 1 },
		{ .zero = 1 },
		{ .host = true, .zero = 1 },
	};

	for (size_t i = 0; i < COUNT(plain); i++) {
		const struct q2si_slot_run run = { plain[i], 30 };
		struct q2si_store store = { 0 };

		assert_ok(q2si_slot_put(&store, &run, 1, &diag));
		ck_assert_uint_eq(store.len, 1);
		q2si_store_free(&store);
	}
}
END_TEST

START_TEST(the_store_keeps_every_byte)
{
	enum { LEN = 5 * (1 << Q2SI_STORE_BLOCK_BITS) + 3 };
	struct q2si_store store = { 0 };

	for (unsigned i = 0; i < LEN; i++)
		assert_ok(q2si_store_put(&store, (uint8_t)(i * 7 + i / 251), &diag));
	ck_assert_uint_eq(store.len, LEN);
	for (unsigned i = 0; i < LEN; i++)
		if (q2si_store_get(&store, i) != (uint8_t)(i * 7 + i / 251))
			ck_abort_msg("byte %u", i);
	q2si_store_free(&store);
}
END_TEST

UNIT_MAIN("slot_code", every_class_and_length_comes_back, random_runs_come_back,
	  a_short_plain_run_takes_one_byte, the_store_keeps_every_byte)
