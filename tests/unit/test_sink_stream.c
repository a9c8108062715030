/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sinks that only go forward: pipes, sockets, files in append mode; whatever the kernel offers. */
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include <q2s/io.h>

#include "faulty.h"
#include "sinks.h"

/* Someone at the other end, who keeps all that comes. */
struct reader {
	int fd;
	size_t step;       /* bytes taken at a time */
	uint8_t *buf;      /* SINK_ROOM bytes */
	size_t len;
	pthread_t thread;
};

static void *
read_all(void *opaque)
{
	struct reader *reader = opaque;
	ssize_t n;

	while ((n = read(reader->fd, reader->buf + reader->len, reader->step)) > 0)
		reader->len += (size_t)n;
	return NULL;
}

/* Drive a sink on @ends[1] while someone reads @ends[0] in steps of @step. */
static void
drive_through(const int *ends, size_t step, uint64_t seed)
{
	struct reader reader = { .fd = ends[0], .step = step, .buf = malloc(SINK_ROOM) };
	struct sink_model model = { .bytes = malloc(SINK_ROOM) };
	struct q2s_sink *sink = NULL;

	ck_assert_int_eq(pthread_create(&reader.thread, NULL, read_all, &reader), 0);
	assert_ok(q2s_sink_from_fd(ends[1], "here", 0, &sink, &diag));
	ck_assert_ptr_null(q2s_sink_temp_path(sink));
	sink_drive(sink, &model, seed);
	assert_ok(q2s_sink_commit(sink, &diag));
	close(ends[1]); /* it stayed ours */
	pthread_join(reader.thread, NULL);
	close(ends[0]);
	sink_assert_same(reader.buf, reader.len, &model);
	free(reader.buf);
	free(model.bytes);
}

static void
drive_pipe(uint64_t seed)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	drive_through(ends, seed % 2 ? 65536 : 4000, seed);
}

START_TEST(a_pipe_gets_every_byte)
{
	for (uint64_t seed = 1; seed <= 6; seed++)
		drive_pipe(seed);
}
END_TEST

START_TEST(a_kernel_that_moves_nothing_is_enough)
{
	static const int errors[] = { EINVAL, ENOSYS };

	for (size_t i = 0; i < COUNT(errors); i++) {
		faulty.sendfile = errors[i];
		faulty.vmsplice = errors[i];
		drive_pipe(10 + i);
	}
}
END_TEST

START_TEST(short_and_interrupted_calls_are_repeated)
{
	faulty.most = 9999;
	faulty.interrupt = true;
	for (uint64_t seed = 20; seed < 24; seed++) {
		faulty.sendfile = faulty.vmsplice = seed % 2 ? EINVAL : 0;
		drive_pipe(seed);
	}
}
END_TEST

START_TEST(a_socket_gets_every_byte)
{
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	drive_through(ends, 10000, 30);
}
END_TEST

/* Who shares the descriptor may have made it non-blocking. */
START_TEST(a_descriptor_that_does_not_block_is_waited_for)
{
	int ends[2];

	for (uint64_t seed = 40; seed < 44; seed++) {
		ck_assert_int_eq(pipe(ends), 0);
		ck_assert_int_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
		faulty.sendfile = faulty.vmsplice = seed % 2 ? EINVAL : 0;
		drive_through(ends, 1000, seed);
	}
}
END_TEST

/* Each write goes to the end, wherever others have moved it. */
START_TEST(a_file_in_append_mode_grows_at_its_end)
{
	struct sink_model model = { .bytes = malloc(SINK_ROOM) };
	uint8_t *got = malloc(SINK_ROOM);
	struct q2s_sink *sink = NULL;
	int fd;

	put_file(path_of("log"), "before", 6);
	fd = open(path_of("log"), O_WRONLY | O_APPEND);
	assert_ok(q2s_sink_from_fd(fd, "log", 0, &sink, &diag));
	sink_drive(sink, &model, 50);
	assert_ok(q2s_sink_commit(sink, &diag));
	close(fd);

	const size_t len = get_file(path_of("log"), got, SINK_ROOM);

	ck_assert_mem_eq(got, "before", 6);
	sink_assert_same(got + 6, len - 6, &model);
	free(got);
	free(model.bytes);
}
END_TEST

static void
assert_broken(enum q2s_err err, const struct q2s_diag *why, int sys_errno)
{
	ck_assert_int_eq(err, Q2S_E_IO);
	ck_assert_int_eq(why->sys_errno, sys_errno);
	ck_assert_str_eq(why->file, "here");
}

START_TEST(a_reader_that_is_gone_is_an_error)
{
	struct q2s_diag why[3] = { 0 };
	struct q2s_sink *sink = NULL;
	struct q2s_store *file = NULL;
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	put_file(path_of("source"), "source", 6);
	assert_ok(q2s_store_open(path_of("source"), &file, &diag));
	ck_assert_int_eq(pipe(ends), 0);
	assert_ok(q2s_sink_from_fd(ends[1], "here", 0, &sink, &diag));
	close(ends[0]);
	assert_broken(q2s_sink_write(sink, "x", 1, &why[0]), &why[0], EPIPE);
	assert_broken(q2s_sink_copy(sink, file, 0, 6, &why[1]), &why[1], EPIPE);
	assert_broken(q2s_sink_zero(sink, 100, &why[2]), &why[2], EPIPE);
	ck_assert_uint_eq(q2s_sink_pos(sink), 0);
	q2s_sink_abort(sink);
	q2s_store_unref(file);
	close(ends[1]);
}
END_TEST

START_TEST(a_full_device_is_an_error)
{
	struct q2s_diag why = { 0 };
	struct q2s_sink *sink = NULL;
	const int fd = open("/dev/full", O_WRONLY);

	assert_ok(q2s_sink_from_fd(fd, "here", 0, &sink, &diag));
	assert_broken(q2s_sink_zero(sink, 100, &why), &why, ENOSPC);
	q2s_sink_abort(sink);
	close(fd);
}
END_TEST

START_TEST(a_closed_descriptor_is_an_error)
{
	struct q2s_diag why = { 0 };
	struct q2s_sink *sink = NULL;

	assert_broken(q2s_sink_from_fd(999, "here", 0, &sink, &why), &why, EBADF);
	ck_assert_ptr_null(sink);
}
END_TEST

/* What is missing at the end of a source must never be made up. */
START_TEST(a_source_that_ends_early_has_changed)
{
	struct q2s_sink *sink = NULL;
	struct q2s_store *file = NULL;
	int ends[2];

	put_file(path_of("source"), "0123456789", 10);
	assert_ok(q2s_store_open(path_of("source"), &file, &diag));
	for (unsigned i = 0; i < 2; i++) {
		struct q2s_diag why = { 0 };

		faulty.sendfile = i ? EINVAL : 0;
		ck_assert_int_eq(pipe(ends), 0);
		assert_ok(q2s_sink_from_fd(ends[1], "here", 0, &sink, &diag));
		ck_assert_int_eq(q2s_sink_copy(sink, file, 4, 7, &why), Q2S_E_CHANGED);
		ck_assert_uint_eq(why.at.v, 10);
		ck_assert_str_eq(why.file, path_of("source"));
		q2s_sink_abort(sink);
		close(ends[0]);
		close(ends[1]);
	}
	q2s_store_unref(file);
}
END_TEST

/* A FIFO that is there is written to, not replaced. */
START_TEST(a_fifo_by_name_stays_one)
{
	struct reader reader = { .step = 100, .buf = malloc(SINK_ROOM) };
	struct sink_model model = { .bytes = malloc(SINK_ROOM) };
	struct q2s_sink *sink = NULL;
	struct stat st;

	ck_assert_int_eq(mkfifo(path_of("fifo"), 0666), 0);
	reader.fd = open(path_of("fifo"), O_RDONLY | O_NONBLOCK);
	ck_assert_int_eq(fcntl(reader.fd, F_SETFL, 0), 0);
	assert_ok(q2s_sink_open(path_of("fifo"), 0, SINK_ROOM, &sink, &diag));
	ck_assert_int_eq(pthread_create(&reader.thread, NULL, read_all, &reader), 0);
	sink_drive(sink, &model, 60);
	assert_ok(q2s_sink_commit(sink, &diag)); /* closes it: the reader sees the end */
	pthread_join(reader.thread, NULL);
	sink_assert_same(reader.buf, reader.len, &model);
	ck_assert_int_eq(lstat(path_of("fifo"), &st), 0);
	ck_assert(S_ISFIFO(st.st_mode));
	close(reader.fd);
	free(reader.buf);
	free(model.bytes);
}
END_TEST

FILES_MAIN("sink_stream", a_pipe_gets_every_byte, a_kernel_that_moves_nothing_is_enough,
	   short_and_interrupted_calls_are_repeated, a_socket_gets_every_byte,
	   a_descriptor_that_does_not_block_is_waited_for,
	   a_file_in_append_mode_grows_at_its_end, a_reader_that_is_gone_is_an_error,
	   a_full_device_is_an_error, a_closed_descriptor_is_an_error,
	   a_source_that_ends_early_has_changed, a_fifo_by_name_stays_one)
