/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bytes of the metadata, one host cluster at a time: nothing is kept, every cluster follows
 * from the plan whenever it is asked for.
 */
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "plan/plan.h"

/* Entry i of the table says where block i lies; blocks are in one row. */
static enum q2s_err
reftable_cluster(const struct q2s_plan *plan, uint64_t index, uint8_t *buf, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &plan->spec.geom;
	const uint64_t per = geom->cluster_size / Q2S_REFTABLE_ENTRY_SIZE;
	const uint64_t end = q2si_min((index + 1) * per, plan->layout.refcount_block_count);

	memset(buf, 0, geom->cluster_size);
	for (uint64_t i = index * per; i < end; i++) {
		const q2s_host block = { plan->layout.refcount_blocks.v +
					 (i << geom->cluster_bits) };

		Q2SI_TRY(q2s_reftable_encode(geom, block, buf + i % per * Q2S_REFTABLE_ENTRY_SIZE,
					     diag));
	}
	return Q2S_OK;
}

/* The host clusters that one refcount block describes: counts [0, @used) from @first on. */
struct block {
	const struct q2s_geom *geom;
	uint8_t *counts;
	uint64_t first;
	uint32_t used;
};

/* More references to each host cluster that [@at, @at + @len) touches and @block describes. */
static enum q2s_err
count_stream(const struct block *block, uint64_t at, uint32_t len, uint32_t references,
	     struct q2s_diag *diag)
{
	const uint32_t bits = block->geom->cluster_bits;
	const uint64_t end = block->first + block->used;

	for (uint64_t c = at >> bits; c <= (at + len - 1) >> bits; c++) {
		if (c < block->first || c >= end)
			continue;
		const uint32_t i = (uint32_t)(c - block->first);

		Q2SI_TRY(q2s_refcount_set(block->geom, block->counts, i,
					  q2s_refcount_get(block->geom, block->counts, i) +
						  references,
					  diag));
	}
	return Q2S_OK;
}

/* Count the streams of one table anew: clusters of streams have as many references as those. */
static enum q2s_err
count_streams(const struct q2s_plan *plan, size_t rank, const struct block *block,
	      struct q2s_diag *diag)
{
	const struct q2si_alloc_table *table = &plan->alloc->tables[rank];
	const uint64_t data = plan->layout.data.v;
	const uint64_t start = (data >> block->geom->cluster_bits) + table->clusters;
	const uint64_t from = q2si_max(start, block->first);
	const uint64_t end = q2si_min(start + table->stream_clusters, block->first + block->used);
	struct q2si_slot_walk walk;
	struct q2si_placed_run run;

	if (from >= end)
		return Q2S_OK;
	Q2SI_TRY(q2s_refcount_fill(block->geom, block->counts, (uint32_t)(from - block->first),
				   (uint32_t)(end - from), 0, diag));
	q2si_slot_walk_start(&walk, plan->alloc, rank);
	while (q2si_slot_walk_next(&walk, &run)) {
		const uint64_t cluster = walk.first + run.entry;

		if (run.slot.comp_bytes)
			Q2SI_TRY(count_stream(block, data + run.at, run.slot.comp_bytes,
					      q2si_owners_references(&plan->alloc->owners, cluster),
					      diag));
	}
	return Q2S_OK;
}

/* The owners of table @rank: [*@from, *@until) in the list of all. */
static void
owners_of_table(const struct q2s_plan *plan, size_t rank, size_t *from, size_t *until)
{
	const struct q2s_geom *geom = &plan->spec.geom;
	const struct q2si_owners *owners = &plan->alloc->owners;
	const uint64_t first = (uint64_t)plan->alloc->tables[rank].index << geom->l2_bits;

	*from = q2si_owners_find(owners, first);
	*until = q2si_owners_find(owners, first + geom->l2_entries);
}

/* Whole clusters of one table that are shared. */
static enum q2s_err
count_owners(const struct q2s_plan *plan, size_t rank, const struct block *block,
	     struct q2s_diag *diag)
{
	size_t i, until;

	owners_of_table(plan, rank, &i, &until);
	for (; i < until; i++) {
		const struct q2si_owner *owner = &plan->alloc->owners.list[i];
		const uint64_t cluster =
			(plan->layout.data.v + owner->at) >> block->geom->cluster_bits;

		if (owner->comp_bytes || cluster < block->first ||
		    cluster >= block->first + block->used)
			continue;
		Q2SI_TRY(q2s_refcount_set(block->geom, block->counts,
					  (uint32_t)(cluster - block->first),
					  (uint64_t)owner->sharers + 1, diag));
	}
	return Q2S_OK;
}

/* What was reserved behind the header and is not needed is free. */
static enum q2s_err
clear_front(const struct q2s_plan *plan, const struct block *block, struct q2s_diag *diag)
{
	const struct q2s_layout *layout = &plan->layout;
	const uint32_t bits = block->geom->cluster_bits;
	const bool has_l1 = layout->l1.v < layout->data.v;
	const uint64_t first = 1 + (has_l1 ? layout->l1_clusters : 0);
	const uint64_t from = q2si_max(first, block->first);
	const uint64_t end = q2si_min(layout->data.v >> bits, block->first + block->used);

	if (!plan->spec.data_first || from >= end)
		return Q2S_OK;
	return q2s_refcount_fill(block->geom, block->counts, (uint32_t)(from - block->first),
				 (uint32_t)(end - from), 0, diag);
}

/* Every host cluster of the file is used once, but for those that streams or entries share. */
static enum q2s_err
refblock_cluster(const struct q2s_plan *plan, uint64_t index, uint8_t *buf, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &plan->spec.geom;
	const struct q2s_alloc *alloc = plan->alloc;
	const uint64_t total = plan->layout.length >> geom->cluster_bits;
	const uint64_t data = plan->layout.data.v >> geom->cluster_bits;
	struct block block = { .geom = geom, .counts = buf, .first = index << geom->block_bits };

	if (total > block.first)
		block.used = (uint32_t)q2si_min(total - block.first, geom->block_entries);
	memset(buf, 0, geom->cluster_size);
	Q2SI_TRY(q2s_refcount_fill(geom, buf, 0, block.used, 1, diag));
	Q2SI_TRY(clear_front(plan, &block, diag));
	if (alloc->streams == 0 && alloc->owners.count == 0)
		return Q2S_OK;
	for (size_t rank = q2si_alloc_find_data(alloc, q2si_max(block.first, data) - data);
	     rank < alloc->table_count &&
	     data + alloc->tables[rank].clusters < block.first + block.used;
	     rank++) {
		Q2SI_TRY(count_streams(plan, rank, &block, diag));
		Q2SI_TRY(count_owners(plan, rank, &block, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
l1_cluster(const struct q2s_plan *plan, uint64_t index, uint8_t *buf, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &plan->spec.geom;
	const struct q2s_alloc *alloc = plan->alloc;
	const uint64_t per = geom->cluster_size / Q2S_L1_ENTRY_SIZE;
	const uint64_t first = index * per;

	memset(buf, 0, geom->cluster_size);
	for (size_t rank = q2si_alloc_find(alloc, first);
	     rank < alloc->table_count && alloc->tables[rank].index < first + per; rank++) {
		const struct q2s_l1_entry entry = {
			.l2 = { plan->layout.l2.v + ((uint64_t)rank << geom->cluster_bits) },
			.copied = true,
		};
		const uint64_t at = (alloc->tables[rank].index - first) * Q2S_L1_ENTRY_SIZE;

		Q2SI_TRY(q2s_l1_encode(geom, &entry, buf + at, diag));
	}
	return Q2S_OK;
}

/* The L2 entry of the first cluster of a run. */
static struct q2s_l2_entry
entry_of(const struct q2s_plan *plan, const struct q2si_placed_run *run, uint64_t guest_cluster)
{
	const struct q2s_geom *geom = &plan->spec.geom;
	const q2s_host data = { plan->layout.data.v + run->at };
	const q2s_host same = { guest_cluster << geom->cluster_bits };

	if (run->slot.comp_bytes)
		return (struct q2s_l2_entry){
			.compressed = true,
			.comp_at = data,
			.comp_bytes = run->slot.comp_bytes,
		};
	return (struct q2s_l2_entry){
		.has_host = run->slot.host,
		.copied = run->slot.host,
		.host = !run->slot.host ? (q2s_host){ 0 } : geom->data_file ? same : data,
		.alloc = run->slot.alloc,
		.zero = run->slot.zero,
	};
}

/* The L2 entry of whoever has what this owner has, itself included: never COPIED. */
static struct q2s_l2_entry
shared_entry(const struct q2s_plan *plan, const struct q2si_owner *owner)
{
	const struct q2si_placed_run run = {
		.slot = { .host = owner->comp_bytes == 0,
			  .alloc = owner->alloc,
			  .zero = owner->zero,
			  .comp_bytes = owner->comp_bytes },
		.at = owner->at,
	};
	struct q2s_l2_entry entry = entry_of(plan, &run, owner->cluster);

	entry.copied = false;
	return entry;
}

/* A run of clusters that share what others have. */
static enum q2s_err
encode_sharers(const struct q2s_plan *plan, const struct q2si_placed_run *run, uint64_t cluster,
	       uint8_t *at, struct q2s_diag *diag)
{
	const struct q2si_owners *owners = &plan->alloc->owners;

	for (uint32_t i = 0; i < run->count; i++) {
		const size_t owner = q2si_owners_find(owners, cluster + i - run->slot.back);
		const struct q2s_l2_entry entry = shared_entry(plan, &owners->list[owner]);

		Q2SI_TRY(q2s_l2_encode(&plan->spec.geom, &entry, at, diag));
		at += plan->spec.geom.l2_entry_size;
	}
	return Q2S_OK;
}

/* What was encoded as if nobody shared it. */
static enum q2s_err
encode_owners(const struct q2s_plan *plan, size_t rank, uint64_t first, uint8_t *buf,
	      struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &plan->spec.geom;
	size_t i, until;

	owners_of_table(plan, rank, &i, &until);
	for (; i < until; i++) {
		const struct q2si_owner *owner = &plan->alloc->owners.list[i];
		const struct q2s_l2_entry entry = shared_entry(plan, owner);

		Q2SI_TRY(q2s_l2_encode(geom, &entry,
				       buf + (owner->cluster - first) * geom->l2_entry_size,
				       diag));
	}
	return Q2S_OK;
}

static enum q2s_err
l2_cluster(const struct q2s_plan *plan, size_t rank, uint8_t *buf, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &plan->spec.geom;
	const uint64_t first = (uint64_t)plan->alloc->tables[rank].index << geom->l2_bits;
	struct q2si_slot_walk walk;
	struct q2si_placed_run run;

	memset(buf, 0, geom->cluster_size);
	q2si_slot_walk_start(&walk, plan->alloc, rank);
	while (q2si_slot_walk_next(&walk, &run)) {
		const struct q2s_l2_entry entry = entry_of(plan, &run, first + run.entry);
		uint8_t *at = buf + (size_t)run.entry * geom->l2_entry_size;

		if (run.slot.back)
			Q2SI_TRY(encode_sharers(plan, &run, first + run.entry, at, diag));
		else if (entry.compressed)
			Q2SI_TRY(q2s_l2_encode(geom, &entry, at, diag));
		else
			Q2SI_TRY(q2s_l2_encode_run(geom, &entry, run.count, at, diag));
	}
	return encode_owners(plan, rank, first, buf, diag);
}

/* The LUKS header is stored as it was given; its last cluster is filled with zeros. */
static enum q2s_err
luks_cluster(const struct q2s_plan *plan, uint64_t index, uint8_t *buf)
{
	const struct q2s_geom *geom = &plan->spec.geom;
	const uint64_t skip = index << geom->cluster_bits;
	const size_t len = q2si_min_size(plan->spec.luks.len - skip, geom->cluster_size);

	memcpy(buf, plan->spec.luks.data + skip, len);
	memset(buf + len, 0, geom->cluster_size - len);
	return Q2S_OK;
}

enum q2s_err
q2si_metadata_cluster(const struct q2s_plan *plan, uint64_t cluster, uint8_t *buf,
		      struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &plan->spec.geom;
	const struct q2s_layout *layout = &plan->layout;
	const uint64_t at = cluster << geom->cluster_bits;
	const uint32_t bits = geom->cluster_bits;

	if (at >= layout->l1.v && (at - layout->l1.v) >> bits < layout->l1_clusters)
		return l1_cluster(plan, (at - layout->l1.v) >> bits, buf, diag);
	if (plan->spec.data_first && cluster > 0 && at < layout->data.v) {
		memset(buf, 0, geom->cluster_size);
		return Q2S_OK;
	}
	if (at >= layout->l2.v)
		return l2_cluster(plan, (size_t)((at - layout->l2.v) >> bits), buf, diag);
	if (at >= layout->bitmaps.v)
		return q2si_bitmaps_cluster(plan, (at - layout->bitmaps.v) >> bits, buf, diag);
	if (at >= layout->luks.v)
		return luks_cluster(plan, (at - layout->luks.v) >> bits, buf);
	if (at >= layout->refcount_blocks.v)
		return refblock_cluster(plan, (at - layout->refcount_blocks.v) >> bits, buf, diag);
	if (at >= layout->refcount_table.v)
		return reftable_cluster(plan, (at - layout->refcount_table.v) >> bits, buf, diag);
	memcpy(buf, plan->header, geom->cluster_size);
	return Q2S_OK;
}
