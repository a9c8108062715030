/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A synthetic disk: regions of known content on an otherwise absent disk. Tools create images
 * from it, tests compare with it: every byte follows from seed and offset.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/search.h"
#include "disk/disk.h"

struct pattern_disk {
	struct q2s_disk disk;
	size_t count;
	struct q2s_pattern regions[];
};

static enum q2s_err
pattern_cursor_open(struct q2s_disk *disk, struct q2s_cursor **out, struct q2s_diag *diag)
{
	(void)disk;
	*out = calloc(1, sizeof(**out));
	return *out ? Q2S_OK : q2si_fail_nomem(diag, "cursor");
}

static void
pattern_cursor_close(struct q2s_cursor *cursor)
{
	free(cursor);
}

static uint64_t
region_end(const struct q2s_pattern *region)
{
	return region->start.v + region->len;
}

/* The first region that ends behind @guest; the disk's count of regions when there is none. */
static size_t
region_at(const struct pattern_disk *pattern, uint64_t guest)
{
	return Q2SI_COUNT_FIRST(i, pattern->count, region_end(&pattern->regions[i]) <= guest);
}

static enum q2s_err
pattern_extent(struct q2s_cursor *cursor, q2s_guest guest, uint64_t max, struct q2s_extent *out,
	       struct q2s_diag *diag)
{
	const struct pattern_disk *pattern = (const struct pattern_disk *)cursor->disk;
	const size_t index = region_at(pattern, guest.v);
	const struct q2s_pattern *region = &pattern->regions[index];

	(void)diag;
	*out = (struct q2s_extent){ .len = max, .state = Q2S_ABSENT };
	if (index == pattern->count)
		return Q2S_OK;
	if (guest.v < region->start.v) {
		out->len = q2si_min(max, region->start.v - guest.v);
		return Q2S_OK;
	}
	out->len = q2si_min(max, region_end(region) - guest.v);
	out->state = region->state;
	return Q2S_OK;
}

/* splitmix64: eight bytes that depend on seed and word number alone. */
static uint64_t
seeded_word(uint64_t seed, uint64_t word)
{
	uint64_t z = seed + (word + 1) * 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void
fill_seeded(uint64_t seed, uint64_t guest, uint8_t *buf, size_t len)
{
	while (len > 0) {
		uint8_t word[8];
		const size_t skip = guest % 8;
		const size_t n = q2si_min_size(8 - skip, len);

		q2si_put_be64(word, seeded_word(seed, guest / 8));
		memcpy(buf, word + skip, n);
		buf += n;
		guest += n;
		len -= n;
	}
}

/* Zeros in the second half of each block. */
static void
blank_halves(uint64_t block, uint64_t guest, uint8_t *buf, size_t len)
{
	while (len > 0) {
		const uint64_t in_block = guest % block;
		const bool blank = in_block >= block / 2;
		const size_t n = q2si_min_size((blank ? block : block / 2) - in_block, len);

		if (blank)
			memset(buf, 0, n);
		buf += n;
		guest += n;
		len -= n;
	}
}

static void
fill(const struct q2s_pattern *region, uint64_t guest, uint8_t *buf, size_t len)
{
	if (region->state != Q2S_DATA)
		memset(buf, 0, len);
	else if (region->seeded)
		fill_seeded(region->seed, guest, buf, len);
	else
		memset(buf, region->fill, len);
	if (region->seeded && region->half > 1)
		blank_halves(region->half, guest, buf, len);
}

static enum q2s_err
pattern_read(struct q2s_cursor *cursor, q2s_guest guest, void *buf, size_t len,
	     struct q2s_diag *diag)
{
	const struct pattern_disk *pattern = (const struct pattern_disk *)cursor->disk;
	uint8_t *to = buf;

	(void)diag;
	memset(buf, 0, len);
	for (size_t i = region_at(pattern, guest.v); i < pattern->count; i++) {
		const struct q2s_pattern *region = &pattern->regions[i];
		const uint64_t from = q2si_max(region->start.v, guest.v);
		const uint64_t end = q2si_min(region_end(region), guest.v + len);

		if (from >= end)
			break;
		fill(region, from, to + (from - guest.v), end - from);
	}
	return Q2S_OK;
}

static void
pattern_close(struct q2s_disk *disk)
{
	free(disk);
}

static const struct q2si_disk_ops pattern_ops = {
	.cursor_open = pattern_cursor_open,
	.cursor_close = pattern_cursor_close,
	.extent = pattern_extent,
	.read = pattern_read,
	.close = pattern_close,
};

/* Sorted, disjoint, not empty, inside the disk. */
static enum q2s_err
check_regions(uint64_t size, const struct q2s_pattern *regions, size_t count, struct q2s_diag *diag)
{
	uint64_t end = 0;

	for (size_t i = 0; i < count; i++) {
		const uint64_t start = regions[i].start.v;

		if (start < end)
			return q2si_fail(diag, Q2S_E_USAGE, "pattern region", Q2S_NOWHERE, start,
					 "regions overlap or are not sorted");
		if (regions[i].len == 0 || !q2si_add(start, regions[i].len, &end) || end > size)
			return q2si_fail(diag, Q2S_E_USAGE, "pattern region", Q2S_NOWHERE, start,
					 "region is empty or leaves the disk");
	}
	return Q2S_OK;
}

enum q2s_err
q2s_disk_pattern(uint64_t size, const struct q2s_pattern *regions, size_t count,
		 struct q2s_disk **out, struct q2s_diag *diag)
{
	struct pattern_disk *pattern;
	enum q2s_err err;

	Q2SI_TRY(check_regions(size, regions, count, diag));
	pattern = calloc(1, sizeof(*pattern) + count * sizeof(*regions));
	if (!pattern)
		return q2si_fail_nomem(diag, "disk");
	err = q2si_disk_init(&pattern->disk, &pattern_ops, "pattern", size, diag);
	if (err != Q2S_OK) {
		free(pattern);
		return err;
	}
	pattern->count = count;
	if (count > 0)
		memcpy(pattern->regions, regions, count * sizeof(*regions));
	*out = &pattern->disk;
	return Q2S_OK;
}

enum q2s_err
q2s_disk_empty(uint64_t size, struct q2s_disk **out, struct q2s_diag *diag)
{
	return q2s_disk_pattern(size, NULL, 0, out, diag);
}
