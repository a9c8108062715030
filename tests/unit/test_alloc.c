/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The allocation map against a plain array of slots, in all kinds of images. */
#include "plan/alloc.h"

#include "geoms.h"
#include "slots.h"

/* The map and the array that says the same. */
struct pair {
	struct q2s_geom geom;
	struct q2s_alloc *alloc;
	struct q2s_slot *slots; /* geom.clusters */
	uint64_t filled;
};

static void
add(struct pair *pair, const struct q2s_slot *slot, uint64_t count)
{
	assert_ok(q2s_alloc_add(pair->alloc, slot, count, &diag));
	for (; count > 0; count--)
		pair->slots[pair->filled++] = *slot;
}

/* A length that likes the boundaries of tables: to just before, at, and just behind the next. */
static uint64_t
random_length(const struct pair *pair, uint64_t *seed)
{
	const uint64_t per = pair->geom.l2_entries;
	const uint64_t left = pair->geom.clusters - pair->filled;
	uint64_t length = unit_random_log(seed) % (2 * per);

	if (unit_random(seed) % 3 == 0)
		length = per - pair->filled % per + unit_random(seed) % 3 - 1;
	return length < left ? length : left;
}

static bool
is_empty(const struct q2s_slot *slot)
{
	return !slot->host && !slot->alloc && !slot->zero && !slot->comp_bytes;
}

/* A stream lies behind the one before it, within the table's streams, and shares no more clusters
 * than a refcount can say. @refs counts for each of the table's clusters of streams. */
static void
assert_stream(const struct pair *pair, const struct q2si_alloc_table *table,
	      const struct q2si_placed_run *run, uint64_t *end, uint64_t *refs)
{
	const uint32_t bits = pair->geom.cluster_bits;
	const uint64_t at = run->at - (table->clusters << bits);

	/* Millions of streams: only what is wrong is worth libcheck's system call. */
	if (run->count != 1 || at < *end)
		ck_abort_msg("stream at 0x%" PRIx64 " before 0x%" PRIx64, at, *end);
	*end = at + run->slot.comp_bytes;
	if (*end > (uint64_t)table->stream_clusters << bits)
		ck_abort_msg("stream at 0x%" PRIx64 " leaves the table's streams", at);
	for (uint64_t i = at >> bits; i <= (*end - 1) >> bits; i++)
		if (++refs[i] > pair->geom.refcount_max)
			ck_abort_msg("cluster %" PRIu64 " is shared too often", i);
}

/* Table @rank says of each of its clusters what the array says; counts its host clusters. */
static void
assert_table(const struct pair *pair, size_t rank, uint64_t *clusters)
{
	const struct q2si_alloc_table *table = &pair->alloc->tables[rank];
	const uint64_t first = (uint64_t)table->index << pair->geom.l2_bits;
	uint64_t *refs = calloc(table->stream_clusters + 1, sizeof(*refs));
	struct q2si_slot_walk walk;
	struct q2si_placed_run run;
	uint64_t end = 0, stream = table->streams;
	uint32_t expect = 0;

	ck_assert_uint_eq(table->clusters, *clusters);
	*clusters += table->stream_clusters;
	q2si_slot_walk_start(&walk, pair->alloc, rank);
	while (q2si_slot_walk_next(&walk, &run)) {
		if (run.entry != expect || run.count == 0 ||
		    run.entry + run.count > pair->geom.l2_entries)
			ck_abort_msg("run of %u at entry %u", run.count, run.entry);
		for (uint64_t i = 0; i < run.count; i++)
			if (!slots_equal(&run.slot, &pair->slots[first + run.entry + i]))
				ck_abort_msg("cluster %" PRIu64, first + run.entry + i);
		expect = run.entry + run.count;
		if (run.slot.comp_bytes) {
			if (run.stream != stream)
				ck_abort_msg("stream %" PRIu64, run.stream);
			stream += run.slot.comp_bytes;
			assert_stream(pair, table, &run, &end, refs);
		} else if (run.slot.host) {
			if (run.at != *clusters << pair->geom.cluster_bits)
				ck_abort_msg("whole cluster at 0x%" PRIx64, run.at);
			*clusters += run.count;
		}
	}
	for (uint64_t i = first + expect; i < first + pair->geom.l2_entries; i++)
		ck_assert(i >= pair->geom.clusters || is_empty(&pair->slots[i]));
	free(refs);
}

/* A table is there exactly where the array has something. */
static void
assert_same(const struct pair *pair)
{
	const uint64_t per = pair->geom.l2_entries;
	uint64_t clusters = 0;
	size_t rank = 0;

	for (uint64_t index = 0; index < pair->geom.l1_entries; index++) {
		bool empty = true;

		for (uint64_t i = index * per; i < (index + 1) * per && i < pair->geom.clusters; i++)
			empty = empty && is_empty(&pair->slots[i]);
		ck_assert_uint_eq(q2si_alloc_find(pair->alloc, index), rank);
		if (empty)
			continue;
		ck_assert_uint_lt(rank, pair->alloc->table_count);
		ck_assert_uint_eq(pair->alloc->tables[rank].index, index);
		assert_table(pair, rank++, &clusters);
	}
	ck_assert_uint_eq(rank, pair->alloc->table_count);
	ck_assert_uint_eq(q2si_alloc_find(pair->alloc, pair->geom.l1_entries), rank);
	ck_assert_uint_eq(pair->alloc->clusters, clusters);
}

static void
try_random(const struct q2s_geom_params *params, bool to_the_end, uint64_t *seed)
{
	struct pair pair = { 0 };

	assert_ok(q2s_geom_init(params, &pair.geom, &diag));
	pair.slots = calloc(pair.geom.clusters + 1, sizeof(*pair.slots));
	assert_ok(q2s_alloc_new(&pair.geom, &pair.alloc, &diag));
	while (pair.filled < pair.geom.clusters && (to_the_end || unit_random(seed) % 50)) {
		const struct q2s_slot slot = random_slot(&pair.geom, !params->data_file, seed);

		add(&pair, &slot, random_length(&pair, seed));
	}
	assert_ok(q2si_alloc_finish(pair.alloc, &diag));
	assert_same(&pair);
	q2s_alloc_free(pair.alloc);
	free(pair.slots);
}

/* Every cluster size, both kinds of L2, version 2: some tables and a part of one. */
START_TEST(it_says_what_the_array_says)
{
	uint64_t seed = 11;

	for (unsigned index = 0; index < GEOMS; index++) {
		struct q2s_geom_params params = geom_params(index, 0);
		struct q2s_geom geom;

		if (params.refcount_order != 4 || q2s_geom_init(&params, &geom, NULL) != Q2S_OK)
			continue;
		const uint64_t tables = geom.l2_entries < 10000 ? 5 : 1;

		params.size = (tables * geom.l2_entries + unit_random(&seed) % geom.l2_entries)
			      << geom.cluster_bits;
		params.size += 512 * (unit_random(&seed) % 3);
		for (unsigned i = 0; i < (tables > 1 ? 6 : 2); i++)
			try_random(&params, i % 2, &seed);
	}
}
END_TEST

/* What the array becomes when each cluster has its space; how many had none. */
static uint64_t
fill_slots(struct pair *pair, const struct q2s_slot *space)
{
	uint64_t spare = 0;

	for (uint64_t i = 0; i < pair->geom.clusters; i++) {
		struct q2s_slot *const slot = &pair->slots[i];

		spare += !slot->host;
		if (is_empty(slot))
			*slot = *space;
		slot->host = true;
	}
	return spare;
}

START_TEST(each_cluster_gets_its_space)
{
	uint64_t seed = 12;

	for (unsigned index = 0; index < GEOMS; index++) {
		struct q2s_geom_params params = geom_params(index, 0);
		struct pair pair = { 0 };
		struct q2s_alloc *filled = NULL;

		params.size = ((1000 + unit_random(&seed) % 5000) << params.cluster_bits) + 512;
		if (params.refcount_order != 4 ||
		    q2s_geom_init(&params, &pair.geom, NULL) != Q2S_OK)
			continue;
		const struct q2s_slot space = { .host = true,
						.alloc = pair.geom.extended ? 0 : 1 };

		pair.slots = calloc(pair.geom.clusters, sizeof(*pair.slots));
		assert_ok(q2s_alloc_new(&pair.geom, &pair.alloc, &diag));
		while (pair.filled < pair.geom.clusters && unit_random(&seed) % 50) {
			const struct q2s_slot slot = random_slot(&pair.geom, false, &seed);

			add(&pair, &slot, random_length(&pair, &seed));
		}
		assert_ok(q2s_alloc_fill(pair.alloc, &space, &filled, &diag));
		q2s_alloc_free(pair.alloc);
		pair.alloc = filled;
		assert_ok(q2si_alloc_finish(filled, &diag));
		ck_assert_uint_eq(filled->spare, fill_slots(&pair, &space));
		ck_assert_uint_eq(filled->clusters, pair.geom.clusters);
		assert_same(&pair);
		q2s_alloc_free(filled);
		free(pair.slots);
	}
}
END_TEST

START_TEST(space_is_for_clusters_of_their_own)
{
	static const struct q2s_slot space = { .host = true, .alloc = 1 }, none = { 0 };
	static const struct q2s_slot others[] = { { .comp_bytes = 5 }, { .back = 1 } };
	const struct q2s_geom_params params = { .version = 3, .cluster_bits = 16,
						.refcount_order = 4, .size = 1 << 20 };
	struct q2s_alloc *alloc = NULL, *filled = NULL;
	struct q2s_geom geom;

	assert_ok(q2s_geom_init(&params, &geom, &diag));
	for (size_t i = 0; i < COUNT(others); i++) {
		struct q2s_diag why = { 0 };

		assert_ok(q2s_alloc_new(&geom, &alloc, &diag));
		assert_ok(q2s_alloc_add(alloc, &space, 1, &diag));
		assert_ok(q2s_alloc_add(alloc, &others[i], 1, &diag));
		ck_assert_int_eq(q2s_alloc_fill(alloc, &none, &filled, &why), Q2S_E_USAGE);
		why = (struct q2s_diag){ 0 };
		ck_assert_int_eq(q2s_alloc_fill(alloc, &space, &filled, &why), Q2S_E_USAGE);
		ck_assert_ptr_null(filled);
		q2s_alloc_free(alloc);
	}
}
END_TEST

/* One byte for each change, whatever the size: a whole disk of alternating clusters. */
START_TEST(memory_follows_the_changes)
{
	const struct q2s_slot data = { .host = true, .alloc = 1 }, absent = { 0 };
	const struct q2s_geom_params params = { .version = 3, .cluster_bits = 16,
						.refcount_order = 4, .size = 1ull << 40 };
	struct q2s_geom geom;
	struct q2s_alloc *alloc = NULL;

	assert_ok(q2s_geom_init(&params, &geom, &diag));
	assert_ok(q2s_alloc_new(&geom, &alloc, &diag));
	assert_ok(q2s_alloc_add(alloc, &data, geom.clusters, &diag));
	assert_ok(q2si_alloc_finish(alloc, &diag));
	ck_assert_uint_eq(alloc->clusters, geom.clusters);
	ck_assert_uint_le(alloc->store.len, 4 * geom.l1_entries);
	q2s_alloc_free(alloc);

	assert_ok(q2s_alloc_new(&geom, &alloc, &diag));
	for (unsigned i = 0; i < 1000000; i++)
		assert_ok(q2s_alloc_add(alloc, i % 2 ? &data : &absent, 1, &diag));
	assert_ok(q2si_alloc_finish(alloc, &diag));
	ck_assert_uint_le(alloc->store.len, 1000000);
	q2s_alloc_free(alloc);
	q2s_alloc_free(NULL);
}
END_TEST

START_TEST(what_an_image_cannot_hold_is_refused)
{
	static const struct {
		uint32_t version;
		bool extended;
		struct q2s_slot slot;
	} rows[] = {
		{ 3, true, { .host = true, .alloc = 3, .zero = 2 } },
		{ 3, true, { .alloc = 3 } },
		{ 3, false, { .host = true, .alloc = 2 } },
		{ 3, false, { .zero = 2 } },
		{ 3, false, { .host = true } },
		{ 3, false, { .comp_bytes = 5, .host = true } },
		{ 3, false, { .comp_bytes = 5, .zero = 1 } },
		{ 2, false, { .zero = 1 } },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct q2s_geom_params params = {
			.version = rows[i].version, .cluster_bits = 16, .refcount_order = 4,
			.extended = rows[i].extended, .size = 1 << 20,
		};
		struct q2s_alloc *alloc = NULL;
		struct q2s_geom geom;

		assert_ok(q2s_geom_init(&params, &geom, &diag));
		assert_ok(q2s_alloc_new(&geom, &alloc, &diag));
		assert_refused(Q2S_E_USAGE, NOWHERE,
			       (uint64_t)rows[i].slot.zero << 32 | rows[i].slot.alloc,
			       q2s_alloc_add(alloc, &rows[i].slot, 1, &diag));
		assert_ok(q2s_alloc_add(alloc, &(struct q2s_slot){ 0 }, 16, &diag));
		assert_refused(Q2S_E_USAGE, NOWHERE, 1,
			       q2s_alloc_add(alloc, &(struct q2s_slot){ 0 }, 1, &diag));
		q2s_alloc_free(alloc);
	}
}
END_TEST

UNIT_MAIN("alloc", it_says_what_the_array_says, each_cluster_gets_its_space,
	  space_is_for_clusters_of_their_own, memory_follows_the_changes,
	  what_an_image_cannot_hold_is_refused)
