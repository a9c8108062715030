/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The write engine against an oracle in memory: random requests on every kind of image. */
#include "edited.h"

#include "base/zero.h"

#define KIB 1024ull

#define KIND(title, v, bits, order, ext, fill, bytes, below, ...)                                \
	{                                                                                        \
		.name = (title), .version = (v), .cluster_bits = (bits),                         \
		.refcount_order = (order), .extended = (ext), .filled = (fill), .size = (bytes), \
		.base_size = (below), __VA_ARGS__                                                \
	}

static const struct kind kinds[] = {
	KIND("v3 64k", 3, 16, 4, false, FILLED_NOT, 3000 * KIB + 512, 0),
	KIND("v3 4k over a base", 3, 12, 4, false, FILLED_NOT, 800 * KIB, 500 * KIB + 512),
	KIND("v3 4k mixed over a base", 3, 12, 4, false, FILLED_MIXED, 800 * KIB, 900 * KIB),
	KIND("v2 4k mixed", 2, 12, 4, false, FILLED_MIXED, 700 * KIB, 0),
	KIND("v2 4k over a base", 2, 12, 4, false, FILLED_NOT, 700 * KIB, 300 * KIB),
	KIND("512, 64 bit counts", 3, 9, 6, false, FILLED_NOT, 600 * KIB, 200 * KIB),
	KIND("512, a refcount table that grows", 3, 9, 6, false, FILLED_NOT, 4000 * KIB, 0),
	KIND("512, 1 bit counts", 3, 9, 0, false, FILLED_MIXED, 400 * KIB, 0),
	KIND("extended 16k mixed over a base", 3, 14, 4, true, FILLED_MIXED, 1500 * KIB + 512,
	     1000 * KIB),
	KIND("extended 64k", 3, 16, 4, true, FILLED_NOT, 4000 * KIB, 0),
	KIND("extended 64k over a base", 3, 16, 3, true, FILLED_NOT, 4000 * KIB, 5000 * KIB),
	KIND("extended 128k over a base", 3, 17, 4, true, FILLED_MIXED, 6000 * KIB,
	     3000 * KIB + 512),
	KIND("extended 2M over a base", 3, 21, 5, true, FILLED_NOT, 9000 * KIB, 7000 * KIB),
	KIND("4k shared", 3, 12, 4, false, FILLED_SHARED, 500 * KIB, 0),
	KIND("extended 16k shared", 3, 14, 4, true, FILLED_SHARED, 900 * KIB, 0),
	KIND("4k zlib", 3, 12, 4, false, FILLED_ZLIB, 500 * KIB, 0),
	KIND("extended 16k zstd", 3, 14, 4, true, FILLED_ZSTD, 900 * KIB, 0),
	KIND("64k zlib, 8 bit counts", 3, 16, 3, false, FILLED_ZLIB, 2000 * KIB, 0),
	KIND("data file 4k", 3, 12, 4, false, FILLED_MIXED, 500 * KIB, 300 * KIB,
	     .data_file = true),
	KIND("data file, extended 16k", 3, 14, 4, true, FILLED_MIXED, 900 * KIB, 500 * KIB,
	     .data_file = true),
	KIND("small cache", 3, 9, 4, false, FILLED_MIXED, 2000 * KIB, 2000 * KIB, .cache = 1),
	KIND("luks 4k over a base", 3, 12, 4, false, FILLED_NOT, 400 * KIB, 300 * KIB,
	     .luks = true),
	KIND("luks, extended 16k", 3, 14, 4, true, FILLED_MIXED, 900 * KIB, 700 * KIB,
	     .luks = true),
};

struct range {
	uint64_t at, len;
};

/* Whole disks, single bytes and all between; at edges more often than not. */
static struct range
random_range(const struct edited *e, uint64_t most, uint64_t *seed)
{
	const uint64_t size = e->geom.size;
	const uint32_t units[] = { 1, 512, e->geom.sub_size, e->geom.cluster_size };
	const uint64_t unit = units[unit_random(seed) % COUNT(units)];
	struct range range = { .at = unit_random(seed) % size / unit * unit };

	range.len = (1 + unit_random(seed) % 3) * units[unit_random(seed) % COUNT(units)];
	if (unit_random(seed) % 8 == 0)
		range.len = unit_random_log(seed);
	range.len = q2si_min(1 + range.len % most, size - range.at);
	if (unit != 1 && range.len % unit != 0 && unit_random(seed) % 2 == 0)
		range.len = q2si_min(q2si_round_up(range.len, unit), size - range.at);
	return range;
}

static void
do_write(struct edited *e, struct range range, uint64_t *seed)
{
	uint8_t *bytes = e->shown + range.at;

	for (uint64_t i = 0; i < range.len; i++)
		bytes[i] = (uint8_t)(unit_random(seed) >> 56);
	assert_ok(q2s_edit_write(e->edit, (q2s_guest){ range.at }, bytes, range.len, &diag));
}

static void
do_zero(struct edited *e, struct range range, unsigned flags)
{
	memset(e->shown + range.at, 0, range.len);
	assert_ok(q2s_edit_zero(e->edit, (q2s_guest){ range.at }, range.len, flags, &diag));
}

/* Each whole subcluster is zero or, where the tables cannot say so, as it was. */
static void
do_discard(struct edited *e, struct range range)
{
	const uint64_t unit = e->geom.sub_size, end = range.at + range.len;
	const bool may_stay = e->geom.version < 3 || e->kind->filled >= FILLED_ZLIB;
	uint8_t *bytes = malloc(unit);

	assert_ok(q2s_edit_discard(e->edit, (q2s_guest){ range.at }, range.len, &diag));
	for (uint64_t at = q2si_round_up(range.at, unit); at < end; at += unit) {
		const uint64_t n = q2si_min(unit, e->geom.size - at);

		if (at + n > end)
			break;
		assert_ok(q2s_edit_read(e->edit, (q2s_guest){ at }, bytes, n, &diag));
		if (q2si_is_zero(bytes, n))
			memset(e->shown + at, 0, n);
		else if (!may_stay)
			ck_abort_msg("%s: subcluster at 0x%" PRIx64 " is not zero", e->kind->name,
				     at);
	}
	free(bytes);
}

static void
do_reopen(struct edited *e)
{
	assert_ok(q2s_edit_close(e->edit, &diag));
	edited_check(e, false);
	edited_open(e);
}

/* What the extents call zero or absent is zero, and they cover the disk. */
static void
assert_extents(const struct edited *e)
{
	for (uint64_t at = 0; at < e->geom.size;) {
		struct q2s_extent extent;

		assert_ok(q2s_edit_extent(e->edit, (q2s_guest){ at }, UINT64_MAX, &extent, &diag));
		quick_assert(extent.len > 0 && extent.len <= e->geom.size - at);
		if (extent.state != Q2S_DATA && !q2si_is_zero(e->shown + at, extent.len))
			ck_abort_msg("%s: no data at 0x%" PRIx64, e->kind->name, at);
		at += extent.len;
	}
}

static void
do_something(struct edited *e, uint64_t *seed)
{
	const struct range small = random_range(e, 4 * e->geom.cluster_size, seed);
	const struct range any = random_range(e, e->geom.size, seed);

	switch (unit_random(seed) % 16) {
	case 0:
		do_write(e, any, seed);
		break;
	case 1:
		do_zero(e, any, 0);
		break;
	case 2:
	case 3:
		do_zero(e, small, Q2S_EDIT_MAY_DISCARD);
		break;
	case 4:
		do_zero(e, small, 0);
		break;
	case 5:
	case 6:
		do_discard(e, small);
		break;
	case 7:
		do_discard(e, any);
		break;
	case 8:
		assert_ok(q2s_edit_flush(e->edit, &diag));
		edited_check(e, true);
		break;
	case 9:
		edited_compare(e, any.at, any.len);
		break;
	default:
		do_write(e, small, seed);
		break;
	}
}

START_TEST(random_requests_show_what_the_oracle_has)
{
	uint64_t seed = 88172645463325252u + (unsigned)_i;
	struct edited e = edited_make(&kinds[_i], &seed);

	edited_check(&e, false);
	edited_compare(&e, 0, e.geom.size);
	for (unsigned round = 0; round < 12; round++) {
		for (unsigned i = 0; i < 25; i++)
			do_something(&e, &seed);
		edited_compare(&e, 0, e.geom.size);
		assert_extents(&e);
		do_reopen(&e);
		edited_compare(&e, 0, e.geom.size);
	}
	edited_free(&e);
}
END_TEST

/* ---- what is refused ------------------------------------------------------------------------- */

static const struct kind plain = KIND("plain", 3, 12, 4, false, FILLED_MIXED, 400 * KIB, 0);

START_TEST(ranges_off_the_disk_are_refused)
{
	uint64_t seed = 1;
	struct edited e = edited_make(&plain, &seed);
	const q2s_guest end = { e.geom.size - 1 };
	uint8_t two[2] = { 0 };

	ck_assert_int_eq(q2s_edit_write(e.edit, end, two, 2, NULL), Q2S_E_USAGE);
	ck_assert_int_eq(q2s_edit_read(e.edit, end, two, 2, NULL), Q2S_E_USAGE);
	ck_assert_int_eq(q2s_edit_zero(e.edit, end, 2, 0, NULL), Q2S_E_USAGE);
	ck_assert_int_eq(q2s_edit_discard(e.edit, end, UINT64_MAX, NULL), Q2S_E_USAGE);
	edited_free(&e);
}
END_TEST

/* Change header bytes of a closed image, and open it again. */
static enum q2s_err
open_with(struct edited *e, uint64_t at, uint8_t byte, unsigned flags)
{
	struct q2s_edit_options options = Q2S_EDIT_OPTIONS_INIT;
	uint8_t before;
	enum q2s_err got;

	options.flags = flags;
	assert_ok(q2s_store_read(e->store, at, &before, 1, &diag));
	assert_ok(q2s_store_write(e->store, at, &byte, 1, &diag));
	got = q2s_edit_open(e->store, &options, &e->edit, NULL);
	if (got != Q2S_OK)
		e->edit = NULL;
	assert_ok(q2s_edit_close(e->edit, &diag));
	e->edit = NULL;
	assert_ok(q2s_store_write(e->store, at, &before, 1, &diag));
	return got;
}

START_TEST(corrupt_and_unknown_images_are_refused)
{
	uint64_t seed = 1;
	struct edited e = edited_make(&plain, &seed);

	assert_ok(q2s_edit_close(e.edit, &diag));
	e.edit = NULL;
	ck_assert_int_eq(open_with(&e, 79, 0x02, 0), Q2S_E_UNSUPPORTED);
	ck_assert_int_eq(open_with(&e, 79, 0x20, 0), Q2S_E_UNSUPPORTED);
	ck_assert_int_eq(open_with(&e, 79, 0x01, Q2S_EDIT_READ_ONLY), Q2S_OK);
	ck_assert_int_eq(open_with(&e, 79, 0x02, Q2S_EDIT_READ_ONLY), Q2S_OK);
	ck_assert_int_eq(open_with(&e, 79, 0x20, Q2S_EDIT_READ_ONLY), Q2S_E_UNSUPPORTED);
	edited_free(&e);
}
END_TEST

START_TEST(unknown_autoclear_bits_go_with_the_first_change)
{
	uint64_t seed = 1;
	struct edited e = edited_make(&plain, &seed);
	uint8_t byte = 0x84;

	assert_ok(q2s_edit_close(e.edit, &diag));
	assert_ok(q2s_store_write(e.store, 95, &byte, 1, &diag));
	edited_open(&e);
	edited_compare(&e, 0, e.geom.size);
	assert_ok(q2s_edit_flush(e.edit, &diag));
	assert_ok(q2s_store_read(e.store, 95, &byte, 1, &diag));
	ck_assert_uint_eq(byte, 0x84); /* reading changes nothing */
	do_write(&e, (struct range){ 5000, 1 }, &seed);
	assert_ok(q2s_store_read(e.store, 95, &byte, 1, &diag));
	ck_assert_uint_eq(byte, 0);
	do_reopen(&e);
	edited_compare(&e, 0, e.geom.size);
	edited_free(&e);
}
END_TEST

START_TEST(a_mark_ends_with_the_first_change)
{
	uint64_t seed = 1;
	struct edited e = edited_make(&plain, &seed);
	uint8_t byte = Q2S_AUTOCLEAR_MARK >> 48;

	assert_ok(q2s_edit_close(e.edit, &diag));
	assert_ok(q2s_store_write(e.store, 89, &byte, 1, &diag));
	edited_open(&e);
	assert_ok(q2s_edit_flush(e.edit, &diag));
	assert_ok(q2s_store_read(e.store, 89, &byte, 1, &diag));
	ck_assert_uint_eq(byte, Q2S_AUTOCLEAR_MARK >> 48);
	do_write(&e, (struct range){ 5000, 1 }, &seed);
	assert_ok(q2s_store_read(e.store, 89, &byte, 1, &diag));
	ck_assert_uint_eq(byte, 0);
	edited_free(&e);
}
END_TEST

START_TEST(a_base_that_is_not_given_is_missed)
{
	static const struct kind over =
		KIND("over", 3, 12, 4, false, FILLED_NOT, 400 * KIB, 4096 * 9);
	struct q2s_edit_options options = Q2S_EDIT_OPTIONS_INIT;
	struct q2s_edit *edit = NULL;
	uint64_t seed = 1;
	struct edited e = edited_make(&over, &seed);

	ck_assert_int_eq(q2s_edit_open(e.store, &options, &edit, NULL), Q2S_E_CONFLICT);
	options.flags = Q2S_EDIT_NO_BASE | Q2S_EDIT_READ_ONLY;
	assert_ok(q2s_edit_open(e.store, &options, &edit, &diag));
	ck_assert_int_eq(q2s_edit_write(edit, (q2s_guest){ 0 }, "a", 1, NULL), Q2S_E_USAGE);
	q2s_edit_unref(edit);
	edited_free(&e);
}
END_TEST

/* A count of 0 for a cluster of the L1 table: the next allocation must not take it. */
START_TEST(metadata_are_not_overwritten)
{
	static const struct kind empty = KIND("empty", 3, 12, 3, false, FILLED_NOT, 400 * KIB, 0);
	uint64_t seed = 1;
	struct edited e = edited_make(&empty, &seed);
	struct q2s_diag why = { 0 };
	uint8_t byte = 0;
	const uint8_t zeros[4] = { 0 };
	uint8_t l1[4096], again[4096];

	assert_ok(q2s_edit_close(e.edit, &diag));
	/* header, refcount table, block, L1: one byte each in the block */
	assert_ok(q2s_store_write(e.store, 2 * 4096, zeros, 4, &diag));
	edited_open(&e);
	assert_ok(q2s_store_read_padded(e.store, 3 * 4096, l1, sizeof(l1), NULL, &diag));
	ck_assert_int_eq(q2s_edit_write(e.edit, (q2s_guest){ 0 }, "abc", 3, &why), Q2S_E_OFFSET);
	ck_assert_ptr_nonnull(strstr(why.text, "corrupt"));
	ck_assert_int_eq(q2s_edit_write(e.edit, (q2s_guest){ 0 }, "abc", 3, NULL), Q2S_E_OFFSET);
	ck_assert_int_eq(q2s_edit_flush(e.edit, NULL), Q2S_E_OFFSET);
	assert_ok(q2s_store_read_padded(e.store, 3 * 4096, again, sizeof(again), NULL, &diag));
	ck_assert_mem_eq(l1, again, sizeof(l1));
	assert_ok(q2s_store_read(e.store, 79, &byte, 1, &diag));
	ck_assert_uint_eq(byte, 2);
	edited_free(&e);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("edit");
	TCase *tcase = tcase_create("edit");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 600);
	tcase_add_loop_test(tcase, random_requests_show_what_the_oracle_has, 0, COUNT(kinds));
	tcase_add_test(tcase, ranges_off_the_disk_are_refused);
	tcase_add_test(tcase, corrupt_and_unknown_images_are_refused);
	tcase_add_test(tcase, unknown_autoclear_bits_go_with_the_first_change);
	tcase_add_test(tcase, a_mark_ends_with_the_first_change);
	tcase_add_test(tcase, a_base_that_is_not_given_is_missed);
	tcase_add_test(tcase, metadata_are_not_overwritten);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
