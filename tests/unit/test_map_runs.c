/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs are maximal and right: random tables, against a slow walk over every subcluster. */
#include "walk.h"

#define ENTRIES 200u

/* How one byte is mapped, decided entry by entry. */
struct byte_map {
	enum q2s_state state;
	bool has_host, compressed;
	uint64_t host;
};

static struct byte_map
slow_map(const struct q2s_geom *geom, const struct q2s_l2_entry *entries, uint64_t first,
	 uint64_t guest)
{
	const struct q2s_l2_entry *entry = &entries[(guest - first) >> geom->cluster_bits];
	const uint32_t sub = q2s_sub_index(geom, (q2s_guest){ guest });
	struct byte_map map = { .compressed = entry->compressed, .has_host = entry->has_host };

	if (entry->compressed) {
		map.host = entry->comp_at.v;
		return map;
	}
	map.state = q2s_l2_state(entry, sub);
	if (entry->has_host)
		map.host = entry->host.v + q2s_in_cluster(geom, (q2s_guest){ guest });
	return map;
}

static bool
slow_continues(const struct byte_map *a, const struct byte_map *b, uint64_t distance)
{
	return !a->compressed && !b->compressed && a->state == b->state &&
	       a->has_host == b->has_host && (!a->has_host || b->host == a->host + distance);
}

static struct q2s_l2_entry
random_entry(const struct q2s_geom *geom, const struct q2s_l2_entry *before, uint64_t *chance)
{
	struct q2s_l2_entry entry = *before;
	const uint32_t bits = (uint32_t)unit_random(chance);

	entry.copied = entry.has_host && bits & 1;
	if (!before->compressed && unit_random(chance) % 8) { /* mostly as the one before it */
		if (entry.has_host)
			entry.host.v += geom->cluster_size;
		return entry;
	}
	memset(&entry, 0, sizeof(entry));
	if (unit_random(chance) % 8 == 0) {
		entry.compressed = true;
		entry.comp_at.v = (1 << 24) + bits % 100000;
		entry.comp_bytes = (uint32_t)(512 - entry.comp_at.v % 512);
		return entry;
	}
	entry.has_host = unit_random(chance) % 3;
	entry.alloc = (unit_random(chance) % 2 ? bits : ~0u) & geom->sub_mask;
	entry.zero = (unit_random(chance) % 2 ? ~bits : ~0u) & geom->sub_mask & ~entry.alloc;
	if (entry.has_host)
		entry.host.v = (1 + unit_random(chance) % 1000) * geom->cluster_size;
	else
		entry.alloc = 0;
	if (!geom->extended && entry.has_host && !entry.alloc)
		entry.zero = 1;
	return entry;
}

static void
compare_with_slow(struct walk *walk, const struct q2s_geom *geom,
		  const struct q2s_l2_entry *entries, uint64_t first)
{
	const uint64_t end = geom->l2_span;

	for (uint64_t guest = first; guest < end;) {
		const struct q2s_run run = run_at(walk, guest);
		const struct byte_map start = slow_map(geom, entries, first, guest);
		uint64_t len = geom->sub_size;

		while (guest + len < end && !start.compressed) {
			const struct byte_map next = slow_map(geom, entries, first, guest + len);

			if (!slow_continues(&start, &next, len))
				break;
			len += geom->sub_size;
		}
		if (start.compressed)
			len = geom->cluster_size;
		ck_assert_uint_eq(run.len, len);
		ck_assert_int_eq(run.compressed, start.compressed);
		ck_assert_int_eq(run.state, start.compressed ? Q2S_DATA : start.state);
		ck_assert_uint_eq(run.host.v, start.host);
		guest += len;
	}
}

/* A random table, its last entries used, below a second one that is empty. */
static void
try_random(uint32_t bits, bool extended, uint64_t chance)
{
	struct made made = made_v3(bits, extended, 1ull << (2 * bits - 2));
	const struct q2s_geom *geom = &made.geom;
	const uint32_t count = geom->l2_entries < ENTRIES ? geom->l2_entries : ENTRIES;
	const uint64_t first = geom->l2_span - (uint64_t)count * geom->cluster_size;
	struct q2s_l2_entry entries[ENTRIES];
	struct q2s_l2_entry before = { 0 };
	struct walk walk;

	for (unsigned i = 0; i < count; i++) {
		before = entries[i] = random_entry(geom, &before, &chance);
		made_entry(&made, first + (uint64_t)i * geom->cluster_size, &before);
	}
	made_resize(&made, 1ull << 40);
	walk = walk_start(&made);
	compare_with_slow(&walk, geom, entries, first);
	walk_end(&walk, &made);
}

START_TEST(runs_are_maximal_and_right)
{
	for (uint32_t bits = 9; bits <= 21; bits++)
		for (uint64_t seed = 1; seed <= 5; seed++) {
			try_random(bits, false, seed * 0x9e3779b97f4a7c15);
			if (bits >= 14)
				try_random(bits, true, seed * 0x9e3779b97f4a7c15);
		}
}
END_TEST

UNIT_MAIN("map_runs", runs_are_maximal_and_right)
