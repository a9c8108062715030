/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fingerprint of a disk: the same for the same content, whatever the disk is made of. */
#include <q2s/disk.h>

#include "plan/fingerprint.h"
#include "unit.h"

#define MIB (1ull << 20)

static struct q2si_fingerprint
print_of(const struct q2s_pattern *regions, size_t count)
{
	struct q2si_fingerprint print = { 0 };
	struct q2s_disk *disk = NULL;

	assert_ok(q2s_disk_pattern(64 * MIB, regions, count, &disk, &diag));
	assert_ok(q2si_fingerprint(disk, &print, &diag));
	q2s_disk_close(disk);
	return print;
}

static struct q2s_pattern
data_at(uint64_t start, uint64_t len, uint8_t fill)
{
	return (struct q2s_pattern){ { start }, len, Q2S_DATA, false, 0, fill, 0 };
}

/* Where the disk cuts its extents makes no difference. */
START_TEST(cuts_do_not_count)
{
	const struct q2s_pattern one[] = { data_at(MIB, 9 * MIB, 7) };
	const struct q2s_pattern two[] = { data_at(MIB, 4 * MIB + 5, 7),
					   data_at(5 * MIB + 5, 5 * MIB - 5, 7) };
	const struct q2si_fingerprint a = print_of(one, 1), b = print_of(two, 2);

	ck_assert_uint_eq(a.map, b.map);
	ck_assert_uint_eq(a.data, b.data);
}
END_TEST

START_TEST(the_map_counts)
{
	const struct q2s_pattern was[] = { data_at(MIB, MIB, 7), data_at(9 * MIB, MIB, 7) };
	const struct q2s_pattern hole_filled[] = { data_at(MIB, MIB, 7), data_at(5 * MIB, 512, 0),
						   data_at(9 * MIB, MIB, 7) };
	const struct q2s_pattern shorter[] = { data_at(MIB, MIB, 7), data_at(9 * MIB, MIB - 1, 7) };
	const struct q2s_pattern zeroed[] = { data_at(MIB, MIB, 7),
					      { .start = { 9 * MIB }, .len = MIB, .state = Q2S_ZERO } };
	const uint64_t map = print_of(was, 2).map;

	ck_assert_uint_ne(print_of(hole_filled, 3).map, map);
	ck_assert_uint_ne(print_of(shorter, 2).map, map);
	ck_assert_uint_ne(print_of(zeroed, 2).map, map);
	ck_assert_uint_ne(print_of(NULL, 0).map, map);
}
END_TEST

/* A change as large as the distance of two samples cannot be missed. */
START_TEST(data_is_sampled_evenly)
{
	const uint64_t len = 32 * MIB, step = len / Q2SI_FINGERPRINT_SAMPLES;
	const struct q2s_pattern was[] = { data_at(3 * MIB, len, 7) };
	const struct q2si_fingerprint want = print_of(was, 1);

	for (uint64_t at = 0; at + step <= len; at += step * 7 / 3) {
		struct q2s_pattern now[3];
		size_t count = 0;

		if (at > 0)
			now[count++] = data_at(3 * MIB, at, 7);
		now[count++] = data_at(3 * MIB + at, step, 8);
		if (at + step < len)
			now[count++] = data_at(3 * MIB + at + step, len - at - step, 7);
		const struct q2si_fingerprint got = print_of(now, count);

		ck_assert_uint_eq(got.map, want.map);
		ck_assert_uint_ne(got.data, want.data);
	}
}
END_TEST

START_TEST(little_data_is_sampled_too)
{
	const struct q2s_pattern was[] = { data_at(0, 3, 7) }, now[] = { data_at(0, 3, 8) };

	ck_assert_uint_ne(print_of(was, 1).data, print_of(now, 1).data);
	ck_assert_uint_eq(print_of(was, 1).map, print_of(now, 1).map);
}
END_TEST

UNIT_MAIN("fingerprint", cuts_do_not_count, the_map_counts, data_is_sampled_evenly,
	  little_data_is_sampled_too)
