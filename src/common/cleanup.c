/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must not outlive the tool: a list, newest first, because later things may depend on it. */
#include "common/cleanup.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define WAIT_STEP_MS 20
#define WAIT_STEPS 150 /* three seconds until SIGKILL */

/* A path, of a file or of a folder with all that is in it, or without one a process. */
struct entry {
	struct entry *next;
	char *path;
	bool whole_folder;
	pid_t pid;
};

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static struct entry *newest;

static void
free_entry(struct entry *entry)
{
	free(entry->path);
	free(entry);
}

static bool
add(const char *path, bool whole_folder, pid_t pid)
{
	struct entry *const entry = malloc(sizeof(*entry));

	if (!entry)
		return false;
	*entry = (struct entry){
		.path = path ? strdup(path) : NULL, .whole_folder = whole_folder, .pid = pid
	};
	if (path && !entry->path) {
		free(entry);
		return false;
	}
	pthread_mutex_lock(&lock);
	entry->next = newest;
	newest = entry;
	pthread_mutex_unlock(&lock);
	return true;
}

static bool
is_same(const struct entry *entry, const char *path, pid_t pid)
{
	if (path)
		return entry->path && strcmp(entry->path, path) == 0;
	return !entry->path && entry->pid == pid;
}

static void
drop(const char *path, pid_t pid)
{
	struct entry **link = &newest;

	pthread_mutex_lock(&lock);
	while (*link && !is_same(*link, path, pid))
		link = &(*link)->next;
	if (*link) {
		struct entry *const found = *link;

		*link = found->next;
		free_entry(found);
	}
	pthread_mutex_unlock(&lock);
}

bool
cleanup_add_path(const char *path)
{
	return add(path, false, 0);
}

bool
cleanup_add_folder(const char *path)
{
	return add(path, true, 0);
}

void
cleanup_drop_path(const char *path)
{
	if (path)
		drop(path, 0);
}

bool
cleanup_add_pid(pid_t pid)
{
	return add(NULL, false, pid);
}

void
cleanup_drop_pid(pid_t pid)
{
	drop(NULL, pid);
}

/* What is gone already, or cannot be removed, is no reason to leave the rest. */
static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	(void)remove(path);
	return 0;
}

static void
end_process(pid_t pid)
{
	const struct timespec step = { .tv_nsec = WAIT_STEP_MS * 1000000L };

	if (kill(pid, SIGTERM) != 0)
		return;
	for (unsigned i = 0; i < WAIT_STEPS; i++) {
		const pid_t got = waitpid(pid, NULL, WNOHANG);

		if (got == pid || (got < 0 && errno != EINTR))
			return;
		nanosleep(&step, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

void
cleanup_end_pid(pid_t pid)
{
	/* dropped first: once it is waited for, its number may be another process's */
	cleanup_drop_pid(pid);
	end_process(pid);
}

void
cleanup_hold(void)
{
	pthread_mutex_lock(&lock);
}

void
cleanup_release(void)
{
	pthread_mutex_unlock(&lock);
}

void
cleanup_run(void)
{
	pthread_mutex_lock(&lock);
	while (newest) {
		struct entry *const entry = newest;

		newest = entry->next;
		if (entry->path && entry->whole_folder)
			(void)nftw(entry->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
		else if (entry->path)
			remove(entry->path); /* nothing is left to do when it is gone already */
		else
			end_process(entry->pid);
		free_entry(entry);
	}
	pthread_mutex_unlock(&lock);
}
