/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The difference of two disks: what an image must hold to show one of them on top of the other.
 * Metadata answer where they can, as comparing costs the reading of both sides.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/zero.h"
#include "disk/side.h"

#define UNIT_MAX (1u << Q2S_CLUSTER_BITS_MAX)
/* What is read of each side at a time; more than asked for only while that costs little. */
#define BUFFER_SIZE (256u << 10)
#define READ_MIN (64u << 10)
/* Extents that one question looks at, so that it comes to an end on any disk. */
#define LOOKS_MAX 64

struct diff_disk {
	struct q2s_disk disk;
	struct q2s_disk *source, *base;
	uint32_t unit;
};

struct diff_cursor {
	struct q2s_cursor cursor;
	struct q2si_side source, base;
	uint8_t *source_buf, *base_buf;
	uint64_t read_at, read_end; /* guest range in both buffers */
	uint64_t wanted;            /* nothing from here on is read for this question */
	uint64_t run_at, run_end;   /* the last answer, in whole units */
	enum q2s_state run_state;
};

static const struct diff_disk *
diff_of(const struct diff_cursor *diff)
{
	return (const struct diff_disk *)diff->cursor.disk;
}

/* ---- what metadata say ------------------------------------------------------------------- */

/* The end of the whole units from @at on that are known to be the same; @at when there are none. */
static enum q2s_err
known_equal_until(struct diff_cursor *diff, uint64_t at, uint64_t *out, struct q2s_diag *diag)
{
	const uint64_t size = diff->cursor.disk->size;
	uint64_t end = at;

	for (int look = 0; look < LOOKS_MAX && end < size; look++) {
		Q2SI_TRY(q2si_side_cover(&diff->source, end, diag));
		Q2SI_TRY(q2si_side_cover(&diff->base, end, diag));
		if (!q2si_surely_same(&diff->source, &diff->base))
			break;
		end = q2si_min(diff->source.end, diff->base.end);
	}
	*out = end >= size ? size : q2si_round_down(end, diff_of(diff)->unit);
	return Q2S_OK;
}

/* ---- what the bytes say ------------------------------------------------------------------ */

/* Let the buffers hold @at and what follows. They end with the extents, but not for a trifle. */
static enum q2s_err
load(struct diff_cursor *diff, uint64_t at, struct q2s_diag *diag)
{
	struct q2si_side *source = &diff->source, *base = &diff->base;
	uint64_t n;

	if (at >= diff->read_at && at < diff->read_end)
		return Q2S_OK;
	Q2SI_TRY(q2si_side_cover(source, at, diag));
	Q2SI_TRY(q2si_side_cover(base, at, diag));
	n = q2si_max(q2si_min(source->extent.len, base->extent.len), READ_MIN);
	n = q2si_min(q2si_min(n, BUFFER_SIZE), diff->wanted - at);
	diff->read_end = diff->read_at = at;
	Q2SI_TRY(q2s_cursor_read(source->cursor, (q2s_guest){ at }, diff->source_buf, n, diag));
	Q2SI_TRY(q2s_cursor_read(base->cursor, (q2s_guest){ at }, diff->base_buf, n, diag));
	diff->read_end = at + n;
	return Q2S_OK;
}

static uint64_t
unit_end(const struct diff_cursor *diff, uint64_t at)
{
	return q2si_min(at + diff_of(diff)->unit, diff->cursor.disk->size);
}

/* Compare the unit that starts at @at, as far as it takes to know. */
static enum q2s_err
unit_compare(struct diff_cursor *diff, uint64_t at, enum q2s_state *out, struct q2s_diag *diag)
{
	const uint64_t end = unit_end(diff, at);
	bool equal = true, zero = true;

	while (at < end && (equal || zero)) {
		Q2SI_TRY(load(diff, at, diag));
		const size_t n = q2si_min(end, diff->read_end) - at;
		const uint8_t *mine = diff->source_buf + (at - diff->read_at);
		const uint8_t *other = diff->base_buf + (at - diff->read_at);

		equal = equal && memcmp(mine, other, n) == 0;
		zero = zero && q2si_is_zero(mine, n);
		at += n;
	}
	*out = equal ? Q2S_ABSENT : zero ? Q2S_ZERO : Q2S_DATA;
	return Q2S_OK;
}

/* Compare the unit at @at, and those behind it as long as they are alike and were read with it. */
static enum q2s_err
compare_from(struct diff_cursor *diff, uint64_t at, struct q2s_diag *diag)
{
	enum q2s_state next;

	Q2SI_TRY(unit_compare(diff, at, &diff->run_state, diag));
	diff->run_at = at;
	diff->run_end = unit_end(diff, at);
	while (diff->run_end < diff->read_end &&
	       unit_end(diff, diff->run_end) <= diff->read_end) {
		Q2SI_TRY(unit_compare(diff, diff->run_end, &next, diag));
		if (next != diff->run_state)
			break;
		diff->run_end = unit_end(diff, diff->run_end);
	}
	return Q2S_OK;
}

/* ---- the disk ---------------------------------------------------------------------------- */

static enum q2s_err
find_run(struct diff_cursor *diff, uint64_t at, struct q2s_diag *diag)
{
	uint64_t end;

	Q2SI_TRY(known_equal_until(diff, at, &end, diag));
	if (end == at)
		return compare_from(diff, at, diag);
	diff->run_at = at;
	diff->run_end = end;
	diff->run_state = Q2S_ABSENT;
	return Q2S_OK;
}

/* Data of the source lies where the source has it. */
static enum q2s_err
place_data(struct diff_cursor *diff, uint64_t at, struct q2s_extent *extent, struct q2s_diag *diag)
{
	const struct q2s_extent *from = &diff->source.extent;

	Q2SI_TRY(q2si_side_cover(&diff->source, at, diag));
	extent->len = q2si_min(extent->len, from->len);
	if (from->state == Q2S_DATA && from->file) {
		extent->file = from->file;
		extent->at = from->at;
	}
	return Q2S_OK;
}

static enum q2s_err
diff_extent(struct q2s_cursor *cursor, q2s_guest guest, uint64_t max, struct q2s_extent *out,
	    struct q2s_diag *diag)
{
	struct diff_cursor *diff = (struct diff_cursor *)cursor;
	const uint64_t size = cursor->disk->size;

	diff->wanted = max >= size - guest.v ? size :
					       q2si_min(q2si_round_up(guest.v + max, diff_of(diff)->unit), size);
	if (guest.v < diff->run_at || guest.v >= diff->run_end)
		Q2SI_TRY(find_run(diff, q2si_round_down(guest.v, diff_of(diff)->unit), diag));
	*out = (struct q2s_extent){
		.len = q2si_min(max, diff->run_end - guest.v),
		.state = diff->run_state,
	};
	return out->state == Q2S_DATA ? place_data(diff, guest.v, out, diag) : Q2S_OK;
}

static enum q2s_err
diff_read(struct q2s_cursor *cursor, q2s_guest guest, void *buf, size_t len, struct q2s_diag *diag)
{
	return q2s_cursor_read(((struct diff_cursor *)cursor)->source.cursor, guest, buf, len, diag);
}

static void
diff_cursor_close(struct q2s_cursor *cursor)
{
	struct diff_cursor *diff = (struct diff_cursor *)cursor;

	q2si_side_close(&diff->source);
	q2si_side_close(&diff->base);
	free(diff->source_buf);
	free(diff->base_buf);
	free(diff);
}

static enum q2s_err
diff_cursor_open(struct q2s_disk *disk, struct q2s_cursor **out, struct q2s_diag *diag)
{
	const struct diff_disk *both = (const struct diff_disk *)disk;
	struct diff_cursor *diff = calloc(1, sizeof(*diff));
	enum q2s_err err;

	if (!diff)
		return q2si_fail_nomem(diag, "cursor");
	diff->source_buf = malloc(BUFFER_SIZE);
	diff->base_buf = malloc(BUFFER_SIZE);
	err = diff->source_buf && diff->base_buf ? Q2S_OK : q2si_fail_nomem(diag, "buffer");
	if (err == Q2S_OK)
		err = q2si_side_open(&diff->source, both->source, diag);
	if (err == Q2S_OK)
		err = q2si_side_open(&diff->base, both->base, diag);
	if (err != Q2S_OK) {
		diff_cursor_close(&diff->cursor);
		return err;
	}
	*out = &diff->cursor;
	return Q2S_OK;
}

static size_t
diff_cursor_memory(const struct q2s_disk *disk)
{
	const struct diff_disk *both = (const struct diff_disk *)disk;

	return q2si_cursor_memory(both->source) + q2si_cursor_memory(both->base) + 2 * BUFFER_SIZE;
}

/* Those of the source, then those of the base. */
static struct q2s_store *
diff_file(const struct q2s_disk *disk, size_t index)
{
	const struct diff_disk *both = (const struct diff_disk *)disk;
	size_t count = 0;

	while (q2s_disk_file(both->source, count))
		count++;
	return index < count ? q2s_disk_file(both->source, index) :
			       q2s_disk_file(both->base, index - count);
}

static void
diff_close(struct q2s_disk *disk)
{
	free(disk);
}

static const struct q2si_disk_ops diff_ops = {
	.cursor_open = diff_cursor_open,
	.cursor_close = diff_cursor_close,
	.cursor_memory = diff_cursor_memory,
	.extent = diff_extent,
	.read = diff_read,
	.file = diff_file,
	.close = diff_close,
};

enum q2s_err
q2s_disk_diff(struct q2s_disk *source, struct q2s_disk *base, uint64_t size, uint32_t unit,
	      struct q2s_disk **out, struct q2s_diag *diag)
{
	struct diff_disk *both;
	enum q2s_err err;

	if (unit < Q2S_SECTOR || unit > UNIT_MAX || (unit & (unit - 1)) != 0)
		return q2si_fail(diag, Q2S_E_USAGE, "unit", Q2S_NOWHERE, unit,
				 "not a power of two from 512 to 2 MiB");
	if (size < q2s_disk_size(source))
		return q2si_fail(diag, Q2S_E_USAGE, "size", Q2S_NOWHERE, size,
				 "less than the source's");
	both = calloc(1, sizeof(*both));
	if (!both)
		return q2si_fail_nomem(diag, "disk");
	err = q2si_disk_init(&both->disk, &diff_ops, q2s_disk_name(source), size, diag);
	if (err != Q2S_OK) {
		free(both);
		return err;
	}
	both->source = source;
	both->base = base;
	both->unit = unit;
	*out = &both->disk;
	return Q2S_OK;
}
