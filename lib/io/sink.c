/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The frame of all sinks: counting, choosing the kind for a destination, and ending. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/pages.h"
#include "io/sink.h"

/* Large enough to hide the system calls, small enough to stay in the processor's cache. */
#define COPY_BUFFER (256u << 10)

/* Page-aligned, so that a pipe can take whole pages of it. */
const uint8_t q2si_zeros[Q2SI_ZEROS_SIZE] __attribute__((aligned(4096))) = { 0 };

enum q2s_err
q2si_sink_errno(const struct q2s_sink *sink, int error, const char *doing, struct q2s_diag *diag)
{
	return q2si_in_file(diag, q2si_fail_errno(diag, error, "output", Q2S_NOWHERE, "%s", doing),
			    sink->name);
}

enum q2s_err
q2si_source_ended(struct q2s_store *file, uint64_t at, struct q2s_diag *diag)
{
	return q2si_in_file(diag,
			    q2si_fail_at(diag, Q2S_E_CHANGED, "source", (q2s_host){ at },
					 "it became shorter while it was read"),
			    q2s_store_name(file));
}

enum q2s_err
q2si_copy_by_hand(struct q2s_sink *sink, struct q2s_store *file, uint64_t at, uint64_t len,
		  enum q2s_err (*write)(struct q2s_sink *sink, uint64_t ahead, const void *buf,
					size_t len, struct q2s_diag *diag),
		  struct q2s_diag *diag)
{
	if (!sink->copy_buffer)
		sink->copy_buffer = q2si_pages(COPY_BUFFER);
	if (!sink->copy_buffer)
		return q2si_fail_nomem(diag, "copy buffer");
	for (uint64_t done = 0; done < len;) {
		const size_t n = q2si_min_size(len - done, COPY_BUFFER);
		size_t got;

		Q2SI_TRY(q2s_store_read_padded(file, at + done, sink->copy_buffer, n, &got, diag));
		if (got < n)
			return q2si_source_ended(file, at + done + got, diag);
		Q2SI_TRY(write(sink, done, sink->copy_buffer, n, diag));
		done += n;
	}
	return Q2S_OK;
}

int
q2s_sink_fd(const struct q2s_sink *sink)
{
	return sink->fd;
}

uint64_t
q2s_sink_pos(const struct q2s_sink *sink)
{
	return sink->pos;
}

const char *
q2s_sink_temp_path(const struct q2s_sink *sink)
{
	return sink->ops->temp_path ? sink->ops->temp_path(sink) : NULL;
}

enum q2s_err
q2s_sink_write(struct q2s_sink *sink, const void *buf, size_t len, struct q2s_diag *diag)
{
	if (len != 0)
		Q2SI_TRY(sink->ops->write(sink, buf, len, diag));
	sink->pos += len;
	return Q2S_OK;
}

enum q2s_err
q2s_sink_copy(struct q2s_sink *sink, struct q2s_store *file, uint64_t at, uint64_t len,
	      struct q2s_diag *diag)
{
	if (len != 0)
		Q2SI_TRY(sink->ops->copy(sink, file, at, len, diag));
	sink->pos += len;
	return Q2S_OK;
}

enum q2s_err
q2s_sink_zero(struct q2s_sink *sink, uint64_t len, struct q2s_diag *diag)
{
	if (len != 0)
		Q2SI_TRY(sink->ops->zero(sink, len, diag));
	sink->pos += len;
	return Q2S_OK;
}

bool
q2s_sink_copies_by_hand(const struct q2s_sink *sink)
{
	return sink->by_hand;
}

bool
q2s_sink_skips_zeros(const struct q2s_sink *sink)
{
	return sink->free_zeros;
}

bool
q2s_sink_can_seek(const struct q2s_sink *sink)
{
	return sink->seeks;
}

enum q2s_err
q2s_sink_seek(struct q2s_sink *sink, uint64_t at, struct q2s_diag *diag)
{
	if (!sink->seeks)
		return q2si_in_file(diag,
				    q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "output", Q2S_NOWHERE,
						 "takes bytes in order alone"),
				    sink->name);
	sink->pos = at;
	return Q2S_OK;
}

void
q2s_sink_abort(struct q2s_sink *sink)
{
	if (!sink)
		return;
	sink->ops->close(sink);
	free(sink->copy_buffer);
	free(sink->name);
	free(sink);
}

enum q2s_err
q2s_sink_commit(struct q2s_sink *sink, struct q2s_diag *diag)
{
	const enum q2s_err err = sink->ops->commit(sink, diag);

	q2s_sink_abort(sink); /* after a commit there is nothing left to undo */
	return err;
}

/* O_APPEND takes the choice of the offset away from us, so such a file is a stream. */
static bool
has_offsets(int fd, const struct stat *st)
{
	const int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && flags & O_APPEND)
		return false;
	return S_ISREG(st->st_mode) || S_ISBLK(st->st_mode);
}

/* What is a stream has no space, so none can be promised. */
static enum q2s_err
open_stream(int fd, bool owned, const char *name, unsigned flags, struct q2s_sink **out,
	    struct q2s_diag *diag)
{
	if (flags & Q2SI_SINK_SPACE)
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "output", Q2S_NOWHERE,
				    "takes bytes in order alone, so no space can be allocated there");
	return q2si_sink_stream(fd, owned, name, out, diag);
}

static void
set_flags(struct q2s_sink *sink, unsigned flags)
{
	sink->flags = flags;
	if (!(flags & Q2SI_SINK_SPACE))
		return;
	sink->free_zeros = false;
	sink->by_hand = true;
}

enum q2s_err
q2s_sink_from_fd(int fd, const char *name, unsigned flags, struct q2s_sink **out,
		 struct q2s_diag *diag)
{
	enum q2s_err err;
	struct stat st;

	if (fstat(fd, &st) != 0) {
		return q2si_in_file(diag,
				    q2si_fail_errno(diag, errno, "output", Q2S_NOWHERE,
						    "cannot be used"),
				    name);
	}
	if (has_offsets(fd, &st))
		err = q2si_sink_file(fd, false, name, NULL, out, diag);
	else
		err = open_stream(fd, false, name, flags, out, diag);
	if (err == Q2S_OK)
		set_flags(*out, flags);
	return q2si_in_file(diag, err, name);
}

/* Start at the beginning of a block device that is large enough. */
static enum q2s_err
check_device(int fd, uint64_t length, struct q2s_diag *diag)
{
	const off_t size = lseek(fd, 0, SEEK_END);

	if (size < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return q2si_fail_errno(diag, errno, "output", Q2S_NOWHERE, "cannot find its size");
	if ((uint64_t)size >= length)
		return Q2S_OK;
	return q2si_fail(diag, Q2S_E_LIMIT, "block device", Q2S_NOWHERE, (uint64_t)size,
			 "too small for 0x%llx bytes", (unsigned long long)length);
}

/*
 * A device, FIFO or socket that is there already: opened and written to in place. O_EXCL on a block
 * device is refused while it is mounted, or part of something else: writing would destroy that.
 */
static enum q2s_err
open_special(const char *path, const struct stat *st, unsigned flags, uint64_t length,
	     struct q2s_sink **out, struct q2s_diag *diag)
{
	const bool device = S_ISBLK(st->st_mode);
	Q2SI_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | (device ? O_EXCL : 0));

	if (fd < 0)
		return q2si_fail_errno(diag, errno, "output", Q2S_NOWHERE,
				       "cannot be opened for writing");
	if (device) {
		Q2SI_TRY(check_device(fd, length, diag));
		Q2SI_TRY(q2si_sink_file(fd, true, path, NULL, out, diag));
	} else {
		Q2SI_TRY(open_stream(fd, true, path, flags, out, diag));
	}
	fd = -1;
	return Q2S_OK;
}

static enum q2s_err
open_regular(const char *path, unsigned flags, struct q2s_sink **out, struct q2s_diag *diag)
{
	struct q2si_place place = { 0 };
	int fd = -1;
	enum q2s_err err = q2si_place_open(path, flags, &fd, &place, diag);

	if (err == Q2S_OK) {
		err = q2si_sink_file(fd, true, path, &place, out, diag);
		if (err != Q2S_OK)
			close(fd);
	}
	if (err != Q2S_OK)
		q2si_place_drop(&place);
	return err;
}

enum q2s_err
q2s_sink_open(const char *path, unsigned flags, uint64_t length, struct q2s_sink **out,
	      struct q2s_diag *diag)
{
	enum q2s_err err;
	struct stat st;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		err = open_special(path, &st, flags, length, out, diag);
	else
		err = open_regular(path, flags, out, diag);
	if (err == Q2S_OK)
		set_flags(*out, flags);
	return q2si_in_file(diag, err, path);
}
