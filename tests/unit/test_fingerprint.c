/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fingerprint of a disk: the same for the same map, whatever the disk is made of. */
#include <q2s/disk.h>

#include "plan/fingerprint.h"
#include "unit.h"

#define MIB (1ull << 20)

static uint64_t
print_of(const struct q2s_pattern *regions, size_t count)
{
	uint64_t print = 0;
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

	ck_assert_uint_eq(print_of(one, 1), print_of(two, 2));
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
	const uint64_t map = print_of(was, 2);

	ck_assert_uint_ne(print_of(hole_filled, 3), map);
	ck_assert_uint_ne(print_of(shorter, 2), map);
	ck_assert_uint_ne(print_of(zeroed, 2), map);
	ck_assert_uint_ne(print_of(NULL, 0), map);
}
END_TEST

UNIT_MAIN("fingerprint", cuts_do_not_count, the_map_counts)
