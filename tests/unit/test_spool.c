/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spools: what was appended comes back, on both sides of the line between memory and file. */
#include <pthread.h>

#include <q2s/io.h>

#include "faulty.h"
#include "files.h"

enum { BLOCK = 1 << 18, TOTAL = 3 * BLOCK + 12345 };

/* Byte @at of everything that these tests append. */
static uint8_t
byte_at(uint64_t at)
{
	return (uint8_t)(at * 2654435761u >> 13);
}

static struct q2s_spool *
new_spool(uint64_t budget)
{
	struct q2s_spool *spool = NULL;

	assert_ok(q2s_spool_new(files_folder, budget, &spool, &diag));
	ck_assert_uint_eq(q2s_spool_size(spool), 0);
	return spool;
}

static void
append(struct q2s_spool *spool, size_t len)
{
	static uint8_t buf[TOTAL];
	const uint64_t at = q2s_spool_size(spool);

	for (size_t i = 0; i < len; i++)
		buf[i] = byte_at(at + i);
	assert_ok(q2s_spool_append(spool, buf, len, &diag));
	ck_assert_uint_eq(q2s_spool_size(spool), at + len);
}

static void
assert_bytes(const uint8_t *buf, uint64_t at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (buf[i] != byte_at(at + i))
			ck_abort_msg("byte %" PRIu64, at + i);
}

static void
assert_reads(struct q2s_spool *spool, uint64_t at, size_t len)
{
	static uint8_t buf[TOTAL];

	memset(buf, 0xee, len);
	assert_ok(q2s_spool_read(spool, at, buf, len, &diag));
	assert_bytes(buf, at, len);
}

static void
assert_moves(struct q2s_spool *spool, uint64_t at, size_t len)
{
	static uint8_t buf[TOTAL + 1];
	struct q2s_sink *sink = NULL;

	assert_ok(q2s_sink_open(path_of("moved"), Q2S_SINK_REPLACE, len, &sink, &diag));
	assert_ok(q2s_spool_move(spool, at, len, sink, &diag));
	ck_assert_uint_eq(q2s_sink_pos(sink), len);
	assert_ok(q2s_sink_commit(sink, &diag));
	ck_assert_uint_eq(get_file(path_of("moved"), buf, sizeof(buf)), len);
	assert_bytes(buf, at, len);
	ck_assert_int_eq(remove(path_of("moved")), 0);
}

/* Fill one by pieces of odd sizes, then ask across each line that there may be. */
static void
try_budget(uint64_t budget)
{
	static const uint64_t lines[] = { 0, 1, BLOCK, 2 * BLOCK, 3 * BLOCK, TOTAL };
	struct q2s_spool *spool = new_spool(budget);
	uint64_t seed = budget + 1;

	append(spool, 0);
	while (q2s_spool_size(spool) < TOTAL) {
		const uint64_t left = TOTAL - q2s_spool_size(spool), n = unit_random_log(&seed) % BLOCK;

		append(spool, n < left ? (size_t)n : (size_t)left);
	}
	for (size_t i = 0; i <= COUNT(lines); i++) {
		const uint64_t line = i < COUNT(lines) ? lines[i] : budget < TOTAL ? budget : 0;
		const uint64_t from = line > 100 ? line - 100 : 0;
		const size_t n = TOTAL - from < 200 ? (size_t)(TOTAL - from) : 200;

		assert_reads(spool, from, n);
		assert_moves(spool, from, n);
	}
	assert_reads(spool, 0, TOTAL);
	assert_moves(spool, 0, TOTAL);
	ck_assert_uint_eq(count_names(), 0); /* its file has no name */
	q2s_spool_free(spool);
}

START_TEST(what_goes_in_comes_out)
{
	static const uint64_t budgets[] = { 0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, TOTAL - 1,
					    TOTAL, 1 << 30 };

	for (size_t i = 0; i < COUNT(budgets); i++)
		try_budget(budgets[i]);
}
END_TEST

START_TEST(short_and_interrupted_calls_are_repeated)
{
	faulty.most = 1000;
	faulty.interrupt = true;
	try_budget(BLOCK + 7);
}
END_TEST

START_TEST(without_nameless_files_the_name_goes_at_once)
{
	faulty.tmpfile = EOPNOTSUPP;
	try_budget(100);
}
END_TEST

START_TEST(only_what_is_there_can_be_read)
{
	struct q2s_spool *spool = new_spool(10);
	uint8_t buf[8];

	append(spool, 20);
	assert_refused(Q2S_E_USAGE, NOWHERE, 13, q2s_spool_read(spool, 13, buf, 8, &diag));
	assert_refused(Q2S_E_USAGE, NOWHERE, 21, q2s_spool_read(spool, 21, buf, 0, &diag));
	assert_refused(Q2S_E_USAGE, NOWHERE, UINT64_MAX,
		       q2s_spool_read(spool, UINT64_MAX, buf, 8, &diag));
	q2s_spool_free(spool);
	q2s_spool_free(NULL);
}
END_TEST

START_TEST(a_folder_that_is_not_there_is_named)
{
	struct q2s_spool *spool = NULL;
	struct q2s_diag why = { 0 };

	assert_ok(q2s_spool_new("/nonexistent/folder", 4, &spool, &diag));
	append(spool, 4);
	ck_assert_int_eq(q2s_spool_append(spool, "12345", 5, &why), Q2S_E_IO);
	ck_assert_int_eq(why.sys_errno, ENOENT);
	ck_assert_str_eq(why.file, "/nonexistent/folder");
	assert_reads(spool, 0, 4);
	q2s_spool_free(spool);
}
END_TEST

START_TEST(the_default_folder_is_tmpdir)
{
	struct q2s_spool *spool = NULL;

	setenv("TMPDIR", "/nonexistent/tmpdir", 1);
	assert_ok(q2s_spool_new(NULL, 0, &spool, &diag));
	ck_assert_int_eq(q2s_spool_append(spool, "1", 1, NULL), Q2S_E_IO);
	q2s_spool_free(spool);
	setenv("TMPDIR", files_folder, 1);
	assert_ok(q2s_spool_new(NULL, 0, &spool, &diag));
	append(spool, 100);
	assert_reads(spool, 0, 100);
	q2s_spool_free(spool);
	unsetenv("TMPDIR");
}
END_TEST

struct reader {
	struct q2s_spool *spool;
	uint64_t seed;
	uint64_t wrong;
};

/* Reads what is there while more comes; counts what is wrong, as asserts belong to the test. */
static void *
read_along(void *opaque)
{
	struct reader *reader = opaque;
	uint8_t buf[4096];

	for (uint64_t size = 0; size < TOTAL;) {
		size = q2s_spool_size(reader->spool);
		if (size < sizeof(buf))
			continue;
		const uint64_t at = unit_random(&reader->seed) % (size - sizeof(buf) + 1);

		if (q2s_spool_read(reader->spool, at, buf, sizeof(buf), NULL) != Q2S_OK)
			reader->wrong++;
		for (size_t i = 0; i < sizeof(buf); i++)
			reader->wrong += buf[i] != byte_at(at + i);
	}
	return NULL;
}

START_TEST(readers_do_not_disturb_the_writer)
{
	struct q2s_spool *spool = new_spool(BLOCK + 100);
	struct reader readers[2] = { { spool, 1, 0 }, { spool, 2, 0 } };
	pthread_t threads[2];

	for (size_t i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, read_along, &readers[i]), 0);
	while (q2s_spool_size(spool) < TOTAL) {
		const uint64_t left = TOTAL - q2s_spool_size(spool);

		append(spool, left < 9999 ? (size_t)left : 9999);
	}
	for (size_t i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		ck_assert_uint_eq(readers[i].wrong, 0);
	}
	q2s_spool_free(spool);
}
END_TEST

FILES_MAIN("spool", what_goes_in_comes_out, short_and_interrupted_calls_are_repeated,
	   without_nameless_files_the_name_goes_at_once, only_what_is_there_can_be_read,
	   a_folder_that_is_not_there_is_named, the_default_folder_is_tmpdir,
	   readers_do_not_disturb_the_writer)
