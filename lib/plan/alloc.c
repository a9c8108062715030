/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/search.h"
#include "plan/alloc.h"

enum q2s_err
q2s_alloc_new(const struct q2s_geom *geom, struct q2s_alloc **out, struct q2s_diag *diag)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return q2si_fail_nomem(diag, "allocation map");
	(*out)->geom = *geom;
	(*out)->references_max = geom->refcount_max;
	return Q2S_OK;
}

void
q2s_alloc_free(struct q2s_alloc *alloc)
{
	if (!alloc)
		return;
	q2si_store_free(&alloc->store);
	free(alloc->owners.list);
	free(alloc->tables);
	free(alloc);
}

static bool
is_absent(const struct q2s_slot *slot)
{
	return !slot->host && !slot->alloc && !slot->zero && !slot->comp_bytes && !slot->back;
}

static enum q2s_err
check_slot(const struct q2s_alloc *alloc, const struct q2s_slot *slot, struct q2s_diag *diag)
{
	const struct q2s_geom *const geom = &alloc->geom;
	const char *wrong = NULL;

	if (slot->back && (slot->host || slot->alloc || slot->zero || slot->comp_bytes))
		wrong = "shared and something else";
	else if (slot->back > alloc->next || (slot->back && geom->data_file))
		wrong = "shared with nothing, or with a data file";
	else if (slot->comp_bytes && (slot->host || slot->alloc || slot->zero))
		wrong = "compressed and something else";
	else if (slot->comp_bytes && (slot->comp_bytes >= geom->cluster_size || geom->data_file))
		wrong = "compressed to no less than a cluster, or with a data file";
	else if (slot->alloc & slot->zero)
		wrong = "subcluster both allocated and zero";
	else if ((slot->alloc | slot->zero) & ~geom->sub_mask)
		wrong = "more subclusters than a cluster has";
	else if (slot->alloc && !slot->host)
		wrong = "data without a host cluster";
	else if (slot->zero && geom->version < 3)
		wrong = "version 2 has no zero clusters";
	else if (slot->host && !geom->extended && !slot->alloc && !slot->zero)
		wrong = "a standard entry cannot keep an absent cluster";
	if (!wrong)
		return Q2S_OK;
	return q2si_fail(diag, Q2S_E_USAGE, "allocation", Q2S_NOWHERE,
			 (uint64_t)slot->zero << 32 | slot->alloc, "%s", wrong);
}

/* The last table is complete: count what it fills. */
static void
close_table(struct q2s_alloc *alloc)
{
	const uint32_t bits = alloc->geom.cluster_bits;

	if (alloc->table_count > 0) {
		struct q2si_alloc_table *last = &alloc->tables[alloc->table_count - 1];

		last->stream_clusters =
			(uint32_t)(q2si_round_up(alloc->packer.pos, 1u << bits) >> bits);
		alloc->clusters = last->clusters + last->stream_clusters + alloc->whole;
	}
}

/* Make the table with L1 index @index the last one. */
static enum q2s_err
enter_table(struct q2s_alloc *alloc, uint64_t index, struct q2s_diag *diag)
{
	if (alloc->table_count > 0 && alloc->tables[alloc->table_count - 1].index == index)
		return Q2S_OK;
	if (alloc->table_count == alloc->table_room) {
		const size_t room = alloc->table_room ? alloc->table_room * 3 / 2 : 16;
		struct q2si_alloc_table *tables =
			reallocarray(alloc->tables, room, sizeof(*tables));

		if (!tables)
			return q2si_fail_nomem(diag, "allocation map");
		alloc->tables = tables;
		alloc->table_room = room;
	}
	close_table(alloc);
	alloc->tables[alloc->table_count++] = (struct q2si_alloc_table){
		.code = alloc->store.len,
		.clusters = alloc->clusters,
		.streams = alloc->streams,
		.index = (uint32_t)index,
	};
	alloc->coded = index * alloc->geom.l2_entries;
	alloc->whole = 0;
	alloc->packer = (struct q2si_packer){ 0 };
	return Q2S_OK;
}

/* The next stream of @packer's table, that of guest cluster @cluster; returns its first byte. */
static uint64_t
place_stream(const struct q2s_alloc *alloc, struct q2si_packer *packer, uint64_t cluster,
	     uint32_t len)
{
	const struct q2si_stream stream = {
		.len = len,
		.references = q2si_owners_references(&alloc->owners, cluster),
	};

	return q2si_packer_place(packer, alloc->geom.cluster_size, alloc->references_max, &stream);
}

/* Give a run its place in the data area. */
static void
place_run(struct q2s_alloc *alloc, uint64_t first, const struct q2si_slot_run *run)
{
	if (run->slot.back)
		alloc->shares = true;
	if (run->slot.host)
		alloc->whole += run->count;
	for (uint64_t i = 0; run->slot.comp_bytes && i < run->count; i++) {
		(void)place_stream(alloc, &alloc->packer, first + i, run->slot.comp_bytes);
		alloc->streams += run->slot.comp_bytes;
	}
}

/* Code a run that lies within one table. Absent clusters are coded when something follows them. */
static enum q2s_err
code_run(struct q2s_alloc *alloc, uint64_t first, const struct q2si_slot_run *run,
	 struct q2s_diag *diag)
{
	const uint32_t mask = alloc->geom.sub_mask;

	Q2SI_TRY(enter_table(alloc, first >> alloc->geom.l2_bits, diag));
	if (alloc->coded < first) {
		const struct q2si_slot_run gap = { .count = first - alloc->coded };

		Q2SI_TRY(q2si_slot_put(&alloc->store, &gap, mask, diag));
	}
	Q2SI_TRY(q2si_slot_put(&alloc->store, run, mask, diag));
	alloc->coded = first + run->count;
	place_run(alloc, first, run);
	return Q2S_OK;
}

/* Code the pending run, cut at the boundaries of L2 tables. */
static enum q2s_err
flush(struct q2s_alloc *alloc, struct q2s_diag *diag)
{
	struct q2si_slot_run run = alloc->run;
	uint64_t first = alloc->next - run.count;

	alloc->run.count = 0;
	if (is_absent(&run.slot))
		return Q2S_OK;
	for (uint64_t left = run.count; left > 0; left -= run.count) {
		const uint64_t in_table = first & (alloc->geom.l2_entries - 1);

		run.count = q2si_min(left, alloc->geom.l2_entries - in_table);
		Q2SI_TRY(code_run(alloc, first, &run, diag));
		first += run.count;
	}
	return Q2S_OK;
}

enum q2s_err
q2s_alloc_add(struct q2s_alloc *alloc, const struct q2s_slot *slot, uint64_t count,
	      struct q2s_diag *diag)
{
	if (count > alloc->geom.clusters - alloc->next)
		return q2si_fail(diag, Q2S_E_USAGE, "allocation", Q2S_NOWHERE, count,
				 "more clusters than the disk has");
	Q2SI_TRY(check_slot(alloc, slot, diag));
	if (count > 0 && !q2si_slot_same(slot, &alloc->run.slot)) {
		Q2SI_TRY(flush(alloc, diag));
		alloc->run.slot = *slot;
	}
	alloc->run.count += count;
	alloc->next += count;
	return Q2S_OK;
}

enum q2s_err
q2si_alloc_finish(struct q2s_alloc *alloc, struct q2s_diag *diag)
{
	Q2SI_TRY(flush(alloc, diag));
	close_table(alloc);
	return q2si_owners_resolve(alloc, diag);
}

void
q2si_slot_walk_start(struct q2si_slot_walk *walk, const struct q2s_alloc *alloc, size_t rank)
{
	const struct q2si_alloc_table *table = &alloc->tables[rank];
	const bool last = rank + 1 == alloc->table_count;
	const uint32_t bits = alloc->geom.cluster_bits;

	*walk = (struct q2si_slot_walk){
		.alloc = alloc,
		.pos = table->code,
		.end = last ? alloc->store.len : table[1].code,
		.first = (uint64_t)table->index << alloc->geom.l2_bits,
		.base = table->clusters << bits,
		.whole = (table->clusters + table->stream_clusters) << bits,
		.stream = table->streams,
	};
}

/* One of the equal compressed slots in walk->same. */
static void
walk_stream(struct q2si_slot_walk *walk, struct q2si_placed_run *out)
{
	const uint32_t len = walk->same.slot.comp_bytes;

	*out = (struct q2si_placed_run){
		.slot = walk->same.slot,
		.count = 1,
		.entry = walk->entry,
		.at = walk->base + place_stream(walk->alloc, &walk->packer,
						walk->first + walk->entry, len),
		.stream = walk->stream,
	};
	walk->entry++;
	walk->stream += len;
	walk->same.count--;
}

bool
q2si_slot_walk_next(struct q2si_slot_walk *walk, struct q2si_placed_run *out)
{
	const struct q2s_geom *geom = &walk->alloc->geom;
	struct q2si_slot_run run;

	if (walk->same.count > 0) {
		walk_stream(walk, out);
		return true;
	}
	if (walk->pos == walk->end)
		return false;
	q2si_slot_get(&walk->alloc->store, &walk->pos, geom->sub_mask, &run);
	if (run.slot.comp_bytes) {
		walk->same = run;
		walk_stream(walk, out);
		return true;
	}
	*out = (struct q2si_placed_run){
		.slot = run.slot,
		.count = (uint32_t)run.count,
		.entry = walk->entry,
		.at = walk->whole,
	};
	walk->entry += (uint32_t)run.count;
	if (run.slot.host)
		walk->whole += run.count << geom->cluster_bits;
	return true;
}

size_t
q2si_alloc_find(const struct q2s_alloc *alloc, uint64_t index)
{
	return Q2SI_COUNT_FIRST(i, alloc->table_count, alloc->tables[i].index < index);
}

size_t
q2si_alloc_find_data(const struct q2s_alloc *alloc, uint64_t cluster)
{
	const size_t count =
		Q2SI_COUNT_FIRST(i, alloc->table_count, alloc->tables[i].clusters <= cluster);

	return count > 0 ? count - 1 : 0;
}
