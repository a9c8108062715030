/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One step at a time, so that a folder cannot turn into a symbolic link under our feet. */
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#ifndef O_PATH
#define O_PATH O_RDONLY
#endif
#ifndef O_NOATIME
#define O_NOATIME 0
#endif

/* Is it a kind that may be opened? Sets errno when not. */
static bool
kind_is_fine(const struct stat *st, bool devices)
{
	if (S_ISREG(st->st_mode) || (devices && S_ISBLK(st->st_mode)))
		return true;
	if (S_ISLNK(st->st_mode))
		errno = ELOOP;
	else
		errno = S_ISBLK(st->st_mode) ? ENODEV : ENXIO;
	return false;
}

/* Only the owner may ask that the access time stays. */
static int
open_quietly(int folder, const char *name, int flags)
{
	const int fd = openat(folder, name, flags | O_NOATIME);

	if (fd >= 0 || errno != EPERM)
		return fd;
	return openat(folder, name, flags);
}

static int
open_last(int folder, const char *name, bool no_links, bool devices)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (no_links ? O_NOFOLLOW : 0);
	Q2SI_AUTO_CLOSE int fd = -1;
	struct stat before, after;
	int opened;

	if (fstatat(folder, name, &before, no_links ? AT_SYMLINK_NOFOLLOW : 0) != 0 ||
	    !kind_is_fine(&before, devices))
		return -1;
	fd = open_quietly(folder, name, flags);
	if (fd < 0 || fstat(fd, &after) != 0 || !kind_is_fine(&after, devices))
		return -1;
	opened = fd;
	fd = -1;
	return opened;
}

static int
walk(char *path, bool devices)
{
	Q2SI_AUTO_CLOSE int folder = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *rest = path + strspn(path, "/");

	while (folder >= 0) {
		char *slash = strchr(rest, '/');
		int next;

		if (!slash)
			return open_last(folder, rest, true, devices);
		*slash = '\0';
		next = openat(folder, rest, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(folder);
		folder = next;
		rest = slash + 1;
	}
	return -1;
}

int
q2si_walk_open(const char *path, bool no_links, bool devices)
{
	Q2SI_AUTO_FREE char *copy = NULL;

	if (!no_links)
		return open_last(AT_FDCWD, path, false, devices);
	copy = strdup(path);
	return copy ? walk(copy, devices) : -1;
}
