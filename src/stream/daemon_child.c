/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From our own process to qemu-storage-daemon. */
#include "stream/daemon_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stream/daemon.h"

/* The daemon's descriptors. DAEMON_IMAGE and the options below name them. */
enum {
	FD_LISTENER = 3,
	FD_IMAGE = 4,
	FD_KEY = 5,
	FD_FREE, /* the first that is none of them */
};

#define NBD_SERVER "{\"addr\":{\"type\":\"fd\",\"str\":\"3\"}}"
#define NBD_EXPORT                                                                                \
	"{\"type\":\"nbd\",\"id\":\"export\",\"node-name\":\"" DAEMON_NODE "\",\"name\":\"\"}"

#define NBD_SECRET "secret,id=" DAEMON_SECRET ",file=/proc/self/fd/5"

static _Noreturn void
give_up(int status)
{
	const int error = errno;

	/* the parent notices either the number or the end of the pipe without exec */
	(void)!write(status, &error, sizeof(error));
	_exit(127);
}

/* Whatever the user's shell or our own work changed about signals is not the daemon's. */
static void
reset_signals(void)
{
	sigset_t none;

	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGXFSZ, SIG_DFL);
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGTERM, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * End with the parent, even if SIGKILL ends it: the daemon only reads, so nothing is lost. The
 * parent may have ended already. Its terminal's signals are for the parent, who ends us in order.
 */
static void
tie_to(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(127);
	(void)setpgid(0, 0);
}

/* Out of the way of the low numbers, which are about to be given new meanings. */
static int
lift(int fd, int status)
{
	const int lifted = fcntl(fd, F_DUPFD_CLOEXEC, FD_FREE);

	if (lifted < 0)
		give_up(status);
	return lifted;
}

static void
place(int fd, int number, int status)
{
	if (dup2(fd, number) < 0)
		give_up(status);
}

static void
arrange(const struct daemon_child *child, int status)
{
	const int log = lift(child->log, status);
	const int listener = lift(child->listener, status);
	const int image = lift(child->image, status);
	const int key = child->key < 0 ? -1 : lift(child->key, status);
	const int null = lift(open("/dev/null", O_RDWR | O_CLOEXEC), status);

	place(null, STDIN_FILENO, status);
	place(null, STDOUT_FILENO, status);
	place(log, STDERR_FILENO, status);
	place(listener, FD_LISTENER, status);
	place(image, FD_IMAGE, status);
	if (key >= 0)
		place(key, FD_KEY, status);
#ifdef SYS_close_range
	/* ours close on exec anyway; a pipe inherited from the user's shell should not stay open */
	(void)syscall(SYS_close_range, (unsigned)FD_FREE, ~0u, 1u << 2 /* CLOSE_RANGE_CLOEXEC */);
#endif
}

_Noreturn void daemon_child_run(const struct daemon_child *child)
{
	const char *const argv[] = {
		DAEMON_PROGRAM,  "--object",     NBD_SECRET, "--blockdev", child->blockdev,
		"--nbd-server", NBD_SERVER,     "--export", NBD_EXPORT,   NULL,
	};

	const char *const without_key[] = {
		DAEMON_PROGRAM, "--blockdev",   child->blockdev, "--nbd-server", NBD_SERVER,
		"--export",     NBD_EXPORT,     NULL,
	};

	tie_to(child->parent);
	reset_signals();

	const int status = lift(child->status, child->status);

	arrange(child, status);
	execvp(DAEMON_PROGRAM, (char *const *)(uintptr_t)(child->key < 0 ? without_key : argv));
	give_up(status);
}
