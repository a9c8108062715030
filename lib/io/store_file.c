/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Regular files and block devices as stores. */
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

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "io/direct.h"
#include "io/store.h"

/* No single system call moves more than this: the kernel's own limit is just below 2 GiB. */
#define MOVE_MAX (1u << 30)

/* Linux reads no more for one request than its device's read-ahead: by default at least this. */
#define ASK_MAX (128u << 10)

/* What a file's names and rights show of themselves; each change of it is a new change time. */
struct standing {
	nlink_t links;
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

struct file {
	int fd;
	const char *name; /* the store's own */
	bool block_device;
	bool writable;
	_Atomic uint64_t size; /* when it was opened; of a writable one: now */
	uint64_t allocated;
	struct q2s_store_ident ident;
	struct standing standing;
	atomic_bool cannot_zero, cannot_punch, cannot_clone; /* as far as we know */
	struct q2si_direct *direct;                          /* past the page cache, or NULL */
	atomic_bool longer; /* the file may end a part of a block behind @size */
};

static enum q2s_err
file_errno(const struct file *file, struct q2s_diag *diag, uint64_t at, const char *doing)
{
	return q2si_in_file(diag,
			    q2si_fail_errno(diag, errno, "file", (q2s_host){ at }, "%s", doing),
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
identify(int fd, struct q2s_store_ident *ident, struct stat *st)
{
	if (fstat(fd, st) != 0)
		return -1;
	*ident = (struct q2s_store_ident){
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

/* ---- reading ----------------------------------------------------------------------------- */

enum q2s_err
q2si_fd_read(int fd, uint64_t at, void *buf, size_t len, size_t *got, struct q2s_diag *diag)
{
	size_t done = 0;

	while (done < len) {
		const size_t want = q2si_min_size(len - done, MOVE_MAX);
		const ssize_t n = pread(fd, (char *)buf + done, want, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return q2si_fail_errno(diag, errno, "file", (q2s_host){ at + done },
					       "reading failed");
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*got = done;
	return Q2S_OK;
}

static uint64_t
file_length(void *self)
{
	return atomic_load_explicit(&((struct file *)self)->size, memory_order_acquire);
}

static enum q2s_err
file_read(void *self, uint64_t at, void *buf, size_t len, size_t *got, struct q2s_diag *diag)
{
	const struct file *file = self;
	uint64_t size;

	if (!file->direct)
		return q2si_fd_read(file->fd, at, buf, len, got, diag);
	size = file_length(self);
	*got = 0;
	if (at >= size)
		return Q2S_OK;
	return q2si_direct_read(file->direct, at, buf, q2si_min_size(size - at, len), got, diag);
}

/* Data begins at @at. */
static enum q2s_err
file_data_extent(void *self, uint64_t at, struct q2s_stretch *out, struct q2s_diag *diag)
{
	const struct file *file = self;
	const uint64_t size = file_length(self);
	const off_t hole = lseek(file->fd, (off_t)at, SEEK_HOLE);

	*out = (struct q2s_stretch){ .hole = false, .len = size - at };
	if (hole < 0 && errno != ENXIO)
		return file_errno(file, diag, at, "looking for a hole failed");
	if (hole > (off_t)at)
		out->len = q2si_min((uint64_t)hole, size) - at;
	return Q2S_OK;
}

static enum q2s_err
file_extent(void *self, uint64_t at, struct q2s_stretch *out, struct q2s_diag *diag)
{
	const struct file *file = self;
	const uint64_t size = file_length(self);
	const off_t data = lseek(file->fd, (off_t)at, SEEK_DATA);

	if (data == (off_t)at)
		return file_data_extent(self, at, out, diag);
	*out = (struct q2s_stretch){ .hole = true, .len = size - at };
	if (data > 0)
		out->len = q2si_min((uint64_t)data, size) - at;
	else if (errno == EINVAL || errno == EOPNOTSUPP || errno == ENOTTY)
		out->hole = false; /* a device, or a file system that keeps no holes */
	else if (errno != ENXIO) /* which says: nothing but a hole up to the end */
		return file_errno(file, diag, at, "looking for data failed");
	return Q2S_OK;
}

static bool
file_is_cached(void *self, uint64_t at)
{
#ifdef RWF_NOWAIT
	char byte;
	const struct iovec one = { .iov_base = &byte, .iov_len = 1 };

	return preadv2(((const struct file *)self)->fd, &one, 1, (off_t)at, RWF_NOWAIT) >= 0;
#else
	(void)self, (void)at;
	return false;
#endif
}

static void
file_will_need(void *self, uint64_t at, uint64_t len)
{
	const struct file *file = self;

	if (file->direct)
		return; /* what is in the page cache is not looked at */
	for (uint64_t done = 0; done < len; done += ASK_MAX)
		(void)posix_fadvise(file->fd, (off_t)(at + done),
				    (off_t)q2si_min(len - done, ASK_MAX), POSIX_FADV_WILLNEED);
}

/* ---- what it is -------------------------------------------------------------------------- */

static void
file_ident(void *self, struct q2s_store_ident *out)
{
	*out = ((const struct file *)self)->ident;
}

static uint64_t
file_allocated(void *self)
{
	return ((const struct file *)self)->allocated;
}

/*
 * The modification time can be put back, the change time cannot. A new one of a file whose names
 * and rights are what they were is taken for a write that somebody hid, whether meant or not.
 */
static bool
is_touched(const struct file *file, const struct q2s_store_ident *now, const struct stat *st)
{
	const struct q2s_store_ident *was = &file->ident;
	const struct standing *old = &file->standing, standing = standing_of(st);

	return (now->ctime_sec != was->ctime_sec || now->ctime_nsec != was->ctime_nsec) &&
	       standing.links == old->links && standing.mode == old->mode &&
	       standing.uid == old->uid && standing.gid == old->gid;
}

static enum q2s_err
file_verify(void *self, struct q2s_diag *diag)
{
	const struct file *file = self;
	const struct q2s_store_ident *was = &file->ident;
	struct q2s_store_ident now;
	struct stat st;

	if (file->writable)
		return Q2S_OK;
	if (identify(file->fd, &now, &st) != 0)
		return file_errno(file, diag, UINT64_MAX, "cannot find out its size");
	if (now.size != was->size) {
		return q2si_fail(diag, Q2S_E_CHANGED, "source", Q2S_NOWHERE, now.size,
				 "its size changed while it was read; it was 0x%llx bytes",
				 (unsigned long long)was->size);
	}
	if (now.mtime_sec != was->mtime_sec || now.mtime_nsec != was->mtime_nsec) {
		return q2si_fail_at(diag, Q2S_E_CHANGED, "source", Q2S_NOWHERE,
				    "it was written to while it was read");
	}
	if (is_touched(file, &now, &st)) {
		return q2si_fail_at(diag, Q2S_E_CHANGED, "source", Q2S_NOWHERE,
				    "its change time is new, so it may have been written to while "
				    "it was read, and its modification time put back");
	}
	return Q2S_OK;
}

/* ---- writing ----------------------------------------------------------------------------- */

/* The file is at least @end long now. */
static void
file_grew(struct file *file, uint64_t end)
{
	uint64_t size = atomic_load_explicit(&file->size, memory_order_relaxed);

	while (size < end && !atomic_compare_exchange_weak(&file->size, &size, end))
		;
}

static enum q2s_err
file_write_direct(struct file *file, uint64_t at, const void *buf, size_t len,
		  struct q2s_diag *diag)
{
	bool longer = false;
	enum q2s_err err = q2si_direct_write(file->direct, at, buf, len, &longer, diag);

	if (longer && !file->block_device)
		atomic_store_explicit(&file->longer, true, memory_order_relaxed);
	if (err == Q2S_OK)
		file_grew(file, at + len);
	return q2si_in_file(diag, err, file->name);
}

static enum q2s_err
file_write(void *self, uint64_t at, const void *buf, size_t len, struct q2s_diag *diag)
{
	struct file *file = self;
	size_t done = 0;

	if (file->direct)
		return file_write_direct(file, at, buf, len, diag);
	while (done < len) {
		const size_t want = q2si_min_size(len - done, MOVE_MAX);
		const ssize_t n =
			pwrite(file->fd, (const char *)buf + done, want, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_errno(file, diag, at + done, "writing failed");
		done += (size_t)n;
		file_grew(file, at + done);
	}
	return Q2S_OK;
}

/*
 * @mode of fallocate(). What a file system, a device, or a range that is not whole sectors of one
 * does not allow is Q2S_E_UNSUPPORTED; @cannot remembers what never works.
 */
static enum q2s_err
file_allocate(struct file *file, int mode, uint64_t at, uint64_t len, atomic_bool *cannot,
	      struct q2s_diag *diag)
{
	struct q2si_direct_range range;
	int got, error;

	if (atomic_load_explicit(cannot, memory_order_relaxed))
		return Q2S_E_UNSUPPORTED;
	if (file->direct)
		q2si_direct_begin(file->direct, &range, at, len);
	do {
		got = fallocate(file->fd, mode, (off_t)at, (off_t)len);
	} while (got != 0 && errno == EINTR);
	error = errno;
	if (file->direct)
		q2si_direct_end(file->direct, &range);
	errno = error;
	if (got == 0)
		return Q2S_OK;
	if (errno == EINVAL)
		return Q2S_E_UNSUPPORTED;
	if (errno != EOPNOTSUPP && errno != ENOSYS && errno != ENOTTY && errno != EPERM &&
	    errno != ENODEV)
		return file_errno(file, diag, at, "fallocate failed");
	atomic_store_explicit(cannot, true, memory_order_relaxed);
	return Q2S_E_UNSUPPORTED;
}

static enum q2s_err
file_zero(void *self, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
#ifdef FALLOC_FL_ZERO_RANGE
	struct file *file = self;
	const int mode = FALLOC_FL_ZERO_RANGE | (file->block_device ? FALLOC_FL_KEEP_SIZE : 0);

	Q2SI_TRY(file_allocate(file, mode, at, len, &file->cannot_zero, diag));
	file_grew(file, at + len);
	return Q2S_OK;
#else
	(void)self, (void)at, (void)len, (void)diag;
	return Q2S_E_UNSUPPORTED;
#endif
}

static enum q2s_err
file_discard(void *self, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
#ifdef FALLOC_FL_PUNCH_HOLE
	struct file *file = self;

	return file_allocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len,
			     &file->cannot_punch, diag);
#else
	(void)self, (void)at, (void)len, (void)diag;
	return Q2S_E_UNSUPPORTED;
#endif
}

/* EINVAL: not with these offsets, or these two files. */
static enum q2s_err
file_clone(void *self, uint64_t at, int from, uint64_t from_at, uint64_t len,
	   struct q2s_diag *diag)
{
#ifdef FICLONERANGE
	struct file *file = self;
	struct file_clone_range range = {
		.src_fd = from, .src_offset = from_at, .src_length = len, .dest_offset = at
	};
	int got;

	if (atomic_load_explicit(&file->cannot_clone, memory_order_relaxed))
		return Q2S_E_UNSUPPORTED;
	do {
		got = ioctl(file->fd, FICLONERANGE, &range);
	} while (got != 0 && errno == EINTR);
	if (got == 0) {
		file_grew(file, at + len);
		return Q2S_OK;
	}
	if (errno == EIO || errno == ENOSPC || errno == EDQUOT)
		return file_errno(file, diag, at, "sharing blocks failed");
	if (errno != EINVAL)
		atomic_store_explicit(&file->cannot_clone, true, memory_order_relaxed);
	return Q2S_E_UNSUPPORTED;
#else
	(void)self, (void)at, (void)from, (void)from_at, (void)len, (void)diag;
	return Q2S_E_UNSUPPORTED;
#endif
}

static enum q2s_err
file_flush(void *self, struct q2s_diag *diag)
{
	const struct file *file = self;

	if (fdatasync(file->fd) != 0)
		return file_errno(file, diag, UINT64_MAX, "flushing failed");
	return Q2S_OK;
}

static enum q2s_err
file_set_length(void *self, uint64_t length, struct q2s_diag *diag)
{
	struct file *file = self;

	if (file->block_device)
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "block device", Q2S_NOWHERE,
				    "its size cannot be set");
	if (ftruncate(file->fd, (off_t)length) != 0)
		return file_errno(file, diag, UINT64_MAX, "setting its size failed");
	atomic_store_explicit(&file->size, length, memory_order_release);
	return Q2S_OK;
}

/* ---- opening ----------------------------------------------------------------------------- */

static void
file_close(void *self)
{
	struct file *file = self;

	/* If that fails, the zeros stay: nobody is left to be told, and they do no harm. */
	if (atomic_load_explicit(&file->longer, memory_order_relaxed))
		(void)!ftruncate(file->fd, (off_t)file_length(file));
	q2si_direct_close(file->direct);
	close(file->fd);
	free(file);
}

static enum q2s_err
file_set_direct(void *self, struct q2s_diag *diag)
{
	struct file *file = self;

	if (file->direct)
		return Q2S_OK;
	return q2si_in_file(diag, q2si_direct_open(file->fd, &file->direct, diag), file->name);
}

#define READING                                                                                 \
	.size = sizeof(struct q2s_store_ops), .read = file_read, .length = file_length,         \
	.close = file_close, .extent = file_extent, .ident = file_ident, .verify = file_verify, \
	.allocated = file_allocated, .will_need = file_will_need, .is_cached = file_is_cached

static const struct q2s_store_ops reading = { READING };
static const struct q2s_store_ops writing = {
	READING,
	.write = file_write,
	.zero = file_zero,
	.discard = file_discard,
	.flush = file_flush,
	.set_length = file_set_length,
};

/* Fill @file from its descriptor. */
static enum q2s_err
look(struct file *file, struct q2s_diag *diag)
{
	struct stat st;

	if (identify(file->fd, &file->ident, &st) != 0)
		return file_errno(file, diag, UINT64_MAX, "cannot find out its size");
	if (!is_real(file->fd, &st))
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "file", Q2S_NOWHERE,
				    "neither a regular file nor a block device");
	if (file->writable && (fcntl(file->fd, F_GETFL) & O_ACCMODE) != O_RDWR)
		return q2si_fail_at(diag, Q2S_E_USAGE, "file", Q2S_NOWHERE,
				    "not open for reading and writing");
	atomic_init(&file->size, file->ident.size);
	file->block_device = S_ISBLK(st.st_mode);
	file->allocated = (uint64_t)st.st_blocks * 512;
	file->standing = standing_of(&st);
	return Q2S_OK;
}

static enum q2s_err
from_fd(int fd, const char *name, bool writable, struct q2s_store **out, struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE struct file *file = calloc(1, sizeof(*file));
	struct q2s_store *store;

	if (!file)
		return q2si_fail_nomem(diag, "file");
	file->fd = fd;
	file->writable = writable;
	file->name = name;
	Q2SI_TRY(q2si_in_file(diag, look(file, diag), name));
	Q2SI_TRY(q2s_store_new(writable ? &writing : &reading, file, name, &store, diag));
	file->name = store->name;
	store->fd = fd;
	store->block_device = file->block_device;
	store->data_extent = file_data_extent;
	store->set_direct = file_set_direct;
	store->clone = writable ? file_clone : NULL;
	(void)Q2SI_STEAL(file);
	*out = store;
	return Q2S_OK;
}

enum q2s_err
q2s_store_from_fd(int fd, const char *name, struct q2s_store **out, struct q2s_diag *diag)
{
	return from_fd(fd, name, false, out, diag);
}

enum q2s_err
q2s_store_from_fd_writable(int fd, const char *name, struct q2s_store **out, struct q2s_diag *diag)
{
	return from_fd(fd, name, true, out, diag);
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

static enum q2s_err
open_path(const char *path, bool writable, struct q2s_store **out, struct q2s_diag *diag)
{
	Q2SI_AUTO_CLOSE int fd =
		writable ? open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK) : open_quietly(path);

	if (fd < 0) {
		return q2si_in_file(diag,
				    q2si_fail_errno(diag, errno, "file", Q2S_NOWHERE,
						    writable ? "cannot be opened for writing"
							     : "cannot be opened for reading"),
				    path);
	}
	Q2SI_TRY(from_fd(fd, path, writable, out, diag));
	fd = -1;
	return Q2S_OK;
}

enum q2s_err
q2s_store_open(const char *path, struct q2s_store **out, struct q2s_diag *diag)
{
	return open_path(path, false, out, diag);
}

enum q2s_err
q2s_store_open_writable(const char *path, struct q2s_store **out, struct q2s_diag *diag)
{
	return open_path(path, true, out, diag);
}
