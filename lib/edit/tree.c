/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All that one L1 table refers to: its L2 tables, and the host clusters of their entries. A table
 * or cluster that several refer to is met once for each reference, as it is counted.
 */
#include "edit/edit.h"

#include <inttypes.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "check/counts.h"
#include "format/l2.h"

/* References to clusters whose counts are near the largest that fits: 8 bytes each at worst. */
#define SURVEY_BYTES (256ull << 20)

/* ---- the walk ------------------------------------------------------------------------------ */

/**
 * @fn, @opaque  who is told
 * @at, @len     neighbouring clusters that were met and not told yet
 */
struct walk {
	struct q2s_edit *edit;
	q2si_tree_fn *fn;
	void *opaque;
	uint64_t at, len;
};

static enum q2s_err
walk_tell(struct walk *walk, struct q2s_diag *diag)
{
	const struct q2si_reference reference = { walk->at, walk->len, false };

	if (walk->len == 0)
		return Q2S_OK;
	walk->len = 0;
	return walk->fn(walk->edit, walk->opaque, &reference, diag);
}

static enum q2s_err
walk_entry(struct walk *walk, const struct q2s_l2_entry *entry, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &walk->edit->geom;
	const struct q2si_clusters range = q2si_l2_clusters(geom, entry);
	const uint64_t at = range.first << geom->cluster_bits;
	const uint64_t len = range.count << geom->cluster_bits;

	if (len == 0 || (!entry->compressed && q2si_has_data_file(walk->edit)))
		return Q2S_OK;
	if (walk->len > 0 && walk->at + walk->len == at) {
		walk->len += len;
		return Q2S_OK;
	}
	Q2SI_TRY(walk_tell(walk, diag));
	walk->at = at;
	walk->len = len;
	return Q2S_OK;
}

static enum q2s_err
walk_slice(struct walk *walk, const uint8_t *raw, uint64_t at, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &walk->edit->geom;
	struct q2s_l2_entry entry;

	for (uint32_t i = 0; i < walk->edit->cache.slice_size; i += geom->l2_entry_size) {
		/* Without data file such an entry refers to nothing; most are. */
		if (q2si_get_be64(raw + i) == 0)
			continue;
		Q2SI_TRY(q2s_l2_decode_lenient(geom, raw + i, (q2s_host){ at + i }, &entry, diag));
		Q2SI_TRY(walk_entry(walk, &entry, diag));
	}
	return Q2S_OK;
}

/* Children first, so that a table that is given up is still there while they are. */
static enum q2s_err
walk_table(struct walk *walk, uint64_t table, struct q2s_diag *diag)
{
	struct q2s_edit *edit = walk->edit;
	const struct q2si_reference reference = { table, edit->geom.cluster_size, true };

	for (uint64_t done = 0; done < edit->geom.cluster_size; done += edit->cache.slice_size) {
		struct q2si_slice *slice;
		enum q2s_err err;

		Q2SI_TRY(q2si_cache_get(&edit->cache, table + done, Q2SI_SLICE_L2, &slice, diag));
		err = walk_slice(walk, slice->data, slice->at, diag);
		q2si_cache_put(slice);
		Q2SI_TRY(err);
	}
	Q2SI_TRY(walk_tell(walk, diag));
	return walk->fn(edit, walk->opaque, &reference, diag);
}

/* Reserved bits are masked, as where single entries are read. */
enum q2s_err
q2si_l1_read(struct q2s_edit *edit, const struct q2si_l1 *l1, uint64_t index,
	     struct q2s_l1_entry *out, struct q2s_diag *diag)
{
	const uint64_t at = l1->at + index * Q2S_L1_ENTRY_SIZE;
	struct q2si_slice *slice;
	uint8_t raw[Q2S_L1_ENTRY_SIZE];

	Q2SI_TRY(q2si_cache_get(&edit->cache, at, Q2SI_SLICE_L1, &slice, diag));
	q2si_put_be64(raw, q2si_get_be64(q2si_slice_at(&edit->cache, slice, at)) &
				   (Q2S_ENTRY_HOST_MASK | Q2S_ENTRY_COPIED));
	q2si_cache_put(slice);
	return q2s_l1_decode(&edit->geom, raw, (q2s_host){ at }, out, diag);
}

enum q2s_err
q2si_tree_each(struct q2s_edit *edit, const struct q2si_l1 *l1, q2si_tree_fn *fn, void *opaque,
	       struct q2s_diag *diag)
{
	struct walk walk = { .edit = edit, .fn = fn, .opaque = opaque };

	for (uint64_t i = 0; i < l1->entries; i++) {
		struct q2s_l1_entry entry;

		Q2SI_TRY(q2si_l1_read(edit, l1, i, &entry, diag));
		if (entry.l2.v)
			Q2SI_TRY(walk_table(&walk, entry.l2.v, diag));
	}
	return Q2S_OK;
}

/* ---- one reference more to each -------------------------------------------------------------- */

/* One reference more to each of [@first, @end), whose counts are all @count? */
static enum q2s_err
survey_run(struct q2s_edit *edit, struct q2si_counts *near, uint64_t first, uint64_t end,
	   uint64_t count, struct q2s_diag *diag)
{
	const uint32_t bits = edit->geom.cluster_bits;
	bool touched = false;

	if (count == 0)
		return q2si_fail(diag, Q2S_E_REFCOUNT, "refcount", (q2s_host){ first << bits }, count,
				 "the cluster is in use: the image has to be repaired first");
	/* There are no more references than the count, so twice the count would do. */
	if (count <= edit->geom.refcount_max / 2)
		return Q2S_OK;
	for (uint64_t cluster = first; cluster < end; cluster++) {
		const q2s_host at = { cluster << bits };

		if (q2si_counts_add(near, cluster, 1, 1, &touched) != Q2S_OK)
			return q2si_fail(diag, Q2S_E_LIMIT, "refcount", at, count,
					 "too many counts are near the largest that fits");
		if (q2si_counts_get(near, cluster) > edit->geom.refcount_max - count)
			return q2si_fail(diag, Q2S_E_LIMIT, "refcount", at, count,
					 "refcount_bits=%u hold no larger count than %" PRIu64
					 ", and one more reference to this cluster is needed",
					 edit->geom.refcount_bits, edit->geom.refcount_max);
	}
	return Q2S_OK;
}

static enum q2s_err
survey_reference(struct q2s_edit *edit, void *opaque, const struct q2si_reference *reference,
		 struct q2s_diag *diag)
{
	const uint32_t bits = edit->geom.cluster_bits;
	const uint64_t end = (reference->at + reference->len) >> bits;
	uint64_t count, until;

	for (uint64_t cluster = reference->at >> bits; cluster < end; cluster = until) {
		Q2SI_TRY(q2si_refcount_run(edit, cluster, end, &count, &until, diag));
		Q2SI_TRY(survey_run(edit, opaque, cluster, until, count, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
raise_reference(struct q2s_edit *edit, void *opaque, const struct q2si_reference *reference,
		struct q2s_diag *diag)
{
	const uint32_t bits = edit->geom.cluster_bits;
	const uint64_t end = (reference->at + reference->len) >> bits;
	uint64_t count, until;

	(void)opaque;
	for (uint64_t cluster = reference->at >> bits; cluster < end; cluster = until) {
		Q2SI_TRY(q2si_refcount_run(edit, cluster, end, &count, &until, diag));
		Q2SI_TRY(q2si_refcount_fill(edit, cluster, until - cluster, count + 1, diag));
	}
	return q2si_flush_if_full(edit, diag);
}

enum q2s_err
q2si_tree_may_rise(struct q2s_edit *edit, const struct q2si_l1 *l1, struct q2s_diag *diag)
{
	struct q2si_budget budget = { SURVEY_BYTES };
	struct q2si_counts near;
	enum q2s_err err;

	if (q2si_counts_init(&near, q2si_refcount_covers(edit), &budget) != Q2S_OK)
		return q2si_fail_nomem(diag, "survey of refcounts");
	err = q2si_tree_each(edit, l1, survey_reference, &near, diag);
	q2si_counts_free(&near);
	return err;
}

enum q2s_err
q2si_tree_raise(struct q2s_edit *edit, const struct q2si_l1 *l1, struct q2s_diag *diag)
{
	return q2si_tree_each(edit, l1, raise_reference, NULL, diag);
}

/* ---- one reference less ---------------------------------------------------------------------- */

static enum q2s_err
drop_reference(struct q2s_edit *edit, void *opaque, const struct q2si_reference *reference,
	       struct q2s_diag *diag)
{
	const struct q2si_freed freed = { .kind = reference->table ? Q2SI_FREED_TABLE
								   : Q2SI_FREED_REFERENCE,
					  .host = reference->at,
					  .len = reference->len };

	(void)opaque;
	Q2SI_TRY(q2si_freed_add(edit, freed, diag));
	return q2si_flush_if_full(edit, diag);
}

enum q2s_err
q2si_tree_drop(struct q2s_edit *edit, const struct q2si_l1 *l1, struct q2s_diag *diag)
{
	return q2si_tree_each(edit, l1, drop_reference, NULL, diag);
}

/* What is freed here is given back after the next flush of the L1 table, which comes first. */
enum q2s_err
q2si_table_drop(struct q2s_edit *edit, uint64_t table, struct q2s_diag *diag)
{
	struct walk walk = { .edit = edit, .fn = drop_reference };

	return walk_table(&walk, table, diag);
}

/* ---- COPIED ---------------------------------------------------------------------------------- */

/* Set or clear COPIED in the word at host offset @at. */
static enum q2s_err
word_mark(struct q2s_edit *edit, struct q2si_slice *slice, uint64_t at, bool copied,
	  struct q2s_diag *diag)
{
	uint8_t *raw = q2si_slice_at(&edit->cache, slice, at);
	const uint64_t word = q2si_get_be64(raw);
	const uint64_t marked = copied ? word | Q2S_ENTRY_COPIED : word & ~Q2S_ENTRY_COPIED;

	if (marked == word)
		return Q2S_OK;
	Q2SI_TRY(q2si_cache_change(&edit->cache, slice, at, sizeof(word), diag));
	q2si_put_be64(raw, marked);
	return Q2S_OK;
}

/* How many entries from byte @from of the slice on have their data in a row, and where. */
static enum q2s_err
stretch_find(const struct q2s_edit *edit, const struct q2si_slice *slice, uint32_t from,
	     uint64_t *host, uint32_t *count, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &edit->geom;

	*count = 0;
	for (uint32_t i = from; i < edit->cache.slice_size; i += geom->l2_entry_size) {
		struct q2s_l2_entry entry;

		if (q2si_get_be64(slice->data + i) == 0)
			return Q2S_OK;
		Q2SI_TRY(q2s_l2_decode_lenient(geom, slice->data + i, (q2s_host){ slice->at + i },
					       &entry, diag));
		if (entry.compressed || !entry.has_host)
			return Q2S_OK;
		if (*count == 0)
			*host = entry.host.v >> geom->cluster_bits;
		else if (entry.host.v >> geom->cluster_bits != *host + *count)
			return Q2S_OK;
		++*count;
	}
	return Q2S_OK;
}

/* Mark @entries in a row, from byte @from of the slice on, by the counts from cluster @host on. */
static enum q2s_err
stretch_mark(struct q2s_edit *edit, struct q2si_slice *slice, uint32_t from, uint64_t host,
	     uint32_t entries, struct q2s_diag *diag)
{
	const uint64_t end = host + entries;
	uint64_t at = slice->at + from, count, until;

	for (; host < end; host = until) {
		Q2SI_TRY(q2si_refcount_run(edit, host, end, &count, &until, diag));
		for (uint64_t i = host; i < until; i++, at += edit->geom.l2_entry_size)
			Q2SI_TRY(word_mark(edit, slice, at, count == 1, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
slice_mark(struct q2s_edit *edit, struct q2si_slice *slice, struct q2s_diag *diag)
{
	const uint32_t size = edit->geom.l2_entry_size;

	for (uint32_t from = 0, count; from < edit->cache.slice_size;
	     from += count > 0 ? count * size : size) {
		uint64_t host;

		Q2SI_TRY(stretch_find(edit, slice, from, &host, &count, diag));
		if (count > 0)
			Q2SI_TRY(stretch_mark(edit, slice, from, host, count, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
table_mark(struct q2s_edit *edit, uint64_t table, struct q2s_diag *diag)
{
	for (uint64_t done = 0; done < edit->geom.cluster_size; done += edit->cache.slice_size) {
		struct q2si_slice *slice;
		enum q2s_err err;

		Q2SI_TRY(q2si_cache_get(&edit->cache, table + done, Q2SI_SLICE_L2, &slice, diag));
		err = slice_mark(edit, slice, diag);
		q2si_cache_put(slice);
		Q2SI_TRY(err);
	}
	return q2si_flush_if_full(edit, diag);
}

static enum q2s_err
l1_mark(struct q2s_edit *edit, const struct q2si_l1 *l1, uint64_t index, uint64_t table,
	struct q2s_diag *diag)
{
	const uint64_t at = l1->at + index * Q2S_L1_ENTRY_SIZE;
	struct q2si_slice *slice;
	uint64_t count;
	enum q2s_err err;

	Q2SI_TRY(q2si_refcount_get(edit, table >> edit->geom.cluster_bits, &count, diag));
	Q2SI_TRY(q2si_cache_get(&edit->cache, at, Q2SI_SLICE_L1, &slice, diag));
	err = word_mark(edit, slice, at, count == 1, diag);
	q2si_cache_put(slice);
	return err;
}

enum q2s_err
q2si_tree_mark(struct q2s_edit *edit, const struct q2si_l1 *l1, bool active, struct q2s_diag *diag)
{
	for (uint64_t i = 0; i < l1->entries; i++) {
		struct q2s_l1_entry entry;

		Q2SI_TRY(q2si_l1_read(edit, l1, i, &entry, diag));
		if (entry.l2.v == 0)
			continue;
		Q2SI_TRY(table_mark(edit, entry.l2.v, diag));
		if (active)
			Q2SI_TRY(l1_mark(edit, l1, i, entry.l2.v, diag));
	}
	return Q2S_OK;
}
