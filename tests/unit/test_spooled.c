/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What comes through a pipe: not a byte is lost, zeros are not kept, a wrong size is noticed. */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/zero.h"
#include "disk/spooled.h"
#include "unit.h"

#define KIB 1024u
#define UNIT (4 * KIB)
#define MIB (KIB << 10)

/* A pipe with someone who writes @data into it, in pieces that end anywhere. */
struct feed {
	const uint8_t *data;
	size_t len;
	int ends[2];
	pthread_t thread;
};

static void *
write_all(void *opaque)
{
	struct feed *feed = opaque;
	uint64_t chance = 7;

	for (size_t done = 0; done < feed->len;) {
		size_t n = (size_t)(unit_random(&chance) % (300 * KIB) + 1);

		n = n < feed->len - done ? n : feed->len - done;
		const ssize_t wrote = write(feed->ends[1], feed->data + done, n);

		if (wrote < 0)
			break; /* the reader has had enough */
		done += (size_t)wrote;
	}
	close(feed->ends[1]);
	return NULL;
}

static struct q2s_stream
feed_start(struct feed *feed, const uint8_t *data, size_t len)
{
	*feed = (struct feed){ .data = data, .len = len };
	ck_assert_int_eq(pipe(feed->ends), 0);
	ck_assert_int_eq(pthread_create(&feed->thread, NULL, write_all, feed), 0);
	return (struct q2s_stream){ .fd = feed->ends[0], .name = "pipe" };
}

static void
feed_end(struct feed *feed)
{
	close(feed->ends[0]);
	ck_assert_int_eq(pthread_join(feed->thread, NULL), 0);
}

/* Data and zeros in stretches of any length, so that units begin and end within both. */
static uint8_t *
patchwork(size_t len, uint64_t chance)
{
	uint8_t *data = calloc(1, len + 1);

	ck_assert_ptr_nonnull(data);
	for (size_t at = 0; at < len;) {
		const size_t zeros = (size_t)(unit_random(&chance) % (40 * KIB));
		const size_t bytes = (size_t)(unit_random(&chance) % (20 * KIB));

		at += zeros;
		for (size_t i = 0; i < bytes && at < len; i++)
			data[at++] = (uint8_t)unit_random(&chance);
	}
	return data;
}

static void
assert_reads(struct q2s_cursor *cursor, const uint8_t *data, size_t len, uint64_t at, size_t n)
{
	uint8_t *buf = malloc(n);
	const size_t inside = at + n <= len ? n : len - (size_t)at;

	ck_assert_ptr_nonnull(buf);
	assert_ok(q2s_cursor_read(cursor, (q2s_guest){ at }, buf, n, &diag));
	ck_assert_msg(memcmp(buf, data + at, inside) == 0, "%" PRIu64 "+%zu", at, n);
	ck_assert_msg(q2si_is_zero(buf + inside, n - inside), "%" PRIu64 "+%zu", at, n);
	free(buf);
}

/* Each extent says what is there: nothing, or bytes, which lie in the file if it says so. */
static void
assert_extents(struct q2s_cursor *cursor, const uint8_t *data, size_t len, bool *in_file)
{
	struct q2s_extent extent;

	*in_file = false;
	for (uint64_t at = 0; at < len; at += extent.len) {
		assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ at }, 64 * KIB, &extent, &diag));
		ck_assert(extent.len > 0 && extent.len <= 64 * KIB && extent.len <= len - at);
		uint8_t *buf = calloc(1, extent.len);

		ck_assert_ptr_nonnull(buf);
		if (extent.file) {
			*in_file = true;
			assert_ok(q2s_store_read(extent.file, extent.at, buf, extent.len, &diag));
		} else if (extent.state == Q2S_DATA) {
			memcpy(buf, data + at, extent.len); /* in memory: nothing to compare with */
		}
		ck_assert_msg(memcmp(buf, data + at, extent.len) == 0, "extent at %" PRIu64, at);
		free(buf);
	}
}

static void
try_disk(const uint8_t *data, size_t len, uint64_t budget, size_t runs_per_step)
{
	struct q2s_disk *disk = NULL;
	struct q2s_cursor *cursor = NULL;
	struct feed feed;
	const struct q2s_stream stream = feed_start(&feed, data, len);
	uint64_t chance = 99;
	bool in_file;

	assert_ok(q2si_disk_spool(&stream, budget, runs_per_step, &disk, &diag));
	feed_end(&feed);
	ck_assert_uint_eq(q2s_disk_size(disk), len);
	assert_ok(q2s_cursor_open(disk, &cursor, &diag));
	assert_reads(cursor, data, len, 0, len + 1000);
	for (int i = 0; i < 200 && len > 0; i++)
		assert_reads(cursor, data, len, unit_random(&chance) % len,
			     (size_t)(unit_random(&chance) % (100 * KIB)) + 1);
	assert_extents(cursor, data, len, &in_file);
	if (len > 0) /* no budget here lies near what there is to keep */
		ck_assert_int_eq(in_file, budget < len);
	q2s_cursor_close(cursor);
	q2s_disk_close(disk);
}

START_TEST(a_disk_shows_what_came)
{
	static const size_t lens[] = { 1, UNIT - 1, UNIT, UNIT + 1, MIB, MIB + 1, 5 * MIB + 777 };
	static const uint64_t budgets[] = { 0, 100 * KIB, 64 * MIB };

	for (size_t i = 0; i < COUNT(lens); i++) {
		uint8_t *data = patchwork(lens[i], i + 1);

		data[0] = 1; /* else a short one may be empty */
		for (size_t b = 0; b < COUNT(budgets); b++) {
			if (lens[i] >= MIB || budgets[b] != 100 * KIB)
				try_disk(data, lens[i], budgets[b], 1000000);
		}
		free(data);
	}
}
END_TEST

START_TEST(an_empty_pipe_is_an_empty_disk)
{
	try_disk((const uint8_t *)"", 0, 0, 1000);
}
END_TEST

/* The map gets coarser, the content does not. */
START_TEST(a_map_that_would_grow_too_long_takes_zeros_in)
{
	const size_t len = 8 * MIB + 5;
	uint8_t *data = calloc(1, len);

	ck_assert_ptr_nonnull(data);
	for (size_t at = 0; at < len; at += 2 * UNIT)
		data[at] = (uint8_t)(at / UNIT + 1);
	data[len - 1] = 5;
	try_disk(data, len, 0, 10);
	try_disk(data, len, 0, 1);
	free(data);
}
END_TEST

static uint64_t
count_runs(size_t runs_per_step)
{
	const size_t len = 4 * MIB;
	uint8_t *data = calloc(1, len);
	struct q2s_disk *disk = NULL;
	struct q2s_cursor *cursor = NULL;
	struct q2s_extent extent;
	struct feed feed;
	uint64_t runs = 0;

	ck_assert_ptr_nonnull(data);
	for (size_t at = 0; at < len; at += 2 * UNIT)
		data[at] = 1;
	const struct q2s_stream stream = feed_start(&feed, data, len);

	assert_ok(q2si_disk_spool(&stream, 64 * MIB, runs_per_step, &disk, &diag));
	feed_end(&feed);
	assert_ok(q2s_cursor_open(disk, &cursor, &diag));
	for (uint64_t at = 0; at < len; at += extent.len) {
		assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ at }, len, &extent, &diag));
		runs += extent.state == Q2S_DATA;
	}
	q2s_cursor_close(cursor);
	q2s_disk_close(disk);
	free(data);
	return runs;
}

START_TEST(the_map_is_bounded)
{
	ck_assert_uint_eq(count_runs(1000000), 4 * MIB / (2 * UNIT));
	ck_assert_uint_eq(count_runs(10), 10); /* then gaps of one unit do not count any more */
}
END_TEST

START_TEST(bytes_that_were_read_already_come_first)
{
	uint8_t *data = patchwork(3 * MIB, 5);
	struct q2s_disk *disk = NULL;
	struct q2s_cursor *cursor = NULL;
	struct feed feed;

	memcpy(data, "abcd", 4);
	struct q2s_stream stream = feed_start(&feed, data + 4, 3 * MIB - 4);

	stream.head = data;
	stream.head_len = 4;
	assert_ok(q2s_disk_spool(&stream, 64 * MIB, &disk, &diag));
	feed_end(&feed);
	ck_assert_uint_eq(q2s_disk_size(disk), 3 * MIB);
	assert_ok(q2s_cursor_open(disk, &cursor, &diag));
	assert_reads(cursor, data, 3 * MIB, 0, 3 * MIB);
	q2s_cursor_close(cursor);
	q2s_disk_close(disk);
	free(data);
}
END_TEST

static enum q2s_err
spool_promised(size_t len, uint64_t size, struct q2s_diag *diag)
{
	uint8_t *data = calloc(1, len + 1);
	struct q2s_disk *disk = NULL;
	struct feed feed;
	struct q2s_stream stream = feed_start(&feed, data, len);

	stream.has_size = true;
	stream.size = size;
	const enum q2s_err err = q2s_disk_spool(&stream, MIB, &disk, diag);

	feed_end(&feed);
	q2s_disk_close(disk);
	free(data);
	return err;
}

START_TEST(a_promised_size_is_kept)
{
	struct q2s_diag less = { 0 }, more = { 0 };

	assert_ok(spool_promised(2 * MIB, 2 * MIB, &diag));
	assert_ok(spool_promised(5, 5, &diag));
	assert_ok(spool_promised(0, 0, &diag));
	ck_assert_int_eq(spool_promised(2 * MIB - 1, 2 * MIB, &less), Q2S_E_SHORT);
	ck_assert_ptr_nonnull(strstr(less.text, "2097151 of the 2097152"));
	ck_assert_str_eq(less.file, "pipe");
	ck_assert_int_eq(spool_promised(2 * MIB + 1, 2 * MIB, &more), Q2S_E_LIMIT);
}
END_TEST

static bool
stop_behind(void *opaque, enum q2s_phase phase, uint64_t done, uint64_t total)
{
	ck_assert_int_eq(phase, Q2S_PHASE_SPOOL);
	ck_assert_uint_eq(total, 0);
	return done < *(const uint64_t *)opaque;
}

START_TEST(an_observer_can_stop_it)
{
	uint64_t limit = 2 * MIB;
	const struct q2s_observer observer = { .step = stop_behind, .opaque = &limit };
	uint8_t *data = calloc(1, 9 * MIB);
	struct q2s_disk *disk = NULL;
	struct q2s_diag diag = { 0 };
	struct feed feed;
	struct q2s_stream stream = feed_start(&feed, data, 9 * MIB);

	stream.observer = &observer;
	ck_assert_int_eq(q2s_disk_spool(&stream, MIB, &disk, &diag), Q2S_E_CANCELLED);
	feed_end(&feed);
	free(data);
}
END_TEST

START_TEST(a_folder_that_is_not_there_is_named)
{
	uint8_t *data = patchwork(2 * MIB, 3);
	struct q2s_disk *disk = NULL;
	struct q2s_diag diag = { 0 };
	struct feed feed;
	struct q2s_stream stream = feed_start(&feed, data, 2 * MIB);

	stream.folder = "/nonexistent/folder";
	ck_assert_int_eq(q2s_disk_spool(&stream, 0, &disk, &diag), Q2S_E_IO);
	ck_assert_str_eq(diag.file, "/nonexistent/folder");
	feed_end(&feed);
	free(data);
}
END_TEST

START_TEST(a_stream_becomes_a_file_with_holes)
{
	const size_t len = 6 * MIB + 3;
	uint8_t *data = calloc(1, len), *got = malloc(len);
	struct q2s_store *file = NULL;
	struct feed feed;

	ck_assert(data && got);
	memset(data + MIB, 1, 10 * KIB);
	memset(data + 4 * MIB - 5, 2, 10);
	const struct q2s_stream stream = feed_start(&feed, data, len);

	assert_ok(q2s_store_from_stream(&stream, &file, &diag));
	feed_end(&feed);
	ck_assert_uint_eq(q2s_store_size(file), len);
	ck_assert_str_eq(q2s_store_name(file), "pipe");
	assert_ok(q2s_store_read(file, 0, got, len, &diag));
	ck_assert_mem_eq(got, data, len);
	ck_assert_uint_lt(q2s_store_allocated(file), MIB);
	q2s_store_unref(file);
	free(got);
	free(data);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_disk_shows_what_came,
		an_empty_pipe_is_an_empty_disk,
		a_map_that_would_grow_too_long_takes_zeros_in,
		the_map_is_bounded,
		bytes_that_were_read_already_come_first,
		a_promised_size_is_kept,
		an_observer_can_stop_it,
		a_folder_that_is_not_there_is_named,
		a_stream_becomes_a_file_with_holes,
	};

	signal(SIGPIPE, SIG_IGN); /* a reader that stops early is what some tests are about */
	return unit_run("spooled", tests, COUNT(tests));
}
