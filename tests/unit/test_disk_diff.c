/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The difference of two disks against a model that reads both and compares them byte by byte. What
 * it calls absent is not stored, so a byte that it overlooks is a byte of the user's that is lost.
 */
#include <stdio.h>
#include <unistd.h>

#include <q2s/plan.h>

#include "base/diag.h"
#include "disk_model.h"

enum { MAX_SIZE = 5 << 20, ROUNDS = 120 };

static const uint32_t units[] = { 512, 2048, 65536, 512 << 10, 2 << 20 };

static enum q2s_state
model_state(const uint8_t *source, const uint8_t *base, uint64_t len)
{
	if (memcmp(source, base, len) == 0)
		return Q2S_ABSENT;
	return model_is_zero(source, len) ? Q2S_ZERO : Q2S_DATA;
}

/* What the model says of each unit. */
struct model {
	uint64_t size;
	uint32_t unit;
	enum q2s_state states[MAX_SIZE / 512 + 8];
};

static void
model_compare(struct model *model, const uint8_t *source, const uint8_t *base)
{
	for (uint64_t at = 0; at < model->size; at += model->unit) {
		const uint64_t left = model->size - at;

		model->states[at / model->unit] =
			model_state(source + at, base + at, left < model->unit ? left : model->unit);
	}
}

/* The extent at @at must be what the model says, over all of its length; returns its end. */
static uint64_t
judge_extent(struct q2s_cursor *cursor, const struct model *model, uint64_t at, uint64_t max)
{
	struct q2s_extent extent;

	assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ at }, max, &extent, &diag));
	ck_assert_uint_gt(extent.len, 0);
	ck_assert_uint_le(extent.len, max);
	ck_assert_uint_le(extent.len, model->size - at);
	for (uint64_t i = at / model->unit; i * model->unit < at + extent.len; i++)
		if (extent.state != model->states[i])
			ck_abort_msg("unit %" PRIu64 " in an extent at 0x%" PRIx64 " is %d", i, at,
				     (int)extent.state);
	return at + extent.len;
}

static void
judge(struct q2s_disk *source, struct q2s_disk *base, uint64_t size, uint32_t unit,
      uint64_t *chance)
{
	uint8_t *const mine = model_bytes(source, size), *const other = model_bytes(base, size);
	static struct model model;
	struct q2s_cursor *cursor;
	struct q2s_disk *diff;
	uint8_t *shown;

	model.size = size;
	model.unit = unit;
	model_compare(&model, mine, other);
	assert_ok(q2s_disk_diff(source, base, size, unit, &diff, &diag));
	ck_assert_uint_eq(q2s_disk_size(diff), size);
	shown = model_bytes(diff, size);
	ck_assert_int_eq(memcmp(shown, mine, size), 0);
	assert_ok(q2s_cursor_open(diff, &cursor, &diag));
	for (uint64_t at = 0; at < size;)
		at = judge_extent(cursor, &model, at, UINT64_MAX);
	for (int i = 0; i < 30 && size > 0; i++)
		(void)judge_extent(cursor, &model, unit_random(chance) % size,
				   1 + unit_random_log(chance) % size);
	q2s_cursor_close(cursor);
	q2s_disk_close(diff);
	free(mine);
	free(other);
	free(shown);
}

static uint64_t
random_size(uint64_t *chance)
{
	const uint64_t size = unit_random(chance) % MAX_SIZE;

	return unit_random(chance) % 2 ? size : size / 512 * 512;
}

START_TEST(it_is_what_a_comparison_of_all_bytes_says)
{
	uint64_t chance = 0x5eed + (uint64_t)_i;
	const uint32_t unit = units[(size_t)_i % COUNT(units)];

	for (int round = 0; round < ROUNDS / (int)COUNT(units); round++) {
		const uint64_t grain = unit_random(&chance) % 2 ? 512 : 1 + unit_random(&chance) % 999;
		const uint64_t size = random_size(&chance), base_size = random_size(&chance);
		const uint64_t common = size < base_size ? size : base_size;
		const uint64_t more = unit_random(&chance) % 3 * 512;
		struct q2s_pattern regions[MODEL_REGIONS];
		struct q2s_disk *source, *base;
		size_t count = model_regions(&chance, common, grain, regions);

		assert_ok(q2s_disk_pattern(size, regions, count, &source, &diag));
		model_change(&chance, regions, count);
		if (unit_random(&chance) % 4 == 0)
			count = model_regions(&chance, base_size, grain, regions);
		assert_ok(q2s_disk_pattern(base_size, regions, count, &base, &diag));
		judge(source, base, size + more, unit, &chance);
		q2s_disk_close(base);
		q2s_disk_close(source);
	}
}
END_TEST

/* ---- files ------------------------------------------------------------------------------- */

/* A raw disk in a nameless file: bytes of @seed in [@start, @end), a hole around them. */
static struct q2s_store *
make_file(uint64_t size, uint64_t start, uint64_t end, uint8_t seed)
{
	FILE *const file = tmpfile();
	uint8_t *const bytes = malloc(end - start + 1);
	struct q2s_store *out;

	ck_assert(file && bytes);
	for (uint64_t i = start; i < end; i++)
		bytes[i - start] = (uint8_t)(seed + i * 7 + i / 256);
	ck_assert_int_eq(ftruncate(fileno(file), (off_t)size), 0);
	ck_assert_int_eq(pwrite(fileno(file), bytes, end - start, (off_t)start),
			 (ssize_t)(end - start));
	assert_ok(q2s_store_from_fd(dup(fileno(file)), "test", &out, &diag));
	ck_assert_int_eq(fclose(file), 0);
	free(bytes);
	return out;
}

static struct q2s_disk *
raw_disk(struct q2s_store *file)
{
	struct q2s_disk *disk;

	assert_ok(q2s_disk_raw(file, &disk, &diag));
	return disk;
}

/* A sink can splice what is data: the extent must say where it lies, and be right. */
START_TEST(data_lies_where_the_source_has_it)
{
	struct q2s_store *const file = make_file(1 << 20, 100000, 900000, 1);
	struct q2s_disk *const source = raw_disk(file);
	struct q2s_cursor *cursor;
	struct q2s_disk *empty, *diff;
	struct q2s_extent extent;
	uint64_t placed = 0;

	assert_ok(q2s_disk_empty(1 << 20, &empty, &diag));
	assert_ok(q2s_disk_diff(source, empty, 1 << 20, 4096, &diff, &diag));
	assert_ok(q2s_cursor_open(diff, &cursor, &diag));
	for (uint64_t at = 0; at < 1 << 20; at += extent.len) {
		assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ at }, 50000, &extent, &diag));
		if (extent.state != Q2S_DATA)
			continue;
		ck_assert(extent.file == file);
		ck_assert_uint_eq(extent.at, at);
		placed += extent.len;
	}
	ck_assert_uint_ge(placed, 800000);
	ck_assert_uint_le(placed, 800000 + 2 * 4096);
	q2s_cursor_close(cursor);
	q2s_disk_close(diff);
	q2s_disk_close(empty);
	q2s_disk_close(source);
	q2s_store_unref(file);
}
END_TEST

/* The bytes that are read of either disk when all extents are asked for. */
static uint64_t
cost(struct watched_disk *source, struct watched_disk *base, uint64_t size)
{
	struct q2s_cursor *cursor;
	struct q2s_disk *diff;
	struct q2s_extent extent;

	source->bytes_read = base->bytes_read = 0;
	assert_ok(q2s_disk_diff(&source->disk, &base->disk, size, 65536, &diff, &diag));
	assert_ok(q2s_cursor_open(diff, &cursor, &diag));
	for (uint64_t at = 0; at < size; at += extent.len)
		assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ at }, UINT64_MAX, &extent, &diag));
	q2s_cursor_close(cursor);
	q2s_disk_close(diff);
	return source->bytes_read + base->bytes_read;
}

START_TEST(what_metadata_call_the_same_is_not_read)
{
	const uint64_t size = (uint64_t)1 << 50;
	struct q2s_store *const file = make_file(4 << 20, 0, 3 << 20, 1);
	struct watched_disk *const one = watch(raw_disk(file)), *two;
	struct q2s_store *again;
	struct q2s_disk *empty, *zero;
	struct watched_disk *nothing, *zeros;

	/* the same file, opened twice */
	assert_ok(q2s_store_from_fd(dup(q2s_store_fd(file)), "test", &again, &diag));
	two = watch(raw_disk(again));
	q2s_store_unref(again);
	ck_assert_uint_eq(cost(one, two, 4 << 20), 0);
	assert_ok(q2s_disk_empty(size, &empty, &diag));
	assert_ok(q2s_disk_pattern(size, &(struct q2s_pattern){ .len = size, .state = Q2S_ZERO },
				   1, &zero, &diag));
	nothing = watch(empty);
	zeros = watch(zero);
	ck_assert_uint_eq(cost(nothing, zeros, size), 0);
	/* each side once, and not where both have holes */
	ck_assert_uint_ge(cost(one, nothing, size), 6 << 20);
	ck_assert_uint_le(cost(one, nothing, size), (6 << 20) + (512 << 10));
	q2s_disk_close(&one->disk);
	q2s_disk_close(&two->disk);
	q2s_disk_close(&nothing->disk);
	q2s_disk_close(&zeros->disk);
	q2s_store_unref(file);
}
END_TEST

/* The same bytes at another offset, or in another file, are no reason to skip the reading. */
START_TEST(another_file_is_compared)
{
	uint64_t chance = 1;
	struct q2s_store *const a = make_file(1 << 20, 0, 1 << 20, 1);
	struct q2s_store *const b = make_file(1 << 20, 0, 1 << 20, 1);
	struct q2s_store *const c = make_file(1 << 20, 0, 1 << 20, 2);
	struct q2s_disk *const disk_a = raw_disk(a), *const disk_b = raw_disk(b);
	struct q2s_disk *const disk_c = raw_disk(c);

	judge(disk_a, disk_b, 1 << 20, 65536, &chance);
	judge(disk_a, disk_c, 1 << 20, 65536, &chance);
	judge(disk_a, disk_a, 1 << 20, 65536, &chance);
	q2s_disk_close(disk_a);
	q2s_disk_close(disk_b);
	q2s_disk_close(disk_c);
	q2s_store_unref(a);
	q2s_store_unref(b);
	q2s_store_unref(c);
}
END_TEST

START_TEST(another_place_of_the_same_file_is_compared)
{
	uint64_t chance = 1;
	struct q2s_store *const file = make_file(1 << 20, 0, 1 << 20, 1);
	struct watched_disk *const here = watch(raw_disk(file)), *const there = watch(raw_disk(file));

	here->disk.size = there->disk.size = 900000;
	there->shift = 3000;
	judge(&here->disk, &there->disk, 900000, 4096, &chance);
	ck_assert_uint_gt(there->bytes_read, 900000);
	q2s_disk_close(&here->disk);
	q2s_disk_close(&there->disk);
	q2s_store_unref(file);
}
END_TEST

/* ---- failures ---------------------------------------------------------------------------- */

static struct watched_disk *
full_disk(uint64_t size, uint64_t seed)
{
	const struct q2s_pattern all = { .len = size, .state = Q2S_DATA, .seeded = true,
					 .seed = seed };
	struct q2s_disk *disk;

	assert_ok(q2s_disk_pattern(size, &all, 1, &disk, &diag));
	return watch(disk);
}

START_TEST(a_side_that_cannot_be_read_is_an_error_each_time)
{
	struct watched_disk *const source = full_disk(1 << 20, 1), *const base = full_disk(1 << 20, 1);
	struct watched_disk *const broken = _i ? source : base;
	struct q2s_cursor *cursor;
	struct q2s_extent extent;
	struct q2s_disk *diff;

	assert_ok(q2s_disk_diff(&source->disk, &base->disk, 1 << 20, 65536, &diff, &diag));
	assert_ok(q2s_cursor_open(diff, &cursor, &diag));
	broken->broken_at = 1 << 19;
	assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ 0 }, UINT64_MAX, &extent, &diag));
	ck_assert_int_eq(extent.state, Q2S_ABSENT);
	for (int again = 0; again < 2; again++)
		assert_refused(Q2S_E_IO, NOWHERE, 1 << 19,
			       q2s_cursor_extent(cursor, (q2s_guest){ 1 << 19 }, UINT64_MAX,
						 &extent, &diag));
	broken->broken_at = UINT64_MAX;
	assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ 1 << 19 }, UINT64_MAX, &extent, &diag));
	ck_assert_int_eq(extent.state, Q2S_ABSENT);
	q2s_cursor_close(cursor);
	q2s_disk_close(diff);
	q2s_disk_close(&source->disk);
	q2s_disk_close(&base->disk);
}
END_TEST

START_TEST(either_side_may_have_changed)
{
	struct q2s_store *const a = make_file(512, 0, 9, 1), *const b = make_file(512, 0, 9, 2);
	struct q2s_store *const changed = _i ? a : b;
	struct q2s_disk *const source = raw_disk(a), *const base = raw_disk(b);
	struct q2s_disk *diff;

	assert_ok(q2s_disk_diff(source, base, 512, 512, &diff, &diag));
	assert_ok(q2s_disk_verify(diff, &diag));
	ck_assert_int_eq(ftruncate(q2s_store_fd(changed), 1024), 0);
	assert_refused(Q2S_E_CHANGED, NOWHERE, 1024, q2s_disk_verify(diff, &diag));
	q2s_disk_close(diff);
	q2s_disk_close(source);
	q2s_disk_close(base);
	q2s_store_unref(a);
	q2s_store_unref(b);
}
END_TEST

START_TEST(it_uses_the_files_of_both)
{
	struct q2s_store *const a = make_file(512, 0, 0, 0), *const b = make_file(512, 0, 0, 0);
	struct q2s_disk *const source = raw_disk(a), *const base = raw_disk(b);
	struct q2s_store_ident ident;
	struct q2s_disk *diff;

	assert_ok(q2s_disk_diff(source, base, 512, 512, &diff, &diag));
	q2s_store_ident(b, &ident);
	ck_assert(!q2s_disk_uses(source, &ident));
	ck_assert(q2s_disk_uses(base, &ident));
	ck_assert(q2s_disk_uses(diff, &ident));
	q2s_store_ident(a, &ident);
	ck_assert(q2s_disk_uses(diff, &ident));
	ident.dev++;
	ck_assert(!q2s_disk_uses(diff, &ident));
	q2s_disk_close(diff);
	q2s_disk_close(source);
	q2s_disk_close(base);
	q2s_store_unref(a);
	q2s_store_unref(b);
}
END_TEST

static bool
stop_soon(void *opaque, enum q2s_phase phase, uint64_t done, uint64_t total)
{
	(void)done;
	(void)total;
	ck_assert_int_eq(phase, Q2S_PHASE_SCAN);
	return ++*(unsigned *)opaque < 3;
}

/* Where nothing differs there is nothing to hand out, but it takes as long as where all does. */
START_TEST(a_scan_of_equal_disks_can_be_stopped)
{
	const uint64_t size = 512 << 20;
	const struct q2s_geom_params params = { .version = 3, .cluster_bits = 16,
						.refcount_order = 4, .size = size };
	const struct q2s_pattern all = { .len = size, .state = Q2S_DATA, .fill = 1 };
	unsigned asked = 0;
	const struct q2s_observer observer = { stop_soon, &asked };
	const struct q2s_scan_options options = { .size = sizeof(options),
						  .threads = 1, .keep_zeros = true,
						  .observer = &observer };
	struct q2s_disk *source, *diff;
	struct q2s_alloc *alloc;
	struct q2s_geom geom;

	assert_ok(q2s_geom_init(&params, &geom, &diag));
	assert_ok(q2s_disk_pattern(size, &all, 1, &source, &diag));
	assert_ok(q2s_disk_diff(source, source, size, geom.sub_size, &diff, &diag));
	ck_assert_int_eq(q2s_scan(diff, &geom, &options, &alloc, NULL), Q2S_E_CANCELLED);
	ck_assert_uint_eq(asked, 3);
	q2s_disk_close(diff);
	q2s_disk_close(source);
}
END_TEST

START_TEST(wrong_arguments_are_refused)
{
	static const uint32_t wrong[] = { 0, 256, 513, 1536, 4 << 20 };
	struct q2s_disk *a, *diff;

	assert_ok(q2s_disk_empty(1024, &a, &diag));
	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_refused(Q2S_E_USAGE, NOWHERE, wrong[i],
			       q2s_disk_diff(a, a, 1024, wrong[i], &diff, &diag));
	assert_refused(Q2S_E_USAGE, NOWHERE, 1023, q2s_disk_diff(a, a, 1023, 512, &diff, &diag));
	q2s_disk_close(a);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("disk_diff");
	TCase *tcase = tcase_create("disk_diff");
	SRunner *runner = srunner_create(suite);
	tcase_set_timeout(tcase, 120);
	int failed;

	tcase_add_loop_test(tcase, it_is_what_a_comparison_of_all_bytes_says, 0, COUNT(units));
	tcase_add_test(tcase, data_lies_where_the_source_has_it);
	tcase_add_test(tcase, what_metadata_call_the_same_is_not_read);
	tcase_add_test(tcase, another_file_is_compared);
	tcase_add_test(tcase, another_place_of_the_same_file_is_compared);
	tcase_add_loop_test(tcase, a_side_that_cannot_be_read_is_an_error_each_time, 0, 2);
	tcase_add_loop_test(tcase, either_side_may_have_changed, 0, 2);
	tcase_add_test(tcase, it_uses_the_files_of_both);
	tcase_add_test(tcase, a_scan_of_equal_disks_can_be_stopped);
	tcase_add_test(tcase, wrong_arguments_are_refused);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
