/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The stored refcounts: loaded before anything is counted, compared when all is. */
#include "checker.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/zero.h"
#include "words.h"

/* Counts that are looked at together: a uniform stretch of them is recognised as a whole. */
#define PIECE 4096u

/*
 * @table  host offset of the refcount table
 * @raw    one refcount block
 * @uniform  the counts of the block are all alike
 * @seen   blocks already looked at that count nothing in the file
 */
struct loader {
	uint64_t table;
	uint8_t *raw;
	bool uniform;
	struct q2si_counts seen;
};

/* ---- loading ----------------------------------------------------------------------------- */

static size_t
count_bytes(const struct q2s_geom *geom, uint32_t n)
{
	return ((size_t)n * geom->refcount_bits + 7) / 8;
}

/*
 * Are counts [@from, @from + @n) all alike? Only asked where they are whole bytes: what repeats
 * every count, or every byte for narrow ones, equals itself when shifted by that much.
 */
static bool
piece_uniform(const struct q2s_geom *geom, const uint8_t *raw, uint32_t from, uint32_t n)
{
	const size_t step = geom->refcount_bits < 8 ? 1 : geom->refcount_bits / 8;
	const uint8_t *piece = raw + count_bytes(geom, from);
	const size_t len = count_bytes(geom, n);

	if (memcmp(piece, piece + step, len - step) != 0)
		return false;
	for (uint32_t i = 1; i < 8 && geom->refcount_bits < 8 && i < n; i++)
		if (q2s_refcount_get(geom, raw, from + i) != q2s_refcount_get(geom, raw, from))
			return false;
	return true;
}

/* Add counts [@from, @end) of the block in @loader, which stand for clusters from @first on. */
static enum q2s_err
load_runs(struct q2si_checker *ck, const struct loader *loader, uint64_t first, uint32_t from,
	  uint32_t end)
{
	bool touched = false;

	while (from < end) {
		const uint64_t count = q2s_refcount_get(ck->geom, loader->raw, from);
		uint32_t next = from + 1;

		while (next < end && q2s_refcount_get(ck->geom, loader->raw, next) == count)
			next++;
		Q2SI_TRY(q2si_counts_add(&ck->stored, first + from, next - from, count, &touched));
		from = next;
	}
	return Q2S_OK;
}

static enum q2s_err
load_piece(struct q2si_checker *ck, struct loader *loader, uint64_t first, uint32_t from,
	   uint32_t n)
{
	bool touched = false;

	const bool uniform = n % 8 == 0 && piece_uniform(ck->geom, loader->raw, from, n);

	loader->uniform &= uniform && q2s_refcount_get(ck->geom, loader->raw, from) ==
					      q2s_refcount_get(ck->geom, loader->raw, 0);
	if (uniform)
		return q2si_counts_add(&ck->stored, first + from, n,
				       q2s_refcount_get(ck->geom, loader->raw, from), &touched);
	return load_runs(ck, loader, first, from, from + n);
}

/* Counts from @from on belong to clusters that the file does not have. */
static void
note_past_end(struct q2si_checker *ck, const struct loader *loader, uint64_t block, uint32_t from)
{
	const struct q2s_geom *geom = ck->geom;
	const size_t skip = (size_t)from * geom->refcount_bits / 8;
	uint64_t stray = 0;

	if (q2si_is_zero(loader->raw + skip, geom->cluster_size - skip))
		return;
	for (uint32_t i = from; i < geom->block_entries; i++)
		stray += q2s_refcount_get(geom, loader->raw, i) != 0;
	if (stray)
		q2si_report(ck, REFCOUNT_PAST_END, .host = { block }, Q2SI_VALUES(stray, 0));
}

/* A block wholly for clusters past the end: look at it once, however often it is referred to. */
static enum q2s_err
load_stray(struct q2si_checker *ck, struct loader *loader, uint64_t block)
{
	bool touched = false;

	Q2SI_TRY(q2si_counts_add(&loader->seen, block >> ck->geom->cluster_bits, 1, 1, &touched));
	if (!touched && !q2si_in_hole(ck, block, ck->geom->cluster_size) &&
	    q2si_read(ck, block, loader->raw, ck->geom->cluster_size, "refcount block")) {
		q2si_digest_add(ck, block, loader->raw, ck->geom->cluster_size);
		note_past_end(ck, loader, block, 0);
	}
	return Q2S_OK;
}

static enum q2s_err
load_block(struct q2si_checker *ck, struct loader *loader, uint64_t index, uint64_t block)
{
	const struct q2s_geom *geom = ck->geom;
	const uint64_t limit = ck->stored.limit;
	const uint64_t first = index << geom->block_bits;
	uint32_t n;

	if (index > limit >> geom->block_bits || first >= limit)
		return load_stray(ck, loader, block);
	if (!q2si_read(ck, block, loader->raw, geom->cluster_size, "refcount block"))
		return Q2S_OK;
	n = (uint32_t)q2si_min(geom->block_entries, limit - first);
	loader->uniform = n == geom->block_entries;
	for (uint32_t from = 0; from < n; from += PIECE)
		Q2SI_TRY(load_piece(ck, loader, first, from, (uint32_t)q2si_min(PIECE, n - from)));
	/* All of a block whose counts are alike follows from its first bytes. */
	q2si_digest_add(ck, block, loader->raw, loader->uniform ? 8 : geom->cluster_size);
	note_past_end(ck, loader, block, n);
	return Q2S_OK;
}

/*
 * Where the block of an entry lies. Without its reserved bits an entry is still good for what is
 * behind it: QEMU reads the counts there. False, and a finding, when it leads nowhere.
 */
static bool
block_of_entry(struct q2si_checker *ck, q2s_host at, const uint8_t *raw, q2s_host *block,
	       bool *reserved)
{
	enum q2s_err err = q2s_reftable_decode(ck->geom, raw, at, block, NULL);

	*reserved = err == Q2S_E_RESERVED;
	if (*reserved) {
		const uint64_t value = q2si_get_be64(raw);
		const uint64_t legal = q2si_round_down(value, Q2S_SECTOR);
		uint8_t masked[Q2S_REFTABLE_ENTRY_SIZE];

		q2si_report(ck, REFCOUNT_TABLE_RESERVED, .host = at, Q2SI_VALUES(value, legal));
		q2si_put_be64(masked, legal);
		err = q2s_reftable_decode(ck->geom, masked, at, block, NULL);
	}
	if (err != Q2S_OK) {
		q2si_report(ck, REFCOUNT_BLOCK_UNALIGNED, .host = at,
			    Q2SI_VALUES(q2si_get_be64(raw), 0));
		return false;
	}
	if (block->v >> ck->geom->cluster_bits >= ck->file_clusters) {
		q2si_report(ck, REFCOUNT_BLOCK_PAST_END, .host = at,
			    Q2SI_VALUES(block->v, ck->file_size));
		return false;
	}
	return block->v != 0;
}

static enum q2s_err
visit_entry(struct q2si_checker *ck, void *opaque, q2s_host at, const uint8_t *raw, uint64_t weight)
{
	struct loader *loader = opaque;
	bool touched = false, reserved;
	uint64_t cluster;
	q2s_host block;

	(void)weight;
	if (!block_of_entry(ck, at, raw, &block, &reserved))
		return Q2S_OK;
	cluster = block.v >> ck->geom->cluster_bits;
	/* QEMU reads the counts there, but takes the entry for no reference to the block. */
	if (!reserved) {
		Q2SI_TRY(q2si_counts_add(&ck->counted, cluster, 1, 1, &touched));
		Q2SI_TRY(q2si_counts_add(&ck->blocks, cluster, 1, 1, &touched));
	}
	Q2SI_TRY(q2si_extents_add(&ck->metadata, Q2S_STRUCTURE_REFCOUNT_BLOCK, cluster, 1));
	return load_block(ck, loader, (at.v - loader->table) / Q2S_REFTABLE_ENTRY_SIZE, block.v);
}

/* The bytes of a table that is just large enough for this file, in whole clusters. */
static uint64_t
table_needed(const struct q2si_checker *ck)
{
	const uint64_t blocks = q2si_div_up(ck->file_clusters, ck->geom->block_entries);

	return q2si_min(q2si_round_up(blocks * Q2S_REFTABLE_ENTRY_SIZE, ck->geom->cluster_size),
			Q2S_REFTABLE_MAX_BYTES);
}

/* Can the refcount table be used? How much of it, in bytes, goes to @bytes. */
static bool
table_usable(struct q2si_checker *ck, uint64_t *bytes)
{
	const q2s_host at = ck->header->refcount_table_offset;

	*bytes = (uint64_t)ck->header->refcount_table_clusters << ck->geom->cluster_bits;
	if (*bytes == 0) {
		q2si_report(ck, REFCOUNT_TABLE_EMPTY, .host = at);
		return false;
	}
	if (at.v == 0 || !q2si_is_aligned(at.v, ck->geom->cluster_size)) {
		q2si_report(ck, REFCOUNT_TABLE_OFFSET, .host = at);
		return false;
	}
	if (*bytes > Q2S_REFTABLE_MAX_BYTES) {
		q2si_report(ck, REFCOUNT_TABLE_TOO_LARGE, .host = at,
			    Q2SI_VALUES(*bytes, Q2S_REFTABLE_MAX_BYTES));
		*bytes = table_needed(ck);
	}
	return true;
}

enum q2s_err
q2si_load_refcounts(struct q2si_checker *ck)
{
	const uint64_t at = ck->header->refcount_table_offset.v;
	struct loader loader = { .table = at };
	struct q2si_words table;
	enum q2s_err err;
	uint64_t bytes;

	if (!table_usable(ck, &bytes))
		return Q2S_OK;
	Q2SI_TRY(q2si_count_structure(ck, Q2S_STRUCTURE_REFCOUNT_TABLE, at, bytes,
				      Q2SI_FOUND_REFCOUNT_TABLE_PAST_END));
	if (at >= ck->file_size)
		return Q2S_OK;
	Q2SI_TRY(q2si_counts_init(&loader.seen, ck->file_clusters, &ck->budget));
	loader.raw = q2si_read_buffer(ck->geom->cluster_size);
	table = (struct q2si_words){ at, bytes / Q2S_REFTABLE_ENTRY_SIZE, 1 };
	err = loader.raw ? q2si_visit_words(ck, &table, 1, "refcount table", visit_entry, &loader)
			 : Q2S_E_NOMEM;
	free(loader.raw);
	q2si_counts_free(&loader.seen);
	return err;
}

/* ---- past the end ------------------------------------------------------------------------ */

/* The count of a cluster past the end: only damaged images have references to such. */
static uint64_t
count_past_end(struct q2si_checker *ck, uint64_t cluster)
{
	const struct q2s_geom *geom = ck->geom;
	const uint64_t entries = ((uint64_t)ck->header->refcount_table_clusters
				  << geom->cluster_bits) / Q2S_REFTABLE_ENTRY_SIZE;
	const uint64_t index = cluster >> geom->block_bits;
	const uint32_t slot = (uint32_t)(cluster & (geom->block_entries - 1));
	const uint64_t byte = (uint64_t)slot * geom->refcount_bits / 8;
	uint8_t raw[8] = { 0 };
	uint64_t block;

	if (index >= q2si_min(entries, Q2S_REFTABLE_MAX_BYTES / Q2S_REFTABLE_ENTRY_SIZE) ||
	    !q2si_read(ck, ck->header->refcount_table_offset.v + index * Q2S_REFTABLE_ENTRY_SIZE,
		       raw, sizeof(raw), "refcount table"))
		return 0;
	block = q2si_round_down(q2si_get_be64(raw), Q2S_SECTOR);
	memset(raw, 0, sizeof(raw));
	if (block == 0 || !q2si_is_aligned(block, geom->cluster_size) || block >= ck->file_size ||
	    !q2si_read(ck, block + byte, raw, q2si_max(geom->refcount_bits / 8, 1u),
		       "refcount block"))
		return 0;
	return q2s_refcount_get(geom, raw,
				geom->refcount_bits < 8 ? slot % (8 / geom->refcount_bits) : 0);
}

uint64_t
q2si_stored_count(struct q2si_checker *ck, uint64_t cluster)
{
	return cluster < ck->stored.limit ? q2si_counts_get(&ck->stored, cluster)
					  : count_past_end(ck, cluster);
}

/* ---- comparing --------------------------------------------------------------------------- */

/* A refcount block that something else uses too destroys counts on the next write. */
static enum q2s_err
compare_blocks(struct q2si_checker *ck)
{
	struct q2si_count_diff diff = { 0 };
	struct q2si_counts none;

	Q2SI_TRY(q2si_counts_init(&none, ck->blocks.limit, &ck->budget));
	for (uint64_t from = 0; q2si_counts_next_diff(&ck->blocks, &none, from, &diff);
	     from = diff.cluster + 1) {
		const uint64_t refs = q2si_counts_get(&ck->counted, diff.cluster);
		/* QEMU judges an entry of the table when all but the entries behind it are
		 * counted; more than its width holds it reports as an overflow. */
		const uint64_t times = refs > diff.a ? diff.a : diff.a - 1;

		if (refs != 1)
			q2si_report(ck, REFCOUNT_BLOCK_SHARED,
				    .host = { diff.cluster << ck->geom->cluster_bits },
				    Q2SI_VALUES(refs, 1),
				    Q2SI_TIMES(ck->geom->refcount_max == 1 ? 0 : times));
	}
	q2si_counts_free(&none);
	return Q2S_OK;
}

static void
compare_cluster(struct q2si_checker *ck, const struct q2si_count_diff *diff)
{
	const uint64_t stored = diff->a, refs = diff->b, max = ck->geom->refcount_max;
	struct q2si_place place = {
		.host = { diff->cluster << ck->geom->cluster_bits },
		Q2SI_VALUES(stored, refs),
	};

	if (refs > max) {
		place.repeated = true;
		place.times = refs - max;
		q2si_report_place(ck, Q2SI_FOUND_REFCOUNT_OVERFLOW, &place);
		place.repeated = false;
	}
	if (stored == q2si_min(refs, max))
		return;
	if (refs == 0)
		q2si_report_place(ck, Q2SI_FOUND_REFCOUNT_LEAK, &place);
	else if (stored > refs)
		q2si_report_place(ck, Q2SI_FOUND_REFCOUNT_HIGH, &place);
	else if (stored == 0)
		q2si_report_place(ck, Q2SI_FOUND_REFCOUNT_ZERO, &place);
	else
		q2si_report_place(ck, Q2SI_FOUND_REFCOUNT_LOW, &place);
}

/*
 * The cluster behind the last one of the file is there only if a structure reaches into it: else
 * its stored count is one for a cluster past the end.
 */
static void
settle_limit(struct q2si_checker *ck)
{
	const uint64_t last = ck->file_clusters;
	const uint64_t stored = q2si_counts_get(&ck->stored, last);

	if (q2si_counts_get(&ck->counted, last))
		return;
	if (stored)
		q2si_report(ck, REFCOUNT_PAST_END, .host = { last << ck->geom->cluster_bits },
			    Q2SI_VALUES(1, 0));
	ck->stored.limit = ck->counted.limit = last;
}

enum q2s_err
q2si_compare_refcounts(struct q2si_checker *ck)
{
	struct q2si_count_diff diff = { 0 };
	uint64_t end;

	Q2SI_TRY(compare_blocks(ck));
	settle_limit(ck);
	for (uint64_t from = 0; q2si_counts_next_diff(&ck->stored, &ck->counted, from, &diff);
	     from = diff.cluster + 1)
		compare_cluster(ck, &diff);
	end = q2si_max(q2si_counts_end(&ck->stored), q2si_counts_end(&ck->counted));
	ck->result.image_end_offset = end << ck->geom->cluster_bits;
	return Q2S_OK;
}
