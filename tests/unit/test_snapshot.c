/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Snapshot records: known bytes, the versions' lengths of extra data, and what is refused. */
#include "base/bytes.h"
#include "geoms.h"
#include "unit.h"

static const q2s_host AT = { 0x50000 };

/* As QEMU writes it: 24 bytes of extra data; 40 + 24 + 1 + 4 = 69, padded to 72. */
static const uint8_t golden[72] = {
	0, 0, 0, 0, 0, 0x06, 0, 0,             /*  0 L1 table at 0x60000 */
	0, 0, 0, 2,                            /*  8 two entries */
	0, 1,                                  /* 12 length of the id */
	0, 4,                                  /* 14 length of the name */
	0x65, 0x92, 0x00, 0x80,                /* 16 1704067200: 2024-01-01 */
	0x1d, 0xcd, 0x65, 0x00,                /* 20 500,000,000 ns */
	0, 0, 0, 0, 0x3b, 0x9a, 0xca, 0,       /* 24 guest clock: 10^9 ns */
	0, 0, 0, 0,                            /* 32 VM state size does not fit here */
	0, 0, 0, 24,                           /* 36 extra data */
	0, 0, 0, 1, 0, 0, 0, 5,                /* 40 VM state size 2^32 + 5 */
	0, 0, 0, 0, 0x40, 0, 0, 0,             /* 48 disk size 2^30 */
	0, 0, 0, 0, 0, 0, 0, 7,                /* 56 icount */
	'1', 'b', 'o', 'o', 't', 0, 0, 0,      /* 64 id, name, padding */
};

static void
assert_golden(const struct q2s_snapshot *s)
{
	ck_assert_uint_eq(s->l1_offset.v, 0x60000);
	ck_assert_uint_eq(s->l1_entries, 2);
	ck_assert_uint_eq(s->id_len, 1);
	ck_assert_mem_eq(s->id, "1", 1);
	ck_assert_uint_eq(s->name_len, 4);
	ck_assert_mem_eq(s->name, "boot", 4);
	ck_assert_uint_eq(s->date_sec, 1704067200);
	ck_assert_uint_eq(s->date_nsec, 500000000);
	ck_assert_uint_eq(s->vm_clock_nsec, 1000000000);
	ck_assert_uint_eq(s->vm_state_size, (1ull << 32) + 5);
	ck_assert(s->has_disk_size);
	ck_assert_uint_eq(s->disk_size, 1 << 30);
	ck_assert(s->has_icount);
	ck_assert_uint_eq(s->icount, 7);
	ck_assert_uint_eq(s->extra_size, 24);
}

START_TEST(known_bytes)
{
	const struct q2s_geom geom = geom_v3(16, false, false);
	struct q2s_snapshot snapshot;
	uint8_t raw[80];
	size_t used;

	assert_ok(q2s_snapshot_decode(&geom, golden, sizeof(golden), AT, &snapshot, &used, &diag));
	ck_assert_uint_eq(used, 72);
	assert_golden(&snapshot);
	ck_assert_ptr_eq(snapshot.extra, golden + 40);
	memset(raw, 0xff, sizeof(raw));
	assert_ok(q2s_snapshot_encode(&geom, &snapshot, raw, 72, &used, &diag));
	ck_assert_uint_eq(used, 72);
	ck_assert_mem_eq(raw, golden, 72);
	ck_assert_uint_eq(raw[72], 0xff);
}
END_TEST

/* The last record of a file may end with its name; more must be asked for, nothing overread. */
START_TEST(a_short_buffer_says_what_it_needs)
{
	const struct q2s_geom geom = geom_v3(16, false, false);
	struct q2s_snapshot snapshot;
	size_t used;

	for (size_t len = 0; len < 69; len++) {
		uint8_t *copy = malloc(len + 1);

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, golden, len);
		used = 0;
		assert_refused(Q2S_E_SHORT, AT.v, len,
			       q2s_snapshot_decode(&geom, copy, len, AT, &snapshot, &used, &diag));
		ck_assert_uint_eq(used, len < 40 ? 40 : 69);
		free(copy);
	}
	for (size_t len = 69; len <= 72; len++) {
		assert_ok(q2s_snapshot_decode(&geom, golden, len, AT, &snapshot, &used, &diag));
		ck_assert_uint_eq(used, 72);
	}
}
END_TEST

static uint8_t record[4096];

/* A record with @extra bytes of extra data, all of them 0x11, and the name "n". */
static void
with_extra(uint32_t extra)
{
	memset(record, 0, sizeof(record));
	memcpy(record, golden, 40);
	q2si_put_be16(record + 12, 0);
	q2si_put_be16(record + 14, 1);
	q2si_put_be32(record + 32, 99);
	q2si_put_be32(record + 36, extra);
	memset(record + 40, 0x11, extra);
	record[40 + extra] = 'n';
}

START_TEST(extra_data_of_each_age)
{
	static const struct {
		uint32_t extra;
		uint64_t vm_state_size;
		bool disk_size, icount;
	} rows[] = {
		{ 0, 99, false, false },
		{ 7, 99, false, false },
		{ 8, 0x1111111111111111, false, false },
		{ 15, 0x1111111111111111, false, false },
		{ 16, 0x1111111111111111, true, false },
		{ 23, 0x1111111111111111, true, false },
		{ 24, 0x1111111111111111, true, true },
		{ 1024, 0x1111111111111111, true, true },
	};
	const struct q2s_geom_params v2 = { .version = 2, .cluster_bits = 16, .refcount_order = 4 };
	const struct q2s_geom geom_3 = geom_v3(16, false, false);
	struct q2s_geom geom_2;

	assert_ok(q2s_geom_init(&v2, &geom_2, &diag));
	for (size_t i = 0; i < COUNT(rows); i++) {
		const uint32_t extra = rows[i].extra;
		struct q2s_snapshot s;
		size_t used;

		with_extra(extra);
		assert_ok(q2s_snapshot_decode(&geom_2, record, sizeof(record), AT, &s, &used,
					      &diag));
		ck_assert_uint_eq(used, (41 + extra + 7) / 8 * 8);
		ck_assert_uint_eq(s.vm_state_size, rows[i].vm_state_size);
		ck_assert(s.has_disk_size == rows[i].disk_size);
		ck_assert(s.has_icount == rows[i].icount);
		ck_assert_uint_eq(s.name_len, 1);
		ck_assert_uint_eq(s.name[0], 'n');
		if (extra == 16)
			assert_ok(q2s_snapshot_decode(&geom_3, record, sizeof(record), AT, &s,
						      &used, &diag));
		if (extra < 16)
			assert_refused(Q2S_E_SNAPSHOT, AT.v + 36, extra,
				       q2s_snapshot_decode(&geom_3, record, sizeof(record), AT, &s,
							   &used, &diag));
	}
}
END_TEST

START_TEST(too_much_extra_data_is_refused_before_it_is_read)
{
	const struct q2s_geom geom = geom_v3(16, false, false);
	static const uint32_t sizes[] = { 1025, UINT32_MAX };

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct q2s_snapshot s;
		size_t used = 0;

		with_extra(24);
		q2si_put_be32(record + 36, sizes[i]);
		assert_refused(Q2S_E_SNAPSHOT, AT.v + 36, sizes[i],
			       q2s_snapshot_decode(&geom, record, 40, AT, &s, &used, &diag));
		ck_assert_uint_eq(used, 40);
	}
}
END_TEST

START_TEST(each_rule_of_a_record)
{
	static const struct {
		unsigned byte, bytes;
		uint64_t value;
		enum q2s_err err;
		uint64_t at;
	} rows[] = {
		{ 0, 8, 0x60200, Q2S_E_OFFSET, 0 },
		{ 0, 8, 0, Q2S_E_OFFSET, 0 },
		{ 0, 8, 0xffffffffffff0000, Q2S_E_OFFSET, 0 },
		{ 8, 4, 4194305, Q2S_E_LIMIT, 8 },
		{ 8, 4, UINT32_MAX, Q2S_E_LIMIT, 8 },
		{ 48, 8, 1ull << 63, Q2S_E_LIMIT, 48 },
	};
	const struct q2s_geom geom = geom_v3(16, false, false);

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct q2s_snapshot s = { .l1_entries = 77 };
		size_t used = 0;

		memcpy(record, golden, sizeof(golden));
		if (rows[i].bytes == 8)
			q2si_put_be64(record + rows[i].byte, rows[i].value);
		else
			q2si_put_be32(record + rows[i].byte, (uint32_t)rows[i].value);
		assert_refused(rows[i].err, AT.v + rows[i].at, rows[i].value,
			       q2s_snapshot_decode(&geom, record, 72, AT, &s, &used, &diag));
		ck_assert_uint_eq(used, 72); /* a checker goes on behind it */
		ck_assert_uint_eq(s.l1_entries, 77);
	}
}
END_TEST

START_TEST(what_is_not_known_is_written_as_such)
{
	const struct q2s_geom geom = geom_v3(16, false, false);
	const struct q2s_snapshot in = { .vm_state_size = UINT32_MAX };
	struct q2s_snapshot out;
	size_t used;

	assert_ok(q2s_snapshot_encode(&geom, &in, record, sizeof(record), &used, &diag));
	ck_assert_uint_eq(used, 64);
	ck_assert_uint_eq(q2si_get_be32(record + 32), UINT32_MAX);
	ck_assert_uint_eq(q2si_get_be64(record + 48), geom.size);
	ck_assert_uint_eq(q2si_get_be64(record + 56), UINT64_MAX);
	assert_ok(q2s_snapshot_decode(&geom, record, used, AT, &out, &used, &diag));
	ck_assert(!out.has_icount);
	ck_assert_uint_eq(out.disk_size, geom.size);
	ck_assert_uint_eq(out.vm_state_size, UINT32_MAX);
}
END_TEST

START_TEST(nothing_is_written_that_would_not_be_read)
{
	const struct q2s_geom geom = geom_v3(16, false, false);
	struct q2s_snapshot s;
	uint8_t raw[72] = { 0 }, zeros[72] = { 0 };
	size_t used;

	assert_ok(q2s_snapshot_decode(&geom, golden, 72, AT, &s, &used, &diag));
	assert_refused(Q2S_E_LIMIT, NOWHERE, 72,
		       q2s_snapshot_encode(&geom, &s, raw, 71, &used, &diag));
	s.l1_offset.v = 0x60200;
	assert_refused(Q2S_E_OFFSET, NOWHERE, 0x60200,
		       q2s_snapshot_encode(&geom, &s, raw, 72, &used, &diag));
	s.l1_offset.v = 0x60000;
	s.l1_entries = 4194304;
	assert_refused(Q2S_E_LIMIT, NOWHERE, 72, /* the room, no longer the L1 table */
		       q2s_snapshot_encode(&geom, &s, raw, 0, &used, &diag));
	s.l1_entries = 4194305;
	assert_refused(Q2S_E_LIMIT, NOWHERE, 4194305,
		       q2s_snapshot_encode(&geom, &s, raw, 72, &used, &diag));
	ck_assert_mem_eq(raw, zeros, sizeof(raw));
}
END_TEST

START_TEST(random_records_make_the_round)
{
	static uint8_t text[UINT16_MAX], raw[256 << 10];
	uint64_t seed = 9;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)unit_random(&seed);
	for (unsigned i = 0; i < GEOMS * 5; i++) {
		struct q2s_snapshot in = { .id = text, .name = text + 100 }, out;
		size_t used, again;
		struct q2s_geom geom;

		if (!geom_at(i % GEOMS, 0, &geom))
			continue;
		in.l1_offset.v = (1 + unit_random_log(&seed) % 1000000) * geom.cluster_size;
		in.l1_entries = (uint32_t)(unit_random(&seed) % 4194305);
		in.id_len = (uint16_t)unit_random_log(&seed);
		in.name_len = (uint16_t)(unit_random_log(&seed) % (UINT16_MAX - 100));
		in.date_sec = (uint32_t)unit_random(&seed);
		in.vm_clock_nsec = unit_random(&seed);
		in.vm_state_size = unit_random_log(&seed);
		in.has_disk_size = true;
		in.disk_size = unit_random(&seed) >> 1;
		assert_ok(q2s_snapshot_encode(&geom, &in, raw, sizeof(raw), &used, &diag));
		assert_ok(q2s_snapshot_decode(&geom, raw, used, AT, &out, &again, &diag));
		quick_assert_eq(used, again);
		quick_assert_eq(in.l1_offset.v, out.l1_offset.v);
		quick_assert_eq(in.l1_entries, out.l1_entries);
		quick_assert_eq(in.id_len, out.id_len);
		quick_assert_eq(in.name_len, out.name_len);
		ck_assert_int_eq(memcmp(in.id, out.id, in.id_len), 0);
		ck_assert_int_eq(memcmp(in.name, out.name, in.name_len), 0);
		quick_assert_eq(in.date_sec, out.date_sec);
		quick_assert_eq(in.vm_clock_nsec, out.vm_clock_nsec);
		quick_assert_eq(in.vm_state_size, out.vm_state_size);
		quick_assert_eq(in.disk_size, out.disk_size);
	}
}
END_TEST

UNIT_MAIN("snapshot", known_bytes, a_short_buffer_says_what_it_needs, extra_data_of_each_age,
	  too_much_extra_data_is_refused_before_it_is_read, each_rule_of_a_record,
	  what_is_not_known_is_written_as_such, nothing_is_written_that_would_not_be_read,
	  random_records_make_the_round)
