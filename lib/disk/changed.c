/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk of which only what changed matters: a map says where, and the rest is never touched. The
 * map counts in units of its own; here a unit of the new image is looked at as a whole.
 */
#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/options.h"
#include "disk/side.h"

#define UNIT_MAX (1u << Q2S_CLUSTER_BITS_MAX)
/* Extents of the map that one question looks at, so that it comes to an end on any map. */
#define LOOKS_MAX 4096

struct changed_disk {
	struct q2s_disk disk;
	struct q2s_disk *inner, *map;
	struct q2s_changed_options options;
};

struct changed_cursor {
	struct q2s_cursor cursor;
	struct q2s_cursor *inner;
	struct q2si_side map;
	uint64_t run_at, run_end; /* the last answer of the map, in whole units */
	bool dirty;
};

static const struct changed_disk *
disk_of(const struct changed_cursor *changed)
{
	return (const struct changed_disk *)changed->cursor.disk;
}

/* What the map says of @at, and where that ends. Where it does not count, all is dirty. */
static enum q2s_err
ask_map(struct changed_cursor *changed, uint64_t at, bool *dirty, uint64_t *end,
	struct q2s_diag *diag)
{
	const struct changed_disk *disk = disk_of(changed);
	const uint64_t counts = q2si_min(disk->options.counts, disk->disk.size);

	if (at >= counts) {
		*dirty = true;
		*end = disk->disk.size;
		return Q2S_OK;
	}
	Q2SI_TRY(q2si_side_cover(&changed->map, at, diag));
	*dirty = changed->map.extent.state == Q2S_DATA;
	*end = q2si_min(changed->map.end, counts);
	return Q2S_OK;
}

/* From @at, the start of a clean unit if it is one: whole units of which nothing is dirty. */
static enum q2s_err
clean_until(struct changed_cursor *changed, uint64_t at, uint64_t *out, struct q2s_diag *diag)
{
	const struct changed_disk *disk = disk_of(changed);
	uint64_t end = at;
	bool dirty = false;

	for (int look = 0; look < LOOKS_MAX && end < disk->disk.size; look++) {
		uint64_t until;

		Q2SI_TRY(ask_map(changed, end, &dirty, &until, diag));
		if (dirty)
			break;
		end = until;
	}
	*out = end == disk->disk.size ? end : q2si_round_down(end, disk->options.unit);
	return Q2S_OK;
}

/* From @at, the start of a dirty unit: units in which something is dirty. */
static enum q2s_err
dirty_until(struct changed_cursor *changed, uint64_t at, uint64_t *out, struct q2s_diag *diag)
{
	const struct changed_disk *disk = disk_of(changed);
	const uint32_t unit = disk->options.unit;
	uint64_t end = at + unit; /* this one is */

	for (int look = 0; look < LOOKS_MAX && end < disk->disk.size; look++) {
		uint64_t pos = end, until;
		bool dirty;

		/* the first dirty byte of the next unit decides */
		do {
			Q2SI_TRY(ask_map(changed, pos, &dirty, &until, diag));
			pos = dirty ? pos : until;
		} while (!dirty && pos < end + unit && pos < disk->disk.size);
		if (!dirty)
			break;
		if (pos >= end + unit)
			break;
		end = q2si_round_up(until, unit);
	}
	*out = q2si_min(end, disk->disk.size);
	return Q2S_OK;
}

static enum q2s_err
find_run(struct changed_cursor *changed, uint64_t at, struct q2s_diag *diag)
{
	uint64_t end;

	changed->run_end = 0;
	Q2SI_TRY(clean_until(changed, at, &end, diag));
	changed->dirty = end == at;
	if (changed->dirty)
		Q2SI_TRY(dirty_until(changed, at, &end, diag));
	changed->run_at = at;
	changed->run_end = end;
	return Q2S_OK;
}

static enum q2s_err
changed_extent(struct q2s_cursor *cursor, q2s_guest guest, uint64_t max, struct q2s_extent *out,
	       struct q2s_diag *diag)
{
	struct changed_cursor *changed = (struct changed_cursor *)cursor;
	const struct changed_disk *disk = disk_of(changed);

	if (guest.v < changed->run_at || guest.v >= changed->run_end)
		Q2SI_TRY(find_run(changed, q2si_round_down(guest.v, disk->options.unit), diag));
	const uint64_t len = q2si_min(max, changed->run_end - guest.v);

	if (!changed->dirty) {
		*out = (struct q2s_extent){ .len = len, .state = Q2S_ABSENT };
		return Q2S_OK;
	}
	Q2SI_TRY(q2s_cursor_extent(changed->inner, guest, len, out, diag));
	/* It was something else, or is not known to have been nothing: that has to be said. */
	if (out->state == Q2S_ABSENT && !disk->options.absent_is_same)
		out->state = Q2S_ZERO;
	return Q2S_OK;
}

static enum q2s_err
changed_read(struct q2s_cursor *cursor, q2s_guest guest, void *buf, size_t len,
	     struct q2s_diag *diag)
{
	return q2s_cursor_read(((struct changed_cursor *)cursor)->inner, guest, buf, len, diag);
}

static void
changed_cursor_close(struct q2s_cursor *cursor)
{
	struct changed_cursor *changed = (struct changed_cursor *)cursor;

	q2s_cursor_close(changed->inner);
	q2si_side_close(&changed->map);
	free(changed);
}

static enum q2s_err
changed_cursor_open(struct q2s_disk *base, struct q2s_cursor **out, struct q2s_diag *diag)
{
	const struct changed_disk *disk = (const struct changed_disk *)base;
	struct changed_cursor *changed = calloc(1, sizeof(*changed));
	enum q2s_err err;

	if (!changed)
		return q2si_fail_nomem(diag, "cursor");
	err = q2si_side_open(&changed->map, disk->map, diag);
	if (err == Q2S_OK)
		err = q2s_cursor_open(disk->inner, &changed->inner, diag);
	if (err != Q2S_OK) {
		changed_cursor_close(&changed->cursor);
		return err;
	}
	*out = &changed->cursor;
	return Q2S_OK;
}

static size_t
changed_cursor_memory(const struct q2s_disk *base)
{
	const struct changed_disk *disk = (const struct changed_disk *)base;

	return q2si_cursor_memory(disk->inner) + q2si_cursor_memory(disk->map);
}

/* Those of the disk, then those of the map. */
static struct q2s_store *
changed_file(const struct q2s_disk *base, size_t index)
{
	const struct changed_disk *disk = (const struct changed_disk *)base;
	size_t count = 0;

	while (q2s_disk_file(disk->inner, count))
		count++;
	return index < count ? q2s_disk_file(disk->inner, index) :
			       q2s_disk_file(disk->map, index - count);
}

static void
changed_close(struct q2s_disk *disk)
{
	free(disk);
}

static const struct q2si_disk_ops changed_ops = {
	.cursor_open = changed_cursor_open,
	.cursor_close = changed_cursor_close,
	.cursor_memory = changed_cursor_memory,
	.extent = changed_extent,
	.read = changed_read,
	.file = changed_file,
	.hinted = true,
	.close = changed_close,
};

enum q2s_err
q2s_disk_changed(struct q2s_disk *inner, struct q2s_disk *map,
		 const struct q2s_changed_options *given, struct q2s_disk **out,
		 struct q2s_diag *diag)
{
	struct q2s_changed_options options = Q2S_CHANGED_OPTIONS_INIT;
	struct changed_disk *disk;
	uint32_t unit;
	enum q2s_err err;

	Q2SI_TRY(q2si_options_copy(&options, given, diag));
	unit = options.unit;
	if (unit < Q2S_SECTOR || unit > UNIT_MAX || (unit & (unit - 1)) != 0)
		return q2si_fail(diag, Q2S_E_USAGE, "unit", Q2S_NOWHERE, unit,
				 "not a power of two from 512 to 2 MiB");
	disk = calloc(1, sizeof(*disk));
	if (!disk)
		return q2si_fail_nomem(diag, "disk");
	err = q2si_disk_init(&disk->disk, &changed_ops, q2s_disk_name(inner), q2s_disk_size(inner),
			     diag);
	if (err != Q2S_OK) {
		free(disk);
		return err;
	}
	disk->inner = inner;
	disk->map = map;
	disk->options = options;
	*out = &disk->disk;
	return Q2S_OK;
}
