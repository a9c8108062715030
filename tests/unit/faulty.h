/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System calls that do less than they are asked for, are interrupted, or are not there: what a
 * loaded machine, another file system or another kernel does, on demand. The library under test
 * is linked statically, so its calls find these definitions before those of the C library. Where
 * offsets have 64 bits and registers 32, some calls have another number.
 */
#ifndef Q2S_TESTS_FAULTY_H
#define Q2S_TESTS_FAULTY_H

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

/* All zero: the calls work. An error number makes a call fail with it, always. */
static struct {
	size_t most;        /* no call moves more bytes than this */
	bool interrupt;     /* every second call that moves bytes is interrupted */
	int tmpfile;        /* open() with O_TMPFILE */
	int sendfile;
	int vmsplice;
	int copy_range;
	int fallocate;
	int noreplace;      /* renameat2() */
	int seek_data;      /* lseek() for data or a hole */
	bool remote;        /* files seem to lie on a server, which copies */
	size_t served;      /* bytes that copy_file_range() moved */
	unsigned calls;
} faulty;

/* Interrupted now? If not, how much of @len may be moved? */
static inline bool
faulty_gate(size_t *len)
{
	if (faulty.interrupt && faulty.calls++ % 2 == 0) {
		errno = EINTR;
		return false;
	}
	if (faulty.most && *len > faulty.most)
		*len = faulty.most;
	return true;
}

static inline bool
faulty_error(int error)
{
	if (error)
		errno = error;
	return error != 0;
}

ssize_t
pread(int fd, void *buf, size_t len, off_t at)
{
	return faulty_gate(&len) ? syscall(SYS_pread64, fd, buf, len, at) : -1;
}

ssize_t
pwrite(int fd, const void *buf, size_t len, off_t at)
{
	return faulty_gate(&len) ? syscall(SYS_pwrite64, fd, buf, len, at) : -1;
}

ssize_t
write(int fd, const void *buf, size_t len)
{
	return faulty_gate(&len) ? syscall(SYS_write, fd, buf, len) : -1;
}

ssize_t
sendfile(int out, int in, off_t *at, size_t len)
{
	if (faulty_error(faulty.sendfile) || !faulty_gate(&len))
		return -1;
#ifdef SYS_sendfile64
	return syscall(SYS_sendfile64, out, in, at, len);
#else
	return syscall(SYS_sendfile, out, in, at, len);
#endif
}

ssize_t
vmsplice(int fd, const struct iovec *vectors, size_t count, unsigned flags)
{
	size_t len = vectors[0].iov_len;

	if (faulty_error(faulty.vmsplice) || !faulty_gate(&len))
		return -1;
	if (!faulty.most)
		return syscall(SYS_vmsplice, fd, vectors, count, flags);
	const struct iovec part = { .iov_base = vectors[0].iov_base, .iov_len = len };

	return syscall(SYS_vmsplice, fd, &part, 1, flags);
}

ssize_t
copy_file_range(int in, off_t *in_at, int out, off_t *out_at, size_t len, unsigned flags)
{
	if (faulty_error(faulty.copy_range) || !faulty_gate(&len))
		return -1;
	const ssize_t n = syscall(SYS_copy_file_range, in, in_at, out, out_at, len, flags);

	if (n > 0)
		faulty.served += (size_t)n;
	return n;
}

int
fstatfs(int fd, struct statfs *fs)
{
#ifdef SYS_fstatfs64
	const int got = (int)syscall(SYS_fstatfs64, fd, sizeof(*fs), fs);
#else
	const int got = (int)syscall(SYS_fstatfs, fd, fs);
#endif

	if (faulty.remote)
		fs->f_type = NFS_SUPER_MAGIC;
	return got;
}

int
fallocate(int fd, int mode, off_t at, off_t len)
{
	return faulty_error(faulty.fallocate) ? -1 :
						(int)syscall(SYS_fallocate, fd, mode, at, len);
}

int
renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	if (faulty_error(faulty.noreplace))
		return -1;
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

off_t
lseek(int fd, off_t at, int whence)
{
	if ((whence == SEEK_DATA || whence == SEEK_HOLE) && faulty_error(faulty.seek_data))
		return -1;
#ifdef SYS__llseek
	off_t now;

	return syscall(SYS__llseek, fd, (long)(at >> 32), (long)at, &now, whence) == 0 ? now : -1;
#else
	return syscall(SYS_lseek, fd, at, whence);
#endif
}

int
open(const char *path, int flags, ...)
{
	va_list args;
	int mode = 0;

	if (flags & (O_CREAT | O_TMPFILE)) {
		va_start(args, flags);
		mode = va_arg(args, int);
		va_end(args);
	}
	if ((flags & O_TMPFILE) == O_TMPFILE && faulty_error(faulty.tmpfile))
		return -1;
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags | __O_LARGEFILE, mode);
}

#endif
