/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compressed descriptors: how offset and length share 62 bits, for each cluster size. */
#include "l2.h"

static struct q2s_l2_entry
stream(uint64_t at, uint32_t bytes)
{
	return (struct q2s_l2_entry){
		.compressed = true,
		.comp_at = { at },
		.comp_bytes = bytes,
	};
}

/*
 * 64 KiB clusters, 700 bytes at 0x50123: they start in sector 640 and end in sector 641, so one
 * more sector, and 1024 - 0x123 = 733 bytes can be read.
 */
START_TEST(known_bytes)
{
	static const uint8_t golden[16] = { 0x40, 0x40, 0, 0, 0, 0x05, 0x01, 0x23 };
	const struct q2s_l2_entry exact = stream(0x50123, 700), rounded = stream(0x50123, 733);

	for (unsigned extended = 0; extended < 2; extended++) {
		const struct q2s_geom geom = geom_v3(16, extended, false);
		struct q2s_l2_entry entry;
		uint8_t raw[16];

		assert_ok(q2s_l2_decode(&geom, golden, AT, &entry, &diag));
		assert_same_l2(&entry, &rounded);
		assert_ok(q2s_l2_encode(&geom, &exact, raw, &diag));
		ck_assert_mem_eq(raw, golden, geom.l2_entry_size);
		assert_ok(q2s_l2_encode(&geom, &rounded, raw, &diag));
		ck_assert_mem_eq(raw, golden, geom.l2_entry_size);
	}
}
END_TEST

/* Bits of the offset, most bytes that a descriptor can tell, first offset that does not fit. */
START_TEST(tables_of_the_format)
{
	static const struct {
		uint32_t cluster_bits, offset_bits, bytes_max;
		uint64_t limit;
	} rows[] = {
		{ 9, 61, 1 << 10, 1ull << 56 },    { 12, 58, 8 << 10, 1ull << 56 },
		{ 14, 56, 32 << 10, 1ull << 56 },  { 16, 54, 128 << 10, 1ull << 54 },
		{ 18, 52, 512 << 10, 1ull << 52 }, { 21, 49, 4 << 20, 1ull << 49 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct q2s_geom geom = geom_v3(rows[i].cluster_bits, false, false);
		const struct q2s_l2_entry longest = stream(512, rows[i].bytes_max);
		const struct q2s_l2_entry last = stream(rows[i].limit - 512, 512);
		const struct q2s_l2_entry longer = stream(512, rows[i].bytes_max + 1);
		const struct q2s_l2_entry skewed = stream(513, rows[i].bytes_max);
		const struct q2s_l2_entry beyond = stream(rows[i].limit, 1);
		struct q2s_l2_entry out;
		uint8_t raw[16];

		ck_assert_uint_eq(q2s_comp_offset_bits(&geom), rows[i].offset_bits);
		assert_ok(q2s_l2_encode(&geom, &longest, raw, &diag));
		assert_ok(q2s_l2_decode(&geom, raw, AT, &out, &diag));
		assert_same_l2(&out, &longest);
		assert_ok(q2s_l2_encode(&geom, &last, raw, &diag));
		assert_ok(q2s_l2_decode(&geom, raw, AT, &out, &diag));
		assert_same_l2(&out, &last);
		assert_refused(Q2S_E_COMPRESSED, NOWHERE, longer.comp_bytes,
			       q2s_l2_encode(&geom, &longer, raw, &diag));
		assert_refused(Q2S_E_COMPRESSED, NOWHERE, skewed.comp_bytes,
			       q2s_l2_encode(&geom, &skewed, raw, &diag));
		assert_refused(Q2S_E_COMPRESSED, NOWHERE, rows[i].limit,
			       q2s_l2_encode(&geom, &beyond, raw, &diag));
	}
}
END_TEST

START_TEST(sectors_of_a_range)
{
	static const struct {
		uint64_t at, len, first, bytes;
	} rows[] = {
		{ 0, 0, 0, 0 },       { 0, 1, 0, 512 },     { 0, 512, 0, 512 },
		{ 0, 513, 0, 1024 },  { 511, 1, 0, 512 },   { 511, 2, 0, 1024 },
		{ 700, 0, 512, 0 },   { 1024, 512, 1024, 512 },
		{ 0x50123, 700, 0x50000, 1024 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct q2s_comp_range range =
			q2s_comp_sectors((q2s_host){ rows[i].at }, rows[i].len);

		ck_assert_uint_eq(range.first.v, rows[i].first);
		ck_assert_uint_eq(range.bytes, rows[i].bytes);
	}
}
END_TEST

/* Bit 62 decides before anything else: an offset of 0 does not make this a hole. */
START_TEST(bit_62_comes_first)
{
	const struct q2s_geom geom = geom_v3(16, false, false);
	struct q2s_l2_entry entry;

	assert_ok(decode_l2(&geom, COMPRESSED, 0, &entry, &diag));
	assert_same_l2(&entry, &(struct q2s_l2_entry){ .compressed = true, .comp_bytes = 512 });
	assert_ok(decode_l2(&geom, COMPRESSED | 1, 0, &entry, &diag));
	assert_same_l2(&entry, &(struct q2s_l2_entry){ .compressed = true, .comp_at = { 1 },
						       .comp_bytes = 511 });
}
END_TEST

START_TEST(each_rule_of_a_descriptor)
{
	const uint64_t desc = 0x4040000000050123;
	const struct q2s_geom standard = geom_v3(16, false, false);
	const struct q2s_geom extended = geom_v3(16, true, false);
	const struct q2s_geom data_file = geom_v3(16, false, true);
	const struct q2s_l2_entry expected = stream(0x50123, 733);
	struct q2s_l2_entry entry = { .alloc = 77 };

	assert_refused(Q2S_E_COPIED, AT.v, desc | COPIED,
		       decode_l2(&standard, desc | COPIED, 0, &entry, &diag));
	assert_refused(Q2S_E_COMPRESSED, AT.v + 8, 1ull << 40,
		       decode_l2(&extended, desc, 1ull << 40, &entry, &diag));
	assert_refused(Q2S_E_COMPRESSED, AT.v, desc,
		       decode_l2(&data_file, desc, 0, &entry, &diag));
	assert_refused(Q2S_E_COMPRESSED, AT.v, desc,
		       decode_l2_lenient(&data_file, desc, 0, &entry, &diag));
	ck_assert_uint_eq(entry.alloc, 77);
	assert_ok(decode_l2_lenient(&standard, desc | COPIED, 0, &entry, &diag));
	assert_same_l2(&entry, &expected);
	assert_ok(decode_l2_lenient(&extended, desc, UINT64_MAX, &entry, &diag));
	assert_same_l2(&entry, &expected);
}
END_TEST

/* Small clusters have room for offsets that no host file has. */
START_TEST(data_beyond_2_to_56_are_refused)
{
	for (uint32_t cluster_bits = 9; cluster_bits <= 14; cluster_bits++) {
		const struct q2s_geom geom = geom_v3(cluster_bits, false, false);
		const uint64_t more = 1ull << q2s_comp_offset_bits(&geom);
		const uint64_t last = COMPRESSED | ((1ull << 56) - 1);
		const struct q2s_l2_entry across = stream((1ull << 56) - 1, 2);
		struct q2s_l2_entry entry;
		uint8_t raw[16];

		assert_ok(decode_l2(&geom, last, 0, &entry, &diag));
		assert_refused(Q2S_E_COMPRESSED, AT.v, last + more,
			       decode_l2(&geom, last + more, 0, &entry, &diag));
		assert_refused(Q2S_E_COMPRESSED, AT.v, last + more,
			       decode_l2_lenient(&geom, last + more, 0, &entry, &diag));
		assert_refused(Q2S_E_COMPRESSED, NOWHERE, (1ull << 56) - 1,
			       q2s_l2_encode(&geom, &across, raw, &diag));
	}
	for (unsigned bit = 56; bit < 61; bit++) {
		const struct q2s_geom geom = geom_v3(9, false, false);
		const uint64_t desc = COMPRESSED | 1ull << bit;
		struct q2s_l2_entry entry;

		assert_refused(Q2S_E_COMPRESSED, AT.v, desc,
			       decode_l2(&geom, desc, 0, &entry, &diag));
	}
}
END_TEST

START_TEST(what_no_descriptor_can_hold_is_refused)
{
	const struct q2s_geom geom = geom_v3(16, true, false), data_file = geom_v3(16, true, true);
	const struct q2s_l2_entry good = stream(0x50123, 700);
	struct q2s_l2_entry bad;
	uint8_t raw[16];

	bad = stream(0x50123, 0);
	assert_refused(Q2S_E_COMPRESSED, NOWHERE, 0, q2s_l2_encode(&geom, &bad, raw, &diag));
	bad = good;
	bad.copied = true;
	assert_refused(Q2S_E_COPIED, NOWHERE, 0x50123, q2s_l2_encode(&geom, &bad, raw, &diag));
	bad = good;
	bad.zero = 1;
	assert_refused(Q2S_E_COMPRESSED, NOWHERE, 0x50123, q2s_l2_encode(&geom, &bad, raw, &diag));
	bad = good;
	bad.alloc = 1;
	assert_refused(Q2S_E_COMPRESSED, NOWHERE, 0x50123, q2s_l2_encode(&geom, &bad, raw, &diag));
	bad = good;
	bad.has_host = true;
	assert_refused(Q2S_E_COMPRESSED, NOWHERE, 0x50123, q2s_l2_encode(&geom, &bad, raw, &diag));
	assert_refused(Q2S_E_COMPRESSED, NOWHERE, 0x50123,
		       q2s_l2_encode(&data_file, &good, raw, &diag));
	bad = stream(UINT64_MAX, UINT32_MAX);
	assert_refused(Q2S_E_COMPRESSED, NOWHERE, UINT64_MAX,
		       q2s_l2_encode(&geom, &bad, raw, &diag));
}
END_TEST

/* A decoder gets at least the stream, at most to the end of its last sector. */
START_TEST(every_kind_of_image_makes_the_round)
{
	uint64_t seed = 6;

	for (unsigned i = 0; i < GEOMS * 100; i++) {
		struct q2s_l2_entry in, out, again;
		struct q2s_geom geom;
		uint8_t raw[16], same[16];
		uint32_t limit_bits;

		if (!geom_at(i % GEOMS, 0, &geom) || geom.data_file)
			continue;
		limit_bits = q2s_comp_offset_bits(&geom) < 56 ? q2s_comp_offset_bits(&geom) : 56;
		in = stream(unit_random(&seed) >> (64 - limit_bits),
			    1 + (uint32_t)unit_random(&seed) % geom.cluster_size);
		if (in.comp_at.v + 2 * geom.cluster_size > 1ull << limit_bits)
			in.comp_at.v -= 2 * geom.cluster_size;
		assert_ok(q2s_l2_encode(&geom, &in, raw, &diag));
		assert_ok(q2s_l2_decode(&geom, raw, AT, &out, &diag));
		quick_assert_eq(out.comp_at.v, in.comp_at.v);
		quick_assert(out.comp_bytes >= in.comp_bytes);
		quick_assert(out.comp_bytes - in.comp_bytes < 512);
		quick_assert_eq((out.comp_at.v + out.comp_bytes) % 512, 0);
		assert_ok(q2s_l2_encode(&geom, &out, same, &diag));
		quick_assert(memcmp(raw, same, geom.l2_entry_size) == 0);
		assert_ok(q2s_l2_decode(&geom, same, AT, &again, &diag));
		assert_same_l2(&out, &again);
	}
}
END_TEST

UNIT_MAIN("l2_compressed", known_bytes, tables_of_the_format, sectors_of_a_range,
	  bit_62_comes_first, each_rule_of_a_descriptor, data_beyond_2_to_56_are_refused,
	  what_no_descriptor_can_hold_is_refused, every_kind_of_image_makes_the_round)
