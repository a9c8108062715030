/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Zeros and discards. Whole subclusters change their bits and nothing else; the space of those that
 * had data is given back by the flush after the one that made the change durable. What the format
 * cannot say (a part of a subcluster or of a compressed cluster, version 2 over a base) is written.
 */
#include "edit/edit.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"

#define ZEROS 65536u /* bytes of one write of zeros */
#define TURN 256u    /* clusters that are changed before the lock is given to others */

/**
 * @discard  give back space
 * @must     all of the range has to read as zero; else what is cheap
 */
struct wish {
	bool discard;
	bool must;
};

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Does [@at, @at + @len), in one state by our tables, read as zero already? */
static bool
reads_as_zero(const struct q2s_edit *edit, uint64_t at, const struct q2si_extent *extent)
{
	return extent->state == Q2S_ZERO || (extent->state == Q2S_ABSENT && at >= edit->base_size);
}

static enum q2s_err
bytes_zero(struct q2s_edit *edit, uint64_t at, uint64_t end, struct q2s_diag *diag)
{
	uint8_t *zeros = calloc(1, ZEROS);
	enum q2s_err err = zeros ? Q2S_OK : q2si_fail_nomem(diag, "zeros");

	while (at < end && err == Q2S_OK) {
		struct q2si_extent extent;

		pthread_mutex_lock(&edit->lock);
		err = q2si_mapping_extent(edit, at, q2si_min(end - at, ZEROS), &extent, diag);
		pthread_mutex_unlock(&edit->lock);
		if (err == Q2S_OK && !reads_as_zero(edit, at, &extent))
			err = q2s_edit_write(edit, (q2s_guest){ at }, zeros, extent.len, diag);
		at += extent.len;
	}
	free(zeros);
	return err;
}

/*
 * A raw data file has to make sense without the image, so its bytes become zero. What the tables
 * say stays: data that are zero.
 */
static enum q2s_err
raw_zero(struct q2s_edit *edit, uint64_t at, uint64_t end, struct wish wish, struct q2s_diag *diag)
{
	struct q2si_active active;
	enum q2s_err err;

	pthread_mutex_lock(&edit->lock);
	for (;;) {
		err = q2si_may_change(edit, diag);
		if (err != Q2S_OK || !q2si_active_conflicts(edit, at, end, true))
			break;
		q2si_active_wait(edit);
	}
	if (err == Q2S_OK) {
		q2si_active_begin(edit, &active, at, end, true);
		pthread_mutex_unlock(&edit->lock);
		err = Q2S_E_UNSUPPORTED;
		if (wish.discard && !(edit->flags & Q2S_EDIT_KEEP_SPACE))
			err = q2s_store_discard(edit->data->store, at, end - at, NULL);
		if (err != Q2S_OK)
			err = wish.must ? q2s_store_zero(edit->data->store, at, end - at, diag)
					: Q2S_OK;
		q2si_wrote(edit->data);
		pthread_mutex_lock(&edit->lock);
		q2si_active_end(edit, &active);
	}
	pthread_mutex_unlock(&edit->lock);
	return err;
}

/* ---- one cluster ----------------------------------------------------------------------------- */

/* The subclusters of @mask that show something of the base when nothing hides it. */
static uint32_t
base_shows(const struct q2s_edit *edit, uint64_t cluster, uint32_t mask)
{
	const uint64_t start = cluster << edit->geom.cluster_bits;
	const uint64_t there = edit->base_size > start ? edit->base_size - start : 0;

	if (there == 0)
		return 0;
	return mask &
	       q2si_touched(&edit->geom, 0, (uint32_t)q2si_min(there, edit->geom.cluster_size));
}

/* Note the space of the subclusters in @bits, whose cluster stays. */
static void
bytes_free(struct q2s_edit *edit, uint64_t cluster, const struct q2s_l2_entry *entry, uint32_t bits)
{
	const uint32_t sub_bits = edit->geom.sub_bits;

	while (bits) {
		const uint32_t first = (uint32_t)__builtin_ctz(bits);
		const uint64_t offset = (uint64_t)first << sub_bits;

		if (!Q2SI_KEEPS(Q2SI_PUNCH_AFTER_UNMAP) &&
		    q2s_store_discard(edit->data->store, entry->host.v + offset, 1ull << sub_bits,
				      NULL) == Q2S_OK)
			q2si_wrote(edit->data);
		(void)q2si_freed_add(
			edit,
			(struct q2si_freed){ Q2SI_FREED_BYTES, entry->host.v + offset,
					     1ull << sub_bits,
					     (cluster << edit->geom.cluster_bits) + offset },
			NULL); /* without memory the space stays */
		bits &= bits - 1;
	}
}

/*
 * What the entry becomes when the subclusters of @mask are zero. A cluster of which nothing is left
 * is given up, unless its space is to be kept for us alone.
 */
static struct q2s_l2_entry
zeroed(const struct q2s_edit *edit, uint64_t cluster, const struct q2si_mapping *mapping,
       uint32_t mask, struct wish wish)
{
	const struct q2s_l2_entry *old = &mapping->entry;
	const uint32_t had = old->compressed ? edit->geom.sub_mask : old->alloc;
	const uint32_t absent = ~(had | old->zero);
	struct q2s_l2_entry new = *old;
	const bool keep_host = old->has_host && old->copied && mapping->own && !wish.discard;

	if (old->compressed)
		new = (struct q2s_l2_entry){ 0 };
	new.alloc &= ~mask;
	/* What had data is hidden from any base, even one that is longer some day. */
	new.zero |= mask &(had | base_shows(edit, cluster, absent));
	if (edit->geom.version < 3)
		new.zero = 0;
	if (new.alloc == 0 && (!keep_host || edit->geom.version < 3)) {
		new.has_host = false;
		new.copied = false;
		new.host.v = 0;
	}
	return new;
}

static bool
is_same(const struct q2s_l2_entry *a, const struct q2s_l2_entry *b)
{
	return a->compressed == b->compressed && a->has_host == b->has_host &&
	       a->alloc == b->alloc && a->zero == b->zero;
}

/* Can the tables say it? */
static bool
is_sayable(const struct q2s_edit *edit, uint64_t cluster, const struct q2s_l2_entry *entry,
	   uint32_t mask)
{
	if (entry->compressed && mask != edit->geom.sub_mask)
		return false;
	return edit->geom.version >= 3 || !base_shows(edit, cluster, 1);
}

/* Subclusters of @mask become zero, or *@left is set: they have to be written. */
static enum q2s_err
cluster_zero(struct q2s_edit *edit, uint64_t cluster, uint32_t mask, struct wish wish, bool *left,
	     struct q2s_diag *diag)
{
	struct q2si_mapping mapping;
	struct q2s_l2_entry new;

	*left = false;
	Q2SI_TRY(q2si_mapping_get(edit, cluster, &mapping, diag));
	if (!is_sayable(edit, cluster, &mapping.entry, mask)) {
		*left = true;
		return Q2S_OK;
	}
	new = zeroed(edit, cluster, &mapping, mask, wish);
	if (is_same(&new, &mapping.entry))
		return Q2S_OK;
	Q2SI_TRY(q2si_mapping_own(edit, cluster, diag));
	Q2SI_TRY(q2si_mapping_set(edit, cluster, &new, diag));
	if (mapping.entry.compressed || (mapping.entry.has_host && !new.has_host))
		(void)q2si_mapping_drop(edit, cluster, &mapping.entry, NULL); /* else leaked */
	else if (wish.discard && mapping.own && mapping.entry.copied)
		bytes_free(edit, cluster, &mapping.entry, mapping.entry.alloc & mask);
	return Q2S_OK;
}

/* ---- ranges ---------------------------------------------------------------------------------- */

/* The whole subclusters of @cluster in [@at, @end), of which it has at least one. */
static uint32_t
mask_in(const struct q2s_edit *edit, uint64_t cluster, uint64_t at, uint64_t end)
{
	const uint64_t start = cluster << edit->geom.cluster_bits;
	const uint64_t size = edit->geom.cluster_size;
	const uint32_t from = at > start ? (uint32_t)(at - start) : 0;
	const uint32_t to =
		end >= edit->geom.size ? (uint32_t)size : (uint32_t)q2si_min(end - start, size);

	return q2si_touched(&edit->geom, from, to);
}

/* Where no table is, and nothing shows from below, nothing has to be said: the end of that. */
static enum q2s_err
empty_skip(struct q2s_edit *edit, uint64_t *cluster, uint64_t end, struct q2s_diag *diag)
{
	const uint32_t l2_bits = edit->geom.l2_bits;
	struct q2si_mapping mapping;

	while (*cluster < end && *cluster << edit->geom.cluster_bits >= edit->base_size) {
		Q2SI_TRY(q2si_mapping_get(edit, *cluster, &mapping, diag));
		if (mapping.table)
			break;
		*cluster = ((*cluster >> l2_bits) + 1) << l2_bits;
	}
	*cluster = q2si_min(*cluster, end);
	return Q2S_OK;
}

/* Change clusters from *@cluster on, below @end, while nobody is in the way; @left as above. */
static enum q2s_err
turn_zero(struct q2s_edit *edit, uint64_t *cluster, uint64_t limit, uint64_t at, uint64_t end,
	  struct wish wish, bool *left, struct q2s_diag *diag)
{
	const uint32_t bits = edit->geom.cluster_bits;
	struct q2s_diag why = { 0 };
	enum q2s_err err;

	Q2SI_TRY(q2si_may_change(edit, diag));
	Q2SI_TRY(q2si_flush_if_full(edit, diag));
	for (unsigned i = 0; i < TURN; i++) {
		Q2SI_TRY(empty_skip(edit, cluster, limit, diag));
		if (*cluster == limit)
			break;
		if (q2si_active_conflicts(edit, *cluster << bits, (*cluster + 1) << bits, true)) {
			q2si_active_wait(edit);
			break;
		}
		err = cluster_zero(edit, *cluster, mask_in(edit, *cluster, at, end), wish, left,
				   &why);
		if (err != Q2S_OK && edit->need_grow)
			return q2si_refcount_grow(edit, diag);
		if (err != Q2S_OK && diag && diag->err == Q2S_OK)
			*diag = why;
		if (err != Q2S_OK || *left)
			return err;
		(*cluster)++;
	}
	return Q2S_OK;
}

/* Whole subclusters: @at and @end are at their edges, or @end at that of the disk. */
static enum q2s_err
whole_zero(struct q2s_edit *edit, uint64_t at, uint64_t end, struct wish wish,
	   struct q2s_diag *diag)
{
	const uint32_t bits = edit->geom.cluster_bits;
	const uint64_t limit = q2si_div_up(end, edit->geom.cluster_size);
	uint64_t cluster = at >> bits;

	if (edit->raw_data)
		return raw_zero(edit, at, end, wish, diag);
	while (cluster < limit) {
		bool left = false;
		enum q2s_err err;

		pthread_mutex_lock(&edit->lock);
		err = turn_zero(edit, &cluster, limit, at, end, wish, &left, diag);
		pthread_mutex_unlock(&edit->lock);
		Q2SI_TRY(err);
		if (!left)
			continue;
		if (wish.must)
			Q2SI_TRY(bytes_zero(edit, q2si_max(at, cluster << bits),
					    q2si_min(end, (cluster + 1) << bits), diag));
		cluster++;
	}
	return Q2S_OK;
}

/* The whole subclusters of [@at, @end); false when there are none. */
static bool
whole_range(const struct q2s_edit *edit, uint64_t at, uint64_t end, uint64_t *first, uint64_t *last)
{
	const uint64_t unit = edit->geom.sub_size;

	*first = q2si_round_up(at, unit);
	*last = end == edit->geom.size ? end : q2si_round_down(end, unit);
	return *first < *last;
}

enum q2s_err
q2s_edit_zero(struct q2s_edit *edit, q2s_guest at, uint64_t len, unsigned flags,
	      struct q2s_diag *diag)
{
	const struct wish wish = { .discard = flags & Q2S_EDIT_MAY_DISCARD, .must = true };
	const uint64_t end = at.v + len;
	uint64_t first, last;

	Q2SI_TRY(q2si_on_disk(edit, at, len, diag));
	Q2SI_TRY(q2si_tracking_learn(edit, at.v, len, diag));
	if (!whole_range(edit, at.v, end, &first, &last))
		return bytes_zero(edit, at.v, end, diag);
	Q2SI_TRY(bytes_zero(edit, at.v, first, diag));
	Q2SI_TRY(whole_zero(edit, first, last, wish, diag));
	return bytes_zero(edit, last, end, diag);
}

enum q2s_err
q2s_edit_discard(struct q2s_edit *edit, q2s_guest at, uint64_t len, struct q2s_diag *diag)
{
	const struct wish wish = { .discard = true };
	uint64_t first, last;

	Q2SI_TRY(q2si_on_disk(edit, at, len, diag));
	if (!whole_range(edit, at.v, at.v + len, &first, &last))
		return Q2S_OK;
	Q2SI_TRY(q2si_tracking_learn(edit, first, last - first, diag));
	return whole_zero(edit, first, last, wish, diag);
}
