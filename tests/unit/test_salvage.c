/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A salvaged disk on a medium with bad sectors: they are zero, and nothing else is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <q2s/disk.h>

#include "base/diag.h"
#include "unit.h"

enum { SECTORS = 3000, SIZE = SECTORS * 512, ROUNDS = 30 };

/* The medium: a sector that is bad fails each read that touches it, with this error. */
struct medium {
	uint8_t bytes[SIZE];
	bool bad[SECTORS];
	int error;
	unsigned failures;
};

static struct medium medium;

static enum q2s_err
medium_read(void *self, uint64_t at, void *buf, size_t len, size_t *got, struct q2s_diag *why)
{
	(void)self;
	*got = at >= SIZE ? 0 : len < SIZE - at ? len : SIZE - at;
	for (uint64_t i = at / 512; i * 512 < at + *got; i++) {
		if (!medium.bad[i])
			continue;
		medium.failures++;
		return q2si_fail_errno(why, medium.error, "medium", (q2s_host){ i * 512 }, "is bad");
	}
	memcpy(buf, medium.bytes + at, *got);
	return Q2S_OK;
}

static uint64_t
medium_length(void *self)
{
	(void)self;
	return SIZE;
}

static struct q2s_disk *
open_medium(void)
{
	static const struct q2s_store_ops ops = { .size = sizeof(ops), .read = medium_read,
						  .length = medium_length };
	struct q2s_store *store = NULL;
	struct q2s_disk *raw = NULL, *disk = NULL;

	assert_ok(q2s_store_new(&ops, &medium, "medium", &store, &diag));
	assert_ok(q2s_disk_raw(store, &raw, &diag));
	q2s_store_unref(store);
	assert_ok(q2s_disk_salvage(raw, &disk, &diag));
	ck_assert_uint_eq(q2s_disk_size(disk), SIZE);
	return disk;
}

static void
make_medium(uint64_t *seed)
{
	const unsigned rare = 1 + (unsigned)(unit_random(seed) % 300);

	memset(&medium, 0, sizeof(medium));
	medium.error = EIO;
	for (size_t i = 0; i < SIZE; i++)
		medium.bytes[i] = (uint8_t)(1 + unit_random(seed) % 255);
	for (size_t i = 0; i < SECTORS; i++)
		medium.bad[i] = unit_random(seed) % rare == 0;
}

static void
assert_shown(const uint8_t *shown, uint64_t at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (shown[i] != (medium.bad[(at + i) / 512] ? 0 : medium.bytes[at + i]))
			ck_abort_msg("byte %zu", (size_t)at + i);
}

/* Each sector's state, once all was read. */
static void
assert_map(struct q2s_disk *disk)
{
	struct q2s_salvaged found;

	for (uint64_t at = 0; at < SIZE; at += found.len) {
		assert_ok(q2s_salvage_look(disk, (q2s_guest){ at }, &found, &diag));
		ck_assert_uint_gt(found.len, 0);
		for (uint64_t i = at; i < at + found.len; i += 512)
			ck_assert_int_eq(found.state, medium.bad[i / 512] ?
							      Q2S_SALVAGE_ZERO_FILLED :
							      Q2S_SALVAGE_SURE);
	}
}

START_TEST(bad_sectors_are_zero_and_nothing_else)
{
	uint8_t *const buf = malloc(SIZE);
	uint64_t seed = 1;

	for (unsigned round = 0; round < ROUNDS; round++) {
		struct q2s_cursor *cursor = NULL;
		struct q2s_disk *disk;

		make_medium(&seed);
		disk = open_medium();
		assert_ok(q2s_cursor_open(disk, &cursor, &diag));
		/* Any ranges first, which may begin and end within a sector; then all of it. */
		for (unsigned i = 0; i < 40; i++) {
			const uint64_t at = unit_random(&seed) % SIZE;
			const size_t len = (size_t)(1 + unit_random(&seed) % (SIZE - at));

			assert_ok(q2s_cursor_read(cursor, (q2s_guest){ at }, buf, len, &diag));
			for (size_t j = 0; j < len; j++)
				if (buf[j] != 0 && buf[j] != medium.bytes[at + j])
					ck_abort_msg("byte %zu", (size_t)at + j);
		}
		assert_ok(q2s_cursor_read(cursor, (q2s_guest){ 0 }, buf, SIZE, &diag));
		assert_shown(buf, 0, SIZE);
		assert_map(disk);
		/* What was given up is not tried again. */
		medium.failures = 0;
		assert_ok(q2s_cursor_read(cursor, (q2s_guest){ 0 }, buf, SIZE, &diag));
		assert_shown(buf, 0, SIZE);
		ck_assert_uint_eq(medium.failures, 0);
		/* It stays zero, though the medium may have thought better of it. */
		bool was[SECTORS];

		memcpy(was, medium.bad, sizeof(was));
		memset(medium.bad, 0, sizeof(medium.bad));
		assert_ok(q2s_cursor_read(cursor, (q2s_guest){ 0 }, buf, SIZE, &diag));
		memcpy(medium.bad, was, sizeof(was));
		assert_shown(buf, 0, SIZE);
		q2s_cursor_close(cursor);
		q2s_disk_close(disk);
	}
	free(buf);
}
END_TEST

/* A server that has gone, or a lack of memory, is no reason to write zeros. */
START_TEST(other_failures_stay_failures)
{
	static const int errors[] = { ENOTCONN, EPIPE, ENOMEM, EACCES, ECONNRESET };
	uint64_t seed = 2;

	for (size_t i = 0; i < COUNT(errors); i++) {
		struct q2s_cursor *cursor = NULL;
		struct q2s_salvaged found;
		struct q2s_disk *disk;
		struct q2s_diag why = { 0 };
		uint8_t buf[4096];

		make_medium(&seed);
		medium.bad[3] = true;
		medium.error = errors[i];
		disk = open_medium();
		assert_ok(q2s_cursor_open(disk, &cursor, &diag));
		ck_assert_int_ne(q2s_cursor_read(cursor, (q2s_guest){ 0 }, buf, sizeof(buf), &why),
				 Q2S_OK);
		ck_assert_int_eq(why.sys_errno, errors[i]);
		assert_ok(q2s_salvage_look(disk, (q2s_guest){ 0 }, &found, &diag));
		ck_assert_int_eq(found.state, Q2S_SALVAGE_SURE);
		ck_assert_uint_eq(found.len, SIZE);
		why = (struct q2s_diag){ 0 };
		ck_assert_int_eq(q2s_salvage_look(disk, (q2s_guest){ SIZE }, &found, &why),
				 Q2S_E_USAGE);
		q2s_cursor_close(cursor);
		q2s_disk_close(disk);
	}
}
END_TEST

UNIT_MAIN("salvage", bad_sectors_are_zero_and_nothing_else, other_failures_stay_failures)
