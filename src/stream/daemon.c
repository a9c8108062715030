/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A qemu-storage-daemon of our own. */
#include "stream/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fault.h"
#include "stream/daemon_child.h"
#include "stream/rendezvous.h"

/* What is kept of the daemon's messages; the one that matters is the last. */
#define LOG_MAX 65536

struct daemon {
	pid_t pid; /* 0: not running */
	int log;   /* a file in memory that takes its stderr: it never waits for a reader */
	char *blockdev;
};

static enum q2s_err
failed(struct q2s_diag *diag, const char *doing)
{
	return fault_errno(diag, DAEMON_PROGRAM, "%s", doing);
}

static enum q2s_err
cannot_run(int error, struct q2s_diag *diag)
{
	if (error == ENOENT)
		return fault(diag, Q2S_E_MISSING, DAEMON_PROGRAM,
			     "this program reads the format, and it is not installed "
			     "(on Debian it is in the package qemu-utils)");
	errno = error;
	return failed(diag, "cannot be run");
}

/* Whether exec worked: the pipe closes with it, or else brings the reason. */
static int
exec_error(int pipe)
{
	int error = 0;
	ssize_t n;

	do {
		n = read(pipe, &error, sizeof(error));
	} while (n < 0 && errno == EINTR);
	return n == sizeof(error) ? error : 0;
}

/* Fork and exec. @listener: the daemon's alone from now on. */
static enum q2s_err
run(struct daemon *daemon, int image, int key, int listener, struct q2s_diag *diag)
{
	struct daemon_child child = {
		.blockdev = daemon->blockdev,
		.parent = getpid(),
		.log = daemon->log,
		.listener = listener,
		.image = image,
		.key = key,
	};
	int status[2], error;

	if (pipe2(status, O_CLOEXEC) != 0)
		return failed(diag, "cannot be started");
	child.status = status[1];
	daemon->pid = fork();
	if (daemon->pid == 0)
		daemon_child_run(&child);
	error = daemon->pid < 0 ? errno : 0;
	close(status[1]);
	if (daemon->pid > 0) {
		(void)cleanup_add_pid(daemon->pid);
		error = exec_error(status[0]);
	}
	close(status[0]);
	if (error == 0)
		return Q2S_OK;
	daemon_end(daemon);
	return cannot_run(error, diag);
}

static enum q2s_err
make(struct daemon *daemon, const char *blockdev, struct q2s_diag *diag)
{
	daemon->blockdev = strdup(blockdev);
	if (!daemon->blockdev)
		return fault_nomem(diag, DAEMON_PROGRAM);
	daemon->log = memfd_create("q2s-daemon-log", MFD_CLOEXEC);
	return daemon->log >= 0 ? Q2S_OK : failed(diag, "its messages cannot be kept");
}

enum q2s_err
daemon_start(const char *blockdev, int image, int key, size_t count, int *sockets,
	     struct daemon **out, struct q2s_diag *diag)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));
	enum q2s_err err;
	int listener;

	if (!daemon)
		return fault_nomem(diag, DAEMON_PROGRAM);
	daemon->log = -1;
	err = make(daemon, blockdev, diag);
	if (err == Q2S_OK)
		err = rendezvous_make(count, &listener, sockets, diag);
	if (err == Q2S_OK) {
		err = run(daemon, image, key, listener, diag);
		close(listener);
		for (size_t i = 0; i < count && err != Q2S_OK; i++)
			close(sockets[i]);
	}
	if (err != Q2S_OK) {
		daemon_free(daemon);
		return err;
	}
	*out = daemon;
	return Q2S_OK;
}

pid_t
daemon_pid(const struct daemon *daemon)
{
	return daemon->pid;
}

void
daemon_end(struct daemon *daemon)
{
	if (daemon->pid > 0)
		cleanup_end_pid(daemon->pid);
	daemon->pid = 0; /* it may be -1 */
}

void
daemon_free(struct daemon *daemon)
{
	if (!daemon)
		return;
	daemon_end(daemon);
	if (daemon->log >= 0)
		close(daemon->log);
	free(daemon->blockdev);
	free(daemon);
}

/* ---- what it said -------------------------------------------------------------------------- */

/* All that it printed, as a string to free. */
static char *
read_log(const struct daemon *daemon)
{
	char *const text = calloc(1, LOG_MAX + 1);

	if (text && pread(daemon->log, text, LOG_MAX, 0) < 0)
		text[0] = '\0';
	return text;
}

/* The last line that is an error, ended by '\0'; NULL when there is none. */
static char *
last_error(char *text)
{
	static const char lead[] = DAEMON_PROGRAM ": ";
	char *found = NULL, *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		/* it may be named by a path; a second line of one message is only a hint */
		char *const at = strstr(line, lead);

		if (at && strncmp(at + strlen(lead), "warning: ", 9) != 0)
			found = at + strlen(lead);
	}
	return found;
}

/* Behind "--blockdev JSON: ", which is long and which the user did not write. */
static const char *
behind_option(const char *message, const char *blockdev)
{
	static const char option[] = "--blockdev ";
	const size_t skip = strlen(option), len = strlen(blockdev);

	if (strncmp(message, option, skip) == 0 && strncmp(message + skip, blockdev, len) == 0 &&
	    strncmp(message + skip + len, ": ", 2) == 0)
		return message + skip + len + 2;
	return message;
}

/* The descriptor's name says nothing to the user. */
static char *
with_image_named(const char *message)
{
	static const char name[] = "'" DAEMON_IMAGE "'";
	const char *const at = strstr(message, name);
	char *out;

	if (!at)
		return strdup(message);
	if (asprintf(&out, "%.*sthe image%s", (int)(at - message), message, at + strlen(name)) < 0)
		return NULL;
	return out;
}

/* Its own hint is on another line, and names the descriptor. Frees @message. */
static char *
with_hint(char *message, const char *hint)
{
	char *out;

	if (asprintf(&out, "%s%s", message, hint) < 0)
		return message;
	free(message);
	return out;
}

char *
daemon_reason(const struct daemon *daemon)
{
	char *const text = read_log(daemon);
	char *const message = text ? last_error(text) : NULL;
	char *out = message ? with_image_named(behind_option(message, daemon->blockdev)) : NULL;

	if (out && strstr(out, "log that needs to be replayed"))
		out = with_hint(out, "; it was not closed by its last writer: `qemu-img check -r all` "
				     "of it, or of a copy, replays the log");
	free(text);
	return out;
}
