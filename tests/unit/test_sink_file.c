/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sinks on a regular file that someone else has opened: its old content, and the bytes around. */
#include <signal.h>
#include <sys/resource.h>

#include "faulty.h"
#include "sinks.h"

/* Old content on which not one zero may be missing: all bytes are 0xff. */
static int
old_file(size_t len)
{
	uint8_t *bytes = malloc(len + 1);
	const int fd = open(path_of("old"), O_RDWR | O_CREAT | O_TRUNC, 0666);

	memset(bytes, 0xff, len);
	for (size_t at = 0; at < len;) {
		const ssize_t n = pwrite(fd, bytes + at, len - at, (off_t)at);

		at += n > 0 ? (size_t)n : 0;
	}
	free(bytes);
	return fd;
}

static void
assert_old(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != 0xff)
			ck_abort_msg("old byte %zu is gone", i);
}

static unsigned the_flags;

/* Write into a file of @old_len bytes from @base on, and look at all of it. */
static void
overwrite(size_t old_len, size_t base, uint64_t seed)
{
	struct sink_model model = { .bytes = malloc(SINK_ROOM) };
	uint8_t *got = malloc(2 * SINK_ROOM);
	struct q2s_sink *sink = NULL;
	const int fd = old_file(old_len);

	ck_assert_int_eq(lseek(fd, (off_t)base, SEEK_SET), (off_t)base);
	assert_ok(q2s_sink_from_fd(fd, "old", the_flags, &sink, &diag));
	ck_assert_ptr_null(q2s_sink_temp_path(sink));
	sink_drive(sink, &model, seed);
	assert_ok(q2s_sink_commit(sink, &diag));

	const size_t end = base + model.len;
	const size_t len = get_file(path_of("old"), got, 2 * SINK_ROOM);

	/* who shares the descriptor goes on behind what was written */
	ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), (off_t)end);
	close(fd);
	ck_assert_uint_eq(len, old_len > end ? old_len : end);
	assert_old(got, base < old_len ? base : old_len);
	sink_assert_same(got + base, model.len, &model);
	if (old_len > end)
		assert_old(got + end, old_len - end);
	free(got);
	free(model.bytes);
}

static void
overwrite_all_ways(uint64_t seed)
{
	overwrite(0, 0, seed);
	overwrite(100, 0, seed + 1);
	overwrite(SINK_ROOM + 1234567, 0, seed + 2);
	overwrite(SINK_ROOM + 1234567, 4097, seed + 3);
	overwrite(1000000, 999999, seed + 4);
	overwrite(10, 5000, seed + 5);
}

START_TEST(zeros_overwrite_what_was_there)
{
	for (uint64_t seed = 0; seed < 40; seed += 10)
		overwrite_all_ways(seed);
}
END_TEST

/* Space under zeros, where old bytes were and where nothing was. */
START_TEST(zeros_with_space_overwrite_what_was_there)
{
	static const unsigned flags[] = { Q2S_SINK_ALLOCATE, Q2S_SINK_FULL };
	struct stat st;

	for (size_t i = 0; i < COUNT(flags); i++) {
		the_flags = flags[i];
		for (unsigned fails = 0; fails < 2; fails++) {
			faulty.fallocate = fails ? EOPNOTSUPP : 0;
			overwrite_all_ways(400 + 20 * i + 10 * fails);
			ck_assert_int_eq(stat(path_of("old"), &st), 0);
			/* 5000 bytes before the base may be a hole */
			ck_assert_int_ge(st.st_blocks * 512, st.st_size - 8192);
		}
	}
	the_flags = 0;
}
END_TEST

START_TEST(a_pipe_has_no_space)
{
	static const unsigned flags[] = { Q2S_SINK_ALLOCATE, Q2S_SINK_FULL };
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	for (size_t i = 0; i < COUNT(flags); i++) {
		struct q2s_sink *sink = NULL;
		struct q2s_diag why = { 0 };

		ck_assert_int_eq(q2s_sink_from_fd(ends[1], "pipe", flags[i], &sink, &why),
				 Q2S_E_UNSUPPORTED);
		ck_assert_str_eq(why.file, "pipe");
	}
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(holes_cannot_always_be_punched)
{
	faulty.fallocate = EOPNOTSUPP;
	overwrite_all_ways(100);
}
END_TEST

/* A server copies what lies on it. Where the test's folder shares blocks, nothing is left to copy. */
START_TEST(servers_copy)
{
	overwrite(3000000, 777, 190);
	ck_assert_uint_eq(faulty.served, 0);
	faulty.remote = true;
	overwrite(3000000, 777, 190);
	ck_assert_uint_gt(faulty.served, 0);
}
END_TEST

START_TEST(servers_cannot_always_copy)
{
	static const int errors[] = { EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, EPERM, ETXTBSY };

	faulty.remote = true;
	for (size_t i = 0; i < COUNT(errors); i++) {
		faulty.copy_range = errors[i];
		overwrite(3000000, 777, 200 + i);
	}
}
END_TEST

START_TEST(short_and_interrupted_calls_are_repeated)
{
	faulty.most = 9999;
	faulty.interrupt = true;
	for (unsigned i = 0; i < 4; i++) {
		faulty.remote = true;
		faulty.copy_range = i % 2 ? EXDEV : 0;
		faulty.fallocate = i / 2 ? EOPNOTSUPP : 0;
		overwrite_all_ways(300 + 10 * i);
	}
}
END_TEST

START_TEST(zeros_take_no_space)
{
	struct q2s_sink *sink = NULL;
	struct stat st;
	int fd = old_file(4 << 20);

	/* a file system without holes proves nothing here */
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) != 0)
		return;
	assert_ok(q2s_sink_from_fd(fd, "old", 0, &sink, &diag));
	assert_ok(q2s_sink_zero(sink, 1 << 30, &diag));
	assert_ok(q2s_sink_commit(sink, &diag));
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, 1 << 30);
	ck_assert_int_lt(st.st_blocks * 512, 1 << 20);
	close(fd);
}
END_TEST

START_TEST(an_abort_leaves_the_descriptor_open)
{
	struct q2s_sink *sink = NULL;
	const int fd = old_file(10);

	assert_ok(q2s_sink_from_fd(fd, "old", 0, &sink, &diag));
	assert_ok(q2s_sink_write(sink, "abc", 3, &diag));
	q2s_sink_abort(sink);
	q2s_sink_abort(NULL);
	ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
	close(fd);
}
END_TEST

/* A file system that is full, as far as the kernel lets a test have one. */
START_TEST(a_file_that_may_not_grow_is_an_error)
{
	const struct rlimit limit = { .rlim_cur = 100000, .rlim_max = RLIM_INFINITY };
	struct q2s_sink *sink = NULL;
	struct q2s_store *file = NULL;
	struct q2s_diag why[3] = { 0 };
	uint8_t *source = malloc(SINK_SOURCE);
	const int fd = old_file(0);

	file = sink_source(source);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_ok(q2s_sink_from_fd(fd, "here", 0, &sink, &diag));
	ck_assert_int_eq(q2s_sink_write(sink, source, 200000, &why[0]), Q2S_E_IO);
	ck_assert_int_eq(q2s_sink_copy(sink, file, 0, 200000, &why[1]), Q2S_E_IO);
	assert_ok(q2s_sink_zero(sink, 200000, &diag)); /* nothing yet: it is a hole */
	ck_assert_int_eq(q2s_sink_commit(sink, &why[2]), Q2S_E_IO);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_int_eq(why[i].sys_errno, EFBIG);
		ck_assert_str_eq(why[i].file, "here");
	}
	q2s_store_unref(file);
	free(source);
	close(fd);
}
END_TEST

START_TEST(a_source_that_ends_early_has_changed)
{
	struct q2s_sink *sink = NULL;
	struct q2s_store *file = NULL;

	put_file(path_of("source"), "0123456789", 10);
	assert_ok(q2s_store_open(path_of("source"), &file, &diag));
	for (unsigned i = 0; i < 2; i++) {
		const int fd = old_file(0);
		struct q2s_diag why = { 0 };

		faulty.copy_range = i ? EXDEV : 0;
		assert_ok(q2s_sink_from_fd(fd, "here", 0, &sink, &diag));
		ck_assert_int_eq(q2s_sink_copy(sink, file, 4, 7, &why), Q2S_E_CHANGED);
		ck_assert_uint_eq(why.at.v, 10);
		ck_assert_str_eq(why.file, path_of("source"));
		q2s_sink_abort(sink);
		close(fd);
	}
	q2s_store_unref(file);
}
END_TEST

FILES_MAIN("sink_file", zeros_overwrite_what_was_there,
	   zeros_with_space_overwrite_what_was_there, a_pipe_has_no_space, holes_cannot_always_be_punched,
	   servers_copy, servers_cannot_always_copy, short_and_interrupted_calls_are_repeated,
	   zeros_take_no_space, an_abort_leaves_the_descriptor_open,
	   a_file_that_may_not_grow_is_an_error, a_source_that_ends_early_has_changed)
