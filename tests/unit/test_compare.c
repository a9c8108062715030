/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Comparing disks: the first byte that differs is found, and what is known to be the same is not
 * read. */
#include <sys/mman.h>
#include <unistd.h>

#include <q2s/disk.h>

#include "unit.h"

#define KIB 1024ull
#define MIB (KIB << 10)

static struct q2s_disk *
pattern(uint64_t size, const struct q2s_pattern *regions, size_t count)
{
	struct q2s_disk *disk = NULL;

	assert_ok(q2s_disk_pattern(size, regions, count, &disk, &diag));
	return disk;
}

static struct q2s_comparison
compared(struct q2s_disk *a, struct q2s_disk *b)
{
	struct q2s_comparison there, back;

	assert_ok(q2s_disk_compare(a, b, NULL, &there, &diag));
	assert_ok(q2s_disk_compare(b, a, NULL, &back, &diag));
	ck_assert_int_eq(there.same, back.same);
	if (!there.same)
		ck_assert_uint_eq(there.at.v, back.at.v);
	return there;
}

static void
assert_same(struct q2s_disk *a, struct q2s_disk *b)
{
	const struct q2s_comparison result = compared(a, b);

	ck_assert_msg(result.same, "differ at %" PRIu64, result.at.v);
	q2s_disk_close(a);
	q2s_disk_close(b);
}

static void
assert_differ(struct q2s_disk *a, struct q2s_disk *b, uint64_t at)
{
	const struct q2s_comparison result = compared(a, b);

	ck_assert(!result.same);
	ck_assert_uint_eq(result.at.v, at);
	q2s_disk_close(a);
	q2s_disk_close(b);
}

#define DATA(from, n, byte) { .start = { from }, .len = n, .state = Q2S_DATA, .fill = byte }
#define ZERO(from, n) { .start = { from }, .len = n, .state = Q2S_ZERO }

START_TEST(states_do_not_count_only_bytes)
{
	const struct q2s_pattern zeros[] = { ZERO(0, MIB), DATA(MIB, MIB, 0) };
	const struct q2s_pattern data[] = { DATA(5 * MIB, 3 * MIB, 7) };
	const struct q2s_pattern split[] = { DATA(5 * MIB, MIB + 5, 7),
					     DATA(6 * MIB + 5, 2 * MIB - 5, 7) };

	assert_same(pattern(9 * MIB, NULL, 0), pattern(9 * MIB, zeros, 2));
	assert_same(pattern(9 * MIB, data, 1), pattern(9 * MIB, split, 2));
	assert_same(pattern(0, NULL, 0), pattern(0, NULL, 0));
}
END_TEST

/* At the ends of buffers, in the last byte, within extents of one side only. */
START_TEST(the_first_byte_that_differs_is_named)
{
	static const uint64_t places[] = { 0,       1,           4095,        MIB - 1, MIB,
					   MIB + 1, 3 * MIB + 7, 7 * MIB - 1 };
	const struct q2s_pattern base[] = { DATA(0, 7 * MIB, 3) };

	for (size_t i = 0; i < COUNT(places); i++) {
		const uint64_t at = places[i];
		const struct q2s_pattern one[] = { DATA(at, 1, 9) };
		const struct q2s_pattern other[] = { DATA(0, at, 3), DATA(at, 1, 4),
						     DATA(at + 1, 7 * MIB - at - 1, 3) };
		const size_t skip = at == 0, last = at + 1 == 7 * MIB;

		assert_differ(pattern(7 * MIB, NULL, 0), pattern(7 * MIB, one, 1), at);
		assert_differ(pattern(7 * MIB, base, 1),
			      pattern(7 * MIB, other + skip, 3 - skip - last), at);
	}
}
END_TEST

START_TEST(the_tail_of_the_longer_has_to_be_zero)
{
	const struct q2s_pattern head[] = { DATA(0, MIB, 1) };
	const struct q2s_pattern tail[] = { DATA(0, MIB, 1), DATA(2 * MIB, MIB, 0),
					    DATA(3 * MIB, 1, 1) };

	assert_same(pattern(MIB, head, 1), pattern(2 * MIB, head, 1));
	assert_same(pattern(MIB, head, 1), pattern(3 * MIB, tail, 2));
	assert_differ(pattern(MIB, head, 1), pattern(4 * MIB, tail, 3), 3 * MIB);
	assert_same(pattern(0, NULL, 0), pattern(3 * MIB, tail + 1, 1));
	assert_same(pattern(1000, NULL, 0), pattern(1024, NULL, 0));
}
END_TEST

/* A file of which reading fails, so that whatever is right did not read. */
START_TEST(the_same_place_of_the_same_file_is_not_read)
{
	const int fd = memfd_create("disk", 0);
	struct q2s_disk *a = NULL, *b = NULL;
	struct q2s_store *file = NULL;
	struct q2s_comparison result;

	ck_assert_int_eq(ftruncate(fd, 4 * MIB), 0);
	ck_assert_int_eq(pwrite(fd, "x", 1, 2 * MIB), 1);
	assert_ok(q2s_store_from_fd(dup(fd), "disk", &file, &diag));
	assert_ok(q2s_disk_raw(file, &a, &diag));
	assert_ok(q2s_disk_raw(file, &b, &diag));
	assert_ok(q2s_disk_compare(a, b, NULL, &result, &diag));
	ck_assert(result.same);
	/* another state of the file is noticed, although nothing is read */
	ck_assert_int_eq(ftruncate(fd, 3 * MIB), 0);
	struct q2s_diag diag = { 0 };

	ck_assert_int_eq(q2s_disk_compare(a, b, NULL, &result, &diag), Q2S_E_CHANGED);
	q2s_disk_close(a);
	q2s_disk_close(b);
	q2s_store_unref(file);
	close(fd);
}
END_TEST

static bool
stop(void *opaque, enum q2s_phase phase, uint64_t done, uint64_t total)
{
	uint64_t *calls = opaque;

	ck_assert_int_eq(phase, Q2S_PHASE_COMPARE);
	ck_assert_uint_eq(total, 300 * MIB);
	ck_assert_uint_le(done, total);
	return ++*calls < 3;
}

START_TEST(an_observer_can_stop_it)
{
	const struct q2s_pattern data[] = { DATA(0, 300 * MIB, 1) };
	uint64_t calls = 0;
	const struct q2s_observer observer = { .step = stop, .opaque = &calls };
	struct q2s_disk *a = pattern(300 * MIB, data, 1);
	struct q2s_disk *b = pattern(300 * MIB, data, 1);
	struct q2s_comparison result;
	struct q2s_diag diag = { 0 };

	ck_assert_int_eq(q2s_disk_compare(a, b, &observer, &result, &diag), Q2S_E_CANCELLED);
	ck_assert_uint_eq(calls, 3);
	q2s_disk_close(a);
	q2s_disk_close(b);
}
END_TEST

UNIT_MAIN("compare", states_do_not_count_only_bytes, the_first_byte_that_differs_is_named,
	  the_tail_of_the_longer_has_to_be_zero, the_same_place_of_the_same_file_is_not_read,
	  an_observer_can_stop_it)
