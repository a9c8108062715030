/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files as bytes at an offset: exact reads, holes, and what is not a file. */
#include <q2s/io.h>

#include "base/zero.h"
#include "faulty.h"
#include "files.h"

enum { SIZE = 100001 };

static struct q2s_store *
open_file(const char *path)
{
	struct q2s_store *file = NULL;

	assert_ok(q2s_store_open(path, &file, &diag));
	return file;
}

/* A file whose byte i is 1 + i % 251. */
static struct q2s_store *
plain_file(void)
{
	static uint8_t bytes[SIZE];

	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (uint8_t)(1 + i % 251);
	put_file(path_of("plain"), bytes, SIZE);
	return open_file(path_of("plain"));
}

static void
assert_plain(struct q2s_store *file, uint64_t at, size_t len)
{
	static uint8_t buf[SIZE];

	assert_ok(q2s_store_read(file, at, buf, len, &diag));
	for (size_t i = 0; i < len; i++)
		ck_assert_msg(buf[i] == 1 + (at + i) % 251, "byte %" PRIu64, at + i);
}

START_TEST(says_what_it_is)
{
	struct q2s_store *file = plain_file();
	struct q2s_store_ident ident;
	struct stat st;

	ck_assert_int_eq(stat(path_of("plain"), &st), 0);
	ck_assert_uint_eq(q2s_store_size(file), SIZE);
	ck_assert_uint_eq(q2s_store_allocated(file), (uint64_t)st.st_blocks * 512);
	ck_assert_str_eq(q2s_store_name(file), path_of("plain"));
	ck_assert(!q2s_store_is_block_device(file));
	ck_assert_int_eq(fcntl(q2s_store_fd(file), F_GETFL) & O_ACCMODE, O_RDONLY);
	ck_assert_int_ne(fcntl(q2s_store_fd(file), F_GETFD) & FD_CLOEXEC, 0);
	q2s_store_ident(file, &ident);
	ck_assert_uint_eq(ident.ino, st.st_ino);
	ck_assert_uint_eq(ident.size, SIZE);
	ck_assert_int_eq(ident.mtime_sec, st.st_mtim.tv_sec);
	ck_assert_uint_eq(ident.mtime_nsec, (uint32_t)st.st_mtim.tv_nsec);
	q2s_store_unref(file);
}
END_TEST

START_TEST(reads_exactly_what_is_asked_for)
{
	struct q2s_store *file = plain_file();

	for (unsigned i = 0; i < 3; i++) {
		faulty.most = i == 1 ? 777 : i == 2 ? 1 : 0;
		faulty.interrupt = i > 0;
		assert_plain(file, 0, i == 2 ? 3000 : SIZE);
		assert_plain(file, 12345, 6789);
		assert_plain(file, SIZE - 1, 1);
		assert_plain(file, SIZE, 0);
	}
	q2s_store_unref(file);
}
END_TEST

START_TEST(a_file_that_ends_is_said_so)
{
	struct q2s_store *file = plain_file();
	uint8_t buf[100];

	assert_refused(Q2S_E_SHORT, SIZE - 10, 10, q2s_store_read(file, SIZE - 10, buf, 11, &diag));
	assert_refused(Q2S_E_SHORT, SIZE, 0, q2s_store_read(file, SIZE, buf, 1, &diag));
	assert_refused(Q2S_E_SHORT, UINT64_MAX - 5, 0,
		       q2s_store_read(file, UINT64_MAX - 5, buf, 1, &diag));
	q2s_store_unref(file);
}
END_TEST

START_TEST(padding_is_zero)
{
	static const uint64_t starts[] = { 0, SIZE - 40, SIZE, SIZE + 1, INT64_MAX, UINT64_MAX - 99 };
	struct q2s_store *file = plain_file();
	uint8_t buf[100];

	faulty.most = 7;
	for (size_t i = 0; i < COUNT(starts); i++) {
		const uint64_t left = starts[i] < SIZE ? SIZE - starts[i] : 0;
		const size_t want = left < sizeof(buf) ? (size_t)left : sizeof(buf);
		size_t got = 77;

		memset(buf, 0xee, sizeof(buf));
		assert_ok(q2s_store_read_padded(file, starts[i], buf, sizeof(buf), &got, &diag));
		ck_assert_uint_eq(got, want);
		for (size_t k = 0; k < sizeof(buf); k++)
			ck_assert_uint_eq(buf[k], k < want ? 1 + (starts[i] + k) % 251 : 0);
	}
	assert_ok(q2s_store_read_padded(file, 0, buf, sizeof(buf), NULL, &diag));
	q2s_store_unref(file);
}
END_TEST

/* Stretches cover the file without gap, and no byte in a hole is other than zero. */
static unsigned
walk_stretches(struct q2s_store *file, uint64_t start)
{
	static uint8_t buf[1 << 20];
	unsigned holes = 0;

	for (uint64_t at = start; at < q2s_store_size(file);) {
		struct q2s_stretch stretch = { 0 };

		assert_ok(q2s_store_stretch(file, at, &stretch, &diag));
		ck_assert_uint_gt(stretch.len, 0);
		ck_assert_uint_le(stretch.len, q2s_store_size(file) - at);
		holes += stretch.hole;
		for (uint64_t k = 0; stretch.hole && k < stretch.len; k += sizeof(buf)) {
			const size_t n = stretch.len - k < sizeof(buf) ? (size_t)(stretch.len - k) :
									 sizeof(buf);

			assert_ok(q2s_store_read(file, at + k, buf, n, &diag));
			ck_assert(q2si_is_zero(buf, n));
		}
		at += stretch.len;
	}
	return holes;
}

START_TEST(stretches_cover_the_file)
{
	const char *path = path_of("sparse");
	const int fd = open(path, O_RDWR | O_CREAT, 0666);

	ck_assert_int_eq(ftruncate(fd, 10 << 20), 0);
	ck_assert_int_eq(pwrite(fd, "x", 1, 3 << 20), 1);
	ck_assert_int_eq(pwrite(fd, "y", 1, (7 << 20) - 1), 1);
	close(fd);

	struct q2s_store *file = open_file(path);
	const unsigned holes = walk_stretches(file, 0);

	/* A file system that keeps holes at all keeps these three. */
	if (q2s_store_allocated(file) < 5 << 20)
		ck_assert_uint_eq(holes, 3);
	walk_stretches(file, (3 << 20) + 1);
	walk_stretches(file, (10 << 20) - 1);
	q2s_store_unref(file);
}
END_TEST

START_TEST(without_knowledge_all_is_data)
{
	static const int errors[] = { EINVAL, EOPNOTSUPP, ENOTTY };
	struct q2s_store *file = plain_file();
	struct q2s_stretch stretch;

	for (size_t i = 0; i < COUNT(errors); i++) {
		faulty.seek_data = errors[i];
		assert_ok(q2s_store_stretch(file, 100, &stretch, &diag));
		ck_assert(!stretch.hole);
		ck_assert_uint_eq(stretch.len, SIZE - 100);
	}
	faulty.seek_data = EIO; /* a failure is not an answer */
	ck_assert_int_eq(q2s_store_stretch(file, 0, &stretch, NULL), Q2S_E_IO);
	q2s_store_unref(file);
}
END_TEST

static void
assert_not_a_file(const char *path, enum q2s_err want, int sys_errno)
{
	struct q2s_store *file = NULL;
	struct q2s_diag diag = { 0 };

	ck_assert_int_eq(q2s_store_open(path, &file, &diag), want);
	ck_assert_int_eq(diag.err, want);
	ck_assert_int_eq(diag.sys_errno, sys_errno);
	ck_assert_str_eq(diag.file, path);
	ck_assert_ptr_null(file);
}

/* Nobody writes to the FIFO: a reader that waited would never come back. */
START_TEST(what_is_no_file_is_refused)
{
	ck_assert_int_eq(mkfifo(path_of("fifo"), 0666), 0);
	assert_not_a_file(path_of("fifo"), Q2S_E_UNSUPPORTED, 0);
	assert_not_a_file(files_folder, Q2S_E_UNSUPPORTED, 0);
	assert_not_a_file("/dev/null", Q2S_E_UNSUPPORTED, 0);
	if (file_exists("/proc/self/status")) {
		assert_not_a_file("/proc/self/status", Q2S_E_UNSUPPORTED, 0);
		assert_not_a_file("/proc/self/mem", Q2S_E_UNSUPPORTED, 0);
	}
	assert_not_a_file(path_of("missing"), Q2S_E_IO, ENOENT);
	assert_not_a_file("", Q2S_E_IO, ENOENT);
}
END_TEST

START_TEST(a_refused_descriptor_stays_open)
{
	struct q2s_store *file = NULL;
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(q2s_store_from_fd(ends[0], "a pipe", &file, NULL), Q2S_E_UNSUPPORTED);
	ck_assert_int_ge(fcntl(ends[0], F_GETFD), 0);
	close(ends[0]);
	ck_assert_int_eq(q2s_store_from_fd(ends[0], "closed", &file, NULL), Q2S_E_IO);
	close(ends[1]);
}
END_TEST

START_TEST(the_last_owner_closes)
{
	struct q2s_store *file = plain_file();
	const int fd = q2s_store_fd(file);

	ck_assert_ptr_eq(q2s_store_ref(file), file);
	q2s_store_unref(file);
	assert_plain(file, 0, 10);
	q2s_store_unref(file);
	ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
	q2s_store_unref(NULL);
}
END_TEST

/* A change that leaves size and content as they were is one all the same. */
static void
set_mtime(const char *path, long seconds)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = seconds } };

	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* Let the clock that files are stamped with go on: what follows shall not have the same time. */
static void
next_stamp(void)
{
	struct stat first, st;

	put_file(path_of("clock"), "", 0);
	ck_assert_int_eq(stat(path_of("clock"), &first), 0);
	do {
		usleep(1000);
		put_file(path_of("clock"), "", 0);
		ck_assert_int_eq(stat(path_of("clock"), &st), 0);
	} while (st.st_mtim.tv_sec == first.st_mtim.tv_sec &&
		 st.st_mtim.tv_nsec == first.st_mtim.tv_nsec);
}

START_TEST(a_change_is_noticed)
{
	struct q2s_store *file;

	q2s_store_unref(plain_file());
	set_mtime(path_of("plain"), 1000);
	file = open_file(path_of("plain"));
	assert_plain(file, 0, SIZE);
	assert_ok(q2s_store_verify(file, &diag));

	set_mtime(path_of("plain"), 1001);
	ck_assert_int_eq(q2s_store_verify(file, NULL), Q2S_E_CHANGED);
	ck_assert_int_eq(truncate(path_of("plain"), SIZE - 1), 0);
	assert_refused(Q2S_E_CHANGED, NOWHERE, SIZE - 1, q2s_store_verify(file, &diag));
	ck_assert_int_eq(truncate(path_of("plain"), SIZE + 1), 0);
	assert_refused(Q2S_E_CHANGED, NOWHERE, SIZE + 1, q2s_store_verify(file, &diag));
	q2s_store_unref(file);
}
END_TEST

/* The size is what it was, and so is the modification time; the change time tells. */
START_TEST(a_change_cannot_be_hidden)
{
	struct q2s_diag diag = { 0 };
	struct q2s_store *file;
	int fd;

	q2s_store_unref(plain_file());
	set_mtime(path_of("plain"), 1000);
	file = open_file(path_of("plain"));
	next_stamp();
	fd = open(path_of("plain"), O_WRONLY);
	ck_assert_int_eq(pwrite(fd, "x", 1, 5), 1);
	close(fd);
	set_mtime(path_of("plain"), 1000);
	ck_assert_int_eq(q2s_store_verify(file, &diag), Q2S_E_CHANGED);
	ck_assert_ptr_nonnull(strstr(diag.text, "change time"));
	q2s_store_unref(file);
}
END_TEST

/* A backup script may remove or link what it streams: the bytes stay what they were. */
START_TEST(a_name_is_not_content)
{
	struct q2s_store *file = plain_file();

	next_stamp();
	ck_assert_int_eq(link(path_of("plain"), path_of("other")), 0);
	ck_assert_int_eq(chmod(path_of("other"), 0600), 0);
	ck_assert_int_eq(remove(path_of("plain")), 0);
	assert_ok(q2s_store_verify(file, &diag));
	assert_plain(file, 0, SIZE);
	q2s_store_will_need(file, 0, SIZE);
	q2s_store_unref(file);
}
END_TEST

FILES_MAIN("file", says_what_it_is, reads_exactly_what_is_asked_for, a_file_that_ends_is_said_so,
	   padding_is_zero, stretches_cover_the_file, without_knowledge_all_is_data,
	   what_is_no_file_is_refused, a_refused_descriptor_stays_open, the_last_owner_closes,
	   a_change_is_noticed, a_change_cannot_be_hidden, a_name_is_not_content)
