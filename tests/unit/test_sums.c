/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sums of a disk's data: a change of one byte shows, in its stretch and in no other. */
#include "plan/sums.h"
#include "unit.h"

#define MIB (1ull << 20)
#define SIZE (64 * MIB + 4096 + 3)

static const struct q2s_plan_look look = { .size = sizeof(look), .threads = 3 };

static struct q2s_disk *
disk_of(const struct q2s_pattern *regions, size_t count)
{
	struct q2s_disk *disk = NULL;

	assert_ok(q2s_disk_pattern(SIZE, regions, count, &disk, &diag));
	return disk;
}

static struct q2s_pattern
data_at(uint64_t start, uint64_t len, uint8_t fill)
{
	return (struct q2s_pattern){ { start }, len, Q2S_DATA, false, 0, fill, 0 };
}

static struct q2si_sums
sums_of(const struct q2s_pattern *regions, size_t count)
{
	struct q2s_disk *disk = disk_of(regions, count);
	struct q2si_sums sums = { 0 };

	assert_ok(q2si_sums_take(disk, &look, &sums, &diag));
	q2s_disk_close(disk);
	return sums;
}

/* Where data lies decides, not how the disk cuts it; the end counts too, odd as it is. */
START_TEST(stretches_with_data_have_sums)
{
	const struct q2s_pattern one[] = { data_at(3 * MIB, 2 * MIB, 7),
					   data_at(20 * MIB - 1, 2, 8), data_at(SIZE - 1, 1, 9) };
	const struct q2s_pattern two[] = { data_at(3 * MIB, MIB + 1, 7),
					   data_at(4 * MIB + 1, MIB - 1, 7),
					   data_at(20 * MIB - 1, 1, 8), data_at(20 * MIB, 1, 8),
					   data_at(SIZE - 1, 1, 9) };
	static const uint64_t stretches[] = { 1, 2, 9, 10, 32 };
	struct q2si_sums a = sums_of(one, 3), b = sums_of(two, 5);

	ck_assert_uint_eq(a.count, COUNT(stretches));
	ck_assert_uint_eq(b.count, COUNT(stretches));
	for (size_t i = 0; i < COUNT(stretches); i++) {
		ck_assert_uint_eq(a.list[i].stretch, stretches[i]);
		ck_assert_uint_eq(b.list[i].stretch, stretches[i]);
		ck_assert_uint_eq(a.list[i].hash, b.list[i].hash);
		ck_assert_uint_eq(q2si_sums_find(&a, stretches[i]), i);
		ck_assert_uint_eq(q2si_sums_find(&a, stretches[i] + 1), i + 1);
	}
	q2si_sums_free(&a);
	q2si_sums_free(&b);
	a = sums_of(NULL, 0);
	ck_assert_uint_eq(a.count, 0);
	q2si_sums_free(&a);
}
END_TEST

/* The 32 MiB of sevens and the MiB of stored zeros that follow, with another byte at @at. */
static size_t
changed_at(uint64_t at, uint8_t byte, struct q2s_pattern *out)
{
	const uint64_t bounds[] = { 0, 32 * MIB, 33 * MIB };
	size_t count = 0;

	for (size_t i = 0; i < 2; i++) {
		const uint64_t start = bounds[i], end = bounds[i + 1];
		const uint64_t cut = at >= start && at < end ? at : end;
		const uint8_t fill = i == 0 ? 7 : 0;

		if (cut > start)
			out[count++] = data_at(start, cut - start, fill);
		if (cut < end)
			out[count++] = data_at(cut, 1, byte);
		if (cut + 1 < end)
			out[count++] = data_at(cut + 1, end - cut - 1, fill);
	}
	return count;
}

START_TEST(one_byte_is_seen_where_it_is_looked_for)
{
	static const uint64_t places[] = { 0, 2 * MIB - 1, 2 * MIB, 17 * MIB + 12345,
					   33 * MIB - 1 };
	struct q2s_pattern regions[6];
	struct q2si_sums sums = sums_of(regions, changed_at(SIZE, 0, regions));

	ck_assert_uint_eq(sums.count, 17);
	for (size_t i = 0; i < COUNT(places); i++) {
		struct q2s_disk *disk = disk_of(regions, changed_at(places[i], 1, regions));
		const size_t own = places[i] / (2 * MIB);
		bool wanted[17];

		memset(wanted, true, sizeof(wanted));
		wanted[own] = false;
		assert_ok(q2si_sums_check(disk, &look, &sums, wanted, true, &diag));
		wanted[own] = true;
		assert_refused(Q2S_E_CHANGED, Q2S_NOWHERE.v, own * 2 * MIB,
			       q2si_sums_check(disk, &look, &sums, wanted, true, &diag));
		q2s_disk_close(disk);
	}
	q2si_sums_free(&sums);
}
END_TEST

/* Holes and stored zeros are the same; other data where none was is seen by who looks at the rest. */
START_TEST(data_where_there_was_none_is_seen)
{
	const struct q2s_pattern was[] = { data_at(2 * MIB, 2 * MIB, 7) };
	struct q2s_pattern now[] = { data_at(0, MIB, 0), data_at(2 * MIB, 2 * MIB, 7),
				     data_at(40 * MIB, MIB, 0) };
	struct q2si_sums sums = sums_of(was, 1);
	const bool wanted[] = { true };
	struct q2s_disk *disk = disk_of(now, 3);

	assert_ok(q2si_sums_check(disk, &look, &sums, wanted, true, &diag));
	q2s_disk_close(disk);
	now[2] = data_at(40 * MIB, 1, 1);
	disk = disk_of(now, 3);
	assert_ok(q2si_sums_check(disk, &look, &sums, wanted, false, &diag));
	assert_refused(Q2S_E_CHANGED, Q2S_NOWHERE.v, 40 * MIB,
		       q2si_sums_check(disk, &look, &sums, wanted, true, &diag));
	q2s_disk_close(disk);
	q2si_sums_free(&sums);
}
END_TEST

UNIT_MAIN("sums", stretches_with_data_have_sums, one_byte_is_seen_where_it_is_looked_for,
	  data_where_there_was_none_is_seen)
