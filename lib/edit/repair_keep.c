/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leaks that may be the last copy of guest data. A table that was wiped is legal, and maps nothing:
 * what it mapped are leaks, and once they are given back the next write takes them. So leaks stay
 * where something speaks for that.
 */
#include <stdlib.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/search.h"
#include "base/zero.h"
#include "edit/salvage.h"

static const char why_broken[] = "the image refers to what is not there, and this may be it";
static const char why_table[] = "it has the shape of an L2 table";
static const char why_mapped[] = "what has the shape of an L2 table leads to it";
static const char why_place[] = "the disk has a hole where it fits";
static const char why_candidate[] = "an entry that shares a cluster against its refcount may have "
				    "led to it";

/* ---- the list ------------------------------------------------------------------------------ */

static enum q2s_err
add(struct q2si_round *round, uint64_t cluster, const char *why)
{
	struct q2si_keep *keep = &round->keep;

	if (keep->count == keep->room) {
		const size_t room = keep->room ? 2 * keep->room : 64;
		struct q2si_kept *bigger = reallocarray(keep->list, room, sizeof(*bigger));

		if (!bigger)
			return q2si_fail_nomem(round->diag, "repair plan");
		keep->list = bigger;
		keep->room = room;
	}
	keep->list[keep->count++] = (struct q2si_kept){ cluster, why };
	return Q2S_OK;
}

static int
by_cluster(const void *a, const void *b)
{
	const struct q2si_kept *x = a, *y = b;

	return (x->cluster > y->cluster) - (x->cluster < y->cluster);
}

const char *
q2si_keep_why(const struct q2si_round *round, uint64_t cluster)
{
	const struct q2si_keep *keep = &round->keep;
	const size_t i = Q2SI_COUNT_FIRST(k, keep->count, keep->list[k].cluster < cluster);

	if (keep->all)
		return keep->all;
	return i < keep->count && keep->list[i].cluster == cluster ? keep->list[i].why : NULL;
}

/* ---- is more lost than a few clusters? ----------------------------------------------------- */

/* Writers put zero flags into tables that they empty, so zeros alone are rare. */
static enum q2s_err
has_zero_table(const struct q2si_salvage *salvage, bool *yes)
{
	struct q2si_round *round = salvage->round;
	struct q2si_checker *ck = round->ck;
	const uint32_t size = ck->geom->cluster_size;

	*yes = false;
	for (size_t i = 0; i < ck->tables.count && !*yes; i++) {
		const uint64_t at = ck->tables.list[i].cluster * size;

		if (!ck->tables.list[i].active)
			continue;
		*yes = q2si_in_hole(ck, at, size);
		if (*yes)
			continue;
		Q2SI_TRY(q2si_round_read(round, at, salvage->buf, size));
		*yes = q2si_is_zero(salvage->buf, size);
	}
	return Q2S_OK;
}

static enum q2s_err
has_empty_l1_entry(struct q2si_round *round, bool *yes)
{
	const struct q2si_checker *ck = round->ck;
	const uint64_t entries = q2si_min(ck->header->l1_size, ck->geom->l1_entries);
	uint8_t raw[8];

	*yes = false;
	for (uint64_t i = 0; i < entries && !*yes; i++) {
		Q2SI_TRY(q2si_round_read(round, ck->header->l1_table_offset.v + 8 * i, raw,
					 sizeof(raw)));
		*yes = q2si_get_be64(raw) == 0;
	}
	return Q2S_OK;
}

static enum q2s_err
look_at_mapping(const struct q2si_salvage *salvage)
{
	struct q2si_round *round = salvage->round;
	uint64_t unmapped = 0;
	bool yes;

	Q2SI_TRY(has_zero_table(salvage, &yes));
	if (yes)
		round->keep.all = "an L2 table of the disk is all zeros, and this may be what it "
				  "mapped";
	for (size_t i = 0; i < salvage->count; i++)
		unmapped += !salvage->orphans[i].table;
	if (yes || unmapped <= round->ck->result.allocated_clusters)
		return Q2S_OK;
	Q2SI_TRY(has_empty_l1_entry(round, &yes));
	if (yes)
		round->keep.all = "there are more leaks than the disk maps, and an L1 entry is "
				  "empty, which may have led to them";
	return Q2S_OK;
}

/* ---- one by one ---------------------------------------------------------------------------- */

/* Zeros too: the table cannot be put back without them. */
static enum q2s_err
keep_target(void *opaque, uint64_t cluster)
{
	struct q2si_salvage *salvage = opaque;
	const struct q2si_checker *ck = salvage->round->ck;
	struct q2si_orphan *orphan = q2si_salvage_find(salvage, cluster);

	if (orphan)
		orphan->table = true;
	return q2si_counts_get(&ck->stored, cluster) > q2si_counts_get(&ck->counted, cluster)
		       ? add(salvage->round, cluster, why_mapped)
		       : Q2S_OK;
}

static enum q2s_err
keep_tables(struct q2si_salvage *salvage)
{
	struct q2si_round *round = salvage->round;
	const struct q2s_geom *geom = round->ck->geom;

	for (size_t i = 0; i < salvage->count; i++) {
		struct q2si_orphan *orphan = &salvage->orphans[i];

		if (!orphan->like_table)
			continue;
		orphan->table = true;
		Q2SI_TRY(add(round, orphan->cluster, why_table));
		if (geom->data_file)
			continue;
		Q2SI_TRY(q2si_round_read(round, orphan->cluster << geom->cluster_bits,
					 salvage->buf, geom->cluster_size));
		Q2SI_TRY(q2si_salvage_targets(salvage, salvage->buf, keep_target, salvage));
	}
	return Q2S_OK;
}

static enum q2s_err
keep_placed(struct q2si_salvage *salvage)
{
	struct q2si_round *round = salvage->round;

	for (size_t i = 0; i < salvage->count; i++) {
		const struct q2si_orphan *orphan = &salvage->orphans[i];
		uint64_t entry_at = 0;
		bool open;

		if (orphan->table || orphan->guest == Q2SI_NO_PLACE)
			continue;
		Q2SI_TRY(q2si_place_is_open(salvage, orphan->guest, &open, &entry_at));
		if (entry_at == 0)
			round->keep.all = "data says that it belongs where an L1 entry is empty, "
					  "and this may be what that led to";
		if (open)
			Q2SI_TRY(add(round, orphan->cluster, why_place));
	}
	return Q2S_OK;
}

/* ---- all of it ----------------------------------------------------------------------------- */

static enum q2s_err
look(struct q2si_salvage *salvage)
{
	struct q2si_round *round = salvage->round;

	Q2SI_TRY(q2si_salvage_look(salvage));
	if (salvage->count == 0)
		return Q2S_OK;
	Q2SI_TRY(keep_tables(salvage));
	if (round->ck->geom->data_file)
		return Q2S_OK;
	Q2SI_TRY(look_at_mapping(salvage));
	if (round->keep.all)
		return Q2S_OK;
	Q2SI_TRY(q2si_place_between(salvage));
	return keep_placed(salvage);
}

enum q2s_err
q2si_keep_look(struct q2si_round *round)
{
	const struct q2s_repair *repair = round->repair;
	struct q2si_salvage salvage = { .round = round, .strict = true };
	enum q2s_err err;

	round->keep.looked = true;
	if (repair->flags & Q2S_REPAIR_DROP_ORPHANS)
		return Q2S_OK;
	if (round->broken) {
		round->keep.all = why_broken;
		return Q2S_OK;
	}
	err = look(&salvage);
	q2si_salvage_end(&salvage);
	for (size_t i = 0; err == Q2S_OK && i < repair->candidate_count; i++)
		err = add(round, repair->candidates[i], why_candidate);
	if (err == Q2S_OK && round->keep.count > 1)
		qsort(round->keep.list, round->keep.count, sizeof(*round->keep.list), by_cluster);
	return err;
}
