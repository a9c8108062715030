/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run a program once and print what it took, on one line:
 *
 *	measure [-p] [-t SECONDS] PROGRAM [ARGUMENT...]
 *
 *	wall seconds, processor seconds, peak memory in KiB
 *
 * Its output goes to /dev/null, or with -p through a pipe to `cat >/dev/null`; the wall time is
 * then that of both, and the rest the program's alone. Programs that it waited for count as well.
 * With -t it is ended after SECONDS, and this exits with 124 after it printed the line; with 1 when
 * the program failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t late;
static pid_t program;

static void
end_it(int signal_number)
{
	(void)signal_number;
	late = 1;
	(void)kill(program, SIGKILL);
}

static void
die(const char *what)
{
	perror(what);
	exit(2);
}

static double
now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
seconds(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

/* A child with these descriptors as its input and output; all others are closed by exec. */
static pid_t
start(char *const *argv, int in, int out)
{
	const pid_t child = fork();

	if (child != 0)
		return child;
	if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0)
		(void)execvp(argv[0], argv);
	perror(argv[0]);
	_exit(127);
}

static int
wait_for(pid_t child, struct rusage *usage)
{
	int status;

	while (wait4(child, &status, 0, usage) < 0)
		if (errno != EINTR)
			die("wait4");
	return status;
}

static int
measure(char *const *argv, bool pipes, unsigned limit)
{
	static char cat[] = "cat";
	char *const reader_argv[] = { cat, NULL };
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct rusage usage, ignored;
	pid_t reader = 0;
	int ends[2];
	int status;

	if (null < 0 || pipe2(ends, O_CLOEXEC) < 0)
		die("pipe");
	const double begin = now();

	if (pipes)
		reader = start(reader_argv, ends[0], null);
	program = start(argv, null, pipes ? ends[1] : null);
	if (program < 0 || reader < 0)
		die("fork");
	(void)close(ends[0]);
	(void)close(ends[1]);
	(void)alarm(limit);
	status = wait_for(program, &usage);
	(void)alarm(0);
	if (pipes)
		(void)wait_for(reader, &ignored);
	(void)printf("%.4f %.4f %ld\n", now() - begin,
		     seconds(&usage.ru_utime) + seconds(&usage.ru_stime), usage.ru_maxrss);
	if (late)
		return 124;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	bool pipes = false;
	unsigned limit = 0;
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "-p") == 0)
			pipes = true;
		else if (strcmp(argv[i], "-t") == 0 && i + 1 < argc)
			limit = (unsigned)strtoul(argv[++i], NULL, 10);
		else
			break;
	}
	if (i >= argc || signal(SIGALRM, end_it) == SIG_ERR) {
		(void)fputs("usage: measure [-p] [-t SECONDS] PROGRAM [ARGUMENT...]\n", stderr);
		return 2;
	}
	return measure(argv + i, pipes, limit);
}
