/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk that somebody else has looked at already: what is known to be empty is never touched,
 * which on a slow or remote disk is most of the work.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/search.h"
#include "disk/disk.h"

struct hinted_disk {
	struct q2s_disk disk;
	struct q2s_disk *inner;
	size_t count;
	struct q2s_hint hints[];
};

struct hinted_cursor {
	struct q2s_cursor cursor;
	struct q2s_cursor *inner;
	size_t index; /* of the hint found last: the next question is often about it */
};

static const struct hinted_disk *
disk_of(const struct hinted_cursor *hinted)
{
	return (const struct hinted_disk *)hinted->cursor.disk;
}

static uint64_t
hint_end(const struct q2s_hint *hint)
{
	return hint->start.v + hint->len;
}

static bool
covers(const struct q2s_hint *hint, uint64_t at)
{
	return at >= hint->start.v && at - hint->start.v < hint->len;
}

/* The hint that covers @at, which is on the disk. */
static const struct q2s_hint *
hint_at(struct hinted_cursor *hinted, uint64_t at)
{
	const struct hinted_disk *disk = disk_of(hinted);

	if (!covers(&disk->hints[hinted->index], at))
		hinted->index = Q2SI_COUNT_FIRST(i, disk->count - 1, hint_end(&disk->hints[i]) <= at);
	return &disk->hints[hinted->index];
}

static enum q2s_err
hinted_extent(struct q2s_cursor *cursor, q2s_guest guest, uint64_t max, struct q2s_extent *out,
	      struct q2s_diag *diag)
{
	struct hinted_cursor *hinted = (struct hinted_cursor *)cursor;
	const struct q2s_hint *hint = hint_at(hinted, guest.v);
	const uint64_t len = q2si_min(max, hint_end(hint) - guest.v);

	if (hint->state == Q2S_DATA)
		return q2s_cursor_extent(hinted->inner, guest, len, out, diag);
	*out = (struct q2s_extent){ .len = len, .state = hint->state };
	return Q2S_OK;
}

static enum q2s_err
hinted_read(struct q2s_cursor *cursor, q2s_guest guest, void *buf, size_t len,
	    struct q2s_diag *diag)
{
	struct hinted_cursor *hinted = (struct hinted_cursor *)cursor;
	uint8_t *to = buf;

	while (len > 0) {
		const struct q2s_hint *hint = hint_at(hinted, guest.v);
		const size_t n = q2si_min_size(hint_end(hint) - guest.v, len);

		if (hint->state == Q2S_DATA)
			Q2SI_TRY(q2s_cursor_read(hinted->inner, guest, to, n, diag));
		else
			memset(to, 0, n);
		to += n;
		guest.v += n;
		len -= n;
	}
	return Q2S_OK;
}

static bool
hinted_will_read(struct q2s_cursor *cursor, q2s_guest guest, size_t len)
{
	struct hinted_cursor *hinted = (struct hinted_cursor *)cursor;

	while (len > 0) {
		const struct q2s_hint *hint = hint_at(hinted, guest.v);
		const size_t n = q2si_min_size(hint_end(hint) - guest.v, len);

		if (hint->state == Q2S_DATA && !q2si_cursor_will_read(hinted->inner, guest, n))
			return false;
		guest.v += n;
		len -= n;
	}
	return true;
}

static enum q2s_err
hinted_cursor_open(struct q2s_disk *disk, struct q2s_cursor **out, struct q2s_diag *diag)
{
	struct hinted_cursor *hinted = calloc(1, sizeof(*hinted));
	enum q2s_err err;

	if (!hinted)
		return q2si_fail_nomem(diag, "cursor");
	err = q2s_cursor_open(((struct hinted_disk *)disk)->inner, &hinted->inner, diag);
	if (err != Q2S_OK) {
		free(hinted);
		return err;
	}
	*out = &hinted->cursor;
	return Q2S_OK;
}

static void
hinted_cursor_close(struct q2s_cursor *cursor)
{
	q2s_cursor_close(((struct hinted_cursor *)cursor)->inner);
	free(cursor);
}

static size_t
hinted_cursor_memory(const struct q2s_disk *disk)
{
	return q2si_cursor_memory(((const struct hinted_disk *)disk)->inner);
}

static struct q2s_store *
hinted_file(const struct q2s_disk *disk, size_t index)
{
	return q2s_disk_file(((const struct hinted_disk *)disk)->inner, index);
}

static void
hinted_close(struct q2s_disk *disk)
{
	q2s_disk_close(((struct hinted_disk *)disk)->inner);
	free(disk);
}

static const struct q2si_disk_ops hinted_ops = {
	.cursor_open = hinted_cursor_open,
	.cursor_close = hinted_cursor_close,
	.cursor_memory = hinted_cursor_memory,
	.extent = hinted_extent,
	.read = hinted_read,
	.will_read = hinted_will_read,
	.file = hinted_file,
	.hinted = true,
	.close = hinted_close,
};

/* Nothing may be left untold, and nothing told twice. */
static enum q2s_err
check_hints(uint64_t size, const struct q2s_hint *hints, size_t count, struct q2s_diag *diag)
{
	uint64_t end = 0;

	for (size_t i = 0; i < count; i++) {
		const uint64_t start = hints[i].start.v;

		if (start != end)
			return q2si_fail(diag, Q2S_E_USAGE, "hint", Q2S_NOWHERE, start,
					 "hint %zu does not start where the one before it ends",
					 i);
		if (hints[i].len == 0 || !q2si_add(start, hints[i].len, &end) || end > size)
			return q2si_fail(diag, Q2S_E_USAGE, "hint", Q2S_NOWHERE, start,
					 "hint %zu is empty or leaves the disk", i);
	}
	if (end == size)
		return Q2S_OK;
	return q2si_fail(diag, Q2S_E_USAGE, "hint", Q2S_NOWHERE, end,
			 "the last one ends before the disk does");
}

enum q2s_err
q2s_disk_hinted(struct q2s_disk *inner, const struct q2s_hint *hints, size_t count,
		struct q2s_disk **out, struct q2s_diag *diag)
{
	const uint64_t size = q2s_disk_size(inner);
	struct hinted_disk *hinted;
	enum q2s_err err;

	Q2SI_TRY(check_hints(size, hints, count, diag));
	hinted = calloc(1, sizeof(*hinted) + count * sizeof(*hints));
	if (!hinted)
		return q2si_fail_nomem(diag, "disk");
	err = q2si_disk_init(&hinted->disk, &hinted_ops, q2s_disk_name(inner), size, diag);
	if (err != Q2S_OK) {
		free(hinted);
		return err;
	}
	hinted->inner = inner;
	hinted->count = count;
	if (count > 0)
		memcpy(hinted->hints, hints, count * sizeof(*hints));
	*out = &hinted->disk;
	return Q2S_OK;
}
