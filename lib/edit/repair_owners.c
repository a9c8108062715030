/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Host clusters that several places of the disk show, against their refcount. Which of them is
 * right nobody knows, so each but the first gets a copy: all show what they showed, and none is
 * changed by a write to another. Where the refcount says that they are shared they stay so. A
 * leaked cluster that fits one of the places may be what was there before: it is named, and kept.
 */
#include "edit/repair.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/search.h"
#include "format/l2.h"

/* Damage makes few of these; more are shared on purpose, and only their counts are wrong. */
#define COPIES_MAX 1024u
#define CONTESTED_MAX (1u << 20)

/**
 * @copies  so many references at most get a copy
 * @keep    the first plain one keeps the cluster
 * @flags   how often COPIED was set where it is kept: qemu-img counts that, too
 * @candidate  a leaked cluster that fits @guest, one of the places; 0: none
 */
struct contested {
	uint64_t cluster;
	uint64_t copies;
	bool keep;
	unsigned flags;
	uint64_t candidate, guest;
};

/* An entry that is to get a copy. */
struct copy {
	struct q2si_case found;
	uint64_t cluster;
	uint64_t candidate, guest;
};

struct owners {
	struct q2si_round *round;
	struct contested *list;
	size_t count, room;
	struct copy *copies;
	size_t copy_count;
};

/* ---- which clusters ------------------------------------------------------------------------ */

static enum q2s_err
contest(struct owners *owners, const struct contested *one)
{
	if (owners->count == owners->room) {
		const size_t room = owners->room ? 2 * owners->room : 64;
		struct contested *bigger = reallocarray(owners->list, room, sizeof(*bigger));

		if (!bigger)
			return q2si_fail_nomem(owners->round->diag, "repair plan");
		owners->list = bigger;
		owners->room = room;
	}
	owners->list[owners->count++] = *one;
	return Q2S_OK;
}

static bool
is_metadata(const struct q2si_checker *ck, uint64_t cluster)
{
	const size_t i = q2si_extents_find(&ck->metadata, cluster);

	return i < ck->metadata.count && ck->metadata.list[i].first <= cluster;
}

static enum q2s_err
collect_counts(struct owners *owners)
{
	const struct q2si_checker *ck = owners->round->ck;
	const uint64_t max = ck->geom->refcount_max;
	struct q2si_count_diff diff;

	for (uint64_t from = 0; q2si_counts_next_diff(&ck->stored, &ck->counted, from, &diff);
	     from = diff.cluster + 1) {
		const bool twice = diff.a == 1 && diff.b > 1;
		const struct contested one = { diff.cluster, twice ? diff.b - 1 : diff.b - max,
					       true, 0, 0, 0 };

		if (!(twice || diff.b > max) || is_metadata(ck, diff.cluster))
			continue;
		if (owners->count >= CONTESTED_MAX)
			break;
		Q2SI_TRY(contest(owners, &one));
	}
	return Q2S_OK;
}

static int
by_cluster(const void *a, const void *b)
{
	const struct contested *x = a, *y = b;

	if (x->cluster != y->cluster)
		return x->cluster < y->cluster ? -1 : 1;
	return x->keep - y->keep;
}

/* Compressed data stays in its clusters; whatever else is mapped there moves. */
static enum q2s_err
collect_compressed(struct owners *owners)
{
	const struct q2si_round *round = owners->round;
	const struct q2s_geom *geom = round->ck->geom;
	bool any = false;

	for (size_t i = 0; i < round->count; i++) {
		struct q2s_l2_entry entry;
		struct q2si_clusters range;
		uint8_t raw[16];

		if (round->cases[i].id != Q2SI_FOUND_OVERLAP_COMPRESSED)
			continue;
		Q2SI_TRY(q2si_round_read(owners->round, round->cases[i].host, raw,
					 geom->l2_entry_size));
		if (q2s_l2_decode_lenient(geom, raw, Q2S_NOWHERE, &entry, NULL) != Q2S_OK)
			continue;
		range = q2si_l2_clusters(geom, &entry);
		for (uint64_t k = 0; k < range.count; k++)
			if (q2si_counts_get(&round->ck->compressed, range.first + k))
				Q2SI_TRY(contest(owners,
						 &(struct contested){ range.first + k, UINT64_MAX,
								      false, 0, 0, 0 }));
		any = true;
	}
	/* The list is sorted but for these; of two of a cluster the first one decides. */
	if (any)
		qsort(owners->list, owners->count, sizeof(*owners->list), by_cluster);
	return Q2S_OK;
}

/* ---- which entries ------------------------------------------------------------------------- */

/* What the entry at @entry, which shows @guest, may have led to. */
static enum q2s_err
look_for_candidate(struct owners *owners, struct contested *one, uint64_t entry, uint64_t guest)
{
	struct q2s_repair *repair = owners->round->repair;
	uint64_t *bigger, cluster;
	bool near;

	Q2SI_TRY(q2si_fitting_orphan(owners->round, entry, &cluster, &near));
	if (cluster == 0 || (one->candidate && !near))
		return Q2S_OK;
	one->candidate = cluster;
	one->guest = guest;
	if (repair->candidate_count == repair->candidate_room) {
		const size_t room = repair->candidate_room ? 2 * repair->candidate_room : 16;

		bigger = reallocarray(repair->candidates, room, sizeof(*bigger));
		if (!bigger)
			return q2si_fail_nomem(owners->round->diag, "repair plan");
		repair->candidates = bigger;
		repair->candidate_room = room;
	}
	repair->candidates[repair->candidate_count++] = cluster;
	return Q2S_OK;
}

static enum q2s_err
look_at_table(struct owners *owners, const struct q2si_table *table, const uint8_t *raw)
{
	const struct q2s_geom *geom = owners->round->ck->geom;

	for (uint32_t i = 0; i < geom->l2_entries && owners->copy_count < COPIES_MAX; i++) {
		const uint64_t desc = q2si_get_be64(raw + (size_t)i * geom->l2_entry_size);
		const uint64_t cluster = (desc & Q2S_ENTRY_HOST_MASK) >> geom->cluster_bits;
		const uint64_t entry = (table->cluster << geom->cluster_bits) +
				       (uint64_t)i * geom->l2_entry_size;
		const uint64_t guest = table->l1_index * geom->l2_span +
				       ((uint64_t)i << geom->cluster_bits);
		struct contested *one;
		size_t at;

		if (desc & Q2S_ENTRY_COMPRESSED || cluster < owners->list[0].cluster ||
		    cluster > owners->list[owners->count - 1].cluster ||
		    !q2si_is_aligned(desc & Q2S_ENTRY_HOST_MASK, geom->cluster_size))
			continue;
		at = Q2SI_COUNT_FIRST(k, owners->count, owners->list[k].cluster < cluster);
		one = &owners->list[at];
		if (one->cluster != cluster || one->copies == 0)
			continue;
		Q2SI_TRY(look_for_candidate(owners, one, entry, guest));
		if (one->keep) {
			one->keep = false;
			one->flags = (unsigned)(desc >> 63);
			continue;
		}
		one->copies--;
		owners->round->fixed += 1 + one->flags + (desc >> 63);
		one->flags = 0;
		owners->copies[owners->copy_count++] = (struct copy){
			.found = { .id = geom->refcount_max == 1 ? Q2SI_FOUND_REFCOUNT_OVERFLOW
								 : Q2SI_FOUND_REFCOUNT_LOW,
				   .host = entry,
				   .has_guest = true,
				   .guest = guest },
			.cluster = cluster,
			.candidate = one->candidate,
			.guest = one->guest,
		};
	}
	return Q2S_OK;
}

static enum q2s_err
look_at_tables(struct owners *owners)
{
	struct q2si_round *round = owners->round;
	const struct q2si_checker *ck = round->ck;
	Q2SI_AUTO_FREE uint8_t *raw = malloc(ck->geom->cluster_size);

	owners->copies = calloc(COPIES_MAX, sizeof(*owners->copies));
	if (!raw || !owners->copies)
		return q2si_fail_nomem(round->diag, "repair plan");
	for (size_t i = 0; i < ck->tables.count && owners->copy_count < COPIES_MAX; i++) {
		const struct q2si_table *table = &ck->tables.list[i];

		/* An entry of a shared table is one of several owners itself. */
		if (!table->active || table->refs != 1)
			continue;
		Q2SI_TRY(q2si_round_read(round, table->cluster << ck->geom->cluster_bits, raw,
					 ck->geom->cluster_size));
		Q2SI_TRY(look_at_table(owners, table, raw));
	}
	return Q2S_OK;
}

/* ---- copies -------------------------------------------------------------------------------- */

static enum q2s_err
make_copy(struct q2si_round *round, const struct copy *copy)
{
	const struct q2s_geom *geom = round->ck->geom;
	struct q2si_step *step;
	uint64_t host, desc;
	uint8_t raw[8];

	Q2SI_TRY(q2si_round_read(round, copy->found.host, raw, sizeof(raw)));
	desc = q2si_get_be64(raw);
	Q2SI_TRY(q2si_round_alloc(round, 1, &host));
	Q2SI_TRY(q2si_round_step(round, &copy->found, Q2S_SURE_UNKNOWN,
				 "the host cluster has another owner than this entry, against its "
				 "refcount; it is copied, so that each has its own",
				 "nothing that can be read now; one of them may show wrong bytes, "
				 "as it does already"));
	step = &round->repair->steps[round->repair->step_count - 1];
	step->candidate = copy->candidate << geom->cluster_bits;
	step->candidate_guest = copy->guest;
	Q2SI_TRY(q2si_step_copy(round->repair, copy->cluster << geom->cluster_bits, host,
				geom->cluster_size, false, round->diag));
	q2si_put_be64(raw, (desc & ~Q2S_ENTRY_HOST_MASK) | Q2S_ENTRY_COPIED | host);
	round->changed = true;
	return q2si_step_bytes(round->repair, Q2SI_STAGE_L2, copy->found.host, raw, sizeof(raw),
			       round->diag);
}

static enum q2s_err
resolve(struct owners *owners)
{
	struct q2si_round *round = owners->round;

	Q2SI_TRY(collect_counts(owners));
	Q2SI_TRY(collect_compressed(owners));
	if (owners->count == 0)
		return Q2S_OK;
	Q2SI_TRY(look_at_tables(owners));
	/* LUKS encrypts by the host offset: elsewhere a copy would be other bytes. */
	if (!(round->repair->flags & Q2S_REPAIR_ALL) || owners->copy_count == COPIES_MAX ||
	    round->ck->header->crypt_method == Q2S_CRYPT_LUKS) {
		round->fixed = 0;
		return Q2S_OK;
	}
	for (size_t i = 0; i < owners->copy_count; i++)
		Q2SI_TRY(make_copy(round, &owners->copies[i]));
	return Q2S_OK;
}

enum q2s_err
q2si_repair_owners(struct q2si_round *round)
{
	struct owners owners = { .round = round };
	enum q2s_err err;

	/* Where the counts cannot be read they speak neither for sharing nor against it. */
	if (round->ck->geom->data_file || round->rebuild)
		return Q2S_OK;
	err = resolve(&owners);
	free(owners.list);
	free(owners.copies);
	return err;
}
