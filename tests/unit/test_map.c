/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mapping of one layer: every kind of entry, runs that are maximal, and what is refused. */
#include "walk.h"

#define KIB 1024ull
#define MIB (KIB << 10)

#define assert_run(walk, guest, want_len, want_state, want_host)                                  \
	do {                                                                                      \
		const struct q2s_run got = run_at(walk, guest);                                   \
		ck_assert_uint_eq(got.len, want_len);                                             \
		ck_assert_int_eq(got.state, want_state);                                          \
		ck_assert_uint_eq(got.has_host ? got.host.v : 0, want_host);                      \
		ck_assert(!got.compressed);                                                       \
	} while (0)

#define refused_run(walk, code, at, value, guest)                                                 \
	do {                                                                                      \
		struct q2s_run got;                                                               \
		assert_refused(code, at, value,                                                   \
			       q2s_map_run((walk)->map, (q2s_guest){ guest }, UINT64_MAX, &got,   \
					   &diag));                                               \
	} while (0)

/* ---- kinds of entries -------------------------------------------------------------------- */

static void
try_entries(uint32_t bits)
{
	const uint64_t size = 1ull << bits;
	struct made made = made_v3(bits, false, 16 * size);
	const uint64_t one = made_data(&made, size, 1).v;
	const uint64_t two = made_data(&made, 2 * size, 2).v;
	const uint64_t kept = made_clusters(&made, NULL, size).v;
	struct walk walk;

	made_raw_entry(&made, 4 * size, Q2S_ENTRY_ZERO, 0);
	made_raw_entry(&made, 5 * size, Q2S_ENTRY_ZERO, 0);
	made_raw_entry(&made, 6 * size, kept | Q2S_ENTRY_ZERO | Q2S_ENTRY_COPIED, 0);
	made_raw_entry(&made, 7 * size, Q2S_ENTRY_COPIED, 0); /* tolerated: no host cluster */
	made_raw_entry(&made, 15 * size, two, 0);             /* shared: not COPIED */
	ck_assert_uint_eq(two, one + size);
	walk = walk_start(&made);
	assert_run(&walk, 0, size, Q2S_ABSENT, 0);
	assert_run(&walk, size, 2 * size, Q2S_DATA, one);
	assert_run(&walk, size + 1, 2 * size - 1, Q2S_DATA, one + 1);
	assert_run(&walk, 3 * size - 1, 1, Q2S_DATA, two + size - 1);
	assert_run(&walk, 3 * size, size, Q2S_ABSENT, 0);
	assert_run(&walk, 4 * size, 2 * size, Q2S_ZERO, 0);
	assert_run(&walk, 6 * size, size, Q2S_ZERO, kept);
	assert_run(&walk, 7 * size, 8 * size, Q2S_ABSENT, 0);
	assert_run(&walk, 15 * size, size, Q2S_DATA, two);
	walk_end(&walk, &made);
}

START_TEST(each_kind_of_entry_for_every_cluster_size)
{
	for (uint32_t bits = 9; bits <= 21; bits++)
		try_entries(bits);
}
END_TEST

static void
try_subclusters(uint32_t bits)
{
	const uint64_t size = 1ull << bits, sub = size / 32;
	struct made made = made_v3(bits, true, 8 * size);
	const uint64_t host = made_clusters(&made, NULL, 3 * size).v;
	struct walk walk;

	/* 0-3 data, 4-7 zero, 8-30 absent, 31 data; then data in a row with it; then all absent */
	made_raw_entry(&made, 0, host, 0x000000f08000000f);
	made_raw_entry(&made, size, host + size, 0x00000000ffffffff);
	made_raw_entry(&made, 2 * size, host + 2 * size, 0x0000000000000001);
	made_raw_entry(&made, 3 * size, 0, 0xffffffff00000000);
	made_raw_entry(&made, 4 * size, host + 2 * size, 0xffffffff00000000);
	made_raw_entry(&made, 5 * size, 0, 0x0000000100000000);
	walk = walk_start(&made);
	assert_run(&walk, 0, 4 * sub, Q2S_DATA, host);
	assert_run(&walk, 3 * sub + 1, sub - 1, Q2S_DATA, host + 3 * sub + 1);
	assert_run(&walk, 4 * sub, 4 * sub, Q2S_ZERO, host + 4 * sub);
	assert_run(&walk, 8 * sub, 23 * sub, Q2S_ABSENT, host + 8 * sub);
	assert_run(&walk, 31 * sub, size + 2 * sub, Q2S_DATA, host + 31 * sub);
	assert_run(&walk, 2 * size + sub, 31 * sub, Q2S_ABSENT, host + 2 * size + sub);
	assert_run(&walk, 3 * size, size, Q2S_ZERO, 0);
	assert_run(&walk, 4 * size, size, Q2S_ZERO, host + 2 * size);
	assert_run(&walk, 5 * size, sub, Q2S_ZERO, 0);
	assert_run(&walk, 5 * size + sub, 3 * size - sub, Q2S_ABSENT, 0);
	walk_end(&walk, &made);
}

START_TEST(each_kind_of_subcluster_for_every_cluster_size)
{
	for (uint32_t bits = 14; bits <= 21; bits++)
		try_subclusters(bits);
}
END_TEST

START_TEST(compressed_runs_are_one_cluster_each)
{
	const uint64_t size = 64 * KIB;
	struct made made = made_v3(16, false, 4 * size);
	uint64_t at;
	struct walk walk;
	struct q2s_run run;

	made_data(&made, 0, 1);
	at = made_compressed(&made, size, "0123456789", 10).v;
	made_compressed(&made, 2 * size, "0123456789", 10);
	walk = walk_start(&made);
	for (int i = 0; i < 2; i++) {
		run = run_at(&walk, size + (uint64_t)i * size + 3);
		ck_assert(run.compressed && run.state == Q2S_DATA && run.has_host);
		ck_assert_uint_eq(run.len, size - 3);
		ck_assert_uint_eq(run.host.v, at + (uint64_t)i * 10);
		ck_assert_uint_eq(run.comp_bytes, 512 - run.host.v % 512);
	}
	walk_end(&walk, &made);
}
END_TEST

START_TEST(a_shared_cluster_is_a_run_of_its_own_each_time)
{
	for (int extended = 0; extended < 2; extended++) {
		const uint64_t size = 64 * KIB;
		struct made made = made_v3(16, extended, 8 * size);
		const uint64_t host = made_clusters(&made, NULL, size).v;
		struct walk walk;

		for (uint64_t i = 0; i < 8; i++)
			made_raw_entry(&made, i * size, host, 0xffffffff);
		walk = walk_start(&made);
		for (uint64_t i = 0; i < 8; i++)
			assert_run(&walk, i * size, size, Q2S_DATA, host);
		walk_end(&walk, &made);
	}
}
END_TEST

/* One cluster further on is not an offset any more, but a reserved bit. */
START_TEST(the_last_host_offset_has_no_successor)
{
	const uint64_t size = 64 * KIB, last = Q2S_HOST_OFFSET_LIMIT - size;
	struct made made = made_v3(16, false, 8 * size);
	struct walk walk;

	made_raw_entry(&made, 0, (last - size) | Q2S_ENTRY_ZERO, 0);
	made_raw_entry(&made, size, last | Q2S_ENTRY_ZERO, 0);
	made_raw_entry(&made, 2 * size, (last + size) | Q2S_ENTRY_ZERO, 0);
	walk = walk_start(&made);
	assert_run(&walk, 0, 2 * size, Q2S_ZERO, last - size);
	assert_run(&walk, 2 * size, size, Q2S_ZERO, 0);
	walk_end(&walk, &made);
}
END_TEST

START_TEST(a_run_ends_where_the_caller_or_the_disk_ends)
{
	const uint64_t size = 64 * KIB;
	struct made made = made_v3(16, false, 3 * size - 512);
	const uint64_t host = made_data(&made, 0, 1).v;
	struct q2s_run run;
	struct walk walk;

	made_data(&made, size, 1);
	made_data(&made, 2 * size, 1);
	walk = walk_start(&made);
	assert_run(&walk, 0, 3 * size - 512, Q2S_DATA, host);
	assert_ok(q2s_map_run(walk.map, (q2s_guest){ 5 }, size, &run, &diag));
	ck_assert_uint_eq(run.len, size);
	assert_ok(q2s_map_run(walk.map, (q2s_guest){ 5 }, 1, &run, &diag));
	ck_assert_uint_eq(run.len, 1);
	assert_refused(Q2S_E_USAGE, NOWHERE, 3 * size - 512,
		       q2s_map_run(walk.map, (q2s_guest){ 3 * size - 512 }, 1, &run, &diag));
	walk_end(&walk, &made);
}
END_TEST

/* ---- L1 ---------------------------------------------------------------------------------- */

START_TEST(empty_l1_entries_are_one_run)
{
	const uint64_t span = 64 * 512;
	struct made made = made_v3(9, false, 100000 * span); /* several slices of L1 */
	struct walk walk;
	uint64_t next;
	struct q2s_run run;

	made_data(&made, 90000 * span + 512, 7);
	made_l1(&made, 5, Q2S_ENTRY_COPIED | 0x1ff); /* no offset: empty, whatever else is set */
	walk = walk_start(&made);
	assert_run(&walk, 0, 90000 * span, Q2S_ABSENT, 0);
	assert_run(&walk, 90000 * span - 1, 1, Q2S_ABSENT, 0);
	assert_run(&walk, 90000 * span, 512, Q2S_ABSENT, 0);
	assert_run(&walk, 90000 * span + 1024, span - 1024, Q2S_ABSENT, 0);
	assert_run(&walk, 90001 * span, 9999 * span, Q2S_ABSENT, 0);
	assert_ok(q2s_map_run(walk.map, (q2s_guest){ 3 }, 10 * span, &run, &diag));
	ck_assert_uint_eq(run.len, 10 * span);
	assert_ok(q2s_map_next_table(walk.map, 0, &next, &diag));
	ck_assert_uint_eq(next, 90000);
	assert_ok(q2s_map_next_table(walk.map, 90000, &next, &diag));
	ck_assert_uint_eq(next, 90000);
	assert_ok(q2s_map_next_table(walk.map, 90001, &next, &diag));
	ck_assert_uint_eq(next, 100000);
	walk_end(&walk, &made);
}
END_TEST

START_TEST(l2_tables_come_raw)
{
	struct made made = made_v3(16, false, 2ull << 30);
	const struct q2s_l1_entry none = { 0 };
	struct q2s_l1_entry entry;
	const uint8_t *table;
	struct walk walk;

	made_raw_entry(&made, 1ull << 30, 0x8000000000050000, 0);
	walk = walk_start(&made);
	assert_ok(q2s_map_l2_table(walk.map, 0, &entry, &table, &diag));
	ck_assert_ptr_null(table);
	ck_assert_uint_eq(entry.l2.v, none.l2.v);
	assert_ok(q2s_map_l2_table(walk.map, 2, &entry, &table, &diag));
	ck_assert_ptr_nonnull(table);
	ck_assert(entry.copied);
	ck_assert_mem_eq(table, "\x80\0\0\0\0\5\0\0", 8);
	assert_ok(q2s_map_l2_table(walk.map, UINT64_MAX, &entry, &table, &diag));
	ck_assert_ptr_null(table);
	walk_end(&walk, &made);
}
END_TEST

START_TEST(l1_entries_are_read_as_qemu_reads_them)
{
	struct made made = made_v3(16, false, 2ull << 30);
	const uint64_t l1 = made.header.l1_table_offset.v;
	const uint64_t host = made_data(&made, 0, 1).v;
	struct walk walk;

	made_data(&made, 512 * MIB, 1);
	made_data(&made, 1024 * MIB, 1);
	made_l1(&made, 0, (made_entry_at(&made, 0) & ~0x1ffull) | 0x7f000000000001ff);
	made_l1(&made, 1, 0x8000000000050200);
	made_l1(&made, 2, 0x0000000010000000);
	walk = walk_start(&made);
	assert_run(&walk, 0, 64 * KIB, Q2S_DATA, host); /* reserved bits: only a check minds */
	refused_run(&walk, Q2S_E_OFFSET, l1 + 8, 0x8000000000050200, 512 * MIB);
	refused_run(&walk, Q2S_E_TRUNCATED, 0x10000000, 64 * KIB, 1024 * MIB);
	walk_end(&walk, &made);
}
END_TEST

START_TEST(a_table_that_cannot_be_is_refused)
{
	struct made made = made_v3(16, false, MIB);
	struct walk walk = walk_start(&made);
	struct q2s_l1_table l1 = q2s_image_active_l1(walk.image);
	struct q2s_map *map;

	l1.at.v += 512;
	assert_refused(Q2S_E_OFFSET, l1.at.v, l1.at.v, q2s_map_open(walk.image, &l1, &map, &diag));
	l1.at.v = 1ull << 40;
	assert_refused(Q2S_E_TRUNCATED, l1.at.v, 8, q2s_map_open(walk.image, &l1, &map, &diag));
	l1.entries = (4 << 20) + 1;
	assert_refused(Q2S_E_LIMIT, l1.at.v, l1.entries,
		       q2s_map_open(walk.image, &l1, &map, &diag));
	l1.entries = 0; /* a table of nothing shows a disk of nothing */
	assert_ok(q2s_map_open(walk.image, &l1, &map, &diag));
	q2s_map_close(map);
	walk_end(&walk, &made);
}
END_TEST

/* ---- what is refused --------------------------------------------------------------------- */

START_TEST(wrong_entries_are_refused_and_named)
{
	static const struct {
		bool extended;
		uint32_t version;
		enum q2s_err err;
		uint64_t desc, map;
		bool value_is_map;
	} rows[] = {
		{ false, 3, Q2S_E_OFFSET, 0x8000000000050200, 0, false },
		{ false, 3, Q2S_E_OFFSET, 0x0000000000058001, 0, false }, /* zero, not aligned */
		{ false, 2, Q2S_E_ZERO_FLAG, 0x0000000000000001, 0, false },
		{ true, 3, Q2S_E_OFFSET, 0x8000000000050200, 0, false },
		{ true, 3, Q2S_E_SUBCLUSTER, 0x8000000000050000, 0x0000000100000001, true },
		{ true, 3, Q2S_E_SUBCLUSTER, 0, 0x0000000000000001, true },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct q2s_geom_params params = { .version = rows[i].version,
							.cluster_bits = 16,
							.refcount_order = 4,
							.extended = rows[i].extended,
							.size = MIB };
		struct made made = made_start(&params);
		struct walk walk;
		uint64_t at;

		made_data(&made, 0, 1);
		made_raw_entry(&made, 64 * KIB, rows[i].desc, rows[i].map);
		at = made_entry_at(&made, 64 * KIB) + (rows[i].value_is_map ? 8 : 0);
		walk = walk_start(&made);
		/* What lies before the damage can be read. */
		ck_assert_uint_eq(run_at(&walk, 0).len, 64 * KIB);
		refused_run(&walk, rows[i].err, at,
			    rows[i].value_is_map ? rows[i].map : rows[i].desc, 64 * KIB);
		ck_assert_uint_eq(run_at(&walk, 128 * KIB).len, MIB - 128 * KIB);
		walk_end(&walk, &made);
	}
}
END_TEST

START_TEST(what_qemu_ignores_is_read)
{
	struct made made = made_v3(16, false, MIB);
	const uint64_t host = made_data(&made, 0, 1).v;
	struct walk walk;

	made_data(&made, 64 * KIB, 1);
	/* Reserved bits do not break a run either. */
	made_raw_entry(&made, 64 * KIB, (host + 64 * KIB) | 0x3f000000000001fe, 0);
	made_data(&made, 128 * KIB, 1);
	walk = walk_start(&made);
	assert_run(&walk, 0, 192 * KIB, Q2S_DATA, host);
	walk_end(&walk, &made);
}
END_TEST

START_TEST(nothing_lies_wholly_past_the_end)
{
	const uint64_t size = 64 * KIB;
	struct made made = made_v3(16, false, MIB);
	const uint64_t host = made_data(&made, 0, 1).v;
	struct walk walk;

	made_data(&made, size, 2);
	made_data(&made, 2 * size, 3);
	made_raw_entry(&made, 4 * size, (host + 5 * size) | Q2S_ENTRY_ZERO, 0);
	made_compressed(&made, 5 * size, "x", 1);
	made_resize(&made, host + size + 1); /* one byte of the second cluster is left */
	walk = walk_start(&made);
	assert_run(&walk, 0, 2 * size, Q2S_DATA, host);
	assert_run(&walk, size, size, Q2S_DATA, host + size);
	refused_run(&walk, Q2S_E_TRUNCATED, host + 2 * size, size, 2 * size);
	/* Space that is kept and not read does not matter. */
	assert_run(&walk, 4 * size, size, Q2S_ZERO, host + 5 * size);
	refused_run(&walk, Q2S_E_TRUNCATED, host + 3 * size, 512, 5 * size);
	walk_end(&walk, &made);
}
END_TEST

START_TEST(a_table_may_lack_its_tail_but_not_all)
{
	struct made made = made_v3(16, false, MIB);
	const uint64_t host = made_clusters(&made, NULL, 64 * KIB).v;
	struct walk walk;
	uint64_t l2;

	made_raw_entry(&made, 0, host, 0);
	l2 = made_entry_at(&made, 0);
	ck_assert_uint_gt(l2, host); /* the table lies last */
	made_resize(&made, l2 + 8);
	walk = walk_start(&made);
	assert_run(&walk, 0, 64 * KIB, Q2S_DATA, host);
	assert_run(&walk, 64 * KIB, MIB - 64 * KIB, Q2S_ABSENT, 0);
	made_resize(&made, l2);
	q2s_map_close(walk.map);
	q2s_image_close(walk.image);
	q2s_store_unref(walk.file);
	walk = walk_start(&made);
	refused_run(&walk, Q2S_E_TRUNCATED, l2, 64 * KIB, 0);
	walk_end(&walk, &made);
}
END_TEST

/* ---- data files -------------------------------------------------------------------------- */

START_TEST(with_a_data_file_the_host_offset_is_the_guest_offset)
{
	const uint64_t size = 64 * KIB;
	const struct q2s_geom_params params = {
		.version = 3, .cluster_bits = 16, .refcount_order = 4, .data_file = true, .size = MIB
	};
	struct made made = made_start(&params);
	uint64_t at;
	struct walk walk;

	made_raw_entry(&made, 0, Q2S_ENTRY_COPIED, 0); /* host offset 0 is one, with COPIED */
	made_raw_entry(&made, size, Q2S_ENTRY_COPIED | size, 0);
	made_raw_entry(&made, 2 * size, Q2S_ENTRY_COPIED | 3 * size, 0);
	made_raw_entry(&made, 3 * size, 4 * size | Q2S_ENTRY_ZERO, 0);
	made_raw_entry(&made, 4 * size, Q2S_ENTRY_COPIED | Q2S_ENTRY_ZERO, 0);
	made_raw_entry(&made, 15 * size, Q2S_ENTRY_COPIED | 15 * size, 0);
	made_raw_entry(&made, 5 * size, 0x4000000000050000, 0);
	at = made_entry_at(&made, 0);
	walk = walk_start(&made);
	assert_run(&walk, 0, 2 * size, Q2S_DATA, 0);
	refused_run(&walk, Q2S_E_OFFSET, at + 16, 3 * size, 2 * size);
	refused_run(&walk, Q2S_E_OFFSET, at + 24, 4 * size, 3 * size);
	ck_assert_int_eq(run_at(&walk, 4 * size).state, Q2S_ZERO);
	refused_run(&walk, Q2S_E_COMPRESSED, at + 40, 0x4000000000050000, 5 * size);
	/* The end of the image file says nothing about the data file. */
	assert_run(&walk, 15 * size, size, Q2S_DATA, 15 * size);
	walk_end(&walk, &made);
}
END_TEST

UNIT_MAIN("map", each_kind_of_entry_for_every_cluster_size,
	  each_kind_of_subcluster_for_every_cluster_size, compressed_runs_are_one_cluster_each,
	  a_shared_cluster_is_a_run_of_its_own_each_time, the_last_host_offset_has_no_successor,
	  a_run_ends_where_the_caller_or_the_disk_ends, empty_l1_entries_are_one_run,
	  l2_tables_come_raw, l1_entries_are_read_as_qemu_reads_them,
	  a_table_that_cannot_be_is_refused, wrong_entries_are_refused_and_named,
	  what_qemu_ignores_is_read, nothing_lies_wholly_past_the_end,
	  a_table_may_lack_its_tail_but_not_all,
	  with_a_data_file_the_host_offset_is_the_guest_offset)
