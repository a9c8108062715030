/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "plan/alloc.h"

enum q2s_err q2s_alloc_new(const struct q2s_geom *geom, struct q2s_alloc **out,
			   struct q2s_diag *diag)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return q2si_fail_nomem(diag, "allocation map");
	(*out)->geom = *geom;
	return Q2S_OK;
}

void q2s_alloc_free(struct q2s_alloc *alloc)
{
	if (!alloc)
		return;
	q2si_store_free(&alloc->store);
	free(alloc->tables);
	free(alloc);
}

static bool same_slot(const struct q2s_slot *a, const struct q2s_slot *b)
{
	return a->host == b->host && a->alloc == b->alloc && a->zero == b->zero &&
	       a->comp_bytes == b->comp_bytes;
}

static bool is_absent(const struct q2s_slot *slot)
{
	return !slot->host && !slot->alloc && !slot->zero && !slot->comp_bytes;
}

static enum q2s_err check_slot(const struct q2s_geom *geom, const struct q2s_slot *slot,
			       struct q2s_diag *diag)
{
	const char *wrong = NULL;

	if (slot->comp_bytes && (slot->host || slot->alloc || slot->zero))
		wrong = "compressed and something else";
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

/* Make the table with L1 index @index the last one. */
static enum q2s_err enter_table(struct q2s_alloc *alloc, uint64_t index, struct q2s_diag *diag)
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
	alloc->tables[alloc->table_count++] = (struct q2si_alloc_table){
		.code = alloc->store.len,
		.clusters = alloc->clusters,
		.index = (uint32_t)index,
	};
	alloc->coded = index * alloc->geom.l2_entries;
	return Q2S_OK;
}

/* Code a run that lies within one table. Absent clusters are coded when something follows them. */
static enum q2s_err code_run(struct q2s_alloc *alloc, uint64_t first,
			     const struct q2si_slot_run *run, struct q2s_diag *diag)
{
	const uint32_t mask = alloc->geom.sub_mask;

	Q2SI_TRY(enter_table(alloc, first >> alloc->geom.l2_bits, diag));
	if (alloc->coded < first) {
		const struct q2si_slot_run gap = { .count = first - alloc->coded };

		Q2SI_TRY(q2si_slot_put(&alloc->store, &gap, mask, diag));
	}
	Q2SI_TRY(q2si_slot_put(&alloc->store, run, mask, diag));
	alloc->coded = first + run->count;
	if (run->slot.host)
		alloc->clusters += run->count;
	return Q2S_OK;
}

/* Code the pending run, cut at the boundaries of L2 tables. */
static enum q2s_err flush(struct q2s_alloc *alloc, struct q2s_diag *diag)
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

enum q2s_err q2s_alloc_add(struct q2s_alloc *alloc, const struct q2s_slot *slot, uint64_t count,
			   struct q2s_diag *diag)
{
	if (count > alloc->geom.clusters - alloc->next)
		return q2si_fail(diag, Q2S_E_USAGE, "allocation", Q2S_NOWHERE, count,
				 "more clusters than the disk has");
	Q2SI_TRY(check_slot(&alloc->geom, slot, diag));
	if (!same_slot(slot, &alloc->run.slot)) {
		Q2SI_TRY(flush(alloc, diag));
		alloc->run.slot = *slot;
	}
	alloc->run.count += count;
	alloc->next += count;
	return Q2S_OK;
}

enum q2s_err q2si_alloc_finish(struct q2s_alloc *alloc, struct q2s_diag *diag)
{
	return flush(alloc, diag);
}

void q2si_slot_walk_start(struct q2si_slot_walk *walk, const struct q2s_alloc *alloc, size_t rank)
{
	const bool last = rank + 1 == alloc->table_count;

	*walk = (struct q2si_slot_walk){
		.alloc = alloc,
		.pos = alloc->tables[rank].code,
		.end = last ? alloc->store.len : alloc->tables[rank + 1].code,
		.clusters = alloc->tables[rank].clusters,
	};
}

bool q2si_slot_walk_next(struct q2si_slot_walk *walk, struct q2si_slot_run *run, uint32_t *entry,
			 uint64_t *clusters)
{
	if (walk->pos == walk->end)
		return false;
	q2si_slot_get(&walk->alloc->store, &walk->pos, walk->alloc->geom.sub_mask, run);
	*entry = walk->entry;
	*clusters = walk->clusters;
	walk->entry += (uint32_t)run->count;
	if (run->slot.host)
		walk->clusters += run->count;
	return true;
}

size_t q2si_alloc_find(const struct q2s_alloc *alloc, uint64_t index)
{
	size_t low = 0, high = alloc->table_count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (alloc->tables[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}
