/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Putting a finished file in its place: written without a name, or beside its name, and linked or
 * renamed when complete. What was there before stays until then, whatever happens.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/diag.h"
#include "io/sink.h"

#define NAME_TRIES 100

static enum q2s_err
place_errno(const char *doing, struct q2s_diag *diag)
{
	return q2si_fail_errno(diag, errno, "output", Q2S_NOWHERE, "%s", doing);
}

static enum q2s_err
already_there(struct q2s_diag *diag)
{
	return q2si_fail_at(diag, Q2S_E_EXISTS, "output", Q2S_NOWHERE,
			    "exists already; it is kept unless replacing it is asked for");
}

/* The folder of @path, "." for a plain name; NULL without memory. */
static char *
folder_of(const char *path)
{
	Q2SI_AUTO_FREE char *copy = strdup(path);

	return copy ? strdup(dirname(copy)) : NULL;
}

/* A fresh hidden name beside @path. Part of a long name is dropped: it must stay a legal one. */
static char *
beside(const char *path, unsigned attempt)
{
	Q2SI_AUTO_FREE char *folder = folder_of(path);
	Q2SI_AUTO_FREE char *copy = strdup(path);
	char *out;

	if (!folder || !copy ||
	    asprintf(&out, "%s/.%.200s.%ld-%u.q2s", folder, basename(copy), (long)getpid(),
		     attempt) < 0)
		return NULL;
	return out;
}

/* Create a file under a fresh name beside place->final. */
static int
open_named(struct q2si_place *place)
{
	for (unsigned attempt = 0; attempt < NAME_TRIES; attempt++) {
		Q2SI_AUTO_FREE char *name = beside(place->final, attempt);

		if (!name) {
			errno = ENOMEM;
			return -1;
		}
		const int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

		if (fd >= 0)
			place->temp = Q2SI_STEAL(name);
		if (fd >= 0 || errno != EEXIST)
			return fd;
	}
	return -1;
}

/* A file without a name vanishes by itself, even after SIGKILL; not every file system has them. */
static int
open_nameless(const struct q2si_place *place)
{
	Q2SI_AUTO_FREE char *folder = folder_of(place->final);

	if (!folder || access("/proc/self/fd", X_OK) != 0)
		return -1;
	return open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
}

/* A file that replaces another one takes over its permissions and, where it may, its owner. */
static void
take_over(int fd, const struct stat *old)
{
	if (fchown(fd, old->st_uid, old->st_gid) != 0 && geteuid() == 0)
		return; /* do not open it to a group that we could not set */
	(void)fchmod(fd, old->st_mode & 07777);
}

#define LINKS_MAX 40

/* Where a symbolic link to a file that is not there yet leads; NULL with errno. */
static char *
follow_links(const char *path)
{
	char *at = strdup(path);
	struct stat st;

	for (unsigned links = 0; at && lstat(at, &st) == 0; links++) {
		Q2SI_AUTO_FREE char *from = at;
		Q2SI_AUTO_FREE char *folder = folder_of(at);
		char target[PATH_MAX];
		const ssize_t len = links < LINKS_MAX ? readlink(at, target, sizeof(target) - 1) : -1;

		at = NULL;
		if (links == LINKS_MAX)
			errno = ELOOP;
		if (len < 0 || !folder)
			return NULL;
		target[len] = '\0';
		if (target[0] == '/')
			at = strdup(target);
		else if (asprintf(&at, "%s/%s", folder, target) < 0)
			at = NULL;
	}
	return at;
}

/*
 * Is there a file at @path? What could not be named in the end is found out here, not after all
 * has been written: a name too long, a link that leads to itself, a folder's name.
 */
static enum q2s_err
look_at(const char *path, unsigned flags, struct stat *st, bool *there, struct q2s_diag *diag)
{
	const size_t len = strlen(path);

	*there = stat(path, st) == 0;
	if (*there && S_ISDIR(st->st_mode))
		errno = EISDIR;
	else if (*there)
		return flags & Q2S_SINK_REPLACE ? Q2S_OK : already_there(diag);
	else if (errno == ENOENT && len > 0 && path[len - 1] == '/')
		errno = EISDIR;
	else if (errno == ENOENT && len > 0)
		return Q2S_OK; /* also a link to what is not there yet: that is made */
	return place_errno("cannot be created", diag);
}

enum q2s_err
q2si_place_open(const char *path, unsigned flags, int *fd, struct q2si_place *place,
		struct q2s_diag *diag)
{
	struct stat st;
	bool there;

	Q2SI_TRY(look_at(path, flags, &st, &there, diag));
	/* A symbolic link stays one: what it points to is replaced. */
	place->final = there ? realpath(path, NULL) : follow_links(path);
	if (!place->final)
		return place_errno("its name cannot be resolved", diag);
	place->replace = there;
	place->sync = there || flags & Q2S_SINK_SYNC;
	*fd = open_nameless(place);
	if (*fd < 0)
		*fd = open_named(place);
	if (*fd < 0)
		return place_errno("cannot be created", diag);
	if (there)
		take_over(*fd, &st);
	return Q2S_OK;
}

/* Give a nameless file a name. */
static int
link_fd(int fd, const char *name)
{
	char from[64];

	(void)snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, from, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

/* Name a nameless file beside the final name, from where it can replace what is there. */
static int
link_beside(struct q2si_place *place, int fd)
{
	for (unsigned attempt = 0; attempt < NAME_TRIES; attempt++) {
		Q2SI_AUTO_FREE char *name = beside(place->final, attempt);

		if (!name) {
			errno = ENOMEM;
			return -1;
		}
		if (link_fd(fd, name) == 0) {
			place->temp = Q2SI_STEAL(name);
			return 0;
		}
		if (errno != EEXIST)
			return -1;
	}
	return -1;
}

/* From the name beside to the final one; without leave to replace, never over what is there. */
static int
rename_into_place(struct q2si_place *place)
{
	if (place->replace) {
		if (rename(place->temp, place->final) != 0)
			return -1;
	} else if (renameat2(AT_FDCWD, place->temp, AT_FDCWD, place->final, RENAME_NOREPLACE) != 0) {
		/* Some file systems lack the flag, but a link never replaces either. */
		if (errno != EINVAL || link(place->temp, place->final) != 0)
			return -1;
		(void)unlink(place->temp);
	}
	free(Q2SI_STEAL(place->temp));
	return 0;
}

/* The name itself must reach the disk too. */
static enum q2s_err
sync_folder(const struct q2si_place *place, struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE char *folder = folder_of(place->final);
	Q2SI_AUTO_CLOSE int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
		return place_errno("flushing its folder failed", diag);
	return Q2S_OK;
}

enum q2s_err
q2si_place_commit(struct q2si_place *place, int fd, struct q2s_diag *diag)
{
	if (place->sync && fsync(fd) != 0)
		return place_errno("flushing failed", diag);
	if (!place->temp && !place->replace) {
		if (link_fd(fd, place->final) != 0)
			return errno == EEXIST ? already_there(diag) :
						 place_errno("naming it failed", diag);
	} else {
		if (!place->temp && link_beside(place, fd) != 0)
			return place_errno("naming it failed", diag);
		if (rename_into_place(place) != 0)
			return errno == EEXIST ? already_there(diag) :
						 place_errno("renaming failed", diag);
	}
	return place->sync ? sync_folder(place, diag) : Q2S_OK;
}

void
q2si_place_drop(struct q2si_place *place)
{
	if (place->temp)
		(void)unlink(place->temp);
	free(Q2SI_STEAL(place->temp));
	free(Q2SI_STEAL(place->final));
}
