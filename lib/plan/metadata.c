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
static enum q2s_err reftable_cluster(const struct q2s_plan *plan, uint64_t index, uint8_t *buf,
				     struct q2s_diag *diag)
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

/* Every host cluster of the file is used exactly once. */
static enum q2s_err refblock_cluster(const struct q2s_plan *plan, uint64_t index, uint8_t *buf,
				     struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &plan->spec.geom;
	const uint64_t total = plan->layout.length >> geom->cluster_bits;
	const uint64_t first = index << geom->block_bits;
	const uint64_t used = total > first ? q2si_min(total - first, geom->block_entries) : 0;

	memset(buf, 0, geom->cluster_size);
	return q2s_refcount_fill(geom, buf, 0, (uint32_t)used, 1, diag);
}

static enum q2s_err l1_cluster(const struct q2s_plan *plan, uint64_t index, uint8_t *buf,
			       struct q2s_diag *diag)
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
static struct q2s_l2_entry entry_of(const struct q2s_plan *plan, const struct q2s_slot *slot,
				    uint64_t guest_cluster, uint64_t data_cluster)
{
	const uint32_t bits = plan->spec.geom.cluster_bits;
	const uint64_t host = plan->spec.geom.data_file ?
				      guest_cluster << bits :
				      plan->layout.data.v + (data_cluster << bits);

	return (struct q2s_l2_entry){
		.has_host = slot->host,
		.copied = slot->host,
		.host = { slot->host ? host : 0 },
		.alloc = slot->alloc,
		.zero = slot->zero,
	};
}

static enum q2s_err l2_cluster(const struct q2s_plan *plan, size_t rank, uint8_t *buf,
			       struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &plan->spec.geom;
	const uint64_t first = (uint64_t)plan->alloc->tables[rank].index << geom->l2_bits;
	struct q2si_slot_walk walk;
	struct q2si_slot_run run;
	uint64_t clusters;
	uint32_t at;

	memset(buf, 0, geom->cluster_size);
	q2si_slot_walk_start(&walk, plan->alloc, rank);
	while (q2si_slot_walk_next(&walk, &run, &at, &clusters)) {
		const struct q2s_l2_entry entry = entry_of(plan, &run.slot, first + at, clusters);

		Q2SI_TRY(q2s_l2_encode_run(geom, &entry, (uint32_t)run.count,
					   buf + (size_t)at * geom->l2_entry_size, diag));
	}
	return Q2S_OK;
}

enum q2s_err q2si_metadata_cluster(const struct q2s_plan *plan, uint64_t cluster, uint8_t *buf,
				   struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &plan->spec.geom;
	const struct q2s_layout *layout = &plan->layout;
	const uint64_t at = cluster << geom->cluster_bits;
	const uint32_t bits = geom->cluster_bits;

	if (at >= layout->l2.v)
		return l2_cluster(plan, (size_t)((at - layout->l2.v) >> bits), buf, diag);
	if (at >= layout->l1.v)
		return l1_cluster(plan, (at - layout->l1.v) >> bits, buf, diag);
	if (at >= layout->refcount_blocks.v)
		return refblock_cluster(plan, (at - layout->refcount_blocks.v) >> bits, buf, diag);
	if (at >= layout->refcount_table.v)
		return reftable_cluster(plan, (at - layout->refcount_table.v) >> bits, buf, diag);
	memcpy(buf, plan->header, geom->cluster_size);
	return Q2S_OK;
}
