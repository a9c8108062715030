/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sinks on a name: complete under it or not there at all, and what was there stays until then. */
#include "faulty.h"
#include "sinks.h"

#include "base/zero.h"

static struct q2s_sink *
open_sink(const char *path, unsigned flags)
{
	struct q2s_sink *sink = NULL;

	assert_ok(q2s_sink_open(path, flags, 3, &sink, &diag));
	return sink;
}

static void
assert_content(const char *path, const char *want)
{
	char got[100];
	const size_t len = get_file(path, got, sizeof(got));

	ck_assert_uint_eq(len, strlen(want));
	ck_assert_mem_eq(got, want, len);
}

static mode_t
mode_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(lstat(path, &st), 0);
	return st.st_mode;
}

static void
write_and_commit(const char *path, unsigned flags)
{
	struct q2s_sink *sink = open_sink(path, flags);

	assert_ok(q2s_sink_write(sink, "new", 3, &diag));
	assert_ok(q2s_sink_commit(sink, &diag));
	assert_content(path, "new");
}

static void
write_and_abort(const char *path, unsigned flags)
{
	struct q2s_sink *sink = open_sink(path, flags);

	assert_ok(q2s_sink_write(sink, "new", 3, &diag));
	q2s_sink_abort(sink);
}

static void
assert_sink_refused(const char *path, unsigned flags, enum q2s_err want, int sys_errno)
{
	struct q2s_sink *sink = NULL;
	struct q2s_diag why = { 0 };

	ck_assert_int_eq(q2s_sink_open(path, flags, 3, &sink, &why), want);
	ck_assert_int_eq(why.sys_errno, sys_errno);
	ck_assert_str_eq(why.file, path);
	ck_assert_ptr_null(sink);
}

/* The ways in which a file system may come short; each test below holds in all of them. */
static const struct {
	int tmpfile, noreplace;
} systems[] = { { 0, 0 }, { EOPNOTSUPP, 0 }, { EOPNOTSUPP, EINVAL }, { EISDIR, 0 }, { 0, EINVAL } };

static void
choose_system(int index)
{
	faulty.tmpfile = systems[index].tmpfile;
	faulty.noreplace = systems[index].noreplace;
}

START_TEST(a_new_file_appears_complete)
{
	choose_system(_i);
	umask(027);

	struct q2s_sink *sink = open_sink(path_of("new"), 0);

	assert_ok(q2s_sink_write(sink, "ne", 2, &diag));
	ck_assert(!file_exists(path_of("new")));
	ck_assert_int_eq(q2s_sink_temp_path(sink) != NULL, faulty.tmpfile != 0);
	ck_assert_int_eq(count_names(), faulty.tmpfile != 0);
	if (q2s_sink_temp_path(sink))
		ck_assert(file_exists(q2s_sink_temp_path(sink)));
	assert_ok(q2s_sink_write(sink, "w", 1, &diag));
	assert_ok(q2s_sink_commit(sink, &diag));
	assert_content(path_of("new"), "new");
	ck_assert_uint_eq(mode_of(path_of("new")), S_IFREG | 0640);
	ck_assert_uint_eq(count_names(), 1);
}
END_TEST

START_TEST(an_abort_leaves_nothing)
{
	choose_system(_i);
	write_and_abort(path_of("new"), 0);
	ck_assert_uint_eq(count_names(), 0);
	put_file(path_of("old"), "old", 3);
	write_and_abort(path_of("old"), Q2S_SINK_REPLACE);
	assert_content(path_of("old"), "old");
	ck_assert_uint_eq(count_names(), 1);
}
END_TEST

START_TEST(replacing_keeps_rights_and_takes_the_name_last)
{
	choose_system(_i);
	put_file(path_of("old"), "older", 5);
	ck_assert_int_eq(chmod(path_of("old"), 0604), 0);

	struct q2s_sink *sink = open_sink(path_of("old"), Q2S_SINK_REPLACE);

	assert_ok(q2s_sink_write(sink, "new", 3, &diag));
	assert_content(path_of("old"), "older");
	assert_ok(q2s_sink_commit(sink, &diag));
	assert_content(path_of("old"), "new");
	ck_assert_uint_eq(mode_of(path_of("old")), S_IFREG | 0604);
	ck_assert_uint_eq(count_names(), 1);
}
END_TEST

START_TEST(what_exists_is_kept_without_leave)
{
	choose_system(_i);
	put_file(path_of("old"), "old", 3);
	assert_sink_refused(path_of("old"), 0, Q2S_E_EXISTS, 0);
	assert_content(path_of("old"), "old");
	ck_assert_uint_eq(count_names(), 1);
}
END_TEST

/* Leave to replace what was seen is no leave to replace what came since. */
START_TEST(what_appears_meanwhile_is_kept)
{
	struct q2s_diag why = { 0 };

	choose_system(_i);
	for (unsigned flags = 0; flags <= Q2S_SINK_REPLACE; flags++) {
		struct q2s_sink *sink = open_sink(path_of("new"), flags);

		put_file(path_of("new"), "theirs", 6);
		assert_ok(q2s_sink_write(sink, "new", 3, &diag));
		ck_assert_int_eq(q2s_sink_commit(sink, flags ? NULL : &why), Q2S_E_EXISTS);
		assert_content(path_of("new"), "theirs");
		ck_assert_uint_eq(count_names(), 1);
		ck_assert_int_eq(remove(path_of("new")), 0);
	}
	ck_assert_str_eq(why.file, path_of("new"));
}
END_TEST

START_TEST(a_symbolic_link_stays_one)
{
	struct stat st;

	choose_system(_i);
	ck_assert_int_eq(mkdir(path_of("elsewhere"), 0777), 0);
	put_file(path_of("elsewhere/target"), "old", 3);
	ck_assert_int_eq(symlink("elsewhere/target", path_of("link")), 0);
	assert_sink_refused(path_of("link"), 0, Q2S_E_EXISTS, 0);
	write_and_commit(path_of("link"), Q2S_SINK_REPLACE);
	ck_assert_int_eq(lstat(path_of("link"), &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
	assert_content(path_of("elsewhere/target"), "new");
	write_and_abort(path_of("link"), Q2S_SINK_REPLACE);
	ck_assert_uint_eq(count_names(), 2);
}
END_TEST

/* A link to what is not there yet names the place where it is to be. */
START_TEST(a_link_to_nothing_names_the_new_file)
{
	struct stat st;

	choose_system(_i);
	ck_assert_int_eq(symlink("newcomer", path_of("first")), 0);
	ck_assert_int_eq(symlink("first", path_of("second")), 0);
	write_and_commit(path_of("second"), 0);
	ck_assert_int_eq(lstat(path_of("newcomer"), &st), 0);
	ck_assert(S_ISREG(st.st_mode));
	ck_assert_int_eq(lstat(path_of("first"), &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
}
END_TEST

/* Found out before the work, not after it. */
START_TEST(an_impossible_name_is_refused_at_once)
{
	char longer[400];

	choose_system(_i);
	ck_assert_int_eq(symlink("nowhere/file", path_of("dangling")), 0);
	ck_assert_int_eq(symlink("loop", path_of("loop")), 0);
	put_file(path_of("plain"), "", 0);
	ck_assert_int_lt(snprintf(longer, sizeof(longer), "%s/%0256d", files_folder, 0), 400);
	for (unsigned flags = 0; flags <= Q2S_SINK_REPLACE; flags++) {
		assert_sink_refused(path_of("dangling"), flags, Q2S_E_IO, ENOENT);
		assert_sink_refused(path_of("loop"), flags, Q2S_E_IO, ELOOP);
		assert_sink_refused(path_of("plain/"), flags, Q2S_E_IO, ENOTDIR);
		assert_sink_refused(path_of("plain/x"), flags, Q2S_E_IO, ENOTDIR);
		assert_sink_refused(path_of("new/"), flags, Q2S_E_IO, EISDIR);
		assert_sink_refused(path_of("no/folder"), flags, Q2S_E_IO, ENOENT);
		assert_sink_refused("", flags, Q2S_E_IO, ENOENT);
		assert_sink_refused(files_folder, flags, Q2S_E_IO, EISDIR);
		assert_sink_refused(longer, flags, Q2S_E_IO, ENAMETOOLONG);
	}
	ck_assert_uint_eq(count_names(), 3);
}
END_TEST

START_TEST(the_longest_name_can_be_used)
{
	char name[300];

	choose_system(_i);
	snprintf(name, sizeof(name), "%0255d", 0);
	write_and_commit(path_of(name), 0);
	write_and_commit(path_of(name), Q2S_SINK_REPLACE | Q2S_SINK_SYNC);
	ck_assert_uint_eq(count_names(), 1);
}
END_TEST

START_TEST(a_plain_name_is_in_this_folder)
{
	choose_system(_i);
	ck_assert_int_eq(chdir(files_folder), 0);
	write_and_commit("plain", 0);
	write_and_commit("plain", Q2S_SINK_REPLACE);
	assert_content(path_of("plain"), "new");
	ck_assert_uint_eq(count_names(), 1);
	ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

/* What another process that ended badly may have left behind is not touched. */
START_TEST(a_foreign_temporary_file_is_kept)
{
	char taken[64];

	choose_system(_i);
	snprintf(taken, sizeof(taken), ".old.%ld-0.q2s", (long)getpid());
	put_file(path_of(taken), "foreign", 7);
	put_file(path_of("old"), "old", 3);
	write_and_commit(path_of("old"), Q2S_SINK_REPLACE);
	assert_content(path_of(taken), "foreign");
	ck_assert_uint_eq(count_names(), 2);
}
END_TEST

START_TEST(every_byte_and_every_hole_arrive)
{
	choose_system(_i);
	for (uint64_t seed = 1; seed < 5; seed++) {
		struct sink_model model = { .bytes = malloc(SINK_ROOM) };
		uint8_t *got = malloc(SINK_ROOM);
		struct q2s_sink *sink = open_sink(path_of("image"), Q2S_SINK_REPLACE);

		sink_drive(sink, &model, seed);
		assert_ok(q2s_sink_zero(sink, seed % 2 * 5000, &diag));
		memset(model.bytes + model.len, 0, 5000);
		model.len += seed % 2 * 5000;
		assert_ok(q2s_sink_commit(sink, &diag));
		sink_assert_same(got, get_file(path_of("image"), got, SINK_ROOM), &model);
		free(got);
		free(model.bytes);
	}
}
END_TEST

/* Zeros, written with these flags, in the middle of other bytes. Returns the blocks of the file. */
static uint64_t
blocks_of_zeros(unsigned flags, size_t len)
{
	char *const got = malloc(len + 2);
	struct q2s_sink *sink = open_sink(path_of("image"), flags | Q2S_SINK_REPLACE);
	struct stat st;

	ck_assert_ptr_nonnull(got);
	assert_ok(q2s_sink_write(sink, "a", 1, &diag));
	assert_ok(q2s_sink_zero(sink, len, &diag));
	assert_ok(q2s_sink_write(sink, "b", 1, &diag));
	ck_assert_int_eq(fstat(q2s_sink_fd(sink), &st), 0);
	assert_ok(q2s_sink_commit(sink, &diag));
	ck_assert_uint_eq(get_file(path_of("image"), got, len + 2), len + 2);
	ck_assert(got[0] == 'a' && got[len + 1] == 'b');
	ck_assert(q2si_is_zero(got + 1, len));
	free(got);
	return (uint64_t)st.st_blocks;
}

START_TEST(zeros_get_space_when_asked_for)
{
	const size_t len = 1 << 20;

	choose_system(_i);
	ck_assert_uint_ge(blocks_of_zeros(Q2S_SINK_ALLOCATE, len), len / 512);
	ck_assert_uint_ge(blocks_of_zeros(Q2S_SINK_FULL, len), len / 512);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
		a_new_file_appears_complete,
		an_abort_leaves_nothing,
		replacing_keeps_rights_and_takes_the_name_last,
		what_exists_is_kept_without_leave,
		what_appears_meanwhile_is_kept,
		a_symbolic_link_stays_one,
		a_link_to_nothing_names_the_new_file,
		an_impossible_name_is_refused_at_once,
		the_longest_name_can_be_used,
		a_plain_name_is_in_this_folder,
		a_foreign_temporary_file_is_kept,
		every_byte_and_every_hole_arrive,
		zeros_get_space_when_asked_for,
	};
	TCase *tcase = tcase_create("sink_path");

	tcase_add_checked_fixture(tcase, files_setup, files_teardown);
	for (size_t i = 0; i < COUNT(tests); i++)
		tcase_add_loop_test(tcase, tests[i], 0, COUNT(systems));
	return unit_run_case("sink_path", tcase, NULL, 0);
}
