/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * L1 tables: entries that lead to no L2 table. The table that such an entry led to is often still
 * there, as a leak; it is known by its shape. Where the number of lost tables is that of lost
 * entries, they belong to each other; else the entries are cleared, and what is lost is said.
 */
#include "edit/repair.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/search.h"
#include "format/header.h"

/* Leaked clusters that are read in search of tables. */
#define LOOKS_MAX (1u << 20)

#define LOSS_ENTRY "what this table mapped is gone from the disk, and reads as what lies below " \
		   "it, or zeros; the clusters stay where they are, and are not given away"

/*
 * An entry that leads to nothing good, and the table that it is to lead to; 0: none. @plausible:
 * where it leads, and what another structure uses too, could be a table. @weak: it may well be
 * right.
 */
struct lost_entry {
	struct q2si_case found;
	const char *why;
	uint64_t table;
	bool active;
	bool plausible;
	bool weak;
};

/* @tables: lost L2 tables, ascending, as host clusters; each is given away once. */
struct l1_walk {
	struct q2si_round *round;
	struct lost_entry *lost;
	size_t count, room;
	uint64_t *tables;
	size_t table_count, table_room;
	bool looked;
};

/* ---- lost tables --------------------------------------------------------------------------- */

static enum q2s_err
push(uint64_t **list, size_t *count, size_t *room, uint64_t value, struct q2s_diag *diag)
{
	if (*count == *room) {
		const size_t wanted = *room ? 2 * *room : 16;
		uint64_t *bigger = reallocarray(*list, wanted, sizeof(*bigger));

		if (!bigger)
			return q2si_fail_nomem(diag, "repair plan");
		*list = bigger;
		*room = wanted;
	}
	(*list)[(*count)++] = value;
	return Q2S_OK;
}

static enum q2s_err
look_for_tables(struct l1_walk *walk)
{
	struct q2si_round *round = walk->round;
	struct q2si_checker *ck = round->ck;
	struct q2si_count_diff diff = { 0 };
	unsigned looks = 0;

	if (walk->looked)
		return Q2S_OK;
	walk->looked = true;
	for (uint64_t from = 0; looks < LOOKS_MAX && q2si_counts_next_diff(&ck->stored,
									   &ck->counted, from,
									   &diff);
	     from = diff.cluster + 1) {
		struct q2si_shape shape;

		if (!q2si_round_orphan(round, diff.cluster, 1))
			continue;
		looks++;
		Q2SI_TRY(q2si_shape_look(round, diff.cluster, ck->geom->l2_entries, &shape));
		if (q2si_shape_is_lost_table(&shape))
			Q2SI_TRY(push(&walk->tables, &walk->table_count, &walk->table_room,
				      diff.cluster, round->diag));
	}
	return Q2S_OK;
}

/* Is @cluster a lost table? Then it is taken. */
static bool
take_table(struct l1_walk *walk, uint64_t cluster)
{
	for (size_t i = 0; i < walk->table_count; i++) {
		if (walk->tables[i] != cluster)
			continue;
		memmove(walk->tables + i, walk->tables + i + 1,
			(--walk->table_count - i) * sizeof(*walk->tables));
		return true;
	}
	return false;
}

/* ---- lost entries -------------------------------------------------------------------------- */

static bool
in_active_l1(const struct q2si_checker *ck, uint64_t at)
{
	const uint64_t start = ck->header->l1_table_offset.v;

	return at >= start && at - start < (uint64_t)ck->header->l1_size * Q2S_L1_ENTRY_SIZE;
}

static enum q2s_err
lose(struct l1_walk *walk, const struct q2si_case *found, uint64_t at, const char *why,
     bool plausible)
{
	const struct q2si_checker *ck = walk->round->ck;
	struct lost_entry lost = { .found = *found, .why = why, .active = in_active_l1(ck, at),
				   .plausible = plausible };

	for (size_t i = 0; i < walk->count; i++)
		if (walk->lost[i].found.host == at)
			return Q2S_OK;
	if (walk->count == walk->room) {
		const size_t room = walk->room ? 2 * walk->room : 16;
		struct lost_entry *bigger = reallocarray(walk->lost, room, sizeof(*bigger));

		if (!bigger)
			return q2si_fail_nomem(walk->round->diag, "repair plan");
		walk->lost = bigger;
		walk->room = room;
	}
	lost.found.host = at;
	lost.found.has_guest = lost.active;
	if (lost.active)
		lost.found.guest = (at - ck->header->l1_table_offset.v) / Q2S_L1_ENTRY_SIZE *
				   ck->geom->l2_span;
	walk->lost[walk->count++] = lost;
	return Q2S_OK;
}

/* All active entries that lead to this cluster. */
static enum q2s_err
lose_those_to(struct l1_walk *walk, const struct q2si_case *found, uint64_t cluster,
	      const char *why, bool plausible)
{
	struct q2si_round *round = walk->round;
	const struct q2si_checker *ck = round->ck;
	const uint64_t entries = q2si_min(ck->header->l1_size, ck->geom->l1_entries);
	Q2SI_AUTO_FREE uint8_t *raw = malloc(q2si_size(entries * Q2S_L1_ENTRY_SIZE + 1));

	if (!raw)
		return q2si_fail_nomem(round->diag, "L1 table");
	Q2SI_TRY(q2si_round_read(round, ck->header->l1_table_offset.v, raw,
				 entries * Q2S_L1_ENTRY_SIZE));
	for (uint64_t i = 0; i < entries; i++) {
		const uint64_t entry = q2si_get_be64(raw + i * 8) & Q2S_ENTRY_HOST_MASK;

		if (entry >> ck->geom->cluster_bits == cluster && entry != 0)
			Q2SI_TRY(lose(walk, found, ck->header->l1_table_offset.v + i * 8, why,
				      plausible));
	}
	return Q2S_OK;
}

/* How many entries of an active table the disk has. */
static uint32_t
entries_on_disk(const struct q2si_checker *ck, uint64_t cluster)
{
	const struct q2s_geom *geom = ck->geom;
	const size_t i = Q2SI_COUNT_FIRST(k, ck->tables.count,
					  ck->tables.list[k].cluster < cluster);
	uint64_t first;

	if (i == ck->tables.count || ck->tables.list[i].cluster != cluster ||
	    !ck->tables.list[i].active)
		return geom->l2_entries;
	first = (uint64_t)ck->tables.list[i].l1_index * geom->l2_entries;
	return (uint32_t)q2si_min(geom->l2_entries,
				  first < geom->clusters ? geom->clusters - first : 0);
}

/* The L2 table of a finding, if nothing speaks for its being one; else 0. */
static enum q2s_err
junk_table(struct l1_walk *walk, const struct q2si_case *found, uint64_t *out, bool *weak)
{
	const uint64_t cluster = found->host >> walk->round->ck->geom->cluster_bits;
	struct q2si_shape shape;

	*out = 0;
	Q2SI_TRY(q2si_shape_look(walk->round, cluster, entries_on_disk(walk->round->ck, cluster),
				 &shape));
	/* With one or two entries it may be a table that was hit, or other data by mistake. */
	*weak = shape.bad < 4;
	if (shape.bad && shape.bad / 16 >= shape.good)
		*out = cluster;
	return Q2S_OK;
}

/* A cluster that is an L2 table and something else. */
static enum q2s_err
lose_shared(struct l1_walk *walk, const struct q2si_case *found)
{
	static const char other[] = "the entry leads to another structure, not to an L2 table";
	const uint64_t cluster = found->host >> walk->round->ck->geom->cluster_bits;
	struct q2si_shape shape;

	Q2SI_TRY(q2si_shape_look(walk->round, cluster, entries_on_disk(walk->round->ck, cluster),
				 &shape));
	return lose_those_to(walk, found, cluster, other, shape.bad == 0 && shape.good > 0);
}

static bool
is_broken_entry(enum q2si_finding_id id)
{
	return id == Q2SI_FOUND_L2_RESERVED || id == Q2SI_FOUND_DATA_CLUSTER_UNALIGNED ||
	       id == Q2SI_FOUND_DATA_CLUSTER_PAST_END || id == Q2SI_FOUND_COMPRESSED_PAST_END ||
	       id == Q2SI_FOUND_L2_SUBCLUSTER_BOTH || id == Q2SI_FOUND_COMPRESSED_BITMAP ||
	       id == Q2SI_FOUND_COMPRESSED_COPIED || id == Q2SI_FOUND_L2_SUBCLUSTER_NO_HOST;
}

static enum q2s_err
collect(struct l1_walk *walk)
{
	static const char unaligned[] = "the entry does not lead to a cluster";
	static const char past[] = "the entry leads past the end of the file";
	static const char junk[] = "the entry leads to what is no L2 table";
	const struct q2si_round *round = walk->round;
	uint64_t seen = 0, cluster;
	size_t before;
	bool weak;

	for (size_t i = 0; i < round->count; i++) {
		const struct q2si_case *found = &round->cases[i];

		if (found->id == Q2SI_FOUND_L2_TABLE_UNALIGNED) {
			Q2SI_TRY(lose(walk, found, found->host, unaligned, false));
		} else if (found->id == Q2SI_FOUND_L2_TABLE_PAST_END) {
			Q2SI_TRY(lose(walk, found, found->host, past, false));
		} else if (found->id == Q2SI_FOUND_OVERLAP_METADATA) {
			Q2SI_TRY(lose_shared(walk, found));
		} else if (is_broken_entry(found->id) &&
			   found->host >> round->ck->geom->cluster_bits != seen) {
			seen = found->host >> round->ck->geom->cluster_bits;
			Q2SI_TRY(junk_table(walk, found, &cluster, &weak));
			before = walk->count;
			if (cluster)
				Q2SI_TRY(lose_those_to(walk, found, cluster, junk, false));
			for (size_t k = before; k < walk->count; k++)
				walk->lost[k].weak = weak;
		}
	}
	return Q2S_OK;
}

/* ---- tables for entries -------------------------------------------------------------------- */

/* A table that snapshots use too has an owner, but one less than its count says. */
static enum q2s_err
look_for_shared(struct l1_walk *walk)
{
	const struct q2si_checker *ck = walk->round->ck;

	for (size_t i = 0; i < ck->tables.count; i++) {
		const uint64_t cluster = ck->tables.list[i].cluster;

		if (q2si_counts_get(&ck->counted, cluster) + 1 ==
		    q2si_counts_get(&ck->stored, cluster))
			Q2SI_TRY(push(&walk->tables, &walk->table_count, &walk->table_room,
				      cluster, walk->round->diag));
	}
	return Q2S_OK;
}

/* First by what is left of the offset, then by their number. */
static enum q2s_err
match(struct l1_walk *walk)
{
	const struct q2s_geom *geom = walk->round->ck->geom;
	size_t open = 0;

	Q2SI_TRY(look_for_tables(walk));
	for (size_t i = 0; i < walk->count; i++) {
		struct lost_entry *lost = &walk->lost[i];
		const uint64_t down = lost->found.found >> geom->cluster_bits;

		if (lost->found.id == Q2SI_FOUND_L2_TABLE_UNALIGNED && take_table(walk, down))
			lost->table = down;
		else
			open += lost->active;
	}
	if (open && walk->table_count == 0 && !walk->lost[0].weak)
		Q2SI_TRY(look_for_shared(walk));
	if (open != walk->table_count)
		return Q2S_OK;
	for (size_t i = 0, next = 0; i < walk->count; i++)
		if (!walk->lost[i].table && walk->lost[i].active)
			walk->lost[i].table = walk->tables[next++];
	return Q2S_OK;
}

/* Nobody knows whose the cluster is, so the entry gets a copy of it. */
static enum q2s_err
copy_table(struct q2si_round *round, const struct lost_entry *lost)
{
	const uint32_t size = round->ck->geom->cluster_size;
	uint64_t from, host;
	uint8_t raw[8];

	Q2SI_TRY(q2si_round_read(round, lost->found.host, raw, sizeof(raw)));
	from = q2si_get_be64(raw) & Q2S_ENTRY_HOST_MASK;
	Q2SI_TRY(q2si_round_alloc(round, 1, &host));
	Q2SI_TRY(q2si_round_step(round, &lost->found, Q2S_SURE_UNKNOWN,
				 "the L2 table is another structure too; it is copied to a cluster "
				 "of its own", "nothing that can be read now"));
	Q2SI_TRY(q2si_step_copy(round->repair, from, host, size, true, round->diag));
	q2si_put_be64(raw, host | Q2S_ENTRY_COPIED);
	round->changed = true;
	round->fixed++;
	return q2si_step_bytes(round->repair, Q2SI_STAGE_L1, lost->found.host, raw, sizeof(raw),
			       round->diag);
}

/* What a table that was found again maps has an owner now. */
static enum q2s_err
mend(struct l1_walk *walk, const struct lost_entry *lost)
{
	struct q2si_round *round = walk->round;
	const uint64_t host = lost->table << round->ck->geom->cluster_bits;
	const bool once = q2si_counts_get(&round->ck->stored, lost->table) == 1;
	uint8_t raw[8] = { 0 };

	if (!lost->table && lost->weak)
		return Q2S_OK;
	if (!lost->table && lost->plausible)
		return copy_table(round, lost);
	if (lost->table) {
		Q2SI_TRY(q2si_round_step(round, &lost->found, Q2S_SURE_LIKELY,
					 "the entry leads to no L2 table; one that has an owner less "
					 "than its refcount says has the shape of it",
					 "if this is another table, its data shows in this place"));
		q2si_put_be64(raw, host | (once ? Q2S_ENTRY_COPIED : 0));
	} else {
		Q2SI_TRY(q2si_round_step(round, &lost->found, Q2S_SURE_UNKNOWN, lost->why,
					 LOSS_ENTRY));
		round->lost++;
		round->broken = true;
	}
	round->changed = true;
	return q2si_step_bytes(round->repair, Q2SI_STAGE_L1, lost->found.host, raw, sizeof(raw),
			       round->diag);
}

/* ---- the table itself ---------------------------------------------------------------------- */

/* Does all that an L1 table at @cluster would refer to have the shape of an L2 table? */
static enum q2s_err
is_lost_l1(const struct l1_walk *walk, uint64_t cluster, bool *yes)
{
	const struct q2si_checker *ck = walk->round->ck;
	const uint64_t entries = q2si_min(ck->header->l1_size, ck->geom->l1_entries);
	uint8_t raw[8];

	*yes = false;
	for (uint64_t i = 0; i < entries; i++) {
		uint64_t entry, table;

		Q2SI_TRY(q2si_round_read(walk->round, (cluster << ck->geom->cluster_bits) + 8 * i,
					 raw, sizeof(raw)));
		entry = q2si_get_be64(raw);
		if (entry == 0)
			continue;
		table = (entry & Q2S_ENTRY_HOST_MASK) >> ck->geom->cluster_bits;
		*yes = false;
		for (size_t k = 0; k < walk->table_count && !*yes; k++)
			*yes = table != cluster && walk->tables[k] == table;
		if (!*yes)
			return Q2S_OK;
	}
	return Q2S_OK;
}

/* The L1 table, if it is a leak now: it has the shape of an L2 table, but leads to such. */
static enum q2s_err
find_l1(struct l1_walk *walk, uint64_t *out)
{
	bool yes;

	*out = 0;
	for (size_t i = 0; i < walk->table_count && *out == 0; i++) {
		Q2SI_TRY(is_lost_l1(walk, walk->tables[i], &yes));
		if (yes)
			*out = walk->tables[i];
	}
	return Q2S_OK;
}

/* What is in the file of a table that ends behind it goes into a new one. */
static enum q2s_err
move_l1(struct l1_walk *walk, const struct q2si_case *found)
{
	struct q2si_round *round = walk->round;
	const struct q2si_checker *ck = round->ck;
	const uint64_t at = ck->header->l1_table_offset.v;
	const uint64_t len = (uint64_t)ck->header->l1_size * Q2S_L1_ENTRY_SIZE;
	const uint64_t there = at < ck->file_size ? q2si_min(ck->file_size - at, len) & ~7ull : 0;
	const uint64_t clusters = q2si_div_up(len, ck->geom->cluster_size);
	uint64_t host, old;
	uint8_t raw[8];

	Q2SI_TRY(q2si_round_alloc(round, clusters, &host));
	Q2SI_TRY(q2si_round_step(round, found, Q2S_SURE_UNKNOWN,
				 "the L1 table ends behind the file: what is there of it gets a "
				 "place of its own",
				 "what the entries that are gone mapped"));
	Q2SI_TRY(q2si_step_zero(round->repair, host, clusters << ck->geom->cluster_bits,
				round->diag));
	if (there)
		Q2SI_TRY(q2si_step_copy(round->repair, at, host, there, true, round->diag));
	q2si_put_be64(raw, host);
	Q2SI_TRY(q2si_step_bytes(round->repair, Q2SI_STAGE_L1, AT_L1_TABLE_OFFSET, raw, 8,
				 round->diag));
	round->changed = round->broken = true;
	Q2SI_TRY(look_for_tables(walk));
	Q2SI_TRY(find_l1(walk, &old));
	round->lost += len > there && !old;
	for (uint64_t i = there; i < len && i / 8 < ck->geom->l1_entries &&
	     (old || (len - there) / 8 == walk->table_count); i += 8) {
		if (old)
			Q2SI_TRY(q2si_round_read(round, (old << ck->geom->cluster_bits) + i, raw,
						 sizeof(raw)));
		else
			q2si_put_be64(raw, walk->tables[(i - there) / 8] << ck->geom->cluster_bits |
				      Q2S_ENTRY_COPIED);
		Q2SI_TRY(q2si_round_step(round, found, Q2S_SURE_LIKELY,
					 old ? "the entry is gone; a leaked cluster leads to lost L2 "
					       "tables, as the L1 table did"
					     : "the entry is gone; there are as many lost L2 tables "
					       "as entries are gone",
					 "if this is another table, its data shows in this place"));
		Q2SI_TRY(q2si_step_bytes(round->repair, Q2SI_STAGE_L1, host + i, raw, 8,
					 round->diag));
	}
	return Q2S_OK;
}

/* What is wrong with an entry that still leads to its table. */
static enum q2s_err
mend_flags(struct q2si_round *round, const struct q2si_case *found)
{
	uint8_t raw[8];
	uint64_t entry;

	Q2SI_TRY(q2si_round_read(round, found->host, raw, sizeof(raw)));
	entry = q2si_get_be64(raw);
	if (found->id == Q2SI_FOUND_L1_COPIED_EMPTY) {
		Q2SI_TRY(q2si_round_step(round, found, Q2S_SURE_CERTAIN,
					 "COPIED means nothing without a table", "nothing"));
		q2si_put_be64(raw, 0);
	} else {
		Q2SI_TRY(q2si_round_step(round, found, Q2S_SURE_CERTAIN,
					 "bits that must be zero are cleared", "nothing: they are "
					 "ignored by whoever reads"));
		q2si_put_be64(raw, entry & (Q2S_ENTRY_COPIED | Q2S_ENTRY_HOST_MASK));
		/* An entry that is wrong in another way too is looked at again. */
		round->changed = true;
	}
	round->fixed += found->times;
	return q2si_step_bytes(round->repair, Q2SI_STAGE_L1, found->host, raw, sizeof(raw),
			       round->diag);
}

/*
 * Entries behind the end of the disk that cannot be: the table is not as long as the header says,
 * and what is there is something else. So nothing is written there.
 */
static enum q2s_err
cut_l1(struct q2si_round *round, const struct q2si_case *found, bool *done)
{
	const struct q2si_checker *ck = round->ck;
	const uint64_t end = ck->header->l1_table_offset.v + ck->geom->l1_entries * Q2S_L1_ENTRY_SIZE;
	uint8_t raw[4];

	*done = false;
	if ((found->id != Q2SI_FOUND_L1_RESERVED && found->id != Q2SI_FOUND_L2_TABLE_UNALIGNED &&
	     found->id != Q2SI_FOUND_L2_TABLE_PAST_END) ||
	    !in_active_l1(ck, found->host) || found->host < end)
		return Q2S_OK;
	Q2SI_TRY(q2si_round_step(round, found, Q2S_SURE_CERTAIN,
				 "the L1 table is cut to what the disk needs, as what follows is no "
				 "L1 table", "nothing: no guest offset leads there"));
	q2si_put_be32(raw, (uint32_t)ck->geom->l1_entries);
	*done = round->changed = true;
	round->fixed++;
	return q2si_step_bytes(round->repair, Q2SI_STAGE_L1, AT_L1_SIZE, raw, sizeof(raw),
			       round->diag);
}

static enum q2s_err
walk_cases(struct l1_walk *walk)
{
	struct q2si_round *round = walk->round;
	bool done;

	for (size_t i = 0; i < round->count; i++) {
		Q2SI_TRY(cut_l1(round, &round->cases[i], &done));
		if (done)
			return Q2S_OK;
	}

	for (size_t i = 0; i < round->count; i++) {
		const struct q2si_case *found = &round->cases[i];

		if (found->id == Q2SI_FOUND_L1_TABLE_PAST_END)
			return move_l1(walk, found);
		if (found->id == Q2SI_FOUND_L1_RESERVED || found->id == Q2SI_FOUND_L1_COPIED_EMPTY)
			Q2SI_TRY(mend_flags(round, found));
	}
	Q2SI_TRY(collect(walk));
	if (walk->count == 0)
		return Q2S_OK;
	Q2SI_TRY(match(walk));
	for (size_t i = 0; i < walk->count; i++)
		Q2SI_TRY(mend(walk, &walk->lost[i]));
	return Q2S_OK;
}

enum q2s_err
q2si_repair_l1(struct q2si_round *round)
{
	struct l1_walk walk = { .round = round };
	const enum q2s_err err = walk_cases(&walk);

	free(walk.lost);
	free(walk.tables);
	return err;
}
