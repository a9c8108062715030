/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The attendant: what a signal does to a working tool. Each case is a child process with its
 * stderr in a file; the child waits for ever, so only the signal can end it.
 */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/progress.h"
#include "common/progress_draw.h"
#include "common/tool.h"

static char folder[] = "/tmp/q2s-progress-XXXXXX";
static char said_path[64], temp_path[64];

static void
set_up(void)
{
	memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(said_path, sizeof(said_path), "%s/said", folder);
	snprintf(temp_path, sizeof(temp_path), "%s/temp", folder);
}

static void
tear_down(void)
{
	unlink(said_path);
	unlink(temp_path);
	rmdir(folder);
}

/* In the child: start as a tool does, then report some work. */
static void
begin(enum progress_mode mode)
{
	const int said = open(said_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	const int temp = open(temp_path, O_WRONLY | O_CREAT, 0600);
	const struct q2s_observer *observer;

	if (said < 0 || temp < 0 || dup2(said, STDERR_FILENO) < 0 || !cleanup_add_path(temp_path))
		_exit(90);
	tool_begin("q2s-test");
	if (progress_start(mode, NULL) != Q2S_OK)
		_exit(91);
	observer = progress_observer();
	observer->step(observer->opaque, Q2S_PHASE_SCAN, 10, 100);
	observer->step(observer->opaque, Q2S_PHASE_SCAN, 100, 100);
	observer->step(observer->opaque, Q2S_PHASE_WRITE, 50, 200);
}

static const char *
said(void)
{
	static char buf[4096];
	FILE *const file = fopen(said_path, "r");
	const size_t len = file ? fread(buf, 1, sizeof(buf) - 1, file) : 0;

	if (file)
		fclose(file);
	buf[len] = '\0';
	return buf;
}

static void
pause_a_little(void)
{
	const struct timespec step = { .tv_nsec = 10000000 };

	nanosleep(&step, NULL);
}

/* The child's pid, once it says that it is ready. */
static pid_t
child(enum progress_mode mode, void (*also)(void))
{
	int ready[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		begin(mode);
		if (also)
			also();
		if (write(ready[1], "x", 1) != 1)
			_exit(92);
		for (;;)
			pause();
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static int
end_of(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static const int ending[] = { SIGINT, SIGTERM, SIGHUP };

START_TEST(a_signal_cleans_up_and_ends_the_tool)
{
	const pid_t pid = child(PROGRESS_QUIET, NULL);
	int status;

	ck_assert_int_eq(access(temp_path, F_OK), 0);
	ck_assert_int_eq(kill(pid, ending[_i]), 0);
	status = end_of(pid);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), ending[_i]);
	ck_assert_int_ne(access(temp_path, F_OK), 0);
	ck_assert_str_eq(said(), "");
}
END_TEST

static void
hold_the_list(void)
{
	cleanup_hold();
}

START_TEST(a_signal_waits_while_the_list_is_held)
{
	const pid_t pid = child(PROGRESS_QUIET, hold_the_list);
	int status;

	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	for (unsigned i = 0; i < 20; i++) {
		pause_a_little();
		ck_assert_int_eq(waitpid(pid, &status, WNOHANG), 0);
	}
	ck_assert_int_eq(access(temp_path, F_OK), 0);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(WTERMSIG(end_of(pid)), SIGKILL);
}
END_TEST

static void
drop_temp(void)
{
	cleanup_drop_path(temp_path);
}

START_TEST(what_was_dropped_is_kept)
{
	const pid_t pid = child(PROGRESS_QUIET, drop_temp);

	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	ck_assert(WIFSIGNALED(end_of(pid)));
	ck_assert_int_eq(access(temp_path, F_OK), 0);
}
END_TEST

/* A helper that only SIGKILL ends, so that the harder way is tried too. */
static void
add_stubborn_helper(void)
{
	char line[32];
	const pid_t pid = fork();

	if (pid == 0) {
		signal(SIGTERM, SIG_IGN);
		for (;;)
			pause();
	}
	snprintf(line, sizeof(line), "helper %d\n", (int)pid);
	if (pid < 0 || !cleanup_add_pid(pid) || write(STDERR_FILENO, line, strlen(line)) < 0)
		_exit(93);
}

START_TEST(helpers_do_not_outlive_the_tool)
{
	const pid_t pid = child(PROGRESS_QUIET, add_stubborn_helper);
	int helper;

	ck_assert_int_eq(sscanf(said(), "helper %d", &helper), 1);
	ck_assert_int_eq(kill(helper, 0), 0);
	ck_assert_int_eq(kill(pid, SIGINT), 0);
	ck_assert(WIFSIGNALED(end_of(pid)));
	ck_assert_int_ne(kill(helper, 0), 0);
}
END_TEST

START_TEST(one_line_at_sigusr1)
{
	const pid_t pid = child(PROGRESS_QUIET, NULL);

	ck_assert_int_eq(kill(pid, SIGUSR1), 0);
	while (!strchr(said(), '\n'))
		pause_a_little();
	ck_assert_ptr_nonnull(strstr(said(), "q2s-test: write: 25% (50 B of 200 B)"));
	kill(pid, SIGKILL);
	end_of(pid);
}
END_TEST

static void
stop_and_leave(void)
{
	progress_stop();
	raise(SIGUSR1); /* too late, and harmless */
	_exit(access(temp_path, F_OK) == 0 ? 0 : 94);
}

static void
run_to_the_end(enum progress_mode mode)
{
	const pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		begin(mode);
		progress_observer()->step(NULL, Q2S_PHASE_WRITE, 200, 200);
		stop_and_leave();
	}
	status = end_of(pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}

START_TEST(lines_of_json_tell_phases_and_the_end)
{
	const char *at;

	run_to_the_end(PROGRESS_JSON);
	at = strstr(said(), "{\"phase\": \"scan\", \"done\": 10, \"total\": 100, \"rate\": ");
	ck_assert_ptr_nonnull(at);
	at = strstr(at, "{\"phase\": \"scan\", \"done\": 100, \"total\": 100, ");
	ck_assert_ptr_nonnull(at);
	at = strstr(at, "{\"phase\": \"write\", \"done\": 50, \"total\": 200, ");
	ck_assert_ptr_nonnull(at);
	at = strstr(at, "{\"phase\": \"write\", \"done\": 200, \"total\": 200, ");
	ck_assert_ptr_nonnull(at);
	ck_assert_ptr_nonnull(strstr(at, "\"final\": true}\n"));
}
END_TEST

START_TEST(a_bar_ends_its_line)
{
	const char *text;

	run_to_the_end(PROGRESS_BAR);
	text = said();
	ck_assert_ptr_nonnull(strstr(text, "] scan: 100% (100 B of 100 B)"));
	ck_assert_ptr_nonnull(strstr(text, "] write: 100% (200 B of 200 B)"));
	ck_assert_int_eq(text[strlen(text) - 1], '\n');
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
}
END_TEST

START_TEST(quiet_and_no_terminal_say_nothing)
{
	run_to_the_end(PROGRESS_QUIET);
	run_to_the_end(PROGRESS_AUTO);
	ck_assert_str_eq(said(), "");
}
END_TEST

static void
ignore_hangup(void)
{
	kill(getpid(), SIGHUP);
}

START_TEST(nohup_is_respected)
{
	pid_t pid;

	signal(SIGHUP, SIG_IGN);
	pid = child(PROGRESS_QUIET, ignore_hangup);
	ck_assert_int_eq(kill(pid, SIGHUP), 0);
	ck_assert_int_eq(kill(pid, SIGUSR1), 0);
	while (!strchr(said(), '\n'))
		pause_a_little();
	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	ck_assert_int_eq(WTERMSIG(end_of(pid)), SIGTERM);
}
END_TEST

START_TEST(bars_fit_their_columns)
{
	const struct progress_state half = { Q2S_PHASE_WRITE, 1 << 20, 2 << 20, 1 };
	const struct progress_state open = { Q2S_PHASE_SCAN, 1 << 20, 0, 0 };
	char buf[256];

	ck_assert_str_eq(progress_bar(&half, 70, buf, sizeof(buf)),
			 "[###############...............] write: 50% (1 MiB of 2 MiB), 1 MiB/s");
	for (unsigned columns = 1; columns < 300; columns++) {
		ck_assert_uint_lt(strlen(progress_bar(&half, columns, buf, sizeof(buf))), columns);
		ck_assert_uint_lt(strlen(progress_bar(&open, columns, buf, sizeof(buf))), columns);
	}
	ck_assert_str_eq(progress_line(&open, buf, sizeof(buf)), "scan: 1 MiB");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("progress");
	TCase *tcase = tcase_create("progress");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_loop_test(tcase, a_signal_cleans_up_and_ends_the_tool, 0, 3);
	tcase_add_test(tcase, a_signal_waits_while_the_list_is_held);
	tcase_add_test(tcase, what_was_dropped_is_kept);
	tcase_add_test(tcase, helpers_do_not_outlive_the_tool);
	tcase_add_test(tcase, one_line_at_sigusr1);
	tcase_add_test(tcase, lines_of_json_tell_phases_and_the_end);
	tcase_add_test(tcase, a_bar_ends_its_line);
	tcase_add_test(tcase, quiet_and_no_terminal_say_nothing);
	tcase_add_test(tcase, nohup_is_respected);
	tcase_add_test(tcase, bars_fit_their_columns);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
