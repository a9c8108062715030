/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A larger refcount table. The new one, with the blocks that describe it and themselves, lies
 * behind all that the old one could describe; one write of the header then puts it in place.
 */
#include "edit/edit.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"

/**
 * @start    first cluster of the new area: the blocks, then the table
 * @blocks   new ones
 * @clusters of the new table
 * @entries  of the old table
 */
struct growth {
	uint64_t start;
	uint64_t blocks;
	uint64_t clusters;
	uint64_t entries;
};

/* Half as large again, so that growing stays rare; at least what describes the new area itself. */
static enum q2s_err
growth_size(const struct q2s_edit *edit, struct growth *out, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &edit->geom;
	const uint64_t most = Q2S_REFTABLE_MAX_BYTES >> geom->cluster_bits;
	struct growth growth = { .start = q2si_refcount_covers(edit) };
	uint64_t before;

	growth.entries = growth.start >> geom->block_bits;
	do {
		const uint64_t entries = q2si_max(growth.entries + growth.entries / 2,
						  growth.entries + growth.blocks + 1);

		before = growth.blocks;
		growth.clusters =
			q2si_div_up(entries * Q2S_REFTABLE_ENTRY_SIZE, geom->cluster_size);
		growth.clusters = q2si_min(growth.clusters, most);
		growth.blocks = q2si_div_up(growth.blocks + growth.clusters, geom->block_entries);
	} while (growth.blocks != before);
	if ((growth.entries + growth.blocks) * Q2S_REFTABLE_ENTRY_SIZE >
		    growth.clusters << geom->cluster_bits ||
	    growth.start >= Q2S_HOST_OFFSET_LIMIT >> geom->cluster_bits)
		return q2si_fail(
			diag, Q2S_E_LIMIT, "refcount table", edit->header.refcount_table_offset,
			edit->header.refcount_table_clusters,
			"cannot grow beyond 8 MiB: the image file is as large as it can be");
	*out = growth;
	return Q2S_OK;
}

static enum q2s_err
meta_write(struct q2s_edit *edit, uint64_t cluster, const uint8_t *buf, struct q2s_diag *diag)
{
	struct q2si_sync *meta = q2si_meta(edit);
	const enum q2s_err err = q2s_store_write(meta->store, cluster << edit->geom.cluster_bits,
						 buf, edit->geom.cluster_size, diag);

	q2si_wrote(meta);
	return err;
}

static enum q2s_err
blocks_write(struct q2s_edit *edit, const struct growth *growth, uint8_t *buf,
	     struct q2s_diag *diag)
{
	uint64_t left = growth->blocks + growth->clusters;

	for (uint64_t i = 0; i < growth->blocks; i++) {
		const uint32_t n = (uint32_t)q2si_min(left, edit->geom.block_entries);

		memset(buf, 0, edit->geom.cluster_size);
		Q2SI_TRY(q2s_refcount_fill(&edit->geom, buf, 0, n, 1, diag));
		Q2SI_TRY(meta_write(edit, growth->start + i, buf, diag));
		left -= n;
	}
	return Q2S_OK;
}

/* Entry @index of the new table. */
static enum q2s_err
entry_put(struct q2s_edit *edit, const struct growth *growth, uint64_t index, uint8_t *raw,
	  struct q2s_diag *diag)
{
	const uint64_t old = edit->header.refcount_table_offset.v + index * Q2S_REFTABLE_ENTRY_SIZE;
	struct q2si_slice *slice;
	q2s_host block = { 0 };

	if (index < growth->entries) {
		Q2SI_TRY(q2si_cache_get(&edit->cache, old, Q2SI_SLICE_REFTABLE, &slice, diag));
		memcpy(raw, q2si_slice_at(&edit->cache, slice, old), Q2S_REFTABLE_ENTRY_SIZE);
		q2si_cache_put(slice);
		return Q2S_OK;
	}
	if (index - growth->entries < growth->blocks)
		block.v = (growth->start + index - growth->entries) << edit->geom.cluster_bits;
	return q2s_reftable_encode(&edit->geom, block, raw, diag);
}

static enum q2s_err
table_write(struct q2s_edit *edit, const struct growth *growth, uint8_t *buf, struct q2s_diag *diag)
{
	const uint64_t per_cluster = edit->geom.cluster_size / Q2S_REFTABLE_ENTRY_SIZE;

	for (uint64_t i = 0; i < growth->clusters; i++) {
		for (uint64_t k = 0; k < per_cluster; k++)
			Q2SI_TRY(entry_put(edit, growth, i * per_cluster + k,
					   buf + k * Q2S_REFTABLE_ENTRY_SIZE, diag));
		Q2SI_TRY(meta_write(edit, growth->start + growth->blocks + i, buf, diag));
	}
	return Q2S_OK;
}

/* The header is one write, so after a failure it may be the old one or the new one: stop. */
static enum q2s_err
header_switch(struct q2s_edit *edit, const struct growth *growth, struct q2s_diag *diag)
{
	const uint64_t table = (growth->start + growth->blocks) << edit->geom.cluster_bits;
	struct q2s_diag why = { 0 };
	enum q2s_err err = q2si_header_set_reftable(edit, table, (uint32_t)growth->clusters, &why);

	if (err == Q2S_OK)
		return q2si_barrier(edit, q2si_meta(edit), diag);
	if (diag && diag->err == Q2S_OK)
		*diag = why;
	return q2si_stop(edit, err, &why);
}

/* Nothing refers to the new area yet: after a failure it is free again. */
static enum q2s_err
growth_write(struct q2s_edit *edit, const struct growth *growth, struct q2s_diag *diag)
{
	const uint32_t bits = edit->geom.cluster_bits;
	const uint64_t at = growth->start << bits;
	const uint64_t len = (growth->blocks + growth->clusters) << bits;
	Q2SI_AUTO_FREE uint8_t *buf = malloc(edit->geom.cluster_size);
	enum q2s_err err;

	if (!buf)
		return q2si_fail_nomem(diag, "refcount table");
	Q2SI_TRY(q2si_overlap_check(edit, at, len, "refcount table", diag));
	edit->file_end = q2si_max(edit->file_end, at + len);
	err = blocks_write(edit, growth, buf, diag);
	if (err == Q2S_OK)
		err = table_write(edit, growth, buf, diag);
	if (err == Q2S_OK && Q2SI_KEEPS(Q2SI_TABLE_BEFORE_HEADER))
		err = q2si_barrier(edit, q2si_meta(edit), diag);
	return err == Q2S_OK ? q2si_overlap_add(edit, at, len, diag) : err;
}

static enum q2s_err
grow(struct q2s_edit *edit, struct q2s_diag *diag)
{
	const uint64_t old = edit->header.refcount_table_offset.v;
	const uint64_t old_len = (uint64_t)edit->header.refcount_table_clusters
				 << edit->geom.cluster_bits;
	struct growth growth = { 0 };

	Q2SI_TRY(growth_size(edit, &growth, diag));
	/*
	 * What the old table refers to has to be durable before the new one is. No block is made
	 * while the table is full, so a flush before is enough.
	 */
	Q2SI_TRY(q2si_flush_run(edit, diag));
	Q2SI_TRY(growth_write(edit, &growth, diag));
	Q2SI_TRY(header_switch(edit, &growth, diag));
	q2si_cache_forget(&edit->cache, old, old_len);
	return q2si_freed_add(edit, (struct q2si_freed){ Q2SI_FREED_TABLE, old, old_len, 0 }, diag);
}

enum q2s_err
q2si_refcount_grow(struct q2s_edit *edit, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	q2si_flush_turn_take(edit);
	if (edit->next >= q2si_refcount_covers(edit))
		err = grow(edit, diag);
	edit->need_grow = false;
	q2si_flush_turn_give(edit);
	return err;
}

enum q2s_err
q2si_refcount_grow_to(struct q2s_edit *edit, uint64_t clusters, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	q2si_flush_turn_take(edit);
	while (err == Q2S_OK && q2si_refcount_covers(edit) < clusters)
		err = grow(edit, diag);
	q2si_flush_turn_give(edit);
	return err;
}
