/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Slices of tables that all cursors of a disk share: what is read of the file, and by how many. */
#include <pthread.h>
#include <stdatomic.h>

#include <q2s/disk.h>

#include "made.h"
#include "unit.h"

#define KIB 1024ull
#define CLUSTER (16 * KIB)
#define SLICE (4 * KIB)
/* Guest bytes that a slice maps, and slices of an L2 table. */
#define SPAN (SLICE / 8 * CLUSTER)
#define IN_TABLE (CLUSTER / SLICE)
/* One cluster with data in the span of each slice; far more slices than the smallest budget has. */
#define PLACES 400u

static uint8_t
byte_of(unsigned place)
{
	return (uint8_t)(1 + place % 251);
}

/* ---- a store that counts -------------------------------------------------------------------- */

struct counted {
	struct q2s_store *file;
	atomic_uint_fast64_t bytes;
};

static enum q2s_err
counted_read(void *self, uint64_t at, void *out, size_t len, size_t *got, struct q2s_diag *diag)
{
	struct counted *counted = self;

	atomic_fetch_add(&counted->bytes, len);
	return q2s_store_read_padded(counted->file, at, out, len, got, diag);
}

static uint64_t
counted_length(void *self)
{
	return q2s_store_size(((struct counted *)self)->file);
}

/* ---- the disk ------------------------------------------------------------------------------- */

struct shown {
	struct made made;
	struct counted counted;
	struct q2s_disk *disk;
};

static void
shown_start(struct shown *shown, size_t cache)
{
	static const struct q2s_store_ops ops = { .size = sizeof(ops),
						  .read = counted_read,
						  .length = counted_length };
	const struct q2s_disk_qcow2_options options = { .size = sizeof(options), .cache = cache };
	struct q2s_store *store;

	shown->made = made_v3(14, false, PLACES * SPAN);
	for (unsigned i = 0; i < PLACES; i++)
		made_data(&shown->made, i * SPAN + 5 * CLUSTER, byte_of(i));
	made_finish(&shown->made);
	shown->counted.file = made_file(&shown->made);
	assert_ok(q2s_store_new(&ops, &shown->counted, "counted", &store, &diag));
	assert_ok(q2s_disk_qcow2(store, &options, &shown->disk, &diag));
	q2s_store_unref(store);
}

static void
shown_end(struct shown *shown)
{
	q2s_disk_close(shown->disk);
	q2s_store_unref(shown->counted.file);
	made_free(&shown->made);
}

static struct q2s_cursor *
cursor_on(struct shown *shown)
{
	struct q2s_cursor *cursor;

	assert_ok(q2s_cursor_open(shown->disk, &cursor, &diag));
	return cursor;
}

static bool
reads_well(struct q2s_cursor *cursor, unsigned place)
{
	const q2s_guest at = { place * SPAN + 5 * CLUSTER };
	uint8_t buf[512];

	if (q2s_cursor_read(cursor, at, buf, sizeof(buf), NULL) != Q2S_OK)
		return false;
	for (size_t i = 0; i < sizeof(buf); i++)
		if (buf[i] != byte_of(place))
			return false;
	return true;
}

/* Bytes of tables that it takes to read 512 bytes of @place. */
static uint64_t
cost(struct shown *shown, struct q2s_cursor *cursor, unsigned place)
{
	const uint64_t before = atomic_load(&shown->counted.bytes);

	ck_assert(reads_well(cursor, place));
	return atomic_load(&shown->counted.bytes) - before - 512;
}

/* ---- tests ---------------------------------------------------------------------------------- */

START_TEST(what_one_cursor_read_the_others_have)
{
	struct shown shown;
	struct q2s_cursor *one, *other;

	shown_start(&shown, 0);
	one = cursor_on(&shown);
	other = cursor_on(&shown);
	ck_assert_uint_eq(cost(&shown, one, 100), 2 * SLICE); /* with one of L1 */
	ck_assert_uint_eq(cost(&shown, other, 100), 0);
	ck_assert_uint_eq(cost(&shown, other, 300), SLICE);
	ck_assert_uint_eq(cost(&shown, one, 300), 0);
	ck_assert_uint_eq(cost(&shown, one, 100), 0);
	q2s_cursor_close(one);
	q2s_cursor_close(other);
	shown_end(&shown);
}
END_TEST

/* Places in an order in which none follows the one before. */
START_TEST(what_was_needed_longest_ago_makes_room)
{
	struct shown shown;
	struct q2s_cursor *cursor;

	shown_start(&shown, 1); /* the smallest budget: 64 slices */
	cursor = cursor_on(&shown);
	ck_assert_uint_eq(cost(&shown, cursor, 0), 2 * SLICE);
	for (unsigned i = 1; i < 63; i++)
		ck_assert_uint_eq(cost(&shown, cursor, i * 151 % PLACES), SLICE);
	ck_assert_uint_eq(cost(&shown, cursor, 0), 0); /* all are there still, and this one is new */
	for (unsigned i = 63; i < 125; i++)
		ck_assert_uint_eq(cost(&shown, cursor, i * 151 % PLACES), SLICE);
	ck_assert_uint_eq(cost(&shown, cursor, 0), 0);
	ck_assert_uint_eq(cost(&shown, cursor, 151), SLICE);
	q2s_cursor_close(cursor);
	shown_end(&shown);
}
END_TEST

/* Who goes from front to back reads tables as a whole, and leaves the others what they have. */
START_TEST(a_long_way_does_not_push_out_what_others_need)
{
	struct shown shown;
	struct q2s_cursor *cursor, *walker;
	uint64_t tables = 0;

	shown_start(&shown, 1);
	cursor = cursor_on(&shown);
	walker = cursor_on(&shown);
	(void)cost(&shown, cursor, 77);
	for (unsigned i = 0; i < PLACES; i++)
		tables += cost(&shown, walker, i);
	/* a few slices until it is known, then each table once, and a part of L1 */
	ck_assert_uint_le(tables, PLACES / IN_TABLE * CLUSTER + 5 * SLICE);
	ck_assert_uint_eq(cost(&shown, cursor, 77), 0);
	ck_assert_uint_eq(cost(&shown, cursor, 78), SLICE);
	q2s_cursor_close(walker);
	q2s_cursor_close(cursor);
	shown_end(&shown);
}
END_TEST

struct reader {
	struct shown *shown;
	uint64_t seed;
	unsigned wrong;
	pthread_t thread;
};

static void *
reader_main(void *arg)
{
	struct reader *reader = arg;
	struct q2s_cursor *cursor;

	if (q2s_cursor_open(reader->shown->disk, &cursor, NULL) != Q2S_OK)
		reader->wrong = UINT32_MAX;
	for (unsigned i = 0; i < 3000 && reader->wrong != UINT32_MAX; i++) {
		/* now and then from front to back */
		const unsigned place = i % 1000 < 100 ? i % 1000 :
					(unsigned)(unit_random(&reader->seed) % PLACES);

		reader->wrong += !reads_well(cursor, place);
	}
	if (reader->wrong != UINT32_MAX)
		q2s_cursor_close(cursor);
	return NULL;
}

START_TEST(many_read_at_once)
{
	struct reader readers[6];
	struct shown shown;

	shown_start(&shown, 1);
	for (unsigned i = 0; i < COUNT(readers); i++) {
		readers[i] = (struct reader){ .shown = &shown, .seed = i + 1 };
		ck_assert_int_eq(pthread_create(&readers[i].thread, NULL, reader_main, &readers[i]),
				 0);
	}
	for (unsigned i = 0; i < COUNT(readers); i++) {
		ck_assert_int_eq(pthread_join(readers[i].thread, NULL), 0);
		ck_assert_uint_eq(readers[i].wrong, 0);
	}
	shown_end(&shown);
}
END_TEST

UNIT_MAIN("shared", what_one_cursor_read_the_others_have, what_was_needed_longest_ago_makes_room,
	  a_long_way_does_not_push_out_what_others_need, many_read_at_once)
