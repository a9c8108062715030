/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk that somebody described: the description is believed, and what it calls empty is left alone. */
#include <stdio.h>
#include <unistd.h>

#include "base/diag.h"
#include "disk_model.h"

enum { SIZE = 1 << 20, ROUNDS = 50, HINTS_MAX = 200 };

/* Hints of all kinds that cover the disk. */
static size_t
random_hints(uint64_t *chance, uint64_t size, struct q2s_hint *hints)
{
	static const enum q2s_state states[] = { Q2S_ABSENT, Q2S_ZERO, Q2S_DATA };
	size_t count = 0;

	for (uint64_t at = 0; at < size;) {
		uint64_t len = 1 + unit_random_log(chance) % (SIZE / 8);

		if (len > size - at || count == HINTS_MAX - 1)
			len = size - at;
		hints[count++] = (struct q2s_hint){
			.start = { at }, .len = len,
			.state = states[unit_random(chance) % COUNT(states)],
		};
		at += len;
	}
	return count;
}

static const struct q2s_hint *
model_hint(const struct q2s_hint *hints, uint64_t at)
{
	while (at >= hints->start.v + hints->len)
		hints++;
	return hints;
}

static void
judge_extents(struct q2s_disk *hinted, struct q2s_disk *inner, const struct q2s_hint *hints,
	      uint64_t *chance)
{
	struct q2s_cursor *cursor, *straight;

	assert_ok(q2s_cursor_open(hinted, &cursor, &diag));
	assert_ok(q2s_cursor_open(inner, &straight, &diag));
	for (int i = 0; i < 200; i++) {
		const q2s_guest at = { unit_random(chance) % SIZE };
		const struct q2s_hint *hint = model_hint(hints, at.v);
		const uint64_t left = hint->start.v + hint->len - at.v;
		struct q2s_extent extent, expected = { .len = left, .state = hint->state };

		assert_ok(q2s_cursor_extent(cursor, at, SIZE, &extent, &diag));
		if (hint->state == Q2S_DATA)
			assert_ok(q2s_cursor_extent(straight, at, left, &expected, &diag));
		ck_assert_uint_eq(extent.len, expected.len);
		ck_assert_int_eq(extent.state, expected.state);
		ck_assert(extent.file == expected.file && extent.at == expected.at);
	}
	q2s_cursor_close(straight);
	q2s_cursor_close(cursor);
}

START_TEST(data_is_the_disks_and_the_rest_is_zero)
{
	uint64_t chance = 77;

	for (int round = 0; round < ROUNDS; round++) {
		struct q2s_pattern regions[MODEL_REGIONS];
		struct q2s_hint hints[HINTS_MAX];
		struct q2s_disk *inner, *hinted;
		uint8_t *bytes, *shown;

		assert_ok(q2s_disk_pattern(SIZE, regions,
					   model_regions(&chance, SIZE, 4096, regions), &inner,
					   &diag));
		bytes = model_bytes(inner, SIZE);
		assert_ok(q2s_disk_hinted(inner, hints, random_hints(&chance, SIZE, hints),
					  &hinted, &diag));
		judge_extents(hinted, inner, hints, &chance);
		for (uint64_t i = 0; i < SIZE; i++)
			if (model_hint(hints, i)->state != Q2S_DATA)
				bytes[i] = 0;
		shown = model_bytes(hinted, SIZE);
		ck_assert_int_eq(memcmp(bytes, shown, SIZE), 0);
		q2s_disk_close(hinted);
		free(bytes);
		free(shown);
	}
}
END_TEST

START_TEST(what_is_called_empty_is_never_touched)
{
	static const struct q2s_hint hints[] = {
		{ .start = { 0 }, .len = 4096, .state = Q2S_ZERO },
		{ .start = { 4096 }, .len = 4096, .state = Q2S_DATA },
		{ .start = { 8192 }, .len = SIZE - 8192, .state = Q2S_ABSENT },
	};
	const struct q2s_pattern all = { .len = SIZE, .state = Q2S_DATA, .fill = 9 };
	struct watched_disk *watched;
	struct q2s_disk *inner, *hinted;
	uint8_t *shown;

	assert_ok(q2s_disk_pattern(SIZE, &all, 1, &inner, &diag));
	watched = watch(inner);
	assert_ok(q2s_disk_hinted(&watched->disk, hints, COUNT(hints), &hinted, &diag));
	shown = model_bytes(hinted, SIZE);
	ck_assert_uint_eq(watched->bytes_read, 4096);
	ck_assert_uint_eq(shown[4095] + shown[8192], 0);
	ck_assert_uint_eq(shown[4096] + shown[8191], 18);
	q2s_disk_close(hinted);
	free(shown);
}
END_TEST

START_TEST(it_lies_where_the_disk_lies)
{
	static const struct q2s_hint hint = { .len = 512, .state = Q2S_ZERO };
	FILE *const file = tmpfile();
	struct q2s_store *opened;
	struct q2s_disk *inner, *hinted;

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(ftruncate(fileno(file), 512), 0);
	assert_ok(q2s_store_from_fd(dup(fileno(file)), "test", &opened, &diag));
	assert_ok(q2s_disk_raw(opened, &inner, &diag));
	assert_ok(q2s_disk_hinted(inner, &hint, 1, &hinted, &diag));
	ck_assert(q2s_disk_file(hinted, 0) == opened);
	ck_assert_ptr_null(q2s_disk_file(hinted, 1));
	assert_ok(q2s_disk_verify(hinted, &diag));
	ck_assert_int_eq(ftruncate(fileno(file), 513), 0);
	assert_refused(Q2S_E_CHANGED, NOWHERE, 513, q2s_disk_verify(hinted, &diag));
	q2s_disk_close(hinted);
	q2s_store_unref(opened);
	fclose(file);
}
END_TEST

START_TEST(hints_that_leave_gaps_or_overlap_are_refused)
{
	static const struct {
		struct q2s_hint hints[2];
		uint64_t value;
	} wrong[] = {
		{ { { { 512 }, 512, Q2S_DATA }, { { 1024 }, 512, Q2S_DATA } }, 512 },
		{ { { { 0 }, 512, Q2S_DATA }, { { 511 }, 1025, Q2S_DATA } }, 511 },
		{ { { { 0 }, 512, Q2S_DATA }, { { 513 }, 1023, Q2S_DATA } }, 513 },
		{ { { { 0 }, 512, Q2S_DATA }, { { 512 }, 1023, Q2S_DATA } }, 1535 },
		{ { { { 0 }, 512, Q2S_DATA }, { { 512 }, 1025, Q2S_DATA } }, 512 },
		{ { { { 0 }, 512, Q2S_DATA }, { { 512 }, UINT64_MAX, Q2S_DATA } }, 512 },
		{ { { { 0 }, 0, Q2S_DATA }, { { 0 }, 1536, Q2S_DATA } }, 0 },
	};
	struct q2s_disk *inner, *hinted;

	assert_ok(q2s_disk_empty(1536, &inner, &diag));
	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_refused(Q2S_E_USAGE, NOWHERE, wrong[i].value,
			       q2s_disk_hinted(inner, wrong[i].hints, 2, &hinted, &diag));
	assert_refused(Q2S_E_USAGE, NOWHERE, 0, q2s_disk_hinted(inner, NULL, 0, &hinted, &diag));
	q2s_disk_close(inner);
	assert_ok(q2s_disk_empty(0, &inner, &diag));
	assert_ok(q2s_disk_hinted(inner, NULL, 0, &hinted, &diag));
	q2s_disk_close(hinted);
}
END_TEST

UNIT_MAIN("disk_hinted", data_is_the_disks_and_the_rest_is_zero,
	  what_is_called_empty_is_never_touched, it_lies_where_the_disk_lies,
	  hints_that_leave_gaps_or_overlap_are_refused)
