/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sink for regular files and block devices: files share their blocks where the file system can do
 * that, a server copies what lies on it, and zeros become holes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/fs.h>
#include <linux/magic.h>
#endif

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "io/sink.h"

#define MOVE_MAX (1u << 30) /* below the kernel's limit of one call */

struct file_sink {
	struct q2s_sink sink;
	bool owned;
	bool shares;      /* files may share blocks, as far as we know */
	bool serves;      /* so may a server copy */
	bool device;      /* a block device: its size is given */
	uint64_t base;    /* file offset of the sink's first byte */
	uint64_t old_end; /* below this the file held bytes before: a hole must be made */
	struct q2si_place place;
};

static struct file_sink *
file_of(struct q2s_sink *sink)
{
	return (struct file_sink *)sink;
}

/* Write @len bytes @ahead of the sink's position. */
static enum q2s_err
write_ahead(struct q2s_sink *sink, uint64_t ahead, const void *buf, size_t len,
	    struct q2s_diag *diag)
{
	uint64_t at = file_of(sink)->base + sink->pos + ahead;

	while (len > 0) {
		const ssize_t n = pwrite(sink->fd, buf, q2si_min_size(len, MOVE_MAX), (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return q2si_sink_errno(sink, errno, "writing failed", diag);
		buf = (const char *)buf + n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return Q2S_OK;
}

static enum q2s_err
file_write(struct q2s_sink *sink, const void *buf, size_t len, struct q2s_diag *diag)
{
	return write_ahead(sink, 0, buf, len, diag);
}

/* Errors that mean "not between these two files", not "the disk is broken". */
static bool
cannot(int error)
{
	return error == EXDEV || error == EINVAL || error == ENOSYS || error == EOPNOTSUPP ||
	       error == ENOTTY || error == EBADF || error == EPERM || error == ETXTBSY;
}

/* Let both files have the same blocks. Only whole ones can be shared: EINVAL holds for this once. */
static bool
share(struct file_sink *file, struct q2s_store *from, uint64_t in, uint64_t out, uint64_t len)
{
#ifdef FICLONERANGE
	struct file_clone_range range = { .src_fd = q2s_store_fd(from),
					  .src_offset = in,
					  .src_length = len,
					  .dest_offset = out };

	if (ioctl(file->sink.fd, FICLONERANGE, &range) == 0)
		return true;
	file->shares = errno == EINVAL || errno == EINTR;
#else
	(void)from, (void)in, (void)out, (void)len;
	file->shares = false;
#endif
	return false;
}

/*
 * Is what holds the file somewhere else? There copy_file_range() spares the way here and back. On
 * this machine it would go page by page, and a copy by hand takes a third less time.
 */
static bool
is_remote(int fd)
{
#ifdef __linux__
	static const unsigned long remote[] = { NFS_SUPER_MAGIC,  CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC,
						CEPH_SUPER_MAGIC, FUSE_SUPER_MAGIC, AFS_SUPER_MAGIC };
	struct statfs fs;

	if (fstatfs(fd, &fs) != 0)
		return false;
	for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
		if ((unsigned long)fs.f_type == remote[i])
			return true;
#else
	(void)fd;
#endif
	return false;
}

/* Let the server copy, as far as it does; @in, @out and @len become what is left. */
static enum q2s_err
serve(struct file_sink *file, struct q2s_store *from, off_t *in, off_t *out, uint64_t *len,
      struct q2s_diag *diag)
{
	while (*len > 0 && file->serves) {
		const ssize_t n = copy_file_range(q2s_store_fd(from), in, file->sink.fd, out,
						  q2si_min_size(*len, MOVE_MAX), 0);

		if (n == 0)
			break; /* the end, or a file that only looks empty: reading will tell */
		if (n > 0)
			*len -= (uint64_t)n;
		else if (cannot(errno))
			file->serves = false;
		else if (errno != EINTR)
			return q2si_sink_errno(&file->sink, errno, "copying failed", diag);
	}
	return Q2S_OK;
}

static enum q2s_err
file_copy(struct q2s_sink *sink, struct q2s_store *from, uint64_t at, uint64_t len,
	  struct q2s_diag *diag)
{
	struct file_sink *file = file_of(sink);
	const uint64_t pos = sink->pos;
	off_t in = (off_t)at;
	off_t out = (off_t)(file->base + pos);
	enum q2s_err err;

	/* what shares blocks has no space of its own to be written to later */
	if (q2s_store_fd(from) < 0 || sink->flags & Q2SI_SINK_SPACE)
		return q2si_copy_by_hand(sink, from, at, len, write_ahead, diag);
	if (file->shares && share(file, from, at, (uint64_t)out, len))
		return Q2S_OK;
	Q2SI_TRY(serve(file, from, &in, &out, &len, diag));
	sink->by_hand = !file->shares && !file->serves;
	/* write_ahead() counts from the sink's position, which the server has passed. */
	sink->pos = (uint64_t)out - file->base;
	err = q2si_copy_by_hand(sink, from, (uint64_t)in, len, write_ahead, diag);
	sink->pos = pos;
	return err;
}

static enum q2s_err
write_zeros(struct q2s_sink *sink, uint64_t len, struct q2s_diag *diag)
{
	for (uint64_t done = 0; done < len;) {
		const size_t n = q2si_min_size(len - done, Q2SI_ZEROS_SIZE);

		Q2SI_TRY(write_ahead(sink, done, q2si_zeros, n, diag));
		done += n;
	}
	return Q2S_OK;
}

/* Zeros where the file held something before: freed if possible, else written. */
static enum q2s_err
overwrite_zeros(struct q2s_sink *sink, uint64_t len, struct q2s_diag *diag)
{
	static const int modes[] = { FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE };
	const off_t at = (off_t)(file_of(sink)->base + sink->pos);

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (fallocate(sink->fd, modes[i] | FALLOC_FL_KEEP_SIZE, at, (off_t)len) == 0)
			return Q2S_OK;
	return write_zeros(sink, len, diag);
}

/* Zeros, with their space, where something was before; a device has no end behind which nothing was. */
static enum q2s_err
allocate_over(struct q2s_sink *sink, uint64_t len, struct q2s_diag *diag)
{
	const off_t at = (off_t)(file_of(sink)->base + sink->pos);

	if (fallocate(sink->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, at, (off_t)len) == 0)
		return Q2S_OK;
	return write_zeros(sink, len, diag);
}

/* Space without bytes; by the C library's own means where the file system has none. */
static enum q2s_err
allocate(struct q2s_sink *sink, uint64_t len, struct q2s_diag *diag)
{
	const struct file_sink *file = file_of(sink);
	const uint64_t at = file->base + sink->pos;
	const uint64_t old = at < file->old_end ? q2si_min(len, file->old_end - at) : 0;
	int error = 0;

	if (old > 0)
		Q2SI_TRY(allocate_over(sink, old, diag));
	while (old < len) {
		error = posix_fallocate(sink->fd, (off_t)(at + old), (off_t)(len - old));
		if (error != EINTR)
			break;
	}
	return error ? q2si_sink_errno(sink, error, "allocating space failed", diag) : Q2S_OK;
}

static enum q2s_err
file_zero(struct q2s_sink *sink, uint64_t len, struct q2s_diag *diag)
{
	struct file_sink *file = file_of(sink);
	const uint64_t at = file->base + sink->pos;

	if (sink->flags & Q2S_SINK_FULL)
		return write_zeros(sink, len, diag);
	if (sink->flags & Q2S_SINK_ALLOCATE)
		return allocate(sink, len, diag);
	if (at >= file->old_end)
		return Q2S_OK; /* nothing there: the next write, or commit, leaves a hole */
	return overwrite_zeros(sink, q2si_min(len, file->old_end - at), diag);
}

static enum q2s_err
file_commit(struct q2s_sink *sink, struct q2s_diag *diag)
{
	struct file_sink *file = file_of(sink);
	const uint64_t end = file->base + sink->pos;

	if (!file->device && end > file->old_end && ftruncate(file->sink.fd, (off_t)end) != 0)
		return q2si_sink_errno(sink, errno, "setting its size failed", diag);
	/* Whoever shares the descriptor goes on behind our bytes. */
	if (!file->owned && lseek(file->sink.fd, (off_t)end, SEEK_SET) < 0)
		return q2si_sink_errno(sink, errno, "seeking failed", diag);
	if (file->place.final)
		return q2si_in_file(diag, q2si_place_commit(&file->place, file->sink.fd, diag),
				    sink->name);
	if (file->owned && fsync(file->sink.fd) != 0)
		return q2si_sink_errno(sink, errno, "flushing failed", diag);
	return Q2S_OK;
}

static const char *
file_temp_path(const struct q2s_sink *sink)
{
	return ((const struct file_sink *)sink)->place.temp;
}

static void
file_close(struct q2s_sink *sink)
{
	struct file_sink *file = file_of(sink);

	q2si_place_drop(&file->place);
	if (file->owned)
		close(file->sink.fd);
}

static const struct q2si_sink_ops file_ops = {
	.write = file_write,
	.copy = file_copy,
	.zero = file_zero,
	.commit = file_commit,
	.temp_path = file_temp_path,
	.close = file_close,
};

/* Where we start, and what was there before. */
static int
file_extent(struct file_sink *file)
{
	struct stat st;
	off_t base;

	if (fstat(file->sink.fd, &st) != 0 || (base = lseek(file->sink.fd, 0, SEEK_CUR)) < 0)
		return -1;
	file->device = S_ISBLK(st.st_mode);
	file->base = (uint64_t)base;
	file->old_end = file->device ? UINT64_MAX : (uint64_t)st.st_size;
	return 0;
}

enum q2s_err
q2si_sink_file(int fd, bool owned, const char *name, struct q2si_place *place,
	       struct q2s_sink **out, struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE struct file_sink *file = calloc(1, sizeof(*file));
	char *copy = strdup(name);

	if (!file || !copy) {
		free(copy);
		return q2si_fail_nomem(diag, "sink");
	}
	file->sink = (struct q2s_sink){ .ops = &file_ops, .name = copy };
	file->sink.fd = fd;
	file->sink.seeks = true;
	file->shares = true;
	file->serves = is_remote(fd);
	if (file_extent(file) != 0) {
		free(copy);
		return q2si_fail_errno(diag, errno, "output", Q2S_NOWHERE, "cannot be used");
	}
	file->sink.free_zeros = !file->device && file->base >= file->old_end;
	file->owned = owned;
	if (place) {
		file->place = *place;
		*place = (struct q2si_place){ 0 };
	}
	*out = &Q2SI_STEAL(file)->sink;
	return Q2S_OK;
}

