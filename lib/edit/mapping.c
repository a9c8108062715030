/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From guest clusters to entries of L2 tables, and back. */
#include "edit/edit.h"

#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/zero.h"
#include "format/l2.h"

/* Slices that one extent is made of at most, so that nobody holds the lock for long. */
#define EXTENT_STEPS 64u

/* ---- L1 ------------------------------------------------------------------------------------ */

static uint64_t
l1_at(const struct q2s_edit *edit, uint64_t cluster)
{
	return edit->header.l1_table_offset.v + (cluster >> edit->geom.l2_bits) * Q2S_L1_ENTRY_SIZE;
}

static enum q2s_err
l1_get_at(struct q2s_edit *edit, uint64_t at, struct q2s_l1_entry *out, struct q2s_diag *diag)
{
	struct q2si_slice *slice;
	enum q2s_err err;

	Q2SI_TRY(q2si_cache_get(&edit->cache, at, Q2SI_SLICE_L1, &slice, diag));
	err = q2si_l1_entry_read(&edit->geom, q2si_slice_at(&edit->cache, slice, at),
				 (q2s_host){ at }, out, diag);
	q2si_cache_put(slice);
	return err;
}

static enum q2s_err
l1_get(struct q2s_edit *edit, uint64_t cluster, struct q2s_l1_entry *out, struct q2s_diag *diag)
{
	return l1_get_at(edit, l1_at(edit, cluster), out, diag);
}

enum q2s_err
q2si_l1_table(struct q2s_edit *edit, uint64_t at, uint64_t *table, struct q2s_diag *diag)
{
	struct q2s_l1_entry entry;

	Q2SI_TRY(l1_get_at(edit, at, &entry, diag));
	*table = entry.l2.v;
	return Q2S_OK;
}

static enum q2s_err
l1_set(struct q2s_edit *edit, uint64_t cluster, uint64_t l2, struct q2s_diag *diag)
{
	const struct q2s_l1_entry entry = { .l2 = { l2 }, .copied = true };
	const uint64_t at = l1_at(edit, cluster);
	struct q2si_slice *slice;
	enum q2s_err err;

	Q2SI_TRY(q2si_cache_get(&edit->cache, at, Q2SI_SLICE_L1, &slice, diag));
	err = q2si_cache_change(&edit->cache, slice, at, Q2S_L1_ENTRY_SIZE, diag);
	if (err == Q2S_OK)
		err = q2s_l1_encode(&edit->geom, &entry, q2si_slice_at(&edit->cache, slice, at),
				    diag);
	q2si_cache_put(slice);
	return err;
}

/* ---- L2 ------------------------------------------------------------------------------------ */

static uint64_t
l2_at(const struct q2s_edit *edit, const struct q2s_l1_entry *l1, uint64_t cluster)
{
	return l1->l2.v + (cluster & (edit->geom.l2_entries - 1)) * edit->geom.l2_entry_size;
}

/*
 * The run at @guest within one slice, and its first entry; absent where there is no table.
 * out->own: the table is ours alone.
 */
static enum q2s_err
slice_run(struct q2s_edit *edit, q2s_guest guest, uint64_t max, struct q2s_run *run,
	  struct q2si_mapping *out, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &edit->geom;
	struct q2si_mapping mapping = { 0 };
	struct q2si_l2_part part;
	struct q2si_slice *slice;
	struct q2s_l1_entry l1;
	enum q2s_err err;

	Q2SI_TRY(l1_get(edit, guest.v >> geom->cluster_bits, &l1, diag));
	*out = mapping;
	*run = (struct q2s_run){ .len = geom->l2_span - (guest.v & (geom->l2_span - 1)),
				 .state = Q2S_ABSENT };
	if (l1.l2.v == 0)
		return Q2S_OK;
	part = q2si_l2_part(geom, l1.l2, edit->cache.slice_size, guest, max);
	Q2SI_TRY(q2si_cache_get(&edit->cache, part.at.v, Q2SI_SLICE_L2, &slice, diag));
	part.raw = q2si_slice_at(&edit->cache, slice, part.at.v);
	err = q2si_l2_run(&part, guest, &mapping.entry, run, diag);
	if (err == Q2S_OK)
		err = q2si_identity_check(&part, guest, run, diag);
	q2si_cache_put(slice);
	mapping.table = true;
	mapping.own = l1.copied;
	*out = mapping;
	return err;
}

enum q2s_err
q2si_mapping_get(struct q2s_edit *edit, uint64_t cluster, struct q2si_mapping *out,
		 struct q2s_diag *diag)
{
	struct q2s_run run;

	return slice_run(edit, (q2s_guest){ cluster << edit->geom.cluster_bits }, 1, &run, out,
			 diag);
}

/* ---- tables of our own ----------------------------------------------------------------------- */

/* A changed part makes even an empty table reach the store, so that no L1 entry is past its end. */
static enum q2s_err
table_clear(struct q2s_edit *edit, uint64_t l2, struct q2s_diag *diag)
{
	struct q2si_slice *slice;
	enum q2s_err err;

	Q2SI_TRY(q2si_cache_new(&edit->cache, l2, Q2SI_SLICE_L2, &slice, diag));
	err = q2si_cache_change(&edit->cache, slice, l2, 1, diag);
	q2si_cache_put(slice);
	return err;
}

/* The counts of what the table refers to stay: both tables were counted before. */
static enum q2s_err
slice_copy(struct q2s_edit *edit, uint64_t from, uint64_t to, struct q2s_diag *diag)
{
	struct q2si_slice *old, *new;
	enum q2s_err err;

	Q2SI_TRY(q2si_cache_get(&edit->cache, from, Q2SI_SLICE_L2, &old, diag));
	err = q2si_cache_new(&edit->cache, to, Q2SI_SLICE_L2, &new, diag);
	if (err == Q2S_OK) {
		err = q2si_cache_change(&edit->cache, new, to, edit->cache.slice_size, diag);
		if (err == Q2S_OK)
			memcpy(new->data, old->data, edit->cache.slice_size);
		q2si_cache_put(new);
	}
	q2si_cache_put(old);
	return err;
}

static enum q2s_err
table_copy(struct q2s_edit *edit, uint64_t old, uint64_t l2, struct q2s_diag *diag)
{
	const uint64_t size = edit->geom.cluster_size;

	for (uint64_t done = 0; done < size; done += edit->cache.slice_size)
		Q2SI_TRY(slice_copy(edit, old + done, l2 + done, diag));
	return Q2S_OK;
}

/*
 * The part of an L1 table that was never written to may be a hole in the file. Its zeros get their
 * space now, as the flush that writes the entry may find none. A flush that runs may be writing
 * there: then it is left alone.
 */
static enum q2s_err
l1_reserve(struct q2s_edit *edit, uint64_t cluster, struct q2s_diag *diag)
{
	static const uint8_t zeros[Q2S_L1_ENTRY_SIZE];
	const uint64_t at = edit->header.l1_table_offset.v +
			    (cluster >> edit->geom.l2_bits) * Q2S_L1_ENTRY_SIZE;
	struct q2s_store *store = q2si_meta(edit)->store;
	struct q2s_stretch stretch = { .hole = true };

	if (edit->turn)
		return Q2S_OK;
	if (at < q2s_store_size(store))
		Q2SI_TRY(q2s_store_stretch(store, at, &stretch, diag));
	return stretch.hole ? q2si_meta_write(edit, at, zeros, sizeof(zeros), diag) : Q2S_OK;
}

enum q2s_err
q2si_mapping_own(struct q2s_edit *edit, uint64_t cluster, struct q2s_diag *diag)
{
	struct q2s_l1_entry l1;
	uint64_t l2;
	enum q2s_err err;

	Q2SI_TRY(l1_get(edit, cluster, &l1, diag));
	if (l1.l2.v && (l1.copied || !Q2SI_KEEPS(Q2SI_COPY_SHARED)))
		return Q2S_OK;
	Q2SI_TRY(l1_reserve(edit, cluster, diag));
	Q2SI_TRY(q2si_alloc_table(edit, &l2, diag));
	err = l1.l2.v ? table_copy(edit, l1.l2.v, l2, diag) : table_clear(edit, l2, diag);
	if (err == Q2S_OK)
		err = l1_set(edit, cluster, l2, diag);
	if (err == Q2S_OK) {
		if (l1.l2.v) /* without memory it is leaked */
			(void)q2si_freed_add(edit,
					     (struct q2si_freed){ Q2SI_FREED_TABLE, l1.l2.v,
								  edit->geom.cluster_size, 0 },
					     NULL);
		return Q2S_OK;
	}
	q2si_cache_forget(&edit->cache, l2, edit->geom.cluster_size);
	q2si_overlap_remove(edit, l2, edit->geom.cluster_size);
	q2si_alloc_undo(edit, l2, 1);
	return err;
}

enum q2s_err
q2si_mapping_set(struct q2s_edit *edit, uint64_t cluster, const struct q2s_l2_entry *entry,
		 struct q2s_diag *diag)
{
	uint8_t raw[Q2S_L2X_ENTRY_SIZE];
	struct q2s_l1_entry l1;
	struct q2si_slice *slice;
	enum q2s_err err;
	uint64_t at;

	Q2SI_TRY(q2s_l2_encode(&edit->geom, entry, raw, diag));
	Q2SI_TRY(l1_get(edit, cluster, &l1, diag));
	at = l2_at(edit, &l1, cluster);
	Q2SI_TRY(q2si_cache_get(&edit->cache, at, Q2SI_SLICE_L2, &slice, diag));
	err = q2si_cache_change(&edit->cache, slice, at, edit->geom.l2_entry_size, diag);
	if (err == Q2S_OK)
		memcpy(q2si_slice_at(&edit->cache, slice, at), raw, edit->geom.l2_entry_size);
	q2si_cache_put(slice);
	return err;
}

/* ---- what an entry gives up ------------------------------------------------------------------ */

enum q2s_err
q2si_mapping_drop(struct q2s_edit *edit, uint64_t cluster, const struct q2s_l2_entry *entry,
		  struct q2s_diag *diag)
{
	const uint32_t bits = edit->geom.cluster_bits;
	/* Each descriptor counts for every cluster that its sectors touch. */
	const struct q2si_clusters range = q2si_l2_clusters(&edit->geom, entry);
	struct q2si_freed freed = { Q2SI_FREED_REFERENCE, range.first << bits, range.count << bits, 0 };

	if (q2si_has_data_file(edit)) {
		/* The file's bytes are not counted, and stay at their place. */
		freed.kind = Q2SI_FREED_BYTES;
		freed.guest = cluster << bits;
	}
	if (range.count == 0)
		return Q2S_OK;
	if (!Q2SI_KEEPS(Q2SI_FREE_AFTER_UNMAP)) {
		struct q2si_freed_list now = { 0 }, waiting = edit->freed;

		edit->freed = now;
		Q2SI_TRY(q2si_freed_add(edit, freed, diag));
		now = edit->freed;
		edit->freed = waiting;
		q2si_freed_release(edit, &now);
		return Q2S_OK;
	}
	return q2si_freed_add(edit, freed, diag);
}

/* What @count L2 entries refer to, those of guest clusters from @cluster on, loses a reference. */
static enum q2s_err
entries_drop(struct q2s_edit *edit, uint64_t cluster, const uint8_t *raw, uint64_t at,
	     uint32_t count, struct q2s_diag *diag)
{
	struct q2si_l2_part part = { .geom = &edit->geom, .at = { at }, .raw = raw };
	struct q2s_l2_entry entry;
	struct q2s_run run;

	for (; part.index < count; part.index++, cluster++) {
		const q2s_guest guest = { cluster << edit->geom.cluster_bits };

		part.end = part.index + 1;
		Q2SI_TRY(q2si_l2_run(&part, guest, &entry, &run, diag));
		Q2SI_TRY(q2si_identity_check(&part, guest, &run, diag));
		(void)q2si_mapping_drop(edit, cluster, &entry, NULL); /* else leaked */
	}
	return Q2S_OK;
}

static enum q2s_err
slice_drop(struct q2s_edit *edit, uint64_t cluster, uint64_t at, struct q2s_diag *diag)
{
	struct q2si_slice *slice;
	enum q2s_err err;

	Q2SI_TRY(q2si_cache_get(&edit->cache, at, Q2SI_SLICE_L2, &slice, diag));
	err = entries_drop(edit, cluster, slice->data, at,
			   edit->cache.slice_size / edit->geom.l2_entry_size, diag);
	q2si_cache_put(slice);
	return err;
}

enum q2s_err
q2si_mapping_unlink(struct q2s_edit *edit, uint64_t cluster, struct q2s_diag *diag)
{
	const uint64_t size = edit->geom.cluster_size;
	const uint32_t step = edit->cache.slice_size / edit->geom.l2_entry_size;
	const uint64_t at = l1_at(edit, cluster);
	uint64_t first = q2si_round_down(cluster, edit->geom.l2_entries);
	struct q2si_slice *slice;
	struct q2s_l1_entry l1;
	enum q2s_err err;

	Q2SI_TRY(l1_get(edit, cluster, &l1, diag));
	if (!l1.l2.v)
		return Q2S_OK;
	for (uint64_t done = 0; done < size; done += edit->cache.slice_size, first += step)
		Q2SI_TRY(slice_drop(edit, first, l1.l2.v + done, diag));
	Q2SI_TRY(q2si_cache_get(&edit->cache, at, Q2SI_SLICE_L1, &slice, diag));
	err = q2si_cache_change(&edit->cache, slice, at, Q2S_L1_ENTRY_SIZE, diag);
	if (err == Q2S_OK)
		memset(q2si_slice_at(&edit->cache, slice, at), 0, Q2S_L1_ENTRY_SIZE);
	q2si_cache_put(slice);
	Q2SI_TRY(err);
	return q2si_freed_add(edit, (struct q2si_freed){ Q2SI_FREED_TABLE, l1.l2.v, size, 0 },
			      diag);
}

/* ---- many entries ---------------------------------------------------------------------------- */

/*
 * The entries of one slice, from host offset @at on; @first is that of guest cluster @cluster. A
 * slice of an @empty table is not read when it is filled from its start.
 */
static enum q2s_err
slice_fill(struct q2s_edit *edit, uint64_t cluster, uint64_t at, uint32_t count, bool empty,
	   const struct q2s_l2_entry *first, struct q2s_diag *diag)
{
	const size_t len = (size_t)count * edit->geom.l2_entry_size;
	const bool is_new = empty && (at & (edit->cache.slice_size - 1)) == 0;
	uint8_t old[Q2SI_SLICE_MAX];
	struct q2si_slice *slice;
	enum q2s_err err;
	uint8_t *raw;

	Q2SI_TRY((is_new ? q2si_cache_new : q2si_cache_get)(&edit->cache, at, Q2SI_SLICE_L2,
							    &slice, diag));
	raw = q2si_slice_at(&edit->cache, slice, at);
	memcpy(old, raw, len);
	err = q2si_cache_change(&edit->cache, slice, at, len, diag);
	if (err == Q2S_OK)
		err = q2s_l2_encode_run(&edit->geom, first, count, raw, diag);
	/* In a data file the bytes stay at their place, under the new entries. */
	if (err == Q2S_OK && !q2si_has_data_file(edit) && !q2si_is_zero(old, len))
		err = entries_drop(edit, cluster, old, at, count, diag);
	q2si_cache_put(slice);
	return err;
}

enum q2s_err
q2si_mapping_fill(struct q2s_edit *edit, uint64_t cluster, uint64_t count, bool empty,
		  const struct q2s_l2_entry *first, struct q2s_diag *diag)
{
	struct q2s_l2_entry entry = *first;
	struct q2s_l1_entry l1;

	Q2SI_TRY(l1_get(edit, cluster, &l1, diag));
	while (count > 0) {
		const uint64_t at = l2_at(edit, &l1, cluster);
		const uint64_t left = edit->cache.slice_size - (at & (edit->cache.slice_size - 1));
		const uint32_t n = (uint32_t)q2si_min(count, left / edit->geom.l2_entry_size);

		Q2SI_TRY(slice_fill(edit, cluster, at, n, empty, &entry, diag));
		entry.host.v += (uint64_t)n << edit->geom.cluster_bits;
		cluster += n;
		count -= n;
	}
	return Q2S_OK;
}

/* ---- extents ------------------------------------------------------------------------------- */

static bool
continues(const struct q2si_extent *one, const struct q2s_run *next)
{
	if (one->compressed || next->compressed || one->state != next->state)
		return false;
	return one->state != Q2S_DATA || one->host + one->len == next->host.v;
}

enum q2s_err
q2si_mapping_extent(struct q2s_edit *edit, uint64_t at, uint64_t max, struct q2si_extent *out,
		    struct q2s_diag *diag)
{
	struct q2si_extent extent = { 0 };
	struct q2si_mapping mapping;
	struct q2s_run run;

	max = q2si_min(max, edit->geom.size - at);
	for (unsigned i = 0; extent.len < max && i < EXTENT_STEPS; i++) {
		Q2SI_TRY(slice_run(edit, (q2s_guest){ at + extent.len }, max - extent.len, &run,
				   &mapping, diag));
		if (extent.len == 0)
			extent = (struct q2si_extent){ .state = run.state,
						       .compressed = run.compressed,
						       .host = run.host.v,
						       .entry = mapping.entry };
		else if (!continues(&extent, &run))
			break;
		extent.len += run.len;
	}
	extent.len = q2si_min(extent.len, max);
	*out = extent;
	return Q2S_OK;
}
