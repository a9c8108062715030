/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Do two disks show the same? Reads only where one of them holds data that the other may not. */
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/zero.h"
#include "disk/disk.h"

#define BUFFER_SIZE (1u << 20)
/* What is skipped between two looks at the observer may be more; what is read is not. */
#define STEP (64u << 20)

/* One of the two: its cursor, and what it says about the place that is being looked at. */
struct side {
	struct q2s_disk *disk;
	struct q2s_cursor *cursor;
	struct q2s_extent extent;
	uint64_t extent_end;
	uint8_t *buf;
};

struct comparison {
	struct side a, b;
	uint64_t total; /* of the longer one */
	const struct q2s_observer *observer;
};

static enum q2s_err
side_open(struct side *side, struct q2s_disk *disk, struct q2s_diag *diag)
{
	side->disk = disk;
	side->buf = malloc(BUFFER_SIZE);
	if (!side->buf)
		return q2si_fail_nomem(diag, "buffer");
	return q2s_cursor_open(disk, &side->cursor, diag);
}

static void
side_close(struct side *side)
{
	q2s_cursor_close(side->cursor);
	free(side->buf);
}

/* Let side->extent begin at @at; behind the disk nothing is there, for ever. */
static enum q2s_err
cover(struct side *side, uint64_t at, struct q2s_diag *diag)
{
	const uint64_t size = q2s_disk_size(side->disk);

	if (at < side->extent_end) {
		const uint64_t skip = side->extent.len - (side->extent_end - at);

		side->extent.len -= skip;
		side->extent.at += skip;
		return Q2S_OK;
	}
	if (at < size)
		Q2SI_TRY(q2s_cursor_extent(side->cursor, (q2s_guest){ at }, UINT64_MAX,
					   &side->extent, diag));
	else
		side->extent = (struct q2s_extent){ .len = UINT64_MAX - at };
	side->extent_end = at + side->extent.len;
	return Q2S_OK;
}

/* Is it known without reading that the two show the same here? */
static bool
surely_same(const struct q2s_extent *a, const struct q2s_extent *b)
{
	if (a->state != Q2S_DATA && b->state != Q2S_DATA)
		return true;
	return a->state == Q2S_DATA && b->state == Q2S_DATA && a->file && a->file == b->file &&
	       a->at == b->at;
}

/* The first of @len bytes that differs, or @len. */
static size_t
first_difference(const uint8_t *a, const uint8_t *b, size_t len)
{
	size_t i = 0;

	if (memcmp(a, b, len) == 0)
		return len;
	while (a[i] == b[i])
		i++;
	return i;
}

static enum q2s_err
read_side(struct side *side, uint64_t at, size_t len, struct q2s_diag *diag)
{
	if (side->extent.state == Q2S_DATA)
		return q2s_cursor_read(side->cursor, (q2s_guest){ at }, side->buf, len, diag);
	memset(side->buf, 0, len);
	return Q2S_OK;
}

/* Compare @len bytes by reading them; at most a buffer full. */
static enum q2s_err
compare_bytes(struct comparison *comparison, uint64_t at, size_t len, struct q2s_comparison *out,
	      struct q2s_diag *diag)
{
	struct side *a = &comparison->a, *b = &comparison->b;

	Q2SI_TRY(read_side(a, at, len, diag));
	Q2SI_TRY(read_side(b, at, len, diag));

	const size_t same = first_difference(a->buf, b->buf, len);

	if (same < len)
		*out = (struct q2s_comparison){ .same = false, .at = { at + same } };
	return Q2S_OK;
}

static enum q2s_err
observe(const struct comparison *comparison, uint64_t done, struct q2s_diag *diag)
{
	const struct q2s_observer *observer = comparison->observer;

	if (!observer || observer->step(observer->opaque, Q2S_PHASE_COMPARE, done,
					comparison->total))
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_CANCELLED, "source", Q2S_NOWHERE, "stopped on request");
}

static enum q2s_err
compare(struct comparison *comparison, struct q2s_comparison *out, struct q2s_diag *diag)
{
	struct side *a = &comparison->a, *b = &comparison->b;
	uint64_t next_look = 0;

	*out = (struct q2s_comparison){ .same = true };
	for (uint64_t at = 0; at < comparison->total && out->same;) {
		if (at >= next_look) {
			Q2SI_TRY(observe(comparison, at, diag));
			next_look = at + STEP;
		}
		Q2SI_TRY(cover(a, at, diag));
		Q2SI_TRY(cover(b, at, diag));

		uint64_t len = q2si_min(q2si_min(a->extent.len, b->extent.len),
					comparison->total - at);

		if (!surely_same(&a->extent, &b->extent)) {
			len = q2si_min(len, BUFFER_SIZE);
			Q2SI_TRY(compare_bytes(comparison, at, len, out, diag));
		}
		at += len;
	}
	return observe(comparison, comparison->total, diag);
}

static enum q2s_err
verify(const struct comparison *comparison, struct q2s_diag *diag)
{
	Q2SI_TRY(q2s_disk_verify(comparison->a.disk, diag));
	return q2s_disk_verify(comparison->b.disk, diag);
}

enum q2s_err
q2s_disk_compare(struct q2s_disk *a, struct q2s_disk *b, const struct q2s_observer *observer,
		 struct q2s_comparison *out, struct q2s_diag *diag)
{
	struct comparison comparison = {
		.total = q2si_max(q2s_disk_size(a), q2s_disk_size(b)),
		.observer = observer,
	};
	enum q2s_err err = side_open(&comparison.a, a, diag);

	if (err == Q2S_OK)
		err = side_open(&comparison.b, b, diag);
	if (err == Q2S_OK)
		err = compare(&comparison, out, diag);
	if (err == Q2S_OK)
		err = verify(&comparison, diag);
	side_close(&comparison.a);
	side_close(&comparison.b);
	return err;
}
