/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random pattern disks, and a slow and plain account of what a scan must find on them. */
#ifndef Q2S_TESTS_PATTERNS_H
#define Q2S_TESTS_PATTERNS_H

#include <q2s/plan.h>

#include "unit.h"

#define PATTERN_REGIONS 40u

struct pattern {
	uint64_t size;
	size_t count;
	struct q2s_pattern regions[PATTERN_REGIONS];
	struct q2s_disk *disk;
	struct q2s_cursor *cursor;
};

/* A distance: often a multiple of a unit that matters, or nearly so; often something odd. */
static inline uint64_t
pattern_distance(uint64_t unit, uint64_t most, uint64_t *seed)
{
	const uint64_t chance = unit_random(seed);
	uint64_t out = unit_random_log(seed) % (most + 1);

	if (chance % 4 < 2)
		out = out / unit * unit;
	if (chance % 4 == 1)
		out += chance / 4 % 3 - 1;
	return out <= most ? out : most;
}

/* Regions of all kinds: data, data that is zero, nearly zero, zero; touching or apart. */
static inline void
pattern_make(struct pattern *pattern, uint64_t size, uint64_t unit, uint64_t *seed)
{
	uint64_t at = 0;

	*pattern = (struct pattern){ .size = size };
	while (pattern->count < PATTERN_REGIONS && at < size) {
		struct q2s_pattern *region = &pattern->regions[pattern->count];
		const uint64_t kind = unit_random(seed) % 5;

		at += unit_random(seed) % 3 ? pattern_distance(unit, size / 8, seed) : 0;
		if (at >= size)
			break;
		*region = (struct q2s_pattern){ .start = { at } };
		region->len = pattern_distance(unit, size / 16, seed);
		if (region->len == 0)
			region->len = unit;
		if (region->len > size - at || unit_random(seed) % 64 == 0)
			region->len = size - at;
		region->state = kind == 0 ? Q2S_ZERO : Q2S_DATA;
		region->seeded = kind == 1;
		region->seed = unit_random(seed);
		region->fill = kind == 2 ? 0 : (uint8_t)(kind + 1);
		at += region->len;
		pattern->count++;
	}
	assert_ok(q2s_disk_pattern(size, pattern->regions, pattern->count, &pattern->disk, &diag));
	assert_ok(q2s_cursor_open(pattern->disk, &pattern->cursor, &diag));
}

static inline void
pattern_free(struct pattern *pattern)
{
	q2s_cursor_close(pattern->cursor);
	q2s_disk_close(pattern->disk);
}

/* What lies in some stretch of the disk. */
struct pattern_view {
	bool absent, zero, data; /* as the extents call it */
	bool set;                /* a byte that is not zero */
};

static inline bool
pattern_any_set(const struct pattern *pattern, uint64_t at, uint64_t len)
{
	uint8_t buf[4096];

	for (uint64_t done = 0; done < len; done += sizeof(buf)) {
		const size_t n = len - done < sizeof(buf) ? (size_t)(len - done) : sizeof(buf);

		assert_ok(q2s_cursor_read(pattern->cursor, (q2s_guest){ at + done }, buf, n, &diag));
		for (size_t i = 0; i < n; i++)
			if (buf[i])
				return true;
	}
	return false;
}

/* Past the end of the disk there is nothing, not even absence. */
static inline struct pattern_view
pattern_look(const struct pattern *pattern, uint64_t at, uint64_t end)
{
	struct pattern_view view = { 0 };
	uint64_t covered = 0;

	end = end < pattern->size ? end : pattern->size;
	for (size_t i = 0; i < pattern->count && at < end; i++) {
		const struct q2s_pattern *region = &pattern->regions[i];
		const uint64_t from = region->start.v > at ? region->start.v : at;
		const uint64_t region_end = region->start.v + region->len;
		const uint64_t to = region_end < end ? region_end : end;

		if (from >= to)
			continue;
		covered += to - from;
		view.zero = view.zero || region->state == Q2S_ZERO;
		view.data = view.data || region->state == Q2S_DATA;
		if (region->state == Q2S_DATA && !view.set)
			view.set = region->seeded ? pattern_any_set(pattern, from, to - from) :
						    region->fill != 0;
	}
	view.absent = at < end && covered < end - at;
	return view;
}

/* What one subcluster must become. */
static inline enum q2s_state
pattern_state(const struct pattern_view *view, const struct q2s_geom *geom,
	      const struct q2s_scan_options *options)
{
	if (view->set || (view->data && options->trust_holes))
		return Q2S_DATA;
	if (!options->keep_zeros || (!view->zero && !view->data))
		return Q2S_ABSENT;
	/* it reads as zero, which must be said: by a zero bit, or by stored zeros where none fits */
	return view->absent || options->store_zeros || geom->version < 3 ? Q2S_DATA : Q2S_ZERO;
}

/* The slot that a scan must find for guest cluster @cluster. */
static inline struct q2s_slot
pattern_slot(const struct pattern *pattern, const struct q2s_geom *geom,
	     const struct q2s_scan_options *options, uint64_t cluster)
{
	struct q2s_slot slot = { 0 };

	for (uint32_t sub = 0; sub < geom->sub_count; sub++) {
		const uint64_t at = (cluster << geom->cluster_bits) +
				    ((uint64_t)sub << geom->sub_bits);
		const struct pattern_view view = pattern_look(pattern, at, at + geom->sub_size);
		const enum q2s_state state = pattern_state(&view, geom, options);

		slot.alloc |= (uint32_t)(state == Q2S_DATA) << sub;
		slot.zero |= (uint32_t)(state == Q2S_ZERO) << sub;
	}
	slot.host = slot.alloc != 0;
	return slot;
}

#endif
