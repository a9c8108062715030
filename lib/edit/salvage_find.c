/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Host clusters that nothing refers to: which there are, and what they say of their own place. */
#include <stdlib.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/search.h"
#include "base/zero.h"
#include "edit/salvage.h"
#include "format/l2.h"

/* Orphans that are looked at: 4 TiB of clusters of 64 KiB. */
#define ORPHANS_MAX (UINT64_C(1) << 26)

static uint64_t
host_of(const struct q2si_salvage *salvage, const struct q2si_orphan *orphan)
{
	return orphan->cluster << salvage->round->ck->geom->cluster_bits;
}

/* ---- orphans ------------------------------------------------------------------------------- */

static enum q2s_err
add_orphan(struct q2si_salvage *salvage, uint64_t cluster)
{
	if (salvage->count == salvage->room) {
		const size_t room = salvage->room ? 2 * salvage->room : 256;
		struct q2si_orphan *bigger =
			room <= ORPHANS_MAX ? reallocarray(salvage->orphans, room, sizeof(*bigger))
					    : NULL;

		if (!bigger)
			return q2si_fail_nomem(salvage->round->diag, "salvage");
		salvage->orphans = bigger;
		salvage->room = room;
	}
	salvage->orphans[salvage->count++] =
		(struct q2si_orphan){ .cluster = cluster, .guest = Q2SI_NO_PLACE, .proof = "" };
	return Q2S_OK;
}

/* The first cluster from @from on without an owner: with one refcount, or, @freed, with none. */
static bool
next_orphan(const struct q2si_round *round, bool freed, uint64_t from, uint64_t *out)
{
	const struct q2si_checker *ck = round->ck;
	struct q2si_count_diff diff;

	if (freed) {
		/* The rest of a device was never the image's. */
		const uint64_t end = q2s_store_is_block_device(ck->file)
					     ? ck->result.image_end_offset >> ck->geom->cluster_bits
					     : ck->file_clusters;

		while (from < end && !q2si_round_orphan(round, from, 0))
			from++;
		*out = from;
		return from < end;
	}
	while (q2si_counts_next_diff(&ck->stored, &ck->counted, from, &diff)) {
		from = diff.cluster + 1;
		*out = diff.cluster;
		if (q2si_round_orphan(round, diff.cluster, 1))
			return true;
	}
	return false;
}

/* All that is not zeros; a file system may show itself by the way. */
static enum q2s_err
collect(struct q2si_salvage *salvage)
{
	struct q2si_round *round = salvage->round;
	const uint32_t size = round->ck->geom->cluster_size;

	for (uint64_t from = 1, cluster; next_orphan(round, salvage->freed, from, &cluster);
	     from = cluster + 1) {
		bool zero = q2si_in_hole(round->ck, cluster * size, size);

		if (!zero) {
			Q2SI_TRY(q2si_round_read(round, cluster * size, salvage->buf, size));
			zero = q2si_is_zero(salvage->buf, size);
		}
		if (zero) {
			salvage->zeros++;
			continue;
		}
		Q2SI_TRY(add_orphan(salvage, cluster));
		q2si_proof_learn(salvage, salvage->buf, Q2SI_NO_PLACE);
	}
	return Q2S_OK;
}

/* ---- where the file system begins ---------------------------------------------------------- */

/* The cluster that the disk shows at @guest, if it is plain data. */
static enum q2s_err
read_guest(struct q2si_salvage *salvage, uint64_t guest, bool *there)
{
	struct q2si_round *round = salvage->round;
	const struct q2s_geom *geom = round->ck->geom;
	uint64_t entry_at = 0;
	struct q2s_l2_entry entry;
	uint8_t raw[16];
	bool open;

	*there = false;
	Q2SI_TRY(q2si_place_is_open(salvage, guest, &open, &entry_at));
	if (open || entry_at == 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_round_read(round, entry_at, raw, geom->l2_entry_size));
	if (q2s_l2_decode(geom, raw, Q2S_NOWHERE, &entry, NULL) != Q2S_OK || entry.compressed ||
	    !entry.has_host || geom->data_file)
		return Q2S_OK;
	*there = true;
	return q2si_round_read(round, entry.host.v, salvage->buf, geom->cluster_size);
}

/* What the disk shows at @guest may be a superblock. */
static enum q2s_err
learn_from_guest(struct q2si_salvage *salvage, uint64_t guest)
{
	const uint64_t at = q2si_round_down(guest, salvage->round->ck->geom->cluster_size);
	bool there;

	Q2SI_TRY(read_guest(salvage, at, &there));
	if (there)
		q2si_proof_learn(salvage, salvage->buf, at);
	return Q2S_OK;
}

/* A superblock that the disk still shows where @base makes one be. */
static enum q2s_err
try_base(struct q2si_salvage *salvage, uint64_t base)
{
	const struct q2si_xfs *xfs = &salvage->xfs;

	if (!xfs->known)
		return learn_from_guest(salvage, base);
	for (uint32_t i = 0; i < xfs->ag_count && i < 4096 && !xfs->base_known; i++) {
		const uint64_t at = base + i * ((uint64_t)xfs->ag_blocks << xfs->block_log);

		if (at >= salvage->round->ck->geom->size)
			break;
		Q2SI_TRY(learn_from_guest(salvage, at));
	}
	return Q2S_OK;
}

/* Most partitions begin at 1 MiB, if there are any. */
static enum q2s_err
find_base(struct q2si_salvage *salvage)
{
	static const uint64_t bases[] = { 0, 1u << 20, 2u << 20, 63 * 512 };

	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++)
		if (!salvage->xfs.base_known)
			Q2SI_TRY(try_base(salvage, bases[i]));
	return Q2S_OK;
}

/* ---- proofs -------------------------------------------------------------------------------- */

static int
by_start(const void *a, const void *b)
{
	const struct q2si_free_range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static int
by_end(const void *a, const void *b)
{
	const struct q2si_tail *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

static void
merge_free(struct q2si_salvage *salvage)
{
	size_t kept = 0;

	if (salvage->free_count < 2)
		return;
	qsort(salvage->free, salvage->free_count, sizeof(*salvage->free), by_start);
	for (size_t i = 1; i < salvage->free_count; i++) {
		struct q2si_free_range *last = &salvage->free[kept];

		if (salvage->free[i].start <= last->end)
			last->end = q2si_max(last->end, salvage->free[i].end);
		else
			salvage->free[++kept] = salvage->free[i];
	}
	salvage->free_count = kept + 1;
}

static int
by_guest(const void *a, const void *b)
{
	const struct q2si_orphan *x = *(const struct q2si_orphan *const *)a;
	const struct q2si_orphan *y = *(const struct q2si_orphan *const *)b;

	if (x->guest != y->guest)
		return x->guest < y->guest ? -1 : 1;
	return (x->cluster > y->cluster) - (x->cluster < y->cluster);
}

struct q2si_orphan **
q2si_salvage_placed(struct q2si_salvage *salvage, size_t *count)
{
	struct q2si_orphan **list = calloc(salvage->count + 1, sizeof(struct q2si_orphan *));

	*count = 0;
	for (size_t i = 0; list && i < salvage->count; i++)
		if (salvage->orphans[i].guest != Q2SI_NO_PLACE)
			list[(*count)++] = &salvage->orphans[i];
	if (list && *count > 1)
		qsort(list, *count, sizeof(struct q2si_orphan *), by_guest);
	return list;
}

enum q2s_err
q2si_salvage_rivals(struct q2si_salvage *salvage)
{
	size_t count;
	Q2SI_AUTO_FREE struct q2si_orphan **list = q2si_salvage_placed(salvage, &count);

	if (!list)
		return q2si_fail_nomem(salvage->round->diag, "salvage");
	for (size_t i = 0, end; i < count; i = end) {
		const uint64_t place = list[i]->guest;
		size_t certain = 0;

		for (end = i; end < count && list[end]->guest == place; end++)
			certain += list[end]->sure == Q2S_SURE_CERTAIN;
		for (size_t k = i; end - i > 1 && k < end; k++)
			if (certain != 1 || list[k]->sure != Q2S_SURE_CERTAIN)
				list[k]->guest = Q2SI_NO_PLACE;
	}
	return Q2S_OK;
}

static enum q2s_err
prove(struct q2si_salvage *salvage)
{
	const uint32_t size = salvage->round->ck->geom->cluster_size;

	if (salvage->round->ck->header->crypt_method != Q2S_CRYPT_NONE || salvage->count == 0)
		return Q2S_OK;
	Q2SI_TRY(find_base(salvage));
	for (size_t i = 0; i < salvage->count; i++) {
		struct q2si_orphan *orphan = &salvage->orphans[i];

		Q2SI_TRY(q2si_round_read(salvage->round, host_of(salvage, orphan), salvage->buf,
					 size));
		orphan->guest = q2si_proof_place(salvage, salvage->buf, &orphan->proof,
						 &orphan->sure);
		/* What was freed may be older than what the disk lost. */
		if (salvage->freed)
			orphan->sure = Q2S_SURE_LIKELY;
	}
	merge_free(salvage);
	if (salvage->tail_count > 1)
		qsort(salvage->tails, salvage->tail_count, sizeof(*salvage->tails), by_end);
	return q2si_salvage_rivals(salvage);
}

/* ---- tables -------------------------------------------------------------------------------- */

struct q2si_orphan *
q2si_salvage_find(const struct q2si_salvage *salvage, uint64_t cluster)
{
	const size_t i = Q2SI_COUNT_FIRST(k, salvage->count, salvage->orphans[k].cluster < cluster);

	return i < salvage->count && salvage->orphans[i].cluster == cluster ? &salvage->orphans[i]
									     : NULL;
}

static enum q2s_err
find_tables(struct q2si_salvage *salvage)
{
	struct q2si_round *round = salvage->round;

	for (size_t i = 0; i < salvage->count; i++) {
		struct q2si_orphan *orphan = &salvage->orphans[i];
		struct q2si_shape shape;

		Q2SI_TRY(q2si_shape_look(round, orphan->cluster, round->ck->geom->l2_entries,
					 &shape));
		/*
		 * What was freed with its table is free as well. One entry alone may be chance
		 * there: any old table was freed some day, and that of refcounts has but one entry,
		 * too.
		 */
		orphan->is_table = shape.bad == 0 && shape.good > salvage->freed &&
				   (salvage->freed ? shape.freed : shape.owned) == shape.good;
		orphan->table = orphan->is_table;
		/* Tables of snapshots have no COPIED. */
		orphan->like_table =
			shape.bad == 0 && (shape.owned || (shape.orphans &&
							   round->ck->header->nb_snapshots));
	}
	return Q2S_OK;
}

enum q2s_err
q2si_salvage_targets(const struct q2si_salvage *salvage, const uint8_t *table,
		     enum q2s_err (*take)(void *opaque, uint64_t cluster), void *opaque)
{
	const struct q2s_geom *geom = salvage->round->ck->geom;

	for (uint32_t i = 0; i < geom->l2_entries; i++) {
		struct q2si_clusters range;
		struct q2s_l2_entry entry;

		if (q2s_l2_decode(geom, table + (size_t)i * geom->l2_entry_size, Q2S_NOWHERE,
				  &entry, NULL) != Q2S_OK)
			continue;
		range = q2si_l2_clusters(geom, &entry);
		for (uint64_t k = 0; k < range.count; k++)
			Q2SI_TRY(take(opaque, range.first + k));
	}
	return Q2S_OK;
}

/* ---- all of it ----------------------------------------------------------------------------- */

enum q2s_err
q2si_salvage_look(struct q2si_salvage *salvage)
{
	const struct q2s_geom *geom = salvage->round->ck->geom;

	salvage->buf = malloc(geom->cluster_size);
	if (!salvage->buf)
		return q2si_fail_nomem(salvage->round->diag, "salvage");
	Q2SI_TRY(collect(salvage));
	if (!geom->data_file)
		Q2SI_TRY(prove(salvage));
	return find_tables(salvage);
}

void
q2si_salvage_end(struct q2si_salvage *salvage)
{
	free(salvage->buf);
	free(salvage->orphans);
	free(salvage->free);
	free(salvage->tails);
}
