/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* O_DIRECT, for requests of any alignment. */
#include "io/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/fs.h>
#endif

#include "base/arith.h"
#include "base/diag.h"

/* Blocks where nobody says how large they have to be: what every device takes. */
#define USUAL_UNIT 4096u
/* Larger blocks than this are none that we know of. */
#define UNIT_MAX 65536u
/* Bytes of a buffer at most; larger requests go in steps. */
#define BUFFER_MAX (256u << 10)
/* No single system call moves more than this: a multiple of each block below the kernel's limit. */
#define MOVE_MAX (1u << 30)

/**
 * @unit    offsets and lengths are multiples of this
 * @memory  and addresses of this
 * @busy    who writes now
 */
struct q2si_direct {
	int fd;
	uint32_t unit;
	uint32_t memory;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	struct q2si_direct_range *busy;
};

/* ---- opening ----------------------------------------------------------------------------- */

static enum q2s_err
refuse(struct q2s_diag *diag)
{
	return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "file", Q2S_NOWHERE,
			    "its file system or device does not allow O_DIRECT");
}

/* What the kernel says, where it says it; 0: it does not allow it at all. */
static void
units_find(struct q2si_direct *direct)
{
	direct->unit = direct->memory = USUAL_UNIT;
#ifdef BLKSSZGET
	int sector;

	if (ioctl(direct->fd, BLKSSZGET, &sector) == 0 && sector > 0)
		direct->unit = (uint32_t)sector;
#endif
#ifdef STATX_DIOALIGN
	struct statx st;

	if (statx(direct->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) == 0 &&
	    st.stx_mask & STATX_DIOALIGN) {
		direct->unit = st.stx_dio_offset_align;
		direct->memory = (uint32_t)q2si_max(st.stx_dio_mem_align, sizeof(void *));
	}
#endif
}

static bool
is_power_of_two(uint32_t number)
{
	return number && (number & (number - 1)) == 0;
}

/* The first block, as a test: some file systems say yes when it is set, and no when it is used. */
static enum q2s_err
try_it(const struct q2si_direct *direct, struct q2s_diag *diag)
{
	void *buffer = NULL;
	ssize_t got;

	if (!is_power_of_two(direct->unit) || direct->unit > UNIT_MAX ||
	    !is_power_of_two(direct->memory) || direct->memory > UNIT_MAX)
		return refuse(diag);
	if (posix_memalign(&buffer, direct->memory, direct->unit) != 0)
		return q2si_fail_nomem(diag, "O_DIRECT");
	do {
		got = pread(direct->fd, buffer, direct->unit, 0);
	} while (got < 0 && errno == EINTR);
	free(buffer);
	if (got >= 0)
		return Q2S_OK;
	if (errno == EINVAL || errno == EOPNOTSUPP)
		return refuse(diag);
	return q2si_fail_errno(diag, errno, "file", (q2s_host){ 0 },
			       "reading with O_DIRECT failed");
}

enum q2s_err
q2si_direct_open(int fd, struct q2si_direct **out, struct q2s_diag *diag)
{
#ifdef O_DIRECT
	const int flags = fcntl(fd, F_GETFL);
	struct q2si_direct *const direct = calloc(1, sizeof(*direct));
	enum q2s_err err;

	if (!direct)
		return q2si_fail_nomem(diag, "O_DIRECT");
	direct->fd = fd;
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_DIRECT) != 0) {
		free(direct);
		return refuse(diag);
	}
	units_find(direct);
	err = try_it(direct, diag);
	if (err != Q2S_OK) {
		(void)fcntl(fd, F_SETFL, flags);
		free(direct);
		return err;
	}
	pthread_mutex_init(&direct->lock, NULL);
	pthread_cond_init(&direct->moved, NULL);
	*out = direct;
	return Q2S_OK;
#else
	(void)fd, (void)out;
	return refuse(diag);
#endif
}

void
q2si_direct_close(struct q2si_direct *direct)
{
	if (!direct)
		return;
	pthread_mutex_destroy(&direct->lock);
	pthread_cond_destroy(&direct->moved);
	free(direct);
}

/* ---- who writes where -------------------------------------------------------------------- */

static bool
has_to_wait(const struct q2si_direct *direct, const struct q2si_direct_range *range)
{
	for (const struct q2si_direct_range *other = direct->busy; other; other = other->next)
		if ((range->alone || other->alone) && range->start < other->end &&
		    other->start < range->end)
			return true;
	return false;
}

/* Parts of blocks are read before they are written, so nobody else may write to these meanwhile. */
void
q2si_direct_begin(struct q2si_direct *direct, struct q2si_direct_range *range, uint64_t at,
		  uint64_t len)
{
	range->start = q2si_round_down(at, direct->unit);
	range->end = q2si_round_up(at + len, direct->unit);
	range->alone = range->start != at || range->end != at + len;
	pthread_mutex_lock(&direct->lock);
	while (has_to_wait(direct, range))
		pthread_cond_wait(&direct->moved, &direct->lock);
	range->next = direct->busy;
	range->link = &direct->busy;
	if (range->next)
		range->next->link = &range->next;
	direct->busy = range;
	pthread_mutex_unlock(&direct->lock);
}

void
q2si_direct_end(struct q2si_direct *direct, struct q2si_direct_range *range)
{
	pthread_mutex_lock(&direct->lock);
	*range->link = range->next;
	if (range->next)
		range->next->link = range->link;
	pthread_cond_broadcast(&direct->moved);
	pthread_mutex_unlock(&direct->lock);
}

/* ---- whole blocks in aligned memory -------------------------------------------------------- */

/* Short only at the end of the file. */
static enum q2s_err
blocks_read(const struct q2si_direct *direct, uint64_t at, uint8_t *buf, size_t len, size_t *got,
	    struct q2s_diag *diag)
{
	*got = 0;
	while (*got < len) {
		const ssize_t n = pread(direct->fd, buf + *got, q2si_min_size(len - *got, MOVE_MAX),
					(off_t)(at + *got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return q2si_fail_errno(diag, errno, "file", (q2s_host){ at + *got },
					       "reading failed");
		*got += (size_t)n;
		if (n == 0 || (size_t)n % direct->unit != 0)
			break;
	}
	return Q2S_OK;
}

static enum q2s_err
blocks_write(const struct q2si_direct *direct, uint64_t at, const uint8_t *buf, size_t len,
	     struct q2s_diag *diag)
{
	while (len > 0) {
		const ssize_t n = pwrite(direct->fd, buf, q2si_min_size(len, MOVE_MAX), (off_t)at);
		size_t done;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return q2si_fail_errno(diag, errno, "file", (q2s_host){ at },
					       "writing failed");
		/* A part of a block is written again, with the rest of it. */
		done = q2si_round_down((uint64_t)n, direct->unit);
		if (done == 0)
			return q2si_fail(diag, Q2S_E_IO, "file", (q2s_host){ at }, (uint64_t)n,
					 "only so many bytes of a block could be written");
		at += done;
		buf += done;
		len -= done;
	}
	return Q2S_OK;
}

static bool
is_aligned(const struct q2si_direct *direct, uint64_t at, const void *buf, size_t len)
{
	return (at | len) % direct->unit == 0 && (uintptr_t)buf % direct->memory == 0;
}

/* For [@start, @end), or a step of it; NULL without memory. */
static uint8_t *
buffer_make(const struct q2si_direct *direct, uint64_t start, uint64_t end)
{
	void *buffer = NULL;

	if (posix_memalign(&buffer, direct->memory, q2si_min_size(end - start, BUFFER_MAX)) != 0)
		return NULL;
	return buffer;
}

/* ---- any bytes ----------------------------------------------------------------------------- */

enum q2s_err
q2si_direct_read(struct q2si_direct *direct, uint64_t at, void *buf, size_t len, size_t *got,
		 struct q2s_diag *diag)
{
	const uint64_t start = q2si_round_down(at, direct->unit);
	const uint64_t end = q2si_round_up(at + len, direct->unit);
	enum q2s_err err = Q2S_OK;
	uint8_t *buffer;

	if (is_aligned(direct, at, buf, len))
		return blocks_read(direct, at, buf, len, got, diag);
	*got = 0;
	buffer = buffer_make(direct, start, end);
	if (!buffer)
		return q2si_fail_nomem(diag, "O_DIRECT");
	for (uint64_t step = start; step < end && err == Q2S_OK; step += BUFFER_MAX) {
		const size_t want = q2si_min_size(end - step, BUFFER_MAX);
		const size_t skip = step < at ? (size_t)(at - step) : 0;
		size_t n;

		err = blocks_read(direct, step, buffer, want, &n, diag);
		if (err != Q2S_OK || n <= skip)
			break;
		memcpy((uint8_t *)buf + *got, buffer + skip, q2si_min_size(n - skip, len - *got));
		*got += q2si_min_size(n - skip, len - *got);
		if (n < want)
			break;
	}
	free(buffer);
	return err;
}

/* Have the block at @at in @block, with zeros behind the end of the file. */
static enum q2s_err
block_fetch(const struct q2si_direct *direct, uint64_t at, uint8_t *block, bool *longer,
	    struct q2s_diag *diag)
{
	size_t got;

	Q2SI_TRY(blocks_read(direct, at, block, direct->unit, &got, diag));
	memset(block + got, 0, direct->unit - got);
	*longer = *longer || got < direct->unit;
	return Q2S_OK;
}

/* One step of a write that begins at @at and ends at @end, where it is within [@start, @stop). */
static enum q2s_err
step_write(const struct q2si_direct *direct, uint64_t start, uint64_t stop, uint64_t at,
	   uint64_t end, const uint8_t *buf, uint8_t *buffer, bool *longer, struct q2s_diag *diag)
{
	const uint64_t from = q2si_max(start, at), to = q2si_min(stop, end);
	const uint64_t last = stop - direct->unit;

	if (from > start)
		Q2SI_TRY(block_fetch(direct, start, buffer, longer, diag));
	if (to < stop && !(from > start && last == start))
		Q2SI_TRY(block_fetch(direct, last, buffer + (last - start), longer, diag));
	memcpy(buffer + (from - start), buf + (from - at), to - from);
	return blocks_write(direct, start, buffer, stop - start, diag);
}

static enum q2s_err
buffered_write(const struct q2si_direct *direct, const struct q2si_direct_range *range, uint64_t at,
	       const uint8_t *buf, size_t len, bool *longer, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;
	uint8_t *buffer;

	buffer = buffer_make(direct, range->start, range->end);
	if (!buffer)
		return q2si_fail_nomem(diag, "O_DIRECT");
	for (uint64_t start = range->start; start < range->end && err == Q2S_OK;
	     start += BUFFER_MAX)
		err = step_write(direct, start, q2si_min(range->end, start + BUFFER_MAX), at,
				 at + len, buf, buffer, longer, diag);
	free(buffer);
	return err;
}

enum q2s_err
q2si_direct_write(struct q2si_direct *direct, uint64_t at, const void *buf, size_t len,
		  bool *longer, struct q2s_diag *diag)
{
	struct q2si_direct_range range;
	enum q2s_err err;

	q2si_direct_begin(direct, &range, at, len);
	if (is_aligned(direct, at, buf, len))
		err = blocks_write(direct, at, buf, len, diag);
	else
		err = buffered_write(direct, &range, at, buf, len, longer, diag);
	q2si_direct_end(direct, &range);
	return err;
}
