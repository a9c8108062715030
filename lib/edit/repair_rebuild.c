/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A new refcount table with all its blocks, in new clusters; the header enters it by one write. The
 * old structures stay where they are, and count for nothing then. Leaks that may be the last copy
 * of guest data stay leaks.
 */
#include "edit/repair.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "format/header.h"

/* @blocks: one a bit of the disk's refcount blocks that are needed. The table lies at @at first. */
struct rebuilder {
	const struct q2si_round *asked;
	struct q2si_round round;
	uint8_t *needed; /* by block: 1, there are counts for it */
	uint64_t block_count;
	uint64_t at, table_clusters, blocks;
};

/* ---- what was a leak ----------------------------------------------------------------------- */

static enum q2s_err
spare(struct q2si_round *round, uint64_t cluster, uint64_t count)
{
	struct q2si_spared *const last =
		round->spared_count ? &round->spared[round->spared_count - 1] : NULL;

	if (last && last->first + last->n == cluster && last->count == count) {
		last->n++;
		return Q2S_OK;
	}
	if (round->spared_count == round->spared_room) {
		const size_t room = round->spared_room ? 2 * round->spared_room : 64;
		struct q2si_spared *bigger = reallocarray(round->spared, room, sizeof(*bigger));

		if (!bigger)
			return q2si_fail_nomem(round->diag, "repair plan");
		round->spared = bigger;
		round->spared_room = room;
	}
	round->spared[round->spared_count++] = (struct q2si_spared){ cluster, 1, count };
	return Q2S_OK;
}

/* Clusters of the file that nothing refers to, and that no block counts. */
static enum q2s_err
count_unknown(struct q2si_round *round)
{
	struct q2si_checker *ck = round->ck;
	const struct q2s_geom *geom = ck->geom;
	uint64_t block = 0;

	/* Of a device nobody knows where the image ends. */
	if (q2s_store_is_block_device(round->repair->file))
		return Q2S_OK;
	for (uint64_t cluster = 0; cluster < ck->file_clusters; cluster++) {
		if ((cluster & (geom->block_entries - 1)) == 0 && !round->distrust)
			Q2SI_TRY(q2si_block_of(round, cluster, &block));
		if (block) {
			cluster |= geom->block_entries - 1;
			continue;
		}
		round->leaks_unknown +=
			q2si_counts_get(&ck->counted, cluster) == 0 &&
			!q2si_in_hole(ck, cluster << geom->cluster_bits, geom->cluster_size);
	}
	return Q2S_OK;
}

enum q2s_err
q2si_repair_spare(struct q2si_round *round)
{
	const struct q2si_checker *ck = round->ck;
	struct q2si_count_diff diff;

	Q2SI_TRY(count_unknown(round));
	if (round->distrust)
		return Q2S_OK;
	if (!round->keep.looked)
		Q2SI_TRY(q2si_keep_look(round));
	for (uint64_t from = 0; q2si_counts_next_diff(&ck->stored, &ck->counted, from, &diff);
	     from = diff.cluster + 1)
		if (diff.a && diff.b == 0 && q2si_keep_why(round, diff.cluster))
			Q2SI_TRY(spare(round, diff.cluster, diff.a));
	return Q2S_OK;
}

/* ---- how large it is ----------------------------------------------------------------------- */

static enum q2s_err
need_block(struct rebuilder *rb, uint64_t block)
{
	if (block >= rb->block_count) {
		const uint64_t count = q2si_max(block + 1, 2 * rb->block_count);
		uint8_t *bigger = realloc(rb->needed, q2si_size(count));

		if (!bigger)
			return q2si_fail_nomem(rb->round.diag, "refcount table");
		for (uint64_t i = rb->block_count; i < count; i++)
			bigger[i] = 0;
		rb->needed = bigger;
		rb->block_count = count;
	}
	rb->blocks += !rb->needed[block];
	rb->needed[block] = 1;
	return Q2S_OK;
}

/* The structures count themselves, so they are laid out until nothing is added any more. */
static enum q2s_err
lay_out(struct rebuilder *rb)
{
	const struct q2si_checker *ck = rb->round.ck;
	const struct q2s_geom *geom = ck->geom;
	const uint64_t end = q2si_counts_end(&ck->counted);
	const uint64_t first = rb->at >> geom->cluster_bits;
	uint64_t before;

	for (uint64_t block = 0; block << geom->block_bits < end; block++) {
		const uint64_t from = block << geom->block_bits;

		if (!q2si_counts_all(&ck->counted, from,
				     q2si_min(geom->block_entries, ck->counted.limit - from), 0))
			Q2SI_TRY(need_block(rb, block));
	}
	rb->table_clusters = 1;
	do {
		uint64_t last = first + rb->table_clusters + rb->blocks - 1;

		before = rb->table_clusters + rb->blocks;
		for (uint64_t block = first >> geom->block_bits; block <= last >> geom->block_bits;
		     block++)
			Q2SI_TRY(need_block(rb, block));
		last = first + rb->table_clusters + rb->blocks - 1;
		rb->table_clusters = q2si_max(
			rb->table_clusters,
			q2si_div_up(((last >> geom->block_bits) + 1) * Q2S_REFTABLE_ENTRY_SIZE,
				    geom->cluster_size));
	} while (before != rb->table_clusters + rb->blocks);
	if (rb->table_clusters << geom->cluster_bits > Q2S_REFTABLE_MAX_BYTES)
		return q2si_fail(rb->round.diag, Q2S_E_LIMIT, "refcount table",
				 (q2s_host){ rb->at }, rb->table_clusters << geom->cluster_bits,
				 "a new one would be larger than 8 MiB");
	return Q2S_OK;
}

/* ---- what it holds ------------------------------------------------------------------------- */

/* The new structures count once, everything else as it was found. */
static uint64_t
count_of(const struct rebuilder *rb, uint64_t cluster)
{
	const struct q2s_geom *geom = rb->round.ck->geom;
	const uint64_t first = rb->at >> geom->cluster_bits;

	if (cluster >= first && cluster < first + rb->table_clusters + rb->blocks)
		return 1;
	return q2si_min(q2si_counts_get(&rb->round.ck->counted, cluster), geom->refcount_max);
}

static enum q2s_err
fill_block(struct rebuilder *rb, uint64_t number, uint64_t host)
{
	const struct q2s_geom *geom = rb->round.ck->geom;
	const uint64_t first = number << geom->block_bits;

	for (uint64_t i = 0, next; i < geom->block_entries; i = next) {
		const uint64_t count = count_of(rb, first + i);

		for (next = i + 1; next < geom->block_entries; next++)
			if (count_of(rb, first + next) != count)
				break;
		if (count)
			Q2SI_TRY(q2si_step_counts(rb->round.repair, Q2SI_STAGE_FILL, host, i,
						  next - i, 0, count, rb->round.diag));
	}
	return Q2S_OK;
}

static enum q2s_err
fill(struct rebuilder *rb)
{
	struct q2s_repair *repair = rb->round.repair;
	const uint32_t bits = rb->round.ck->geom->cluster_bits;
	uint64_t host = rb->at + (rb->table_clusters << bits);
	uint8_t raw[8];

	for (uint64_t block = 0; block < rb->block_count; block++) {
		if (!rb->needed[block])
			continue;
		q2si_put_be64(raw, host);
		Q2SI_TRY(q2si_step_bytes(repair, Q2SI_STAGE_FILL,
					 rb->at + block * Q2S_REFTABLE_ENTRY_SIZE, raw, sizeof(raw),
					 rb->round.diag));
		Q2SI_TRY(fill_block(rb, block, host));
		host += UINT64_C(1) << bits;
	}
	return Q2S_OK;
}

/* Offset and length of the table lie side by side. */
static enum q2s_err
enter(struct rebuilder *rb)
{
	uint8_t raw[12];

	q2si_put_be64(raw, rb->at);
	q2si_put_be32(raw + 8, (uint32_t)rb->table_clusters);
	return q2si_step_bytes(rb->round.repair, Q2SI_STAGE_SWITCH, AT_REFCOUNT_TABLE_OFFSET, raw,
			       sizeof(raw), rb->round.diag);
}

static enum q2s_err
settled(void *opaque, struct q2si_checker *ck)
{
	static const struct q2si_step step = {
		.id = "refcount-table",
		.structure = "refcount table",
		.host = AT_REFCOUNT_TABLE_OFFSET,
		.why = "the refcount table and its blocks cannot be used as they are, so all are "
		       "made anew, from the references, in new clusters",
		.loss = "nothing that is referred to; which of the other clusters were leaked, if they "
			"have no refcount that can be read (see q2s-edit salvage)",
	};
	struct rebuilder *rb = opaque;
	struct q2s_repair *repair = rb->round.repair;
	uint64_t unused;
	bool touched;

	rb->round.ck = ck;
	if (ck->result.check_errors)
		return Q2S_OK;
	for (size_t i = 0; i < rb->asked->spared_count; i++)
		Q2SI_TRY(q2si_counts_add(&ck->counted, rb->asked->spared[i].first,
					 rb->asked->spared[i].n, rb->asked->spared[i].count,
					 &touched));
	Q2SI_TRY(q2si_round_alloc(&rb->round, 0, &rb->at));
	Q2SI_TRY(lay_out(rb));
	Q2SI_TRY(q2si_round_alloc(&rb->round, rb->table_clusters + rb->blocks, &unused));
	Q2SI_TRY(q2si_step_begin(repair, &step, rb->round.diag));
	Q2SI_TRY(q2si_step_zero(repair, rb->at,
				(rb->table_clusters + rb->blocks) << ck->geom->cluster_bits,
				rb->round.diag));
	Q2SI_TRY(fill(rb));
	return enter(rb);
}

enum q2s_err
q2si_repair_rebuild(const struct q2si_round *round, struct q2s_image *image)
{
	struct rebuilder rb = { .asked = round,
				.round = { .repair = round->repair, .diag = round->diag,
					   .next_free = round->next_free } };
	const struct q2si_check_hooks hooks = { .no_refcounts = true, .settled = settled,
						.opaque = &rb };
	struct q2s_check_result result;
	const enum q2s_err err = q2si_check(image, NULL, &hooks, &result, round->diag);

	free(rb.needed);
	return err;
}
