/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From standard L2 entries to extended ones, and back, in place. New L2 tables, twice as many or
 * half as many, and a new L1 table are written beside the old ones; one write of the header changes
 * the kind and the L1 table; then the old tables are freed. Data clusters stay where they are.
 */
#include "edit/edit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/diag.h"

/**
 * @geom     of the image with the other kind of entries
 * @old      the L1 table that is there
 * @used     its entries up to the last one that is not empty
 * @l1       the new L1 table, @entries, as stored
 * @in, @out a table of each kind
 * @holds    the old table that is in @in, or 0
 */
struct change {
	struct q2s_geom geom;
	struct q2si_l1 old;
	uint64_t used;
	uint8_t *l1;
	uint64_t entries;
	uint8_t *in, *out;
	uint64_t holds;
};

/* ---- one entry ------------------------------------------------------------------------------- */

/* The subclusters of guest cluster @cluster that are on the disk. */
static uint32_t
on_disk(const struct q2s_edit *edit, uint64_t cluster)
{
	const uint64_t start = cluster << edit->geom.cluster_bits;

	if (start >= edit->geom.size)
		return 0;
	return q2si_touched(&edit->geom, 0,
			    (uint32_t)q2si_min(edit->geom.size - start, edit->geom.cluster_size));
}

/* Those in which something of the base shows when nothing hides it. */
static uint32_t
over_base(const struct q2s_edit *edit, uint64_t cluster)
{
	const uint64_t start = cluster << edit->geom.cluster_bits;

	if (start >= edit->base_size)
		return 0;
	return q2si_touched(&edit->geom, 0,
			    (uint32_t)q2si_min(edit->base_size - start, edit->geom.cluster_size));
}

/*
 * What a standard entry says of a whole cluster, or false: it cannot say it. Behind the end of the
 * disk anything goes, but in a cluster that others share nothing can be written there.
 */
static bool
to_standard(const struct q2s_edit *edit, uint64_t cluster, bool own,
	    const struct q2s_l2_entry *entry, struct q2s_l2_entry *out)
{
	const uint32_t mask = on_disk(edit, cluster), base = over_base(edit, cluster) & mask;
	const uint32_t shows_base = base & ~entry->alloc & ~entry->zero;

	*out = *entry;
	if (entry->compressed)
		return true;
	out->alloc = out->zero = 0;
	if (mask && (entry->alloc & mask) == mask) {
		out->alloc = 1;
		return entry->alloc == edit->geom.sub_mask || (own && entry->copied);
	}
	if (entry->alloc & mask)
		return false;
	if (!shows_base) {
		/* Nothing at all, and no space for it, is the same as zeros here. */
		out->zero = entry->has_host || (entry->zero & mask);
		return true;
	}
	/* Space without data, over a base, is what only extended entries have: it is given up. */
	out->has_host = out->copied = false;
	out->host.v = 0;
	return (entry->zero & mask) == 0;
}

static bool
convert(const struct q2s_edit *edit, uint64_t cluster, bool own, const struct q2s_l2_entry *entry,
	struct q2s_l2_entry *out)
{
	if (edit->geom.extended)
		return to_standard(edit, cluster, own, entry, out);
	*out = *entry;
	out->alloc = entry->alloc ? UINT32_MAX : 0;
	out->zero = entry->zero ? UINT32_MAX : 0;
	return true;
}

/* ---- old tables ------------------------------------------------------------------------------ */

typedef enum q2s_err entry_fn(struct q2s_edit *edit, void *opaque, uint64_t cluster, bool own,
			      const struct q2s_l2_entry *entry, struct q2s_diag *diag);

/* Tell @fn of entries [@from, @to) of the table behind L1 entry @index, but for empty ones. */
static enum q2s_err
part_each(struct q2s_edit *edit, struct change *change, uint64_t index, uint32_t from, uint32_t to,
	  entry_fn *fn, void *opaque, struct q2s_diag *diag)
{
	static const uint8_t empty[Q2S_L2X_ENTRY_SIZE];
	const struct q2s_geom *geom = &edit->geom;
	const uint64_t first = index << geom->l2_bits;
	struct q2s_l1_entry l1;

	Q2SI_TRY(q2si_l1_read(edit, &change->old, index, &l1, diag));
	if (l1.l2.v == 0)
		return Q2S_OK;
	/* Nothing waits in the cache: the file has all of it. */
	if (change->holds != l1.l2.v) {
		change->holds = 0;
		Q2SI_TRY(q2s_store_read_padded(q2si_meta(edit)->store, l1.l2.v, change->in,
					       geom->cluster_size, NULL, diag));
		change->holds = l1.l2.v;
	}
	for (uint32_t i = from; i < to; i++) {
		const uint32_t at = i * geom->l2_entry_size;
		struct q2s_l2_entry entry;

		if (memcmp(change->in + at, empty, geom->l2_entry_size) == 0)
			continue;
		Q2SI_TRY(q2s_l2_decode_lenient(geom, change->in + at, (q2s_host){ l1.l2.v + at },
					       &entry, diag));
		Q2SI_TRY(fn(edit, opaque, first + i, l1.copied, &entry, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
table_each(struct q2s_edit *edit, struct change *change, uint64_t index, entry_fn *fn,
	   void *opaque, struct q2s_diag *diag)
{
	return part_each(edit, change, index, 0, edit->geom.l2_entries, fn, opaque, diag);
}

static enum q2s_err
tables_each(struct q2s_edit *edit, struct change *change, entry_fn *fn, void *opaque,
	    struct q2s_diag *diag)
{
	for (uint64_t i = 0; i < change->used; i++)
		Q2SI_TRY(table_each(edit, change, i, fn, opaque, diag));
	return Q2S_OK;
}

/* ---- what cannot be said --------------------------------------------------------------------- */

struct blocked {
	const struct q2s_edit_blocked *told;
	bool write;
	uint64_t at, len; /* guest bytes that were not told yet */
	uint64_t first, clusters;
};

static void
blocked_tell(struct blocked *blocked)
{
	if (blocked->len && blocked->told && !blocked->write)
		blocked->told->fn(blocked->told->opaque, (q2s_guest){ blocked->at }, blocked->len);
	blocked->len = 0;
}

/* Write what the subclusters without data show. Releases the lock meanwhile. */
static enum q2s_err
cluster_write(struct q2s_edit *edit, uint64_t cluster, uint8_t *buf, struct q2s_diag *diag)
{
	const q2s_guest at = { cluster << edit->geom.cluster_bits };
	const size_t len = q2si_min_size(edit->geom.size - at.v, edit->geom.cluster_size);
	enum q2s_err err;

	pthread_mutex_unlock(&edit->lock);
	err = q2s_edit_read(edit, at, buf, len, diag);
	if (err == Q2S_OK)
		err = q2si_write_same(edit, at.v, buf, len, diag);
	pthread_mutex_lock(&edit->lock);
	return err;
}

static enum q2s_err
entry_blocked(struct q2s_edit *edit, void *opaque, uint64_t cluster, bool own,
	      const struct q2s_l2_entry *entry, struct q2s_diag *diag)
{
	const uint64_t at = cluster << edit->geom.cluster_bits;
	struct blocked *blocked = opaque;
	struct q2s_l2_entry standard;

	if (convert(edit, cluster, own, entry, &standard))
		return Q2S_OK;
	if (blocked->clusters++ == 0)
		blocked->first = at;
	if (blocked->write) {
		Q2SI_AUTO_FREE uint8_t *buf = malloc(edit->geom.cluster_size);

		return buf ? cluster_write(edit, cluster, buf, diag)
			   : q2si_fail_nomem(diag, "cluster");
	}
	if (blocked->at + blocked->len != at)
		blocked_tell(blocked);
	if (blocked->len == 0)
		blocked->at = at;
	blocked->len += q2si_min(edit->geom.cluster_size, edit->geom.size - at);
	return Q2S_OK;
}

static enum q2s_err
blocked_find(struct q2s_edit *edit, struct change *change, const struct q2s_edit_blocked *told,
	     bool materialise, struct q2s_diag *diag)
{
	struct blocked blocked = { .told = told, .write = materialise };

	Q2SI_TRY(tables_each(edit, change, entry_blocked, &blocked, diag));
	blocked_tell(&blocked);
	if (blocked.clusters == 0)
		return Q2S_OK;
	change->holds = 0;
	if (materialise)
		return q2si_settle(edit, diag);
	return q2si_fail(diag, Q2S_E_CONFLICT, "guest cluster", Q2S_NOWHERE, blocked.first,
			 "has subclusters of several kinds, which a standard L2 entry cannot say; "
			 "of such clusters there are %" PRIu64,
			 blocked.clusters);
}

/* ---- new tables ------------------------------------------------------------------------------ */

/* A table of the new kind that is being filled. */
struct filling {
	struct change *change;
	bool empty;
};

/* Host bytes behind the end of the disk become data: they must be zero if the disk grows. */
static enum q2s_err
end_zero(struct q2s_edit *edit, uint64_t cluster, const struct q2s_l2_entry *entry,
	 struct q2s_diag *diag)
{
	const uint32_t used = 32u - (uint32_t)__builtin_clz(on_disk(edit, cluster));
	const uint64_t from = (uint64_t)used << edit->geom.sub_bits;
	const size_t len = edit->geom.cluster_size - from;
	Q2SI_AUTO_FREE uint8_t *zeros = NULL;
	struct q2si_worker *worker;
	enum q2s_err err;

	/* A data file ends with the disk. */
	if (q2si_has_data_file(edit) &&
	    q2s_store_size(edit->data->store) <= entry->host.v + from)
		return Q2S_OK;
	zeros = calloc(1, len);
	if (!zeros)
		return q2si_fail_nomem(diag, "zeros");
	Q2SI_TRY(q2si_worker_take(edit, &worker, diag));
	err = q2si_data_write(edit, worker, (cluster << edit->geom.cluster_bits) + from,
			      entry->host.v + from, zeros, len, diag);
	q2si_worker_give(edit, worker);
	return err;
}

static enum q2s_err
entry_convert(struct q2s_edit *edit, void *opaque, uint64_t cluster, bool own,
	      const struct q2s_l2_entry *entry, struct q2s_diag *diag)
{
	struct filling *filling = opaque;
	const struct q2s_geom *geom = &filling->change->geom;
	const uint32_t slot = (uint32_t)(cluster & (geom->l2_entries - 1));
	struct q2s_l2_entry new;

	if (!convert(edit, cluster, own, entry, &new))
		return q2si_fail(diag, Q2S_E_SUBCLUSTER, "L2 entry", Q2S_NOWHERE, cluster,
				 "has subclusters of several kinds");
	if (edit->geom.extended && new.alloc && !new.compressed &&
	    entry->alloc != edit->geom.sub_mask)
		Q2SI_TRY(end_zero(edit, cluster, entry, diag));
	filling->empty = false;
	return q2s_l2_encode(geom, &new, filling->change->out + slot * geom->l2_entry_size, diag);
}

/* One cluster for the table, and its place in the L1 table. */
static enum q2s_err
table_place(struct q2s_edit *edit, struct change *change, uint64_t index, struct q2s_diag *diag)
{
	struct q2s_diag why = { 0 };
	struct q2s_l1_entry entry = { .copied = true };
	struct q2si_run run;
	enum q2s_err err = q2si_alloc(edit, 1, &run, &why);

	if (err != Q2S_OK && edit->need_grow) {
		Q2SI_TRY(q2si_refcount_grow(edit, diag));
		err = q2si_alloc(edit, 1, &run, &why);
	}
	if (err != Q2S_OK) {
		if (diag && diag->err == Q2S_OK)
			*diag = why;
		return err;
	}
	entry.l2.v = run.host;
	q2si_cache_forget(&edit->cache, run.host, edit->geom.cluster_size);
	Q2SI_TRY(q2s_l1_encode(&change->geom, &entry, change->l1 + index * Q2S_L1_ENTRY_SIZE,
			       diag));
	Q2SI_TRY(q2si_overlap_add(edit, run.host, edit->geom.cluster_size, diag));
	return q2si_meta_write(edit, run.host, change->out, edit->geom.cluster_size, diag);
}

/* Table @index of the new ones: half of an old one, or two of them. */
static enum q2s_err
table_make(struct q2s_edit *edit, struct change *change, uint64_t index, struct q2s_diag *diag)
{
	struct filling filling = { change, true };
	const uint32_t half = edit->geom.l2_entries / 2;
	const uint32_t from = index % 2 ? half : 0;

	memset(change->out, 0, edit->geom.cluster_size);
	if (change->geom.extended && index / 2 < change->used)
		Q2SI_TRY(part_each(edit, change, index / 2, from, from + half, entry_convert,
				   &filling, diag));
	for (uint64_t i = index * 2; !change->geom.extended && i < change->used && i < index * 2 + 2;
	     i++)
		Q2SI_TRY(table_each(edit, change, i, entry_convert, &filling, diag));
	if (filling.empty)
		return Q2S_OK;
	Q2SI_TRY(table_place(edit, change, index, diag));
	return q2si_flush_if_full(edit, diag);
}

/* Nothing refers to the new tables: they are free again. */
static void
tables_undo(struct q2s_edit *edit, const struct change *change)
{
	for (uint64_t i = 0; i < change->entries; i++) {
		const uint64_t host = q2si_get_be64(change->l1 + i * Q2S_L1_ENTRY_SIZE) &
				      Q2S_ENTRY_HOST_MASK;

		if (host)
			q2si_area_undo(edit, host, edit->geom.cluster_size);
	}
}

/* ---- the change ------------------------------------------------------------------------------ */

/* One reference less to the old tables, and to what has no place in the new ones. */
static enum q2s_err
entry_dropped(struct q2s_edit *edit, void *opaque, uint64_t cluster, bool own,
	      const struct q2s_l2_entry *entry, struct q2s_diag *diag)
{
	struct q2s_l2_entry new;

	(void)opaque;
	(void)own;
	(void)to_standard(edit, cluster, own, entry, &new);
	if (entry->compressed || !entry->has_host || new.has_host || q2si_has_data_file(edit))
		return Q2S_OK;
	Q2SI_TRY(q2si_freed_add(edit,
				(struct q2si_freed){ Q2SI_FREED_REFERENCE, entry->host.v,
						     edit->geom.cluster_size, 0 },
				diag));
	return Q2S_OK;
}

static enum q2s_err
old_free(struct q2s_edit *edit, struct change *change, const struct q2s_geom *was,
	 struct q2s_diag *diag)
{
	const struct q2s_geom now = edit->geom;

	for (uint64_t i = 0; i < change->used; i++) {
		struct q2s_l1_entry l1;
		enum q2s_err err = Q2S_OK;

		Q2SI_TRY(q2si_l1_read(edit, &change->old, i, &l1, diag));
		if (l1.l2.v == 0)
			continue;
		if (was->extended) { /* the old tables are read as what they were */
			edit->geom = *was;
			err = table_each(edit, change, i, entry_dropped, NULL, diag);
			edit->geom = now;
		}
		Q2SI_TRY(err);
		Q2SI_TRY(q2si_freed_add(edit,
					(struct q2si_freed){ Q2SI_FREED_TABLE, l1.l2.v,
							     now.cluster_size, 0 },
					diag));
		Q2SI_TRY(q2si_flush_if_full(edit, diag));
	}
	return q2si_area_free(edit, change->old.at, change->old.entries * Q2S_L1_ENTRY_SIZE, diag);
}

static enum q2s_err
change_write(struct q2s_edit *edit, struct change *change, uint64_t *at, struct q2s_diag *diag)
{
	const uint64_t bytes = change->entries * Q2S_L1_ENTRY_SIZE;
	enum q2s_err err;

	for (uint64_t i = 0; i < change->entries; i++)
		Q2SI_TRY(table_make(edit, change, i, diag));
	*at = 0;
	if (change->entries == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_alloc_area(edit, bytes, at, diag));
	err = q2si_meta_write(edit, *at, change->l1, bytes, diag);
	if (err != Q2S_OK)
		q2si_area_undo(edit, *at, bytes);
	return err;
}

static enum q2s_err
change_make(struct q2s_edit *edit, struct change *change, struct q2s_diag *diag)
{
	const struct q2s_geom was = edit->geom;
	struct q2s_header header;
	uint64_t at;
	enum q2s_err err = change_write(edit, change, &at, diag);

	if (err != Q2S_OK) {
		tables_undo(edit, change);
		return err;
	}
	header = edit->header;
	header.incompatible_features &= ~Q2S_INCOMPAT_EXTENDED_L2;
	if (change->geom.extended)
		header.incompatible_features |= Q2S_INCOMPAT_EXTENDED_L2;
	header.l1_table_offset.v = at;
	header.l1_size = (uint32_t)change->entries;
	Q2SI_TRY(q2si_header_switch(edit, &header, diag));
	return old_free(edit, change, &was, diag);
}

static enum q2s_err
change_init(struct q2s_edit *edit, bool on, struct change *out, struct q2s_diag *diag)
{
	const struct q2s_geom_params params = {
		.version = edit->geom.version,
		.cluster_bits = edit->geom.cluster_bits,
		.refcount_order = edit->geom.refcount_order,
		.extended = on,
		.data_file = edit->geom.data_file,
		.size = edit->geom.size,
	};
	struct q2s_l1_entry entry;

	Q2SI_TRY(q2s_geom_init(&params, &out->geom, diag));
	if (edit->header.nb_snapshots)
		return q2si_fail(diag, Q2S_E_CONFLICT, "nb_snapshots", Q2S_NOWHERE,
				 edit->header.nb_snapshots,
				 "snapshots have the same kind of L2 entries: delete them first, "
				 "or copy the disk to a new image");
	out->old = q2si_active_l1(edit);
	for (out->used = out->old.entries; out->used > 0; out->used--) {
		Q2SI_TRY(q2si_l1_read(edit, &out->old, out->used - 1, &entry, diag));
		if (entry.l2.v)
			break;
	}
	out->entries = q2si_max(out->geom.l1_entries,
				on ? out->used * 2 : q2si_div_up(out->used, 2));
	if (out->entries * Q2S_L1_ENTRY_SIZE > Q2S_L1_MAX_BYTES)
		return q2si_fail(diag, Q2S_E_LIMIT, "L1 table", edit->header.l1_table_offset,
				 out->entries, "so many entries are over 32 MiB");
	out->l1 = calloc(q2si_size(out->entries + 1), Q2S_L1_ENTRY_SIZE);
	out->in = malloc(edit->geom.cluster_size);
	out->out = malloc(edit->geom.cluster_size);
	return out->l1 && out->in && out->out ? Q2S_OK : q2si_fail_nomem(diag, "L1 table");
}

static enum q2s_err
extended_set(struct q2s_edit *edit, bool on, const struct q2s_edit_blocked *blocked,
	     bool materialise, struct q2s_diag *diag)
{
	struct change change = { 0 };
	enum q2s_err err;

	if (edit->geom.extended == on)
		return Q2S_OK;
	if (!on && edit->flags & Q2S_EDIT_TABLES_ONLY)
		return q2si_on_disk(edit, (q2s_guest){ 0 }, 0, diag);
	err = change_init(edit, on, &change, diag);
	if (err == Q2S_OK)
		err = q2si_sound(edit, diag);
	if (err == Q2S_OK && !on)
		err = blocked_find(edit, &change, blocked, materialise, diag);
	if (err == Q2S_OK)
		err = change_make(edit, &change, diag);
	free(change.l1);
	free(change.in);
	free(change.out);
	return err;
}

enum q2s_err
q2s_edit_set_extended_l2(struct q2s_edit *edit, bool on, unsigned flags,
			 const struct q2s_edit_blocked *blocked, struct q2s_diag *diag)
{
	enum q2s_err err;

	Q2SI_TRY(q2si_whole_begin(edit, diag));
	err = extended_set(edit, on, blocked, flags & Q2S_EDIT_MATERIALISE, diag);
	return q2si_whole_end(edit, err, diag);
}
