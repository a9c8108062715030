/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk of which a map says what changed: the rest is never touched, units are looked at whole. */
#include "base/arith.h"
#include "base/diag.h"
#include "disk_model.h"

enum { SIZE = 1 << 20, ROUNDS = 60 };

/* Any regions as a map: what is data is dirty. */
static struct q2s_disk *
random_map(uint64_t *rng, uint64_t size, uint64_t grain)
{
	struct q2s_pattern regions[MODEL_REGIONS];
	struct q2s_disk *map;

	assert_ok(q2s_disk_pattern(size, regions, model_regions(rng, size, grain, regions), &map,
				   &diag));
	return map;
}

/* What the map and the rule about its end say of each byte of the disk. */
static uint8_t *
model_dirty(struct q2s_disk *map, uint64_t size, const struct q2s_changed_options *options)
{
	uint8_t *const dirty = calloc(size, 1);
	struct q2s_cursor *cursor;
	struct q2s_extent extent;

	assert_ok(q2s_cursor_open(map, &cursor, &diag));
	for (uint64_t at = 0; at < q2s_disk_size(map); at += extent.len) {
		assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ at }, UINT64_MAX, &extent, &diag));
		for (uint64_t i = at; i < at + extent.len && i < size; i++)
			dirty[i] = extent.state == Q2S_DATA;
	}
	q2s_cursor_close(cursor);
	for (uint64_t i = options->counts; i < size; i++)
		dirty[i] = 1;
	for (uint64_t unit = 0; unit < size; unit += options->unit) {
		const uint64_t end = q2si_min(unit + options->unit, size);
		bool any = false;

		for (uint64_t i = unit; i < end; i++)
			any = any || dirty[i];
		memset(dirty + unit, any, end - unit);
	}
	return dirty;
}

static void
judge(struct q2s_disk *changed, struct q2s_disk *inner, const uint8_t *dirty, bool absent_is_same)
{
	const uint64_t size = q2s_disk_size(inner);
	struct q2s_cursor *cursor, *straight;

	assert_ok(q2s_cursor_open(changed, &cursor, &diag));
	assert_ok(q2s_cursor_open(inner, &straight, &diag));
	for (uint64_t at = 0; at < size;) {
		struct q2s_extent extent, want = { .state = Q2S_ABSENT };

		assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ at }, UINT64_MAX, &extent, &diag));
		ck_assert(extent.len > 0 && extent.len <= size - at);
		for (uint64_t i = at; i < at + extent.len; i++)
			quick_assert_eq(dirty[i], dirty[at]);
		if (dirty[at]) {
			assert_ok(q2s_cursor_extent(straight, (q2s_guest){ at }, extent.len, &want,
						    &diag));
			ck_assert_uint_eq(extent.len, want.len);
			if (want.state == Q2S_ABSENT && !absent_is_same)
				want.state = Q2S_ZERO;
		}
		ck_assert_int_eq(extent.state, want.state);
		at += extent.len;
	}
	q2s_cursor_close(straight);
	q2s_cursor_close(cursor);
}

START_TEST(what_changed_is_the_disks_and_the_rest_is_absent)
{
	uint64_t rng = 99;

	for (int round = 0; round < ROUNDS; round++) {
		const uint64_t size = SIZE - unit_random(&rng) % 5000;
		const struct q2s_changed_options options = {
			.size = sizeof(options),
			.unit = 512u << unit_random(&rng) % 9,
			.counts = round % 3 ? UINT64_MAX : unit_random(&rng) % SIZE,
			.absent_is_same = round & 1,
		};
		struct q2s_disk *map = random_map(&rng, SIZE - unit_random(&rng) % 9000,
						  512u << unit_random(&rng) % 6);
		struct q2s_disk *inner = random_map(&rng, size, 512), *changed;
		uint8_t *const dirty = model_dirty(map, size, &options);
		uint8_t *bytes, *shown;

		assert_ok(q2s_disk_changed(inner, map, &options, &changed, &diag));
		ck_assert_uint_eq(q2s_disk_size(changed), size);
		judge(changed, inner, dirty, options.absent_is_same);
		bytes = model_bytes(inner, size);
		shown = model_bytes(changed, size);
		ck_assert_int_eq(memcmp(bytes, shown, size), 0);
		q2s_disk_close(changed);
		q2s_disk_close(inner);
		q2s_disk_close(map);
		free(dirty);
		free(bytes);
		free(shown);
	}
}
END_TEST

/* Over a difference, neither side is read where the map is clean. */
START_TEST(clean_units_are_not_compared)
{
	const struct q2s_pattern all = { .len = SIZE, .state = Q2S_DATA, .fill = 9 };
	const struct q2s_pattern other = { .len = SIZE, .state = Q2S_DATA, .fill = 8 };
	const struct q2s_pattern dirty[] = {
		{ .start = { 8192 }, .len = 100, .state = Q2S_DATA },
		{ .start = { 500000 }, .len = 4096, .state = Q2S_DATA },
	};
	const struct q2s_changed_options options = {
		.size = sizeof(options),
		.unit = 4096, .counts = UINT64_MAX, .absent_is_same = true
	};
	struct q2s_disk *mine, *base, *map, *diff, *changed;
	struct watched_disk *source, *below;
	struct q2s_cursor *cursor;
	struct q2s_extent extent;
	uint64_t data = 0;

	assert_ok(q2s_disk_pattern(SIZE, &all, 1, &mine, &diag));
	assert_ok(q2s_disk_pattern(SIZE, &other, 1, &base, &diag));
	assert_ok(q2s_disk_pattern(SIZE, dirty, 2, &map, &diag));
	source = watch(mine);
	below = watch(base);
	assert_ok(q2s_disk_diff(&source->disk, &below->disk, SIZE, 4096, &diff, &diag));
	assert_ok(q2s_disk_changed(diff, map, &options, &changed, &diag));
	assert_ok(q2s_cursor_open(changed, &cursor, &diag));
	for (uint64_t at = 0; at < SIZE; at += extent.len) {
		assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ at }, UINT64_MAX, &extent, &diag));
		data += extent.state == Q2S_DATA ? extent.len : 0;
	}
	ck_assert_uint_eq(data, 3 * 4096);
	ck_assert_uint_eq(source->bytes_read, 3 * 4096);
	ck_assert_uint_eq(below->bytes_read, 3 * 4096);
	q2s_cursor_close(cursor);
	q2s_disk_close(changed);
	q2s_disk_close(diff);
	q2s_disk_close(map);
	q2s_disk_close(&source->disk);
	q2s_disk_close(&below->disk);
}
END_TEST

START_TEST(wrong_units_are_refused)
{
	struct q2s_disk *inner, *changed;

	assert_ok(q2s_disk_empty(SIZE, &inner, &diag));
	for (uint32_t unit = 0; unit < 3; unit++) {
		static const uint32_t wrong[] = { 256, 1000, 4 << 20 };
		const struct q2s_changed_options options = { .size = sizeof(options),
							     .unit = wrong[unit] };

		assert_refused(Q2S_E_USAGE, NOWHERE, wrong[unit],
			       q2s_disk_changed(inner, inner, &options, &changed, &diag));
	}
	q2s_disk_close(inner);
}
END_TEST

UNIT_MAIN("disk_changed", what_changed_is_the_disks_and_the_rest_is_absent,
	  clean_units_are_not_compared, wrong_units_are_refused)
