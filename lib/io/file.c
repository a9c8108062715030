/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Regular files and block devices as bytes at an offset. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/fs.h>
#endif

#include <q2s/io.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "io/feed.h"
#include "io/file.h"

/* No single system call moves more than this: the kernel's own limit is just below 2 GiB. */
#define READ_MAX (1u << 30)

/* Linux reads no more for one request than its device's read-ahead, which is at least this by default. */
#define ASK_MAX (128u << 10)

/* What a file's names and rights show of themselves; each change of it is a new change time. */
struct standing {
	nlink_t links;
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

struct q2s_file {
	atomic_uint owners;
	int fd;
	char *name;
	bool block_device;
	uint64_t allocated;
	struct q2s_file_ident ident;
	struct standing standing;
	struct q2si_feed *feed; /* of a file that is still arriving, or NULL */
};

void
q2si_file_arrives(struct q2s_file *file, struct q2si_feed *feed)
{
	file->feed = feed;
}

struct q2si_feed *
q2si_file_feed(const struct q2s_file *file)
{
	return file->feed;
}

static enum q2s_err
file_errno(const struct q2s_file *file, struct q2s_diag *diag, uint64_t at, const char *doing)
{
	return q2si_in_file(diag, q2si_fail_errno(diag, errno, "file", (q2s_host){ at }, "%s", doing),
			    file->name);
}

/* A block device reports no size in its status; its driver knows. */
static int
device_size(int fd, uint64_t *size)
{
#ifdef BLKGETSIZE64
	return ioctl(fd, BLKGETSIZE64, size);
#else
	const off_t end = lseek(fd, 0, SEEK_END);

	*size = (uint64_t)end;
	return end < 0 ? -1 : 0;
#endif
}

/* What the system says of an open descriptor now. */
static int
identify(int fd, struct q2s_file_ident *ident, struct stat *st)
{
	if (fstat(fd, st) != 0)
		return -1;
	*ident = (struct q2s_file_ident){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime_sec = st->st_mtim.tv_sec,
		.mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
		.ctime_sec = st->st_ctim.tv_sec,
		.ctime_nsec = (uint32_t)st->st_ctim.tv_nsec,
	};
	if (!S_ISBLK(st->st_mode))
		return 0;
	/* The times of a device node say nothing about what the device holds. */
	ident->mtime_sec = ident->ctime_sec = 0;
	ident->mtime_nsec = ident->ctime_nsec = 0;
	return device_size(fd, &ident->size);
}

static struct standing
standing_of(const struct stat *st)
{
	return (struct standing){ st->st_nlink, st->st_mode, st->st_uid, st->st_gid };
}

/*
 * Files of the kernel's own, as in /proc, call themselves regular and empty, and are neither: what
 * they hold cannot be known before it is read, nor read twice.
 */
static bool
is_real(int fd, const struct stat *st)
{
	char byte;
	ssize_t n;

	if (!S_ISREG(st->st_mode) || st->st_size > 0)
		return S_ISREG(st->st_mode) || S_ISBLK(st->st_mode);
	do {
		n = pread(fd, &byte, 1, 0);
	} while (n < 0 && errno == EINTR);
	return n == 0;
}

enum q2s_err
q2s_file_from_fd(int fd, const char *name, struct q2s_file **out, struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE struct q2s_file *file = calloc(1, sizeof(*file));
	struct stat st;

	if (!file || !(file->name = strdup(name)))
		return q2si_fail_nomem(diag, "file");
	Q2SI_AUTO_FREE char *owned = file->name;
	if (identify(fd, &file->ident, &st) != 0)
		return file_errno(file, diag, UINT64_MAX, "cannot find out its size");
	if (!is_real(fd, &st)) {
		return q2si_in_file(diag,
				    q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "file", Q2S_NOWHERE,
						 "neither a regular file nor a block device"),
				    name);
	}
	file->fd = fd;
	file->block_device = S_ISBLK(st.st_mode);
	file->allocated = (uint64_t)st.st_blocks * 512;
	file->standing = standing_of(&st);
	atomic_init(&file->owners, 1);
	(void)Q2SI_STEAL(owned);
	*out = Q2SI_STEAL(file);
	return Q2S_OK;
}

/*
 * O_NONBLOCK: opening a FIFO must not wait for a writer; it has no effect on what we accept.
 * O_NOATIME: a reader leaves no trace, where the owner allows that.
 */
static int
open_quietly(const char *path)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
#ifdef O_NOATIME
	const int fd = open(path, flags | O_NOATIME);

	if (fd >= 0 || errno != EPERM)
		return fd;
#endif
	return open(path, flags);
}

enum q2s_err
q2s_file_open(const char *path, struct q2s_file **out, struct q2s_diag *diag)
{
	Q2SI_AUTO_CLOSE int fd = open_quietly(path);

	if (fd < 0) {
		return q2si_in_file(diag,
				    q2si_fail_errno(diag, errno, "file", Q2S_NOWHERE,
						    "cannot be opened for reading"),
				    path);
	}
	Q2SI_TRY(q2s_file_from_fd(fd, path, out, diag));
	fd = -1;
	return Q2S_OK;
}

struct q2s_file *
q2s_file_ref(struct q2s_file *file)
{
	atomic_fetch_add_explicit(&file->owners, 1, memory_order_relaxed);
	return file;
}

void
q2s_file_close(struct q2s_file *file)
{
	if (!file || atomic_fetch_sub_explicit(&file->owners, 1, memory_order_acq_rel) != 1)
		return;
	q2si_feed_free(file->feed);
	close(file->fd);
	free(file->name);
	free(file);
}

uint64_t
q2s_file_size(const struct q2s_file *file)
{
	return file->feed ? q2si_feed_size(file->feed) : file->ident.size;
}

uint64_t
q2s_file_size_until(const struct q2s_file *file, uint64_t end)
{
	if (file->feed)
		(void)q2si_feed_until(file->feed, end);
	return q2s_file_size(file);
}

bool
q2s_file_is_arriving(const struct q2s_file *file)
{
	return file->feed != NULL;
}

enum q2s_err
q2s_file_failure(const struct q2s_file *file, struct q2s_diag *diag)
{
	return file->feed ? q2si_feed_failure(file->feed, diag) : Q2S_OK;
}

void
q2s_file_forget(struct q2s_file *file, uint64_t at, uint64_t len)
{
	if (file->feed)
		q2si_feed_forget(file->feed, at, len);
}

uint64_t
q2s_file_allocated(const struct q2s_file *file)
{
	return file->allocated;
}

const char *
q2s_file_name(const struct q2s_file *file)
{
	return file->name;
}

int
q2s_file_fd(const struct q2s_file *file)
{
	return file->fd;
}

bool
q2s_file_is_block_device(const struct q2s_file *file)
{
	return file->block_device;
}

void
q2s_file_ident(const struct q2s_file *file, struct q2s_file_ident *out)
{
	*out = file->ident;
}

enum q2s_err
q2s_file_read_padded(struct q2s_file *file, uint64_t at, void *buf, size_t len, size_t *got,
		     struct q2s_diag *diag)
{
	size_t done = 0;

	if (file->feed)
		Q2SI_TRY(q2si_feed_need(file->feed, at, len, diag));
	/* Past what an off_t can say there is nothing to read; pread would call it an error. */
	while (done < len && at + done < INT64_MAX) {
		const size_t want = q2si_min(q2si_min(len - done, READ_MAX),
					     INT64_MAX - (at + done));
		const ssize_t n = pread(file->fd, (char *)buf + done, want, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_errno(file, diag, at + done, "reading failed");
		if (n == 0)
			break;
		done += (size_t)n;
	}
	memset((char *)buf + done, 0, len - done);
	if (got)
		*got = done;
	return Q2S_OK;
}

enum q2s_err
q2s_file_read(struct q2s_file *file, uint64_t at, void *buf, size_t len, struct q2s_diag *diag)
{
	size_t got;

	Q2SI_TRY(q2s_file_read_padded(file, at, buf, len, &got, diag));
	if (got == len)
		return Q2S_OK;
	return q2si_in_file(diag,
			    q2si_fail(diag, Q2S_E_SHORT, "file", (q2s_host){ at }, got,
				      "ends before %zu bytes could be read", len),
			    file->name);
}

bool
q2s_file_is_cached(struct q2s_file *file, uint64_t at)
{
#ifdef RWF_NOWAIT
	char byte;
	const struct iovec one = { .iov_base = &byte, .iov_len = 1 };

	return preadv2(file->fd, &one, 1, (off_t)at, RWF_NOWAIT) >= 0;
#else
	(void)file, (void)at;
	return false;
#endif
}

void
q2s_file_will_need(struct q2s_file *file, uint64_t at, uint64_t len)
{
	for (uint64_t done = 0; done < len; done += ASK_MAX)
		(void)posix_fadvise(file->fd, (off_t)(at + done),
				    (off_t)q2si_min(len - done, ASK_MAX), POSIX_FADV_WILLNEED);
}

/*
 * The modification time can be put back, the change time cannot. A new one of a file whose names
 * and rights are what they were is taken for a write that somebody hid, whether meant or not.
 */
static bool
is_touched(const struct q2s_file *file, const struct q2s_file_ident *now, const struct stat *st)
{
	const struct q2s_file_ident *was = &file->ident;
	const struct standing *old = &file->standing, standing = standing_of(st);

	return (now->ctime_sec != was->ctime_sec || now->ctime_nsec != was->ctime_nsec) &&
	       standing.links == old->links && standing.mode == old->mode &&
	       standing.uid == old->uid && standing.gid == old->gid;
}

enum q2s_err
q2s_file_verify(struct q2s_file *file, struct q2s_diag *diag)
{
	const struct q2s_file_ident *was = &file->ident;
	struct q2s_file_ident now;
	struct stat st;
	enum q2s_err err = Q2S_OK;

	if (file->feed)
		return q2si_feed_finish(file->feed, diag);
	if (identify(file->fd, &now, &st) != 0)
		return file_errno(file, diag, UINT64_MAX, "cannot find out its size");
	if (now.size != was->size) {
		err = q2si_fail(diag, Q2S_E_CHANGED, "source", Q2S_NOWHERE, now.size,
				"its size changed while it was read; it was 0x%llx bytes",
				(unsigned long long)was->size);
	} else if (now.mtime_sec != was->mtime_sec || now.mtime_nsec != was->mtime_nsec) {
		err = q2si_fail_at(diag, Q2S_E_CHANGED, "source", Q2S_NOWHERE,
				   "it was written to while it was read");
	} else if (is_touched(file, &now, &st)) {
		err = q2si_fail_at(diag, Q2S_E_CHANGED, "source", Q2S_NOWHERE,
				   "its change time is new, so it may have been written to while "
				   "it was read, and its modification time put back");
	}
	return q2si_in_file(diag, err, file->name);
}
