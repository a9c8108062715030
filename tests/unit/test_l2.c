/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plain L2 entries, standard and extended: each row of the format's tables, legal and illegal. */
#include "l2.h"

struct row {
	uint64_t desc, map;
	struct q2s_l2_entry entry;
};

/* The bytes on disk, their meaning, and the same bytes again. */
static void
assert_rows(const struct q2s_geom *geom, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct q2s_l2_entry entry;
		uint8_t raw[16], again[16];

		put_l2(raw, rows[i].desc, rows[i].map);
		assert_ok(q2s_l2_decode(geom, raw, AT, &entry, &diag));
		assert_same_l2(&entry, &rows[i].entry);
		assert_ok(q2s_l2_decode_lenient(geom, raw, AT, &entry, &diag));
		assert_same_l2(&entry, &rows[i].entry);
		assert_ok(q2s_l2_encode(geom, &rows[i].entry, again, &diag));
		ck_assert_mem_eq(raw, again, geom->l2_entry_size);
	}
}

START_TEST(known_bytes)
{
	/* COPIED, cluster 5, not the zero flag; bitmap: subclusters 0..3 data, all others zero */
	static const uint8_t golden[16] = { 0x80, 0, 0,    0,    0, 5, 0, 0,
					    0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 0x0f };
	const struct q2s_geom extended = geom_v3(16, true, false);
	const struct q2s_geom standard = geom_v3(16, false, false);
	struct q2s_l2_entry entry;

	assert_ok(q2s_l2_decode(&extended, golden, AT, &entry, &diag));
	assert_same_l2(&entry, &(struct q2s_l2_entry){ .copied = true, .has_host = true,
						       .host = { 0x50000 }, .alloc = 0xf,
						       .zero = 0xfffffff0 });
	ck_assert_int_eq(q2s_l2_state(&entry, 3), Q2S_DATA);
	ck_assert_int_eq(q2s_l2_state(&entry, 4), Q2S_ZERO);
	assert_ok(q2s_l2_decode(&standard, golden, AT, &entry, &diag));
	assert_same_l2(&entry, &(struct q2s_l2_entry){ .copied = true, .has_host = true,
						       .host = { 0x50000 }, .alloc = 1 });
}
END_TEST

START_TEST(standard_entries)
{
	static const struct row rows[] = {
		{ 0, 0, { 0 } },
		{ 1, 0, { .zero = 1 } },
		{ 0x50000, 0, { .has_host = true, .host = { 0x50000 }, .alloc = 1 } },
		{ 0x50001, 0, { .has_host = true, .host = { 0x50000 }, .zero = 1 } },
		{ COPIED | 0x50000, 0,
		  { .copied = true, .has_host = true, .host = { 0x50000 }, .alloc = 1 } },
		{ COPIED | 0x50001, 0,
		  { .copied = true, .has_host = true, .host = { 0x50000 }, .zero = 1 } },
		{ 0x00ffffffffff0000, 0,
		  { .has_host = true, .host = { 0x00ffffffffff0000 }, .alloc = 1 } },
	};
	const struct q2s_geom geom = geom_v3(16, false, false);

	assert_rows(&geom, rows, COUNT(rows));
}
END_TEST

START_TEST(extended_entries)
{
	static const struct row rows[] = {
		{ 0, 0, { 0 } },
		{ 0, 0xffffffff00000000, { .zero = UINT32_MAX } },
		{ 0, 0x0000000100000000, { .zero = 1 } },
		{ 0x50000, 0, { .has_host = true, .host = { 0x50000 } } }, /* preallocated */
		{ 0x50000, 0x00000000ffffffff,
		  { .has_host = true, .host = { 0x50000 }, .alloc = UINT32_MAX } },
		{ 0x50000, 0xffffffff00000000,
		  { .has_host = true, .host = { 0x50000 }, .zero = UINT32_MAX } },
		{ COPIED | 0x50000, 0xfffffff00000000f,
		  { .copied = true, .has_host = true, .host = { 0x50000 }, .alloc = 0xf,
		    .zero = 0xfffffff0 } },
		{ 0x50000, 0x0000000280000001, /* data, zero, absent side by side */
		  { .has_host = true, .host = { 0x50000 }, .alloc = 0x80000001, .zero = 2 } },
	};
	const struct q2s_geom geom = geom_v3(16, true, false);

	assert_rows(&geom, rows, COUNT(rows));
}
END_TEST

/* With a data file the first guest cluster lies at host offset 0: COPIED tells it from nothing. */
START_TEST(data_file_entries)
{
	static const struct row standard[] = {
		{ 0, 0, { 0 } },
		{ 1, 0, { .zero = 1 } },
		{ COPIED, 0, { .copied = true, .has_host = true, .alloc = 1 } },
		{ COPIED | 0x10001, 0,
		  { .copied = true, .has_host = true, .host = { 0x10000 }, .zero = 1 } },
		{ COPIED | 0x10000, 0,
		  { .copied = true, .has_host = true, .host = { 0x10000 }, .alloc = 1 } },
	};
	static const struct row extended[] = {
		{ 0, 0xffffffff00000000, { .zero = UINT32_MAX } },
		{ COPIED, 0, { .copied = true, .has_host = true } },
		{ COPIED, 0x00000002fffffffd,
		  { .copied = true, .has_host = true, .alloc = 0xfffffffd, .zero = 2 } },
	};
	const struct q2s_geom geom = geom_v3(16, false, true), geom_x = geom_v3(16, true, true);

	assert_rows(&geom, standard, COUNT(standard));
	assert_rows(&geom_x, extended, COUNT(extended));
}
END_TEST

/* QEMU sets COPIED on zeros at offset 0, and takes them for zeros without a host cluster. */
START_TEST(zeros_at_the_start_of_a_data_file)
{
	const struct q2s_geom geom = geom_v3(16, false, true);
	struct q2s_l2_entry entry;

	assert_ok(decode_l2(&geom, COPIED | 1, 0, &entry, &diag));
	assert_same_l2(&entry, &(struct q2s_l2_entry){ .zero = 1 });
}
END_TEST

START_TEST(copied_of_nothing_is_dropped)
{
	const struct q2s_geom standard = geom_v3(16, false, false);
	const struct q2s_geom extended = geom_v3(16, true, false);
	struct q2s_l2_entry entry;

	assert_ok(decode_l2(&standard, COPIED, 0, &entry, &diag));
	assert_same_l2(&entry, &(struct q2s_l2_entry){ 0 });
	assert_ok(decode_l2(&standard, COPIED | 1, 0, &entry, &diag));
	assert_same_l2(&entry, &(struct q2s_l2_entry){ .zero = 1 });
	assert_ok(decode_l2(&extended, COPIED, 1ull << 32, &entry, &diag));
	assert_same_l2(&entry, &(struct q2s_l2_entry){ .zero = 1 });
}
END_TEST

/* ---- refusals ------------------------------------------------------------------------------ */

START_TEST(each_reserved_bit_is_refused_and_ignored_by_the_lenient)
{
	for (unsigned extended = 0; extended < 2; extended++) {
		const struct q2s_geom geom = geom_v3(16, extended, false);
		const uint64_t reserved = 0x3f000000000001fe | extended;

		for (unsigned bit = 0; bit < 62; bit++) {
			const uint64_t desc = 0x50000 | 1ull << bit;
			struct q2s_l2_entry entry = { .alloc = 77 };

			if (!(reserved >> bit & 1))
				continue;
			assert_refused(Q2S_E_RESERVED, AT.v, desc,
				       decode_l2(&geom, desc, 1, &entry, &diag));
			ck_assert_uint_eq(entry.alloc, 77);
			assert_ok(decode_l2_lenient(&geom, desc, 1, &entry, &diag));
			assert_same_l2(&entry, &(struct q2s_l2_entry){ .has_host = true,
								       .host = { 0x50000 },
								       .alloc = 1 });
		}
	}
}
END_TEST

START_TEST(each_misaligned_bit_is_refused_by_all)
{
	for (uint32_t cluster_bits = 9; cluster_bits <= 21; cluster_bits++) {
		const struct q2s_geom geom = geom_v3(cluster_bits, false, false);

		for (unsigned bit = 9; bit < cluster_bits; bit++) {
			const uint64_t desc = COPIED | 0x800000 | 1ull << bit;
			struct q2s_l2_entry entry;

			assert_refused(Q2S_E_OFFSET, AT.v, desc,
				       decode_l2(&geom, desc, 0, &entry, &diag));
			assert_refused(Q2S_E_OFFSET, AT.v, desc | 1,
				       decode_l2(&geom, desc | 1, 0, &entry, &diag));
			assert_refused(Q2S_E_OFFSET, AT.v, desc,
				       decode_l2_lenient(&geom, desc, 0, &entry, &diag));
		}
	}
}
END_TEST

static struct q2s_geom
geom_v2(void)
{
	const struct q2s_geom_params params = {
		.version = 2,
		.cluster_bits = 16,
		.refcount_order = 4,
	};
	struct q2s_geom geom = { 0 };

	ck_assert_int_eq(q2s_geom_init(&params, &geom, NULL), Q2S_OK);
	return geom;
}

START_TEST(version_2_has_no_zero_flag)
{
	const struct q2s_geom geom = geom_v2();
	const struct q2s_l2_entry zero = { .zero = 1 };
	struct q2s_l2_entry entry;
	uint8_t raw[8];

	assert_refused(Q2S_E_ZERO_FLAG, AT.v, 1, decode_l2(&geom, 1, 0, &entry, &diag));
	assert_refused(Q2S_E_ZERO_FLAG, AT.v, 0x50001,
		       decode_l2_lenient(&geom, 0x50001, 0, &entry, &diag));
	assert_refused(Q2S_E_ZERO_FLAG, NOWHERE, 1ull << 32,
		       q2s_l2_encode(&geom, &zero, raw, &diag));
	assert_ok(decode_l2(&geom, 0x50000, 0, &entry, &diag));
}
END_TEST

START_TEST(impossible_subclusters_are_refused_by_all)
{
	static const struct {
		uint64_t desc, map;
	} rows[] = {
		{ 0x50000, 0x0000000100000001 }, /* both allocated and zero */
		{ 0x50000, 0x8000000080000000 },
		{ 0x50000, UINT64_MAX },
		{ 0, 1 },                        /* allocated without a host cluster */
		{ COPIED, 0x80000000 },
		{ 0, 0x0000000100000002 },
	};
	const struct q2s_geom geom = geom_v3(16, true, false);

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct q2s_l2_entry entry;

		assert_refused(Q2S_E_SUBCLUSTER, AT.v + 8, rows[i].map,
			       decode_l2(&geom, rows[i].desc, rows[i].map, &entry, &diag));
		assert_refused(Q2S_E_SUBCLUSTER, AT.v + 8, rows[i].map,
			       decode_l2_lenient(&geom, rows[i].desc, rows[i].map, &entry, &diag));
	}
}
END_TEST

START_TEST(what_no_entry_can_hold_is_refused)
{
	static const struct {
		bool extended, data_file;
		struct q2s_l2_entry entry;
		enum q2s_err err;
		uint64_t value;
	} rows[] = {
		{ false, false, { .host = { 0x50000 } }, Q2S_E_OFFSET, 0x50000 },
		{ false, false, { .has_host = true, .alloc = 1 }, Q2S_E_OFFSET, 0 },
		{ false, false, { .has_host = true, .copied = true, .alloc = 1 }, Q2S_E_OFFSET, 0 },
		{ false, true, { .has_host = true, .alloc = 1 }, Q2S_E_OFFSET, 0 },
		{ false, false, { .has_host = true, .host = { 0x50200 }, .alloc = 1 },
		  Q2S_E_OFFSET, 0x50200 },
		{ false, false, { .has_host = true, .host = { 1ull << 56 }, .alloc = 1 },
		  Q2S_E_OFFSET, 1ull << 56 },
		{ false, false, { .alloc = 1 }, Q2S_E_SUBCLUSTER, 1 },
		{ false, false, { .zero = 2 }, Q2S_E_SUBCLUSTER, 0x200000000 },
		{ false, false, { .has_host = true, .host = { 0x50000 } }, Q2S_E_SUBCLUSTER, 0 },
		{ false, false, { .has_host = true, .host = { 0x50000 }, .alloc = 1, .zero = 1 },
		  Q2S_E_SUBCLUSTER, 0x100000001 },
		{ true, false, { .has_host = true, .host = { 0x50000 }, .alloc = 6, .zero = 4 },
		  Q2S_E_SUBCLUSTER, 0x400000006 },
		{ true, false, { .alloc = 8 }, Q2S_E_SUBCLUSTER, 8 },
	};
	struct q2s_l2_entry nothing = { .copied = true };
	struct q2s_diag why = { 0 };
	struct q2s_geom geom;
	uint8_t raw[16];

	for (size_t i = 0; i < COUNT(rows); i++) {
		geom = geom_v3(16, rows[i].extended, rows[i].data_file);
		assert_refused(rows[i].err, NOWHERE, rows[i].value,
			       q2s_l2_encode(&geom, &rows[i].entry, raw, &diag));
	}
	geom = geom_v3(16, false, true);
	ck_assert_int_eq(q2s_l2_encode(&geom, &nothing, raw, &why), Q2S_E_COPIED);
}
END_TEST

/* ---- all kinds of image -------------------------------------------------------------------- */

static struct q2s_l2_entry
random_entry(const struct q2s_geom *geom, uint64_t *seed)
{
	struct q2s_l2_entry e = { 0 };

	e.host.v = unit_random_log(seed) >> 8 & -(uint64_t)geom->cluster_size;
	e.has_host = e.host.v || (geom->data_file && unit_random(seed) & 1);
	e.copied = e.has_host && (e.host.v == 0 || unit_random(seed) & 1);
	if (geom->version > 2)
		e.zero = (uint32_t)unit_random(seed) & geom->sub_mask;
	if (e.host.v == 0 && e.zero && !geom->extended) /* never owns the start of a data file */
		e.has_host = e.copied = false;
	if (e.has_host)
		e.alloc = ~e.zero & geom->sub_mask;
	if (geom->extended)
		e.alloc &= (uint32_t)unit_random(seed);
	return e;
}

START_TEST(every_kind_of_image_makes_the_round)
{
	uint64_t seed = 5;

	for (unsigned i = 0; i < GEOMS * 100; i++) {
		struct q2s_l2_entry in, out;
		struct q2s_geom geom;
		uint8_t raw[16];

		if (!geom_at(i % GEOMS, 0, &geom))
			continue;
		in = random_entry(&geom, &seed);
		assert_ok(q2s_l2_encode(&geom, &in, raw, &diag));
		assert_ok(q2s_l2_decode(&geom, raw, AT, &out, &diag));
		assert_same_l2(&in, &out);
	}
}
END_TEST

/* ---- runs ---------------------------------------------------------------------------------- */

START_TEST(a_run_equals_its_entries_one_by_one)
{
	uint64_t seed = 6;

	for (unsigned i = 0; i < GEOMS * 10; i++) {
		const uint32_t count = (uint32_t)(unit_random_log(&seed) % 100);
		uint8_t run[101 * 16], single[101 * 16];
		struct q2s_l2_entry entry;
		struct q2s_geom geom;

		if (!geom_at(i % GEOMS, 0, &geom))
			continue;
		memset(run, 0xee, sizeof(run));
		memset(single, 0xee, sizeof(single));
		entry = random_entry(&geom, &seed);
		if (entry.host.v)
			entry.host.v = (entry.host.v >> 1 & -(uint64_t)geom.cluster_size) +
				       geom.cluster_size; /* room for the run below 2^56 */
		assert_ok(q2s_l2_encode_run(&geom, &entry, count, run, &diag));
		for (uint32_t n = 0; n < count; n++) {
			assert_ok(q2s_l2_encode(&geom, &entry, single + n * geom.l2_entry_size,
						&diag));
			entry.host.v += entry.has_host ? geom.cluster_size : 0;
		}
		quick_assert(memcmp(run, single, sizeof(run)) == 0);
	}
}
END_TEST

START_TEST(a_run_with_one_bad_entry_is_not_written)
{
	const struct q2s_geom geom = geom_v3(16, false, false);
	const uint64_t last = (1ull << 56) - 0x10000;
	struct q2s_l2_entry entry = { .has_host = true, .host = { last }, .alloc = 1 };
	uint8_t raw[32], untouched[32];
	struct q2s_diag why = { 0 };

	memset(untouched, 0xee, sizeof(untouched));
	memcpy(raw, untouched, sizeof(raw));
	assert_refused(Q2S_E_OFFSET, NOWHERE, 1ull << 56,
		       q2s_l2_encode_run(&geom, &entry, 2, raw, &diag));
	assert_ok(q2s_l2_encode_run(&geom, &entry, 0, raw, &diag));
	entry.host.v = 0; /* the second would be legal */
	assert_refused(Q2S_E_OFFSET, NOWHERE, 0,
		       q2s_l2_encode_run(&geom, &entry, 2, raw, &diag));
	entry = (struct q2s_l2_entry){ .compressed = true, .comp_bytes = 1 };
	ck_assert_int_eq(q2s_l2_encode_run(&geom, &entry, 1, raw, &why), Q2S_E_USAGE);
	ck_assert_mem_eq(raw, untouched, sizeof(raw));
}
END_TEST

UNIT_MAIN("l2", known_bytes, standard_entries, extended_entries, data_file_entries,
	  zeros_at_the_start_of_a_data_file,
	  copied_of_nothing_is_dropped, each_reserved_bit_is_refused_and_ignored_by_the_lenient,
	  each_misaligned_bit_is_refused_by_all, version_2_has_no_zero_flag,
	  impossible_subclusters_are_refused_by_all, what_no_entry_can_hold_is_refused,
	  every_kind_of_image_makes_the_round, a_run_equals_its_entries_one_by_one,
	  a_run_with_one_bad_entry_is_not_written)
