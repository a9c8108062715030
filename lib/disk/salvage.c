/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk that can be read everywhere: what the one below cannot give reads as zero, and is
 * remembered. Once given up, a place is not asked for again, so that all who read see the same, and
 * a failing device is spared.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/search.h"
#include "disk/disk.h"

#define UNITS_MAX 4096u /* that fail one after the other before a question is answered */

/* Guest bytes [@start, @end) that are given up. */
struct gap {
	uint64_t start, end;
	enum q2s_salvage_state state;
};

struct salvage_disk {
	struct q2s_disk disk;
	struct q2s_disk *inner;
	uint32_t unit; /* bytes that an entry of a table maps */
	pthread_mutex_t lock; /* of what follows */
	struct gap *gaps;     /* sorted and disjoint */
	size_t count, room;
};

struct salvage_cursor {
	struct q2s_cursor cursor;
	struct q2s_cursor *inner;
};

static struct salvage_disk *
disk_of(struct q2s_cursor *cursor)
{
	return (struct salvage_disk *)cursor->disk;
}

/* ---- gaps -------------------------------------------------------------------------------- */

/* The first gap that ends behind @at; the number of gaps if there is none. With the lock held. */
static size_t
gap_find(const struct salvage_disk *disk, uint64_t at)
{
	return Q2SI_COUNT_FIRST(i, disk->count, disk->gaps[i].end <= at);
}

static enum q2s_err
gap_insert(struct salvage_disk *disk, size_t index, const struct gap *gap, struct q2s_diag *diag)
{
	if (disk->count == disk->room) {
		const size_t room = disk->room ? 2 * disk->room : 16;
		struct gap *const gaps = reallocarray(disk->gaps, room, sizeof(*gaps));

		if (!gaps)
			return q2si_fail_nomem(diag, "salvage");
		disk->gaps = gaps;
		disk->room = room;
	}
	memmove(disk->gaps + index + 1, disk->gaps + index,
		(disk->count - index) * sizeof(*disk->gaps));
	disk->gaps[index] = *gap;
	disk->count++;
	return Q2S_OK;
}

/* Note what is left of @gap between those that are known, which stay what they are. */
static enum q2s_err
gap_note(struct salvage_disk *disk, struct gap gap, struct q2s_diag *diag)
{
	while (gap.start < gap.end) {
		const size_t i = gap_find(disk, gap.start);
		struct gap *const next = i < disk->count ? &disk->gaps[i] : NULL;
		struct gap *const last = i > 0 ? &disk->gaps[i - 1] : NULL;
		struct gap part = gap;

		if (next && next->start <= gap.start) {
			gap.start = next->end;
			continue;
		}
		if (next)
			part.end = q2si_min(part.end, next->start);
		gap.start = part.end;
		if (last && last->end == part.start && last->state == part.state)
			last->end = part.end;
		else
			Q2SI_TRY(gap_insert(disk, i, &part, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
give_up(struct salvage_disk *disk, uint64_t start, uint64_t end, enum q2s_salvage_state state,
	struct q2s_diag *diag)
{
	const struct gap gap = { start, end, state };
	enum q2s_err err;

	pthread_mutex_lock(&disk->lock);
	err = gap_note(disk, gap, diag);
	pthread_mutex_unlock(&disk->lock);
	return err;
}

/* What is at @at, which is on the disk, and where that ends. */
static struct gap
look(struct salvage_disk *disk, uint64_t at)
{
	struct gap out = { at, disk->disk.size, Q2S_SALVAGE_SURE };

	pthread_mutex_lock(&disk->lock);
	const size_t i = gap_find(disk, at);

	if (i < disk->count && disk->gaps[i].start <= at)
		out = disk->gaps[i];
	else if (i < disk->count)
		out.end = disk->gaps[i].start;
	pthread_mutex_unlock(&disk->lock);
	out.start = at;
	return out;
}

/* ---- failures ---------------------------------------------------------------------------- */

/* Is this about one place alone? A server that has gone, or memory that is used up, is not. */
static bool
is_local(enum q2s_err err, const struct q2s_diag *why)
{
	static const int errors[] = { EIO, EREMOTEIO, EILSEQ, ENODATA, EBADMSG, EUCLEAN };

	if (err != Q2S_E_IO)
		return err == Q2S_E_SHORT || q2s_err_class(err) == Q2S_CLASS_CORRUPT;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (why->sys_errno == errors[i])
			return true;
	return false;
}

static enum q2s_err
pass_on(enum q2s_err err, const struct q2s_diag *why, struct q2s_diag *diag)
{
	if (diag && diag->err == Q2S_OK)
		*diag = *why;
	return err;
}

/* A cluster whose entry is good and that lies behind the end of the file is not there. */
static enum q2s_salvage_state
state_of(enum q2s_err err, const struct q2s_diag *why)
{
	return err == Q2S_E_TRUNCATED && strcmp(why->what, "data cluster") == 0 ?
		       Q2S_SALVAGE_ZERO_FILLED :
		       Q2S_SALVAGE_LOST;
}

/* ---- extents ----------------------------------------------------------------------------- */

/* From @at on nobody knows what is there: give units up to the first that is known, or to @end. */
static enum q2s_err
extent_lost(struct salvage_cursor *cursor, uint64_t at, uint64_t end, enum q2s_err err,
	    const struct q2s_diag *why, uint64_t *until, struct q2s_diag *diag)
{
	struct salvage_disk *const disk = disk_of(&cursor->cursor);
	enum q2s_salvage_state state = state_of(err, why);
	uint64_t from = at;

	for (unsigned units = 0; units < UNITS_MAX && at < end; units++) {
		struct q2s_diag next = { 0 };
		struct q2s_extent extent;

		at = q2si_min(q2si_round_down(at, disk->unit) + disk->unit, end);
		if (at == end)
			break;
		err = q2s_cursor_extent(cursor->inner, (q2s_guest){ at }, end - at, &extent, &next);
		if (err == Q2S_OK)
			break;
		if (!is_local(err, &next))
			return pass_on(err, &next, diag);
		if (state_of(err, &next) == state)
			continue;
		Q2SI_TRY(give_up(disk, from, at, state, diag));
		from = at;
		state = state_of(err, &next);
	}
	*until = at;
	return give_up(disk, from, at, state, diag);
}

/* Its bytes have to be read here, so no file is named in which they lie. */
static enum q2s_err
salvage_extent(struct q2s_cursor *base, q2s_guest guest, uint64_t max, struct q2s_extent *out,
	       struct q2s_diag *diag)
{
	struct salvage_cursor *const cursor = (struct salvage_cursor *)base;
	struct salvage_disk *const disk = disk_of(base);
	const struct gap here = look(disk, guest.v);
	const uint64_t end = q2si_min(here.end, guest.v + max);
	struct q2s_diag why = { 0 };
	struct q2s_extent extent;
	uint64_t until = end;
	enum q2s_err err;

	*out = (struct q2s_extent){ .len = end - guest.v, .state = Q2S_ZERO };
	if (here.state != Q2S_SALVAGE_SURE)
		return Q2S_OK;
	err = q2s_cursor_extent(cursor->inner, guest, end - guest.v, &extent, &why);
	if (err == Q2S_OK) {
		*out = (struct q2s_extent){ .len = extent.len, .state = extent.state };
		return Q2S_OK;
	}
	if (!is_local(err, &why))
		return pass_on(err, &why, diag);
	Q2SI_TRY(extent_lost(cursor, guest.v, end, err, &why, &until, diag));
	out->len = until - guest.v;
	return Q2S_OK;
}

/* ---- reading ----------------------------------------------------------------------------- */

/* What cannot be read and not be cut further is zero; was it known that something is there? */
static enum q2s_err
read_nothing(struct salvage_cursor *cursor, uint64_t at, uint8_t *buf, size_t len,
	     struct q2s_diag *diag)
{
	enum q2s_salvage_state state = Q2S_SALVAGE_ZERO_FILLED;
	struct q2s_diag why = { 0 };
	struct q2s_extent extent;
	const enum q2s_err err =
		q2s_cursor_extent(cursor->inner, (q2s_guest){ at }, len, &extent, &why);

	if (err != Q2S_OK && !is_local(err, &why))
		return pass_on(err, &why, diag);
	if (err != Q2S_OK)
		state = state_of(err, &why);
	memset(buf, 0, len);
	return give_up(disk_of(&cursor->cursor), at, at + len, state, diag);
}

/* Where to cut [@at, @end) in two, at a multiple of @grain; @end if it cannot be cut. */
static uint64_t
middle(uint64_t at, uint64_t end, uint32_t grain)
{
	const uint64_t half = q2si_round_down(at + (end - at) / 2, grain);

	return q2si_min(half > at ? half : q2si_round_down(at, grain) + grain, end);
}

/* Read what can be read, in halves of what cannot: a sector of a device, an entry of a table. */
static enum q2s_err
read_halves(struct salvage_cursor *cursor, uint64_t at, uint8_t *buf, size_t len,
	    struct q2s_diag *diag)
{
	struct q2s_diag why = { 0 };
	const enum q2s_err err =
		q2s_cursor_read(cursor->inner, (q2s_guest){ at }, buf, len, &why);
	const uint32_t grain = err == Q2S_E_IO ? Q2S_SECTOR : disk_of(&cursor->cursor)->unit;
	size_t first;

	if (err == Q2S_OK)
		return Q2S_OK;
	if (!is_local(err, &why))
		return pass_on(err, &why, diag);
	first = middle(at, at + len, grain) - at;
	if (first == len)
		return read_nothing(cursor, at, buf, len, diag);
	Q2SI_TRY(read_halves(cursor, at, buf, first, diag));
	return read_halves(cursor, at + first, buf + first, len - first, diag);
}

static enum q2s_err
salvage_read(struct q2s_cursor *base, q2s_guest guest, void *buf, size_t len,
	     struct q2s_diag *diag)
{
	uint8_t *to = buf;

	while (len > 0) {
		const struct gap here = look(disk_of(base), guest.v);
		const size_t n = q2si_min_size(here.end - guest.v, len);

		if (here.state != Q2S_SALVAGE_SURE)
			memset(to, 0, n);
		else
			Q2SI_TRY(read_halves((struct salvage_cursor *)base, guest.v, to, n, diag));
		to += n;
		guest.v += n;
		len -= n;
	}
	return Q2S_OK;
}

/* ---- the disk ---------------------------------------------------------------------------- */

static enum q2s_err
salvage_cursor_open(struct q2s_disk *disk, struct q2s_cursor **out, struct q2s_diag *diag)
{
	struct salvage_cursor *cursor = calloc(1, sizeof(*cursor));
	enum q2s_err err;

	if (!cursor)
		return q2si_fail_nomem(diag, "cursor");
	err = q2s_cursor_open(((struct salvage_disk *)disk)->inner, &cursor->inner, diag);
	if (err != Q2S_OK) {
		free(cursor);
		return err;
	}
	*out = &cursor->cursor;
	return Q2S_OK;
}

static void
salvage_cursor_close(struct q2s_cursor *cursor)
{
	q2s_cursor_close(((struct salvage_cursor *)cursor)->inner);
	free(cursor);
}

static size_t
salvage_cursor_memory(const struct q2s_disk *disk)
{
	return q2si_cursor_memory(((const struct salvage_disk *)disk)->inner);
}

static struct q2s_store *
salvage_file(const struct q2s_disk *disk, size_t index)
{
	return q2s_disk_file(((const struct salvage_disk *)disk)->inner, index);
}

static void
salvage_close(struct q2s_disk *base)
{
	struct salvage_disk *const disk = (struct salvage_disk *)base;

	q2s_disk_close(disk->inner);
	pthread_mutex_destroy(&disk->lock);
	free(disk->gaps);
	free(disk);
}

static const struct q2si_disk_ops salvage_ops = {
	.cursor_open = salvage_cursor_open,
	.cursor_close = salvage_cursor_close,
	.cursor_memory = salvage_cursor_memory,
	.extent = salvage_extent,
	.read = salvage_read,
	.file = salvage_file,
	.hinted = true,
	.close = salvage_close,
};

enum q2s_err
q2s_disk_salvage(struct q2s_disk *inner, struct q2s_disk **out, struct q2s_diag *diag)
{
	struct salvage_disk *disk = calloc(1, sizeof(*disk));
	enum q2s_err err;

	if (!disk)
		return q2si_fail_nomem(diag, "disk");
	err = q2si_disk_init(&disk->disk, &salvage_ops, q2s_disk_name(inner), q2s_disk_size(inner),
			     diag);
	if (err != Q2S_OK) {
		free(disk);
		return err;
	}
	pthread_mutex_init(&disk->lock, NULL);
	disk->inner = inner;
	disk->unit = q2si_disk_unit(inner);
	if (inner->ops->be_strict)
		inner->ops->be_strict(inner);
	*out = &disk->disk;
	return Q2S_OK;
}

enum q2s_err
q2s_salvage_look(struct q2s_disk *base, q2s_guest guest, struct q2s_salvaged *out,
		 struct q2s_diag *diag)
{
	struct gap here;

	if (base->ops != &salvage_ops || guest.v >= base->size)
		return q2si_fail(diag, Q2S_E_USAGE, "guest offset", Q2S_NOWHERE, guest.v,
				 "outside the disk, or of a disk that is not salvaged");
	here = look((struct salvage_disk *)base, guest.v);
	*out = (struct q2s_salvaged){ .len = here.end - guest.v, .state = here.state };
	return Q2S_OK;
}
