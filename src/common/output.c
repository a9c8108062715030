/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sink on a path whose temporary name is removed even when a signal ends the tool. */
#include "common/output.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fault.h"

/*
 * QEMU locks some bytes of each image that it has open (block/file-posix.c, RAW_LOCK_PERM_BASE).
 * A machine that runs on a file that we replace would go on writing to a file without a name.
 */
static bool
is_locked(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static bool
is_in_use(const char *path)
{
	struct stat st;
	bool locked;
	int fd;

	if (stat(path, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	locked = is_locked(fd);
	close(fd);
	return locked;
}

static enum q2s_err
fail_locked(const char *name, struct q2s_diag *diag)
{
	errno = EBUSY;
	return fault_in(diag, fault_errno(diag, "output", "another process has locked it"), name);
}

enum q2s_err
output_check_fd(int fd, const char *name, struct q2s_diag *diag)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)))
		return Q2S_OK;
	return is_locked(fd) ? fail_locked(name, diag) : Q2S_OK;
}

/* ---- in place ------------------------------------------------------------------------------ */

static bool
is_mount_point(const char *path)
{
	struct statx st;

	return statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &st) == 0 &&
	       (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* Why no other file can take the name of the regular file at @path; NULL when one can. */
static const char *
why_not_replaced(const char *path, const struct stat *st)
{
	char *const real = realpath(path, NULL);
	const char *const folder = real ? dirname(real) : ".";
	const char *why = NULL;
	struct stat in;

	if (is_mount_point(path))
		why = "it is a mount point";
	else if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) != 0)
		why = "its folder may not be changed";
	else if (geteuid() != 0 && stat(folder, &in) == 0 && (in.st_mode & S_ISVTX) &&
		 in.st_uid != geteuid() && st->st_uid != geteuid())
		why = "in this folder only its owner may replace it";
	free(real);
	return why;
}

#define LINKS_MAX 40

/*
 * Is it the name of a descriptor, or a link to one? To replace the file behind it takes it away
 * from who has it open. The kernel shows descriptors as links in /proc, whatever leads there.
 */
static bool
is_descriptor(const char *path)
{
	char *at = strdup(path);
	bool found = false;
	struct stat st;

	for (unsigned i = 0; at && !found && i < LINKS_MAX; i++) {
		char *const copy = strdup(at);
		char target[PATH_MAX], *next = NULL;
		const char *const folder = copy ? dirname(copy) : NULL;
		struct statfs fs;
		ssize_t len;

		if (!folder || lstat(at, &st) != 0 || !S_ISLNK(st.st_mode) ||
		    (len = readlink(at, target, sizeof(target) - 1)) < 0) {
			free(copy);
			break;
		}
		target[len] = '\0';
		found = statfs(folder, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
		if (asprintf(&next, "%s%s%s", target[0] == '/' ? "" : folder,
			     target[0] == '/' ? "" : "/", target) < 0)
			next = NULL;
		free(copy);
		free(at);
		at = next;
	}
	free(at);
	return found;
}

/* A file that is not there needs a folder in which it can be made. */
static enum q2s_err
check_folder(const char *path, struct q2s_diag *diag)
{
	char *const copy = strdup(path);
	struct stat st;
	bool can = true;

	if (copy && lstat(path, &st) != 0 && errno == ENOENT)
		can = faccessat(AT_FDCWD, dirname(copy), W_OK | X_OK, AT_EACCESS) == 0;
	free(copy);
	return can ? Q2S_OK
		   : fault_in(diag, fault_errno(diag, "output", "cannot be created"), path);
}

/* Shall the file at @path be written to as it is? */
static enum q2s_err
choose_in_place(const char *path, unsigned flags, bool *in_place, struct q2s_diag *diag)
{
	const char *why;
	struct stat st;

	*in_place = false;
	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) ||
	    !(flags & (Q2S_SINK_REPLACE | OUTPUT_IN_PLACE)))
		return Q2S_OK;
	if (is_descriptor(path))
		return fault_in(diag,
				fault(diag, Q2S_E_CONFLICT, "output",
				      "a file that is open under this name is not replaced; - is "
				      "standard output, where an image goes there"),
				path);
	/* Another file could take its name all the same, but a file is made read-only to be kept. */
	if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0)
		return fault_in(diag, fault_errno(diag, "output", "may not be written to"), path);
	why = why_not_replaced(path, &st);
	*in_place = flags & OUTPUT_IN_PLACE || (why && st.st_size == 0);
	if (*in_place || !why)
		return Q2S_OK;
	errno = EBUSY;
	return fault_in(diag,
			fault_errno(diag, "output",
				    "cannot be replaced, as %s; writing to it in place (q2s-stream "
				    "--in-place) would destroy what it holds first", why),
			path);
}

enum q2s_err
output_check(const char *path, unsigned flags, struct q2s_diag *diag)
{
	bool in_place;
	enum q2s_err err = choose_in_place(path, flags, &in_place, diag);

	return err == Q2S_OK ? check_folder(path, diag) : err;
}

static enum q2s_err
open_in_place(struct output *output, const char *path, unsigned flags, struct q2s_diag *diag)
{
	enum q2s_err err;

	output->in_place = open(path, O_RDWR | O_TRUNC | O_CLOEXEC);
	if (output->in_place < 0)
		return fault_in(diag, fault_errno(diag, "output", "cannot be opened for writing"),
				path);
	output->sync = true;
	output->name = path;
	err = q2s_sink_from_fd(output->in_place, path, flags, &output->sink, diag);
	if (err != Q2S_OK)
		close(output->in_place);
	return err;
}

enum q2s_err
output_open(struct output *output, const char *path, unsigned flags, uint64_t length,
	    struct q2s_diag *diag)
{
	const char *temp;
	enum q2s_err err;
	bool in_place;

	if ((flags & Q2S_SINK_REPLACE) && is_in_use(path))
		return fail_locked(path, diag);
	err = choose_in_place(path, flags, &in_place, diag);
	if (err != Q2S_OK)
		return err;
	if (in_place)
		return open_in_place(output, path, flags & (Q2S_SINK_ALLOCATE | Q2S_SINK_FULL),
				     diag);
	err = q2s_sink_open(path, flags & ~OUTPUT_IN_PLACE, length, &output->sink, diag);
	output->sync = flags & Q2S_SINK_SYNC;
	output->name = path;
	temp = err == Q2S_OK ? q2s_sink_temp_path(output->sink) : NULL;
	if (!temp)
		return err;
	output->temp = strdup(temp);
	if (!output->temp || !cleanup_add_path(output->temp)) {
		output_abort(output);
		return fault_nomem(diag, "output");
	}
	return Q2S_OK;
}

/* The sink is gone, and with it the temporary name: a later file may bear it. */
static void
forget(struct output *output)
{
	cleanup_drop_path(output->temp);
	free(output->temp);
	if (output->in_place > 0)
		close(output->in_place);
	*output = (struct output){ 0 };
}

/* What takes long is done while a signal can still end it. Not every device can be flushed. */
static enum q2s_err
flush(const struct output *output, struct q2s_diag *diag)
{
	if (!output->sync || fsync(q2s_sink_fd(output->sink)) == 0 || errno == EINVAL)
		return Q2S_OK;
	return fault_in(diag, fault_errno(diag, "output", "flushing failed"), output->name);
}

enum q2s_err
output_commit(struct output *output, struct q2s_diag *diag)
{
	enum q2s_err err;

	if (!output->sink)
		return Q2S_OK;
	err = flush(output, diag);
	if (err != Q2S_OK) {
		output_abort(output);
		return err;
	}
	/*
	 * On its way to the final name a file without a name gets one beside it, of which no
	 * clean-up knows: a signal has to wait for these few calls.
	 */
	cleanup_hold();
	err = q2s_sink_commit(output->sink, diag);
	cleanup_release();
	forget(output);
	return err;
}

void
output_abort(struct output *output)
{
	q2s_sink_abort(output->sink);
	forget(output);
}
