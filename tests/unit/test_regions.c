/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Regions of -w painted over each other: as if a small array had been filled one by one. */
#include "create/regions.h"

#include <inttypes.h>
#include <stdio.h>

#include "geoms.h"
#include "unit.h"

#define CLUSTERS 40u

/* A random list of regions on a small disk, and which of them each cluster belongs to (0: none). */
static void
make_specs(struct spec_list *specs, unsigned owner[CLUSTERS], uint32_t size, uint64_t *seed)
{
	static const char *const kinds[] = { "data", "zero", "discard", "zero-alloc",
					     "compressed" };
	const unsigned count = (unsigned)(unit_random(seed) % 30);

	memset(owner, 0, CLUSTERS * sizeof(*owner));
	for (unsigned i = 1; i <= count; i++) {
		const uint64_t start = unit_random(seed) % CLUSTERS;
		const uint64_t len = 1 + unit_random(seed) % (CLUSTERS - start);
		char text[100];

		snprintf(text, sizeof(text), "%s@%" PRIu64 "+%" PRIu64,
			 kinds[unit_random(seed) % COUNT(kinds)], start * size, len * size);
		assert_ok(spec_add(specs, text, &diag));
		for (uint64_t c = start; c < start + len; c++)
			owner[c] = i;
	}
}

static unsigned
owner_at(const struct spec_list *specs, const struct regions *regions, uint64_t at)
{
	const struct region *const region = regions_at(regions, at);

	if (!region)
		return 0;
	ck_assert_uint_le(region->start, at);
	ck_assert_uint_gt(region->start + region->len, at);
	for (unsigned i = 0; i < specs->count; i++)
		if (specs->items[i].text == region->text)
			return i + 1;
	return UINT32_MAX;
}

static void
assert_sorted(const struct regions *regions)
{
	for (size_t i = 1; i < regions->count; i++) {
		const struct region *const a = &regions->list[i - 1], *const b = a + 1;

		ck_assert_uint_gt(a->len, 0);
		ck_assert_uint_le(a->start + a->len, b->start);
		/* neighbours of one origin are one */
		ck_assert(a->text != b->text || a->start + a->len < b->start);
	}
}

START_TEST(the_last_one_wins_everywhere)
{
	struct q2s_spec image = { .geom = geom_v3(9, false, false) };
	uint64_t seed = 1;

	ck_assert_uint_ge(image.geom.clusters, CLUSTERS);
	for (unsigned round = 0; round < 2000; round++) {
		struct spec_list specs = { 0 };
		struct regions regions;
		unsigned owner[CLUSTERS];

		make_specs(&specs, owner, image.geom.cluster_size, &seed);
		assert_ok(regions_make(&specs, &image, &regions, &diag));
		assert_sorted(&regions);
		for (unsigned c = 0; c < CLUSTERS; c++)
			ck_assert_uint_eq(owner_at(&specs, &regions, c * 512u), owner[c]);
		regions_free(&regions);
		spec_free(&specs);
	}
}
END_TEST

START_TEST(words_mean_what_they_say)
{
	struct spec_list specs = { 0 };

	assert_ok(spec_add(&specs, "data@1k+0x200:0xAb,compressed@2M+64k:0x123,data@0+1:7", &diag));
	ck_assert_uint_eq(specs.count, 3);
	ck_assert_uint_eq(specs.items[0].start, 1024);
	ck_assert_uint_eq(specs.items[0].len, 512);
	ck_assert(!specs.items[0].seeded);
	ck_assert_uint_eq(specs.items[0].fill, 0xab);
	ck_assert_int_eq(specs.items[1].kind, REGION_COMPRESSED);
	ck_assert(specs.items[1].seeded);
	ck_assert_uint_eq(specs.items[1].seed, 0x123);
	ck_assert_str_eq(specs.items[1].text, "compressed@2M+64k:0x123");
	ck_assert(specs.items[2].seeded);
	ck_assert_uint_eq(specs.items[2].seed, 7);
	spec_free(&specs);
}
END_TEST

UNIT_MAIN("regions", the_last_one_wins_everywhere, words_mean_what_they_say)
