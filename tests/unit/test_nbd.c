/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NBD disks against nbdkit, which serves each connection in a process of its own. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <q2s/disk.h>

#include "base/zero.h"
#include "unit.h"

#define KIB 1024u
#define MIB (KIB << 10)

START_TEST(uris_are_told_from_names)
{
	static const char *const uris[] = { "nbd://host",          "nbds://host/export",
					    "nbd+unix:///?socket=s", "nbds+unix:///x?socket=s",
					    "nbd+vsock://2",       "nbds+vsock://2",
					    "nbd+ssh://host",      "NBD://host",
					    "Nbd+Unix:///?socket=s" };
	static const char *const names[] = { "disk.raw", "./nbd://host", "nbd", "nbd:host:10809",
					     "/nbd://", "", "-", "nbd+://host", "NBD:host",
					     "nbdx://host", "xnbd://host" };

	for (size_t i = 0; i < COUNT(uris); i++)
		ck_assert_msg(q2s_nbd_is_uri(uris[i]), "%s", uris[i]);
	for (size_t i = 0; i < COUNT(names); i++)
		ck_assert_msg(!q2s_nbd_is_uri(names[i]), "%s", names[i]);
}
END_TEST

static enum q2s_err
open_sockets(const int *sockets, size_t count, struct q2s_disk **disk, struct q2s_diag *diag)
{
	const struct q2s_disk_nbd_options options = {
		.size = sizeof(options),
		.sockets = sockets,
		.socket_count = count,
		.name = "test",
	};

	return q2s_disk_nbd(&options, disk, diag);
}

#ifdef HAVE_LIBNBD

/* ---- servers ----------------------------------------------------------------------------- */

#define SERVERS_MAX 8

static struct {
	pid_t pids[SERVERS_MAX];
	size_t count;
} servers;

/* One more server with these arguments, which end with NULL; returns our end. */
static int
serve(const char *const *arguments)
{
	const char *argv[32] = { "nbdkit", "--single", "--exit-with-parent" };
	int ends[2];
	size_t n = 3;

	while (*arguments)
		argv[n++] = *arguments++;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	const pid_t pid = fork();

	if (pid == 0) {
		dup2(ends[1], STDIN_FILENO);
		dup2(ends[1], STDOUT_FILENO);
		execvp(argv[0], (char **)(uintptr_t)argv);
		_exit(127);
	}
	ck_assert_int_gt(pid, 0);
	servers.pids[servers.count++] = pid;
	close(ends[1]);
	return ends[0];
}

/* After the connections are closed they end by themselves. */
static void
wait_for_servers(void)
{
	while (servers.count > 0)
		waitpid(servers.pids[--servers.count], NULL, 0);
}

static struct q2s_disk *
disk_on(size_t count, const char *const *arguments)
{
	struct q2s_disk *disk = NULL;
	int sockets[SERVERS_MAX];

	for (size_t i = 0; i < count; i++)
		sockets[i] = serve(arguments);
	assert_ok(open_sockets(sockets, count, &disk, &diag));
	return disk;
}

#define SERVE(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* ---- reading ----------------------------------------------------------------------------- */

#define SIZE (5 * MIB + 1000) /* of the pattern: each 8 bytes hold their offset, big-endian */

static bool
is_pattern(const uint8_t *buf, uint64_t at, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const uint64_t word = (at + i) & ~7ull;

		if (buf[i] != (uint8_t)(word >> (56 - 8 * ((at + i) & 7))))
			return false;
	}
	return true;
}

static void
assert_pattern(struct q2s_cursor *cursor, uint64_t at, size_t len)
{
	uint8_t *buf = malloc(len);
	const size_t inside = at + len <= SIZE ? len : at < SIZE ? SIZE - (size_t)at : 0;

	ck_assert_ptr_nonnull(buf);
	assert_ok(q2s_cursor_read(cursor, (q2s_guest){ at }, buf, len, &diag));
	ck_assert_msg(is_pattern(buf, at, inside), "%" PRIu64 "+%zu", at, len);
	ck_assert_msg(q2si_is_zero(buf + inside, len - inside), "%" PRIu64 "+%zu", at, len);
	free(buf);
}

/* Asks for extents as readers do: reading ahead depends on what they say. */
static void
learn_extents(struct q2s_cursor *cursor, uint64_t at)
{
	struct q2s_extent extent;

	if (at < SIZE)
		assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ at }, SIZE, &extent, &diag));
}

static void
read_regularly(struct q2s_cursor *cursor, size_t len, uint64_t stride)
{
	for (uint64_t at = 0; at < SIZE; at += stride) {
		learn_extents(cursor, at);
		assert_pattern(cursor, at, len);
	}
}

/* As the scan does it: a look at the start of each cluster, and now and then at the rest. */
static void
read_as_a_scan(struct q2s_cursor *cursor, uint64_t *chance)
{
	for (uint64_t at = 0; at < SIZE; at += 64 * KIB) {
		learn_extents(cursor, at);
		assert_pattern(cursor, at, 4 * KIB);
		if (unit_random(chance) % 4 == 0)
			assert_pattern(cursor, at + 4 * KIB, 60 * KIB);
	}
}

static void
read_in_all_ways(struct q2s_disk *disk)
{
	static const size_t lens[] = { 1, 511, 4 * KIB, 64 * KIB, 256 * KIB, MIB, 6 * MIB };
	struct q2s_cursor *cursor = NULL;
	uint64_t chance = 11;

	ck_assert_uint_eq(q2s_disk_size(disk), SIZE);
	assert_ok(q2s_cursor_open(disk, &cursor, &diag));
	for (size_t i = 2; i < COUNT(lens); i++) {
		read_regularly(cursor, lens[i], lens[i]);
		read_regularly(cursor, lens[i], lens[i] + 37 * KIB + 5);
	}
	read_as_a_scan(cursor, &chance);
	for (uint64_t at = SIZE; at > 100 * KIB; at -= 100 * KIB)
		assert_pattern(cursor, at - 100 * KIB, 100 * KIB);
	for (int i = 0; i < 300; i++)
		assert_pattern(cursor, unit_random(&chance) % SIZE,
			       lens[unit_random(&chance) % 5]);
	assert_pattern(cursor, SIZE - 1, 1);
	assert_pattern(cursor, SIZE - 1, 10);
	q2s_cursor_close(cursor);
}

static void
try_pattern(size_t connections, const char *const *arguments)
{
	struct q2s_disk *disk = disk_on(connections, arguments);

	read_in_all_ways(disk);
	q2s_disk_close(disk);
	wait_for_servers();
}

START_TEST(each_byte_is_where_it_belongs)
{
	try_pattern(1, SERVE("pattern", "size=5243880"));
}
END_TEST

START_TEST(a_server_without_extents_is_read)
{
	try_pattern(1, SERVE("--filter=noextents", "pattern", "size=5243880"));
}
END_TEST

START_TEST(answers_may_come_late_and_in_another_order)
{
	struct q2s_disk *disk =
		disk_on(1, SERVE("--filter=delay", "pattern", "size=5243880", "rdelay=1ms"));
	struct q2s_cursor *cursor = NULL;
	uint64_t chance = 3;

	assert_ok(q2s_cursor_open(disk, &cursor, &diag));
	read_as_a_scan(cursor, &chance);
	read_regularly(cursor, 64 * KIB, 64 * KIB);
	read_regularly(cursor, MIB, MIB);
	q2s_cursor_close(cursor);
	q2s_disk_close(disk);
	wait_for_servers();
}
END_TEST

/* The end of this disk is no multiple of 512; a server with a minimum has disks that are one. */
START_TEST(limits_of_the_server_are_kept)
{
	struct q2s_cursor *cursor = NULL;
	struct q2s_disk *disk;

	disk = disk_on(1, SERVE("--filter=blocksize-policy", "pattern", "size=5M",
				"blocksize-minimum=4096", "blocksize-preferred=4096",
				"blocksize-maximum=64K", "blocksize-error-policy=error"));
	assert_ok(q2s_cursor_open(disk, &cursor, &diag));
	for (uint64_t at = 0; at + 100001 < 5 * MIB; at += 77777) {
		learn_extents(cursor, at);
		assert_pattern(cursor, at, 100001);
	}
	for (uint64_t at = 1; at + 100 < 5 * MIB; at += 64 * KIB)
		assert_pattern(cursor, at, 100);
	assert_pattern(cursor, 5 * MIB - 3, 3);
	q2s_cursor_close(cursor);
	q2s_disk_close(disk);
	wait_for_servers();
}
END_TEST

/* ---- several cursors --------------------------------------------------------------------- */

static void *
read_in_thread(void *disk)
{
	struct q2s_cursor *cursor = NULL;

	assert_ok(q2s_cursor_open(disk, &cursor, &diag));
	read_regularly(cursor, 64 * KIB, 64 * KIB);
	read_regularly(cursor, 4 * KIB, 64 * KIB);
	q2s_cursor_close(cursor);
	return NULL;
}

static void
try_threads(size_t connections, const char *const *arguments)
{
	struct q2s_disk *disk = disk_on(connections, arguments);
	pthread_t threads[6];

	for (size_t i = 0; i < COUNT(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, read_in_thread, disk), 0);
	for (size_t i = 0; i < COUNT(threads); i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	q2s_disk_close(disk);
	wait_for_servers();
}

START_TEST(cursors_have_connections_of_their_own)
{
	try_threads(3, SERVE("pattern", "size=5243880"));
}
END_TEST

START_TEST(cursors_can_share_a_connection)
{
	try_threads(2, SERVE("--filter=multi-conn", "pattern", "size=5243880",
			     "multi-conn-mode=disable"));
	try_threads(1, SERVE("--filter=delay", "pattern", "size=5243880", "rdelay=1ms"));
}
END_TEST

/* ---- extents ----------------------------------------------------------------------------- */

START_TEST(only_what_is_said_to_be_zero_is_not_data)
{
	static const struct {
		uint64_t len;
		enum q2s_state state;
	} want[] = {
		{ 64 * KIB, Q2S_DATA }, { 64 * KIB, Q2S_ABSENT }, { 64 * KIB, Q2S_ZERO },
		{ 128 * KIB, Q2S_DATA } /* a hole that may hold anything, and data */,
		{ 704 * KIB, Q2S_ABSENT },
	};
	struct q2s_cursor *cursor = NULL;
	struct q2s_extent extent;
	struct q2s_disk *disk;
	uint64_t at = 0;

	disk = disk_on(1, SERVE("eval", "get_size=echo 1M",
				"pread=dd if=/dev/zero count=$3 iflag=count_bytes",
				"can_extents=exit 0",
				"extents=echo 0 64K; echo 64K 64K hole,zero; echo 128K 64K zero; "
				"echo 192K 64K hole; echo 256K 64K; echo 320K 704K hole,zero"));
	assert_ok(q2s_cursor_open(disk, &cursor, &diag));
	for (size_t i = 0; i < COUNT(want); i++) {
		assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ at }, UINT64_MAX, &extent, &diag));
		ck_assert_uint_eq(extent.len, want[i].len);
		ck_assert_int_eq(extent.state, want[i].state);
		at += extent.len;
	}
	assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ 64 * KIB + 5 }, 100, &extent, &diag));
	ck_assert_uint_eq(extent.len, 100);
	ck_assert_int_eq(extent.state, Q2S_ABSENT);
	q2s_cursor_close(cursor);
	q2s_disk_close(disk);
	wait_for_servers();
}
END_TEST

/* Reading is what has the last word: a server that cannot say what is there still has it. */
START_TEST(a_server_that_fails_to_say_is_read)
{
	struct q2s_cursor *cursor = NULL;
	struct q2s_extent extent;
	struct q2s_disk *disk;

	disk = disk_on(1, SERVE("--filter=error", "pattern", "size=5243880", "error-extents=EIO",
				"error-extents-rate=100%"));
	assert_ok(q2s_cursor_open(disk, &cursor, &diag));
	assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ 0 }, SIZE, &extent, &diag));
	ck_assert_int_eq(extent.state, Q2S_DATA);
	ck_assert_uint_eq(extent.len, SIZE);
	assert_pattern(cursor, 0, SIZE);
	q2s_cursor_close(cursor);
	q2s_disk_close(disk);
	wait_for_servers();
}
END_TEST

/* ---- failures ---------------------------------------------------------------------------- */

START_TEST(an_error_of_the_server_names_the_place)
{
	struct q2s_cursor *cursor = NULL;
	struct q2s_diag failure = { 0 };
	struct q2s_disk *disk;
	uint8_t buf[512];

	disk = disk_on(1, SERVE("--filter=error", "pattern", "size=5M", "error-pread=ENOSPC",
				"error-pread-rate=100%"));
	assert_ok(q2s_cursor_open(disk, &cursor, &diag));
	ck_assert_int_eq(q2s_cursor_read(cursor, (q2s_guest){ MIB }, buf, 512, &failure),
			 Q2S_E_IO);
	ck_assert_int_eq(failure.sys_errno, ENOSPC);
	ck_assert_ptr_nonnull(strstr(failure.text, "0x100000"));
	ck_assert_str_eq(failure.file, "test");
	q2s_cursor_close(cursor);
	q2s_disk_close(disk);
	wait_for_servers();
}
END_TEST

/* With requests in flight, and again when nothing can be sent any more. */
START_TEST(a_server_that_dies_is_an_error_not_a_hang)
{
	struct q2s_cursor *cursor = NULL;
	struct q2s_extent extent;
	struct q2s_disk *disk;
	uint8_t *buf = malloc(MIB);
	enum q2s_err got = Q2S_OK;
	struct q2s_diag failure = { 0 }, again = { 0 };

	disk = disk_on(1, SERVE("--filter=delay", "pattern", "size=5M", "rdelay=1ms"));
	assert_ok(q2s_cursor_open(disk, &cursor, &diag));
	assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ 0 }, MIB, &extent, &diag));
	for (uint64_t at = 0; at < MIB; at += 64 * KIB)
		assert_ok(q2s_cursor_read(cursor, (q2s_guest){ at }, buf, 64 * KIB, &diag));
	ck_assert_int_eq(kill(servers.pids[0], SIGKILL), 0);
	wait_for_servers();
	for (uint64_t at = MIB; at < 5 * MIB && got == Q2S_OK; at += 64 * KIB)
		got = q2s_cursor_read(cursor, (q2s_guest){ at }, buf, 64 * KIB, &failure);
	ck_assert_int_eq(got, Q2S_E_IO);
	ck_assert_int_eq(q2s_cursor_read(cursor, (q2s_guest){ 0 }, buf, MIB, &again), Q2S_E_IO);
	ck_assert_int_ne(again.text[0], '\0');
	q2s_cursor_close(cursor);
	q2s_disk_close(disk);
	free(buf);
}
END_TEST

START_TEST(what_is_no_nbd_server_is_refused)
{
	struct q2s_disk *disk = NULL;
	struct q2s_diag garbage = { 0 }, silent = { 0 }, none = { 0 };
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	ck_assert_int_eq(write(ends[1], "HTTP/1.1 400 Bad Request\r\n", 26), 26);
	ck_assert_int_eq(open_sockets(ends, 1, &disk, &garbage), Q2S_E_IO);
	close(ends[1]);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	close(ends[1]);
	ck_assert_int_eq(open_sockets(ends, 1, &disk, &silent), Q2S_E_IO);
	ck_assert_int_eq(open_sockets(NULL, 0, &disk, &none), Q2S_E_USAGE);
	ck_assert_ptr_null(disk);
}
END_TEST

START_TEST(the_watched_file_is_verified)
{
	char name[] = "/tmp/q2s-nbd.XXXXXX";
	const int fd = mkstemp(name);
	struct q2s_disk_nbd_options options = { .size = sizeof(options),
						.socket_count = 1, .name = "test" };
	const int socket = serve(SERVE("pattern", "size=1M"));
	struct q2s_disk *disk = NULL;
	struct q2s_store *file = NULL;
	struct q2s_diag failure = { 0 };

	ck_assert_int_eq(unlink(name), 0);
	assert_ok(q2s_store_from_fd(dup(fd), "watched", &file, &diag));
	options.sockets = &socket;
	options.watched = file;
	assert_ok(q2s_disk_nbd(&options, &disk, &diag));
	q2s_store_unref(file);
	assert_ok(q2s_disk_verify(disk, &diag));
	ck_assert_int_eq(ftruncate(fd, 5), 0);
	ck_assert_int_eq(q2s_disk_verify(disk, &failure), Q2S_E_CHANGED);
	ck_assert_str_eq(failure.file, "watched");
	q2s_disk_close(disk);
	wait_for_servers();
	close(fd);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		uris_are_told_from_names,
		each_byte_is_where_it_belongs,
		a_server_without_extents_is_read,
		answers_may_come_late_and_in_another_order,
		limits_of_the_server_are_kept,
		cursors_have_connections_of_their_own,
		cursors_can_share_a_connection,
		only_what_is_said_to_be_zero_is_not_data,
		a_server_that_fails_to_say_is_read,
		an_error_of_the_server_names_the_place,
		a_server_that_dies_is_an_error_not_a_hang,
		what_is_no_nbd_server_is_refused,
		the_watched_file_is_verified,
	};

	if (system("nbdkit --version >/dev/null 2>&1") != 0) {
		puts("skipped: needs nbdkit, which is not installed");
		return 77;
	}
	return unit_run("nbd", tests, COUNT(tests));
}

#else

START_TEST(a_build_without_libnbd_says_so)
{
	const struct q2s_disk_nbd_options options = { .size = sizeof(options),
						      .uri = "nbd://localhost" };
	struct q2s_disk *disk = NULL;
	struct q2s_diag by_uri = { 0 }, by_socket = { 0 };
	int ends[2];

	ck_assert_int_eq(q2s_disk_nbd(&options, &disk, &by_uri), Q2S_E_MISSING);
	ck_assert_str_eq(by_uri.text, "this build has no libnbd");
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	ck_assert_int_eq(open_sockets(ends, 1, &disk, &by_socket), Q2S_E_MISSING);
	/* it took the socket, and closed it */
	ck_assert_int_eq(read(ends[1], ends, 1), 0);
}
END_TEST

UNIT_MAIN("nbd", uris_are_told_from_names, a_build_without_libnbd_says_so)

#endif
