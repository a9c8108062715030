/* SPDX-License-Identifier: GPL-2.0-or-later */
/* L1 entries. */
#include "base/bytes.h"
#include "geoms.h"
#include "unit.h"

static const q2s_host AT = { 0x30008 };

static enum q2s_err
decode(const struct q2s_geom *geom, uint64_t entry, struct q2s_l1_entry *out,
       struct q2s_diag *diag)
{
	uint8_t raw[8];

	q2si_put_be64(raw, entry);
	return q2s_l1_decode(geom, raw, AT, out, diag);
}

START_TEST(known_bytes)
{
	/* bit 63 COPIED, L2 table at cluster 4 */
	static const uint8_t golden[8] = { 0x80, 0, 0, 0, 0, 0x04, 0, 0 };
	const struct q2s_geom geom = geom_v3(16, false, false);
	struct q2s_l1_entry entry;
	uint8_t raw[8];

	assert_ok(q2s_l1_decode(&geom, golden, AT, &entry, &diag));
	ck_assert_uint_eq(entry.l2.v, 0x40000);
	ck_assert(entry.copied);
	assert_ok(q2s_l1_encode(&geom, &entry, raw, &diag));
	ck_assert_mem_eq(raw, golden, 8);
}
END_TEST

START_TEST(nothing_and_copied_of_nothing_are_the_same)
{
	const struct q2s_geom geom = geom_v3(16, false, true);
	const uint64_t raws[] = { 0, Q2S_ENTRY_COPIED };

	for (size_t i = 0; i < COUNT(raws); i++) {
		struct q2s_l1_entry entry;

		assert_ok(decode(&geom, raws[i], &entry, &diag));
		ck_assert_uint_eq(entry.l2.v, 0);
		ck_assert(!entry.copied);
	}
}
END_TEST

START_TEST(each_reserved_bit_is_refused)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		const struct q2s_geom geom = geom_v3(9, false, false);
		const uint64_t raw = 0x40000 ^ 1ull << bit;
		struct q2s_l1_entry entry;

		if (0x7f000000000001ff >> bit & 1)
			assert_refused(Q2S_E_RESERVED, AT.v, raw,
				       decode(&geom, raw, &entry, &diag));
		else
			assert_ok(decode(&geom, raw, &entry, &diag));
	}
}
END_TEST

START_TEST(each_misaligned_bit_is_refused)
{
	for (uint32_t cluster_bits = 9; cluster_bits <= 21; cluster_bits++) {
		const struct q2s_geom geom = geom_v3(cluster_bits, false, false);

		for (unsigned bit = 9; bit < cluster_bits; bit++) {
			const uint64_t raw = 0x800000 | 1ull << bit;
			const struct q2s_l1_entry in = { .l2 = { raw } };
			struct q2s_l1_entry entry;
			uint8_t bytes[8];

			assert_refused(Q2S_E_OFFSET, AT.v, raw,
				       decode(&geom, raw, &entry, &diag));
			assert_refused(Q2S_E_OFFSET, NOWHERE, raw,
				       q2s_l1_encode(&geom, &in, bytes, &diag));
		}
	}
}
END_TEST

START_TEST(what_no_entry_can_hold_is_refused)
{
	const struct q2s_geom geom = geom_v3(16, false, false);
	const struct q2s_l1_entry beyond = { .l2 = { 1ull << 56 } };
	const struct q2s_l1_entry copied_nothing = { .copied = true };
	struct q2s_diag why = { 0 };
	uint8_t raw[8];

	assert_refused(Q2S_E_OFFSET, NOWHERE, 1ull << 56,
		       q2s_l1_encode(&geom, &beyond, raw, &diag));
	ck_assert_int_eq(q2s_l1_encode(&geom, &copied_nothing, raw, &why), Q2S_E_COPIED);
}
END_TEST

START_TEST(every_kind_of_image_makes_the_round)
{
	uint64_t seed = 4;

	for (unsigned i = 0; i < GEOMS * 50; i++) {
		struct q2s_l1_entry in, out;
		struct q2s_geom geom;
		uint8_t raw[8];

		if (!geom_at(i % GEOMS, 0, &geom))
			continue;
		in.l2.v = unit_random_log(&seed) >> 8 & -(uint64_t)geom.cluster_size;
		in.copied = in.l2.v && unit_random(&seed) & 1;
		assert_ok(q2s_l1_encode(&geom, &in, raw, &diag));
		assert_ok(q2s_l1_decode(&geom, raw, AT, &out, &diag));
		quick_assert_eq(in.l2.v, out.l2.v);
		quick_assert(in.copied == out.copied);
	}
}
END_TEST

UNIT_MAIN("l1", known_bytes, nothing_and_copied_of_nothing_are_the_same,
	  each_reserved_bit_is_refused, each_misaligned_bit_is_refused,
	  what_no_entry_can_hold_is_refused, every_kind_of_image_makes_the_round)
