/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting a command, and waiting for its end. */
#include "corpus/command.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/fault.h"

extern char **environ;

/* With no signal blocked, as those of this process are that one thread waits for. */
static int
start(char *const *argv, const char *folder, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int err = posix_spawnattr_init(&attributes);

	if (err != 0)
		return err;
	err = posix_spawn_file_actions_init(&actions);
	if (err == 0) {
		sigemptyset(&none);
		err = posix_spawnattr_setsigmask(&attributes, &none);
		if (err == 0)
			err = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
		if (err == 0)
			err = posix_spawn_file_actions_addchdir_np(&actions, folder);
		if (err == 0)
			err = posix_spawnp(pid, argv[0], &actions, &attributes, argv, environ);
		posix_spawn_file_actions_destroy(&actions);
	}
	posix_spawnattr_destroy(&attributes);
	return err;
}

/* How it ended. It stays a zombie, so that its number cannot become that of another process. */
static int
wait_for(pid_t pid, siginfo_t *info)
{
	int got;

	do {
		got = waitid(P_PID, (id_t)pid, info, WEXITED | WNOWAIT);
	} while (got != 0 && errno == EINTR);
	return got;
}

enum q2s_err
command_run(char *const *argv, const char *folder, struct q2s_diag *diag)
{
	siginfo_t info = { 0 };
	bool known = false;
	pid_t pid;
	int err;

	cleanup_hold(); /* a signal ends us either before the start or together with the process */
	err = start(argv, folder, &pid);
	if (err == 0)
		known = cleanup_add_pid(pid);
	cleanup_release();
	if (err != 0)
		return fault(diag, Q2S_E_MISSING, "command", "'%s' cannot be run: %s", argv[0],
			     strerror(err));
	if (!known) {
		cleanup_end_pid(pid);
		return fault_nomem(diag, "command");
	}
	if (wait_for(pid, &info) != 0)
		return fault_errno(diag, "command", "waiting for it failed");
	cleanup_drop_pid(pid);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (info.si_code != CLD_EXITED || info.si_status != 0)
		return fault(diag, Q2S_E_IO, "command", "'%s' failed", argv[0]);
	return Q2S_OK;
}
