/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another size of the disk. What a longer disk would uncover, of a base or behind the old end,
 * reads as zero before the header has the new size. What a shorter one gives up goes after it: a
 * crash leaves the old disk whole, or the new one with clusters behind its end. Bitmaps get the new
 * size with it (bitmap_resize.c).
 */
#include "edit/bitmap.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/zero.h"

#define STEP 65536u      /* bytes that are moved at a time */
#define ALLOC_STEP 1024u /* clusters that are preallocated at a time */

/* ---- the end of the disk, in the middle of a cluster ----------------------------------------- */

/* [@at, @at + @len), which has data, reads as zero. */
static enum q2s_err
data_zero(struct q2s_edit *edit, uint64_t at, uint64_t len, uint8_t *buf, struct q2s_diag *diag)
{
	Q2SI_TRY(q2s_edit_read(edit, (q2s_guest){ at }, buf, len, diag));
	return q2si_is_zero(buf, len) ? Q2S_OK
				      : q2s_edit_zero(edit, (q2s_guest){ at }, len, 0, diag);
}

/* Data in [@at, @end), within one cluster, become zero, unless they are. Without the lock. */
static enum q2s_err
tail_zero(struct q2s_edit *edit, uint64_t at, uint64_t end, struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE uint8_t *buf = malloc(STEP);

	if (!buf)
		return q2si_fail_nomem(diag, "zeros");
	while (at < end) {
		struct q2si_extent extent;
		enum q2s_err err;

		pthread_mutex_lock(&edit->lock);
		err = q2si_mapping_extent(edit, at, q2si_min(end - at, STEP), &extent, diag);
		pthread_mutex_unlock(&edit->lock);
		if (err == Q2S_OK && extent.state == Q2S_DATA)
			err = data_zero(edit, at, extent.len, buf, diag);
		Q2SI_TRY(err);
		at += extent.len;
	}
	return Q2S_OK;
}

/* The end of the cluster in which @size is. */
static uint64_t
cluster_end(const struct q2s_edit *edit, uint64_t size)
{
	return q2si_round_up(size, edit->geom.cluster_size);
}

/* ---- longer ---------------------------------------------------------------------------------- */

/* An L1 table with room for @entries in the place of one that has less. */
static enum q2s_err
l1_grow(struct q2s_edit *edit, uint64_t entries, struct q2s_diag *diag)
{
	const struct q2si_l1 old = q2si_active_l1(edit);
	const uint64_t bytes = entries * Q2S_L1_ENTRY_SIZE;
	Q2SI_AUTO_FREE uint8_t *buf = NULL;
	struct q2s_header header;
	uint64_t at;
	enum q2s_err err = Q2S_OK;

	if (old.entries >= entries)
		return Q2S_OK;
	buf = calloc(1, q2si_size(bytes));
	if (!buf)
		return q2si_fail_nomem(diag, "L1 table");
	for (uint64_t i = 0; i < old.entries; i++) {
		struct q2s_l1_entry entry;

		Q2SI_TRY(q2si_l1_read(edit, &old, i, &entry, diag));
		Q2SI_TRY(q2s_l1_encode(&edit->geom, &entry, buf + i * Q2S_L1_ENTRY_SIZE, diag));
	}
	Q2SI_TRY(q2si_alloc_area(edit, bytes, &at, diag));
	err = q2si_meta_write(edit, at, buf, bytes, diag);
	if (err != Q2S_OK) {
		q2si_area_undo(edit, at, bytes);
		return err;
	}
	header = edit->header;
	header.l1_table_offset.v = at;
	header.l1_size = (uint32_t)entries;
	Q2SI_TRY(q2si_header_switch(edit, &header, diag));
	return q2si_area_free(edit, old.at, old.entries * Q2S_L1_ENTRY_SIZE, diag);
}

/* ---- preallocation --------------------------------------------------------------------------- */

/* Have the space of a range of @store, which reads as zero. */
static enum q2s_err
space_take(struct q2si_sync *sync, uint64_t at, uint64_t len, enum q2s_preallocation how,
	   struct q2s_diag *diag)
{
	const int fd = q2s_store_fd(sync->store);
	Q2SI_AUTO_FREE uint8_t *zeros = NULL;

	if (how == Q2S_PREALLOCATION_FALLOC && fd >= 0) {
		const int error = posix_fallocate(fd, (off_t)at, (off_t)len);

		q2si_wrote(sync);
		return error ? q2si_fail_errno(diag, error, "preallocation", (q2s_host){ at },
					       "%" PRIu64 " bytes there cannot be allocated", len)
			     : Q2S_OK;
	}
	zeros = calloc(1, STEP);
	if (!zeros)
		return q2si_fail_nomem(diag, "zeros");
	for (uint64_t done = 0; done < len; done += STEP) {
		const enum q2s_err err = q2s_store_write(sync->store, at + done, zeros,
							 q2si_min_size(len - done, STEP), diag);

		q2si_wrote(sync);
		Q2SI_TRY(err);
	}
	return Q2S_OK;
}

/* Host clusters for guest clusters from @cluster on, at most @want, that read as zero. */
static enum q2s_err
run_take(struct q2s_edit *edit, uint64_t cluster, uint64_t want, enum q2s_preallocation how,
	 struct q2si_run *out, struct q2s_diag *diag)
{
	const uint32_t bits = edit->geom.cluster_bits;
	enum q2s_err err = Q2S_OK;

	if (q2si_has_data_file(edit)) { /* its clusters lie at their guest offsets */
		*out = (struct q2si_run){ cluster << bits, want, false };
		return Q2S_OK;
	}
	Q2SI_TRY(q2si_alloc(edit, want, out, diag));
	if (how > Q2S_PREALLOCATION_METADATA) {
		err = space_take(edit->data, out->host, out->clusters << bits, how, diag);
		if (err == Q2S_OK && how == Q2S_PREALLOCATION_FALLOC && !out->fresh)
			err = q2s_store_zero(edit->data->store, out->host, out->clusters << bits,
					     diag);
	} else if (!out->fresh) {
		err = q2s_store_zero(edit->data->store, out->host, out->clusters << bits, diag);
	}
	q2si_wrote(edit->data);
	if (err != Q2S_OK)
		q2si_alloc_undo(edit, out->host, out->clusters);
	return err;
}

/*
 * Map guest clusters from @cluster on, which are new and within one L2 table; *@done of them.
 * @empty: there was no table for them.
 */
static enum q2s_err
run_map(struct q2s_edit *edit, uint64_t cluster, uint64_t want, bool empty,
	enum q2s_preallocation how, uint64_t *done, struct q2s_diag *diag)
{
	struct q2s_l2_entry entry = {
		.has_host = true,
		.copied = true,
		.alloc = edit->crypt ? 0 : edit->geom.sub_mask,
		.zero = edit->crypt ? edit->geom.sub_mask : 0, /* zeros decrypt to noise */
	};
	struct q2si_run run;

	*done = 0;
	Q2SI_TRY(q2si_mapping_own(edit, cluster, diag));
	Q2SI_TRY(run_take(edit, cluster, want, how, &run, diag));
	entry.host.v = run.host;
	/* After a failure the clusters are leaked. */
	Q2SI_TRY(q2si_mapping_fill(edit, cluster, run.clusters, empty, &entry, diag));
	*done = run.clusters;
	return Q2S_OK;
}

/* Preallocate all whole clusters behind guest offset @from; of a data file the one there too. */
static enum q2s_err
preallocate(struct q2s_edit *edit, uint64_t from, enum q2s_preallocation how,
	    struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &edit->geom;
	uint64_t cluster = q2si_div_up(from, geom->cluster_size);
	uint64_t looked = 0; /* the L2 table for guest clusters before this one was @empty */
	bool empty = false;

	while (cluster < geom->clusters) {
		const uint64_t left = geom->l2_entries - (cluster & (geom->l2_entries - 1));
		const uint64_t want =
			q2si_min(ALLOC_STEP, q2si_min(left, geom->clusters - cluster));
		struct q2s_diag why = { 0 };
		uint64_t done;
		struct q2si_mapping old;
		enum q2s_err err;

		if (cluster >= looked) {
			Q2SI_TRY(q2si_mapping_get(edit, cluster, &old, diag));
			empty = !old.table;
			looked = cluster + left;
		}
		err = run_map(edit, cluster, want, empty, how, &done, &why);
		cluster += done;
		if (err != Q2S_OK && edit->need_grow) {
			Q2SI_TRY(q2si_refcount_grow(edit, diag));
		} else if (err != Q2S_OK) {
			if (diag && diag->err == Q2S_OK)
				*diag = why;
			return err;
		}
		Q2SI_TRY(q2si_flush_if_full(edit, diag));
	}
	/* No cluster that is in use may lie behind the end of the file. */
	if (!q2si_has_data_file(edit) && q2s_store_size(q2si_meta(edit)->store) < edit->file_end)
		Q2SI_TRY(q2s_store_set_length(q2si_meta(edit)->store, edit->file_end, diag));
	q2si_wrote(q2si_meta(edit));
	return Q2S_OK;
}

/* The data file is as long as the disk, as with QEMU; what is behind the old end becomes zero. */
static enum q2s_err
data_file_grow(struct q2s_edit *edit, uint64_t from, enum q2s_preallocation how,
	       struct q2s_diag *diag)
{
	struct q2s_store *store = edit->data->store;
	const uint64_t size = edit->geom.size, there = q2s_store_size(store);

	if (there > from)
		Q2SI_TRY(q2s_store_zero(store, from, q2si_min(there, size) - from, diag));
	q2si_wrote(edit->data);
	if (there < size)
		Q2SI_TRY(q2s_store_set_length(store, size, diag));
	if (how > Q2S_PREALLOCATION_METADATA)
		Q2SI_TRY(space_take(edit->data, from, size - from, how, diag));
	return Q2S_OK;
}

/* ---- growing --------------------------------------------------------------------------------- */

/* What is new reads as zero. The tables and the size in memory are those of the longer disk. */
static enum q2s_err
new_range_zero(struct q2s_edit *edit, uint64_t from, struct q2s_diag *diag)
{
	const uint64_t size = edit->geom.size, end = q2si_min(cluster_end(edit, from), size);

	/* The base hides nothing of the cluster at the old end where that has data. */
	if (edit->base_size <= from || edit->raw_data)
		Q2SI_TRY(tail_zero(edit, from, end, diag));
	else
		Q2SI_TRY(q2s_edit_zero(edit, (q2s_guest){ from }, end - from, 0, diag));
	return end < size && !edit->raw_data
		       ? q2s_edit_zero(edit, (q2s_guest){ end }, size - end, 0, diag)
		       : Q2S_OK;
}

static enum q2s_err
grow_tables(struct q2s_edit *edit, uint64_t from, enum q2s_preallocation how,
	    struct q2s_diag *diag)
{
	enum q2s_err err;

	if (q2si_has_data_file(edit))
		Q2SI_TRY(data_file_grow(edit, from, how, diag));
	pthread_mutex_unlock(&edit->lock);
	err = new_range_zero(edit, from, diag);
	pthread_mutex_lock(&edit->lock);
	Q2SI_TRY(err);
	/* A raw data file has all of its clusters mapped. */
	if (how != Q2S_PREALLOCATION_OFF || edit->raw_data)
		Q2SI_TRY(preallocate(edit, from, how, diag));
	return Q2S_OK;
}

static enum q2s_err
size_switch(struct q2s_edit *edit, uint64_t size, struct q2s_diag *diag)
{
	struct q2s_header header = edit->header;

	header.size = size;
	return q2si_header_switch(edit, &header, diag);
}

static enum q2s_err
grow(struct q2s_edit *edit, const struct q2s_geom *geom, enum q2s_preallocation how,
     struct q2si_bitmaps_resize *bitmaps, struct q2s_diag *diag)
{
	const struct q2s_geom old = edit->geom;
	enum q2s_err err;

	Q2SI_TRY(q2si_bitmaps_resize_begin(edit, bitmaps, diag));
	Q2SI_TRY(l1_grow(edit, geom->l1_entries, diag));
	if (!Q2SI_KEEPS(Q2SI_ZERO_BEFORE_SIZE))
		Q2SI_TRY(size_switch(edit, geom->size, diag));
	edit->geom = *geom;
	err = grow_tables(edit, old.size, how, diag);
	if (err == Q2S_OK) /* before the size, as there may be no room for them */
		err = q2si_bitmaps_resize_fit(edit, bitmaps, diag);
	if (err == Q2S_OK)
		err = size_switch(edit, geom->size, diag);
	if (err == Q2S_OK)
		return q2si_bitmaps_resize_switch(edit, bitmaps, diag);
	edit->geom = old;
	return err;
}

/* ---- shorter --------------------------------------------------------------------------------- */

static enum q2s_err
l1_clear(struct q2s_edit *edit, const struct q2si_l1 *l1, uint64_t index, struct q2s_diag *diag)
{
	const uint64_t at = l1->at + index * Q2S_L1_ENTRY_SIZE;
	struct q2si_slice *slice;
	enum q2s_err err;

	Q2SI_TRY(q2si_cache_get(&edit->cache, at, Q2SI_SLICE_L1, &slice, diag));
	err = q2si_cache_change(&edit->cache, slice, at, Q2S_L1_ENTRY_SIZE, diag);
	if (err == Q2S_OK)
		q2si_put_be64(q2si_slice_at(&edit->cache, slice, at), 0);
	q2si_cache_put(slice);
	return err;
}

/* L2 tables behind the end go with all that they refer to, after nothing refers to them. */
static enum q2s_err
tables_cut(struct q2s_edit *edit, struct q2s_diag *diag)
{
	const struct q2si_l1 l1 = q2si_active_l1(edit);

	for (uint64_t i = edit->geom.l1_entries; i < l1.entries; i++) {
		struct q2s_l1_entry entry;

		Q2SI_TRY(q2si_l1_read(edit, &l1, i, &entry, diag));
		if (entry.l2.v == 0)
			continue;
		Q2SI_TRY(l1_clear(edit, &l1, i, diag));
		Q2SI_TRY(q2si_table_drop(edit, entry.l2.v, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
entry_cut(struct q2s_edit *edit, uint64_t cluster, struct q2s_diag *diag)
{
	const struct q2s_l2_entry none = { 0 };
	struct q2si_mapping mapping;

	Q2SI_TRY(q2si_mapping_get(edit, cluster, &mapping, diag));
	if (!mapping.entry.compressed && !mapping.entry.has_host && mapping.entry.zero == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_mapping_own(edit, cluster, diag));
	Q2SI_TRY(q2si_mapping_set(edit, cluster, &none, diag));
	/* The data file is cut off, which gives its space back. */
	if (!q2si_has_data_file(edit))
		Q2SI_TRY(q2si_mapping_drop(edit, cluster, &mapping.entry, diag));
	return Q2S_OK;
}

/* The entries behind the end in the L2 table that the disk ends in. */
static enum q2s_err
entries_cut(struct q2s_edit *edit, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &edit->geom;
	const uint64_t end = geom->l1_entries << geom->l2_bits;
	struct q2si_mapping mapping;

	for (uint64_t cluster = geom->clusters; cluster < end;) {
		struct q2s_diag why = { 0 };
		enum q2s_err err;

		Q2SI_TRY(q2si_mapping_get(edit, cluster, &mapping, diag));
		if (!mapping.table)
			break;
		err = entry_cut(edit, cluster, &why);
		if (err != Q2S_OK && edit->need_grow) {
			Q2SI_TRY(q2si_refcount_grow(edit, diag));
			continue;
		}
		if (err != Q2S_OK) {
			if (diag && diag->err == Q2S_OK)
				*diag = why;
			return err;
		}
		Q2SI_TRY(q2si_flush_if_full(edit, diag));
		cluster++;
	}
	return Q2S_OK;
}

/* What lies behind the new end in its cluster must not show when the disk grows again. */
static enum q2s_err
end_cut(struct q2s_edit *edit, uint64_t was, struct q2s_diag *diag)
{
	const struct q2s_geom geom = edit->geom;
	const uint64_t end = q2si_min(cluster_end(edit, geom.size), was);
	enum q2s_err err;

	if (end == geom.size)
		return Q2S_OK;
	Q2SI_TRY(q2s_geom_resize(&geom, end, &edit->geom, diag));
	pthread_mutex_unlock(&edit->lock);
	err = tail_zero(edit, geom.size, end, diag);
	pthread_mutex_lock(&edit->lock);
	edit->geom = geom;
	return err;
}

/* Cut the file off behind the last cluster that is in use. A device stays as long as it is. */
static enum q2s_err
file_cut(struct q2s_edit *edit, struct q2s_diag *diag)
{
	struct q2si_sync *meta = q2si_meta(edit);
	const uint32_t bits = edit->geom.cluster_bits;
	uint64_t end = q2si_min(q2si_div_up(edit->file_end, edit->geom.cluster_size),
				q2si_refcount_covers(edit));
	uint64_t count = 0;

	while (end > 0) {
		Q2SI_TRY(q2si_refcount_get(edit, end - 1, &count, diag));
		if (count > 0)
			break;
		end--;
	}
	if (q2s_store_size(meta->store) <= end << bits || q2s_store_is_block_device(meta->store))
		return Q2S_OK;
	Q2SI_TRY(q2s_store_set_length(meta->store, end << bits, diag));
	q2si_wrote(meta);
	edit->file_end = end << bits;
	/* What is free in front of the end is found again. */
	edit->pool_count = 0;
	edit->next = 0;
	return Q2S_OK;
}

static enum q2s_err
shrink(struct q2s_edit *edit, const struct q2s_geom *geom, struct q2si_bitmaps_resize *bitmaps,
       struct q2s_diag *diag)
{
	const uint64_t was = edit->geom.size;

	Q2SI_TRY(q2si_sound(edit, diag));
	Q2SI_TRY(q2si_bitmaps_resize_begin(edit, bitmaps, diag));
	if (!Q2SI_KEEPS(Q2SI_SIZE_BEFORE_CUT)) {
		edit->geom = *geom;
		Q2SI_TRY(tables_cut(edit, diag));
		Q2SI_TRY(entries_cut(edit, diag));
		Q2SI_TRY(q2si_settle(edit, diag));
	}
	Q2SI_TRY(size_switch(edit, geom->size, diag));
	Q2SI_TRY(end_cut(edit, was, diag));
	Q2SI_TRY(tables_cut(edit, diag));
	Q2SI_TRY(entries_cut(edit, diag));
	Q2SI_TRY(q2si_settle(edit, diag));
	/* Of what was cut off, so that they do not keep the file long. */
	Q2SI_TRY(q2si_bitmaps_resize_fit(edit, bitmaps, diag));
	Q2SI_TRY(q2si_bitmaps_resize_switch(edit, bitmaps, diag));
	Q2SI_TRY(q2si_settle(edit, diag));
	if (q2si_has_data_file(edit)) {
		q2si_wrote(edit->data);
		if (q2s_store_size(edit->data->store) > geom->size)
			Q2SI_TRY(q2s_store_set_length(edit->data->store, geom->size, diag));
	}
	return file_cut(edit, diag);
}

/* ---------------------------------------------------------------------------------------------- */

static enum q2s_err
resize_check(const struct q2s_edit *edit, uint64_t size, unsigned flags,
	     enum q2s_preallocation how, struct q2s_diag *diag)
{
	const q2s_host at = Q2S_NOWHERE;
	const uint64_t was = edit->geom.size;

	if (edit->flags & Q2S_EDIT_TABLES_ONLY)
		return q2si_on_disk(edit, (q2s_guest){ 0 }, 0, diag);
	if (size == 0 || size % Q2S_SECTOR != 0)
		return q2si_fail(diag, Q2S_E_USAGE, "size", at, size,
				 "must be a multiple of 512, and not 0");
	if (size < was && !(flags & Q2S_EDIT_SHRINK))
		return q2si_fail(diag, Q2S_E_CONFLICT, "size", at, size,
				 "smaller than the disk of %" PRIu64 " bytes, whose end would be "
				 "lost: that has to be allowed", was);
	if (size < was && how != Q2S_PREALLOCATION_OFF)
		return q2si_fail(diag, Q2S_E_USAGE, "preallocation", at, size,
				 "only a disk that grows can be preallocated");
	if (edit->crypt && edit->geom.version < 3 && how != Q2S_PREALLOCATION_OFF)
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "preallocation", at,
				    "version 2 has no encrypted clusters that read as zero");
	if (edit->header.nb_snapshots && edit->geom.version < 3)
		return q2si_fail(diag, Q2S_E_UNSUPPORTED, "nb_snapshots", at,
				 edit->header.nb_snapshots,
				 "a version 2 image with snapshots cannot change its size");
	return q2si_bitmaps_resize_check(edit, size, diag);
}

static enum q2s_err
resize(struct q2s_edit *edit, uint64_t size, unsigned flags, enum q2s_preallocation how,
       struct q2s_diag *diag)
{
	struct q2si_bitmaps_resize bitmaps = { 0 };
	struct q2s_geom geom;
	enum q2s_err err;

	Q2SI_TRY(resize_check(edit, size, flags, how, diag));
	Q2SI_TRY(q2s_geom_resize(&edit->geom, size, &geom, diag));
	if (size == edit->geom.size)
		return Q2S_OK;
	err = size < edit->geom.size ? shrink(edit, &geom, &bitmaps, diag)
				     : grow(edit, &geom, how, &bitmaps, diag);
	q2si_bitmaps_resize_end(edit, &bitmaps);
	return err;
}

enum q2s_err
q2s_edit_resize(struct q2s_edit *edit, uint64_t size, unsigned flags, enum q2s_preallocation how,
		struct q2s_diag *diag)
{
	Q2SI_TRY(q2si_whole_begin(edit, diag));
	return q2si_whole_end(edit, resize(edit, size, flags, how, diag), diag);
}
