/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pattern disk, on which other tests and q2s-create build: each byte from seed and offset. */
#include <q2s/disk.h>

#include "unit.h"

/* An independent account of the seeded bytes: byte k of splitmix64's word, big-endian. */
static uint8_t
seeded_byte(uint64_t seed, uint64_t guest)
{
	uint64_t z = seed;

	/* splitmix64 as published: the state moves first, then the output is mixed from it */
	z += (guest / 8 + 1) * UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	z = z ^ (z >> 31);
	return (uint8_t)(z >> (56 - 8 * (guest % 8)));
}

static const struct q2s_pattern regions[] = {
	{ .start = { 0 }, .len = 100, .state = Q2S_DATA, .fill = 0xab },
	{ .start = { 100 }, .len = 7, .state = Q2S_DATA, .seeded = true, .seed = 1 },
	{ .start = { 200 }, .len = 1000, .state = Q2S_ZERO },
	{ .start = { 3001 }, .len = 2000, .state = Q2S_DATA, .seeded = true, .seed = UINT64_MAX },
	{ .start = { 5001 }, .len = 1, .state = Q2S_DATA },
	{ .start = { 6000 }, .len = 999, .state = Q2S_DATA, .seeded = true, .half = 64 },
	{ .start = { 9999 }, .len = 1, .state = Q2S_DATA, .seeded = true, .seed = 3 },
};
enum { SIZE = 10000 };

static const struct q2s_pattern *
region_of(uint64_t guest)
{
	for (size_t i = 0; i < COUNT(regions); i++)
		if (guest >= regions[i].start.v && guest < regions[i].start.v + regions[i].len)
			return &regions[i];
	return NULL;
}

static uint8_t
byte_of(uint64_t guest)
{
	const struct q2s_pattern *region = guest < SIZE ? region_of(guest) : NULL;

	if (!region || region->state != Q2S_DATA)
		return 0;
	if (region->half && guest % region->half >= region->half / 2)
		return 0;
	return region->seeded ? seeded_byte(region->seed, guest) : region->fill;
}

static struct q2s_cursor *
open_cursor(struct q2s_disk **disk)
{
	struct q2s_cursor *cursor = NULL;

	assert_ok(q2s_disk_pattern(SIZE, regions, COUNT(regions), disk, &diag));
	assert_ok(q2s_cursor_open(*disk, &cursor, &diag));
	ck_assert_uint_eq(q2s_disk_size(*disk), SIZE);
	ck_assert_str_eq(q2s_disk_name(*disk), "pattern");
	assert_ok(q2s_disk_verify(*disk, &diag));
	return cursor;
}

START_TEST(the_first_words_are_splitmix64)
{
	/* the first outputs of the published generator for seed 0 */
	static const uint64_t want[] = { UINT64_C(0xe220a8397b1dcdaf),
					 UINT64_C(0x6e789e6aa1b965f4),
					 UINT64_C(0x06c45d188009454f) };
	const struct q2s_pattern all = { .len = 24, .state = Q2S_DATA, .seeded = true };
	struct q2s_disk *disk = NULL;
	struct q2s_cursor *cursor = NULL;
	uint8_t got[24];

	assert_ok(q2s_disk_pattern(24, &all, 1, &disk, &diag));
	assert_ok(q2s_cursor_open(disk, &cursor, &diag));
	assert_ok(q2s_cursor_read(cursor, (q2s_guest){ 0 }, got, 24, &diag));
	for (size_t i = 0; i < 24; i++)
		ck_assert_uint_eq(got[i], want[i / 8] >> (56 - 8 * (i % 8)) & 0xff);
	q2s_cursor_close(cursor);
	q2s_disk_close(disk);
}
END_TEST

START_TEST(every_byte_is_as_told)
{
	struct q2s_disk *disk = NULL;
	struct q2s_cursor *cursor = open_cursor(&disk);
	uint64_t seed = 7;
	uint8_t buf[SIZE + 100];

	for (unsigned i = 0; i < 3000; i++) {
		const uint64_t at = i == 0 ? 0 : unit_random(&seed) % (SIZE + 50);
		const size_t len = i == 0 ? sizeof(buf) : unit_random(&seed) % 300;

		memset(buf, 0xee, len);
		assert_ok(q2s_cursor_read(cursor, (q2s_guest){ at }, buf, len, &diag));
		for (size_t k = 0; k < len; k++)
			if (buf[k] != byte_of(at + k))
				ck_abort_msg("byte %" PRIu64, at + k);
	}
	q2s_cursor_close(cursor);
	q2s_disk_close(disk);
}
END_TEST

START_TEST(extents_agree_with_the_regions)
{
	struct q2s_disk *disk = NULL;
	struct q2s_cursor *cursor = open_cursor(&disk);

	for (uint64_t at = 0; at < SIZE; at++) {
		const struct q2s_pattern *region = region_of(at);
		struct q2s_extent extent;

		assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ at }, 500, &extent, &diag));
		ck_assert_uint_gt(extent.len, 0);
		ck_assert_uint_le(extent.len, 500);
		ck_assert_int_eq(extent.state, region ? region->state : Q2S_ABSENT);
		ck_assert_ptr_null(extent.file);
		for (uint64_t k = 0; k < extent.len; k++)
			if (region_of(at + k) != region)
				ck_abort_msg("the extent at %" PRIu64 " is too long", at);
	}
	q2s_cursor_close(cursor);
	q2s_disk_close(disk);
}
END_TEST

START_TEST(what_is_outside_is_refused)
{
	struct q2s_disk *disk = NULL;
	struct q2s_cursor *cursor = open_cursor(&disk);
	struct q2s_extent extent;

	assert_refused(Q2S_E_USAGE, NOWHERE, SIZE,
		       q2s_cursor_extent(cursor, (q2s_guest){ SIZE }, 1, &extent, &diag));
	assert_refused(Q2S_E_USAGE, NOWHERE, 5,
		       q2s_cursor_extent(cursor, (q2s_guest){ 5 }, 0, &extent, &diag));
	q2s_cursor_close(cursor);
	q2s_cursor_close(NULL);
	q2s_disk_close(disk);
	q2s_disk_close(NULL);
}
END_TEST

START_TEST(regions_are_sorted_disjoint_and_inside)
{
	static const struct {
		struct q2s_pattern pair[2];
		uint64_t value;
	} rows[] = {
		{ { { .start = { 0 }, .len = 10 }, { .start = { 9 }, .len = 1 } }, 9 },
		{ { { .start = { 50 }, .len = 10 }, { .start = { 0 }, .len = 1 } }, 0 },
		{ { { .start = { 0 }, .len = 10 }, { .start = { 10 }, .len = 0 } }, 10 },
		{ { { .start = { 0 }, .len = 10 }, { .start = { 99 }, .len = 2 } }, 99 },
		{ { { .start = { 0 }, .len = 10 }, { .start = { 99 }, .len = UINT64_MAX } }, 99 },
	};
	struct q2s_disk *disk = NULL;

	for (size_t i = 0; i < COUNT(rows); i++)
		assert_refused(Q2S_E_USAGE, NOWHERE, rows[i].value,
			       q2s_disk_pattern(100, rows[i].pair, 2, &disk, &diag));
	ck_assert_ptr_null(disk);
}
END_TEST

START_TEST(an_empty_disk_is_absent)
{
	struct q2s_disk *disk = NULL;
	struct q2s_cursor *cursor = NULL;
	struct q2s_extent extent;

	assert_ok(q2s_disk_empty(1ull << 62, &disk, &diag));
	assert_ok(q2s_cursor_open(disk, &cursor, &diag));
	assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ 1 }, UINT64_MAX, &extent, &diag));
	ck_assert_uint_eq(extent.len, (1ull << 62) - 1);
	ck_assert_int_eq(extent.state, Q2S_ABSENT);
	q2s_cursor_close(cursor);
	q2s_disk_close(disk);
}
END_TEST

UNIT_MAIN("pattern", the_first_words_are_splitmix64, every_byte_is_as_told,
	  extents_agree_with_the_regions, what_is_outside_is_refused,
	  regions_are_sorted_disjoint_and_inside, an_empty_disk_is_absent)
