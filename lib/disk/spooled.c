/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A raw disk that came through a pipe: what is not zero waits in a spool, and a map says where
 * each stretch of it belongs.
 */
#include "disk/spooled.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/search.h"
#include "disk/disk.h"
#include "io/drain.h"

/*
 * A map that alternates all the time would grow with the disk. Each time that it has so many more
 * runs, gaps must be twice as long to be worth one; shorter ones are kept as zeros in the spool.
 */
#define RUNS_PER_STEP (512u << 10)

/* From @guest on, what lies in the spool from @at on; up to where the next run's bytes begin. */
struct run {
	uint64_t guest;
	uint64_t at;
};

struct spool_disk {
	struct q2s_disk disk;
	struct q2s_spool *spool;
	struct run *runs;
	size_t count, room;
	/* while the stream is read: */
	uint64_t end;     /* guest end of the last run */
	uint64_t gap_min; /* shorter gaps do not end a run */
	size_t runs_per_step;
};

static struct spool_disk *
disk_of(const struct q2s_cursor *cursor)
{
	return (struct spool_disk *)cursor->disk;
}

/* ---- filling ----------------------------------------------------------------------------- */

static enum q2s_err
add_run(struct spool_disk *disk, uint64_t guest, struct q2s_diag *diag)
{
	if (disk->count == disk->room) {
		const size_t room = disk->room ? 2 * disk->room : 256;
		struct run *runs = reallocarray(disk->runs, room, sizeof(*runs));

		if (!runs)
			return q2si_fail_nomem(diag, "map of the spool");
		disk->runs = runs;
		disk->room = room;
	}
	disk->runs[disk->count++] = (struct run){ guest, q2s_spool_size(disk->spool) };
	if (disk->count % disk->runs_per_step == 0)
		disk->gap_min *= 2;
	return Q2S_OK;
}

static enum q2s_err
append_zeros(struct spool_disk *disk, uint64_t len, struct q2s_diag *diag)
{
	static const uint8_t zeros[Q2SI_DRAIN_UNIT];

	for (uint64_t done = 0; done < len;) {
		const size_t n = q2si_min_size(len - done, sizeof(zeros));

		Q2SI_TRY(q2s_spool_append(disk->spool, zeros, n, diag));
		done += n;
	}
	return Q2S_OK;
}

static enum q2s_err
take(void *opaque, uint64_t at, const void *buf, size_t len, struct q2s_diag *diag)
{
	struct spool_disk *disk = opaque;

	if (disk->count == 0 || at - disk->end >= disk->gap_min)
		Q2SI_TRY(add_run(disk, at, diag));
	else
		Q2SI_TRY(append_zeros(disk, at - disk->end, diag));
	disk->end = at + len;
	return q2s_spool_append(disk->spool, buf, len, diag);
}

/* ---- reading ----------------------------------------------------------------------------- */

/* Guest bytes of run @index. */
static uint64_t
run_len(const struct spool_disk *disk, size_t index)
{
	const uint64_t next = index + 1 < disk->count ? disk->runs[index + 1].at :
							q2s_spool_size(disk->spool);

	return next - disk->runs[index].at;
}

/* The number of runs that begin at @guest or before. */
static size_t
runs_until(const struct spool_disk *disk, uint64_t guest)
{
	return Q2SI_COUNT_FIRST(i, disk->count, disk->runs[i].guest <= guest);
}

/* What is at @guest? @at: where in the spool; returns false for zeros. @len: how far that holds. */
static bool
find(const struct spool_disk *disk, uint64_t guest, uint64_t *at, uint64_t *len)
{
	const size_t index = runs_until(disk, guest);

	if (index > 0) {
		const struct run *run = &disk->runs[index - 1];
		const uint64_t skip = guest - run->guest;
		const uint64_t held = run_len(disk, index - 1);

		if (skip < held) {
			*at = run->at + skip;
			*len = held - skip;
			return true;
		}
	}
	*len = (index < disk->count ? disk->runs[index].guest : disk->disk.size) - guest;
	return false;
}

static enum q2s_err
spool_extent(struct q2s_cursor *cursor, q2s_guest guest, uint64_t max, struct q2s_extent *out,
	     struct q2s_diag *diag)
{
	const struct spool_disk *disk = disk_of(cursor);
	uint64_t at, len, held;

	(void)diag;
	*out = (struct q2s_extent){ .state = Q2S_ABSENT };
	if (find(disk, guest.v, &at, &len)) {
		out->state = Q2S_DATA;
		out->file = q2s_spool_place(disk->spool, at, &out->at, &held);
		len = q2si_min(len, held);
	}
	out->len = q2si_min(len, max);
	return Q2S_OK;
}

static enum q2s_err
spool_read(struct q2s_cursor *cursor, q2s_guest guest, void *buf, size_t len,
	   struct q2s_diag *diag)
{
	const struct spool_disk *disk = disk_of(cursor);
	uint8_t *to = buf;

	while (len > 0) {
		uint64_t at, there;
		const bool held = find(disk, guest.v, &at, &there);
		const size_t n = q2si_min_size(there, len);

		if (held)
			Q2SI_TRY(q2s_spool_read(disk->spool, at, to, n, diag));
		else
			memset(to, 0, n);
		guest.v += n;
		to += n;
		len -= n;
	}
	return Q2S_OK;
}

static enum q2s_err
spool_cursor_open(struct q2s_disk *disk, struct q2s_cursor **out, struct q2s_diag *diag)
{
	(void)disk;
	*out = calloc(1, sizeof(**out));
	return *out ? Q2S_OK : q2si_fail_nomem(diag, "cursor");
}

static void
spool_cursor_close(struct q2s_cursor *cursor)
{
	free(cursor);
}

static void
spool_close(struct q2s_disk *base)
{
	struct spool_disk *disk = (struct spool_disk *)base;

	q2s_spool_free(disk->spool);
	free(disk->runs);
	free(disk);
}

static const struct q2si_disk_ops spool_ops = {
	.cursor_open = spool_cursor_open,
	.cursor_close = spool_cursor_close,
	.extent = spool_extent,
	.read = spool_read,
	.close = spool_close,
};

enum q2s_err
q2si_disk_spool(const struct q2s_stream *stream, uint64_t budget, size_t runs_per_step,
		struct q2s_disk **out, struct q2s_diag *diag)
{
	struct spool_disk *disk = calloc(1, sizeof(*disk));
	enum q2s_err err;
	uint64_t size = 0;

	if (!disk)
		return q2si_fail_nomem(diag, "disk");
	disk->gap_min = Q2SI_DRAIN_UNIT;
	disk->runs_per_step = runs_per_step;
	err = q2s_spool_new(stream->folder, budget, &disk->spool, diag);
	if (err == Q2S_OK)
		err = q2si_drain(stream, take, disk, &size, diag);
	if (err == Q2S_OK)
		err = q2si_disk_init(&disk->disk, &spool_ops, stream->name, size, diag);
	if (err != Q2S_OK) {
		spool_close(&disk->disk);
		return err;
	}
	*out = &disk->disk;
	return Q2S_OK;
}

enum q2s_err
q2s_disk_spool(const struct q2s_stream *stream, uint64_t budget, struct q2s_disk **out,
	       struct q2s_diag *diag)
{
	return q2si_disk_spool(stream, budget, RUNS_PER_STEP, out, diag);
}
