/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Neighbours: most writers take host clusters in the order in which the guest writes, and images
 * are mostly made from front to back. So what lies between two clusters whose place is known
 * belongs between these places, in this order, if as many places are empty there as there are
 * clusters.
 */
#include <stdlib.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/search.h"
#include "edit/salvage.h"

#define RUNS_MAX (UINT64_C(1) << 21)
/* Places between two neighbours that are looked at. */
#define PLACES_MAX (UINT64_C(1) << 20)

static const char between_proof[] = "it lies between clusters that are neighbours of this place";
static const char free_proof[] = "between its neighbours as many places are in use by the file "
				 "system as there are clusters";
static const char beside_proof[] = "it lies beside a cluster that is a neighbour of this place";

/* Host clusters whose place is known: @n of them in a row. */
struct known {
	uint64_t cluster, guest, n;
};

struct placer {
	struct q2si_salvage *salvage;
	struct known *known;
	size_t count, room;
	uint64_t *places; /* empty ones between two of them */
	size_t place_count, place_room;
};

/* ---- what is mapped ------------------------------------------------------------------------ */

enum q2s_err
q2si_place_is_open(struct q2si_salvage *salvage, uint64_t guest, bool *open, uint64_t *entry_at)
{
	struct q2si_round *round = salvage->round;
	const struct q2s_geom *geom = round->ck->geom;
	const uint64_t index = q2s_l1_index(geom, (q2s_guest){ guest });
	const uint64_t l1 = round->ck->header->l1_table_offset.v + index * Q2S_L1_ENTRY_SIZE;
	struct q2s_l1_entry table;
	uint8_t raw[16] = { 0 };

	*open = false;
	if (guest >= geom->size || index >= round->ck->header->l1_size)
		return Q2S_OK;
	Q2SI_TRY(q2si_round_read(round, l1, raw, Q2S_L1_ENTRY_SIZE));
	if (q2s_l1_decode(geom, raw, Q2S_NOWHERE, &table, NULL) != Q2S_OK || table.l2.v == 0 ||
	    !table.copied || table.l2.v >> geom->cluster_bits >= round->ck->file_clusters)
		return Q2S_OK;
	*entry_at = table.l2.v +
		    (uint64_t)q2s_l2_index(geom, (q2s_guest){ guest }) * geom->l2_entry_size;
	q2si_put_be64(raw + 8, 0);
	Q2SI_TRY(q2si_round_read(round, *entry_at, raw, geom->l2_entry_size));
	*open = q2si_get_be64(raw) == 0 && (!geom->extended || q2si_get_be64(raw + 8) == 0);
	return Q2S_OK;
}

static enum q2s_err
add_known(struct placer *placer, uint64_t cluster, uint64_t guest)
{
	const uint32_t bits = placer->salvage->round->ck->geom->cluster_bits;
	struct known *last = placer->count ? &placer->known[placer->count - 1] : NULL;

	if (last && last->cluster + last->n == cluster && last->guest + (last->n << bits) == guest) {
		last->n++;
		return Q2S_OK;
	}
	if (placer->count >= RUNS_MAX)
		return Q2S_OK; /* less is known then */
	if (placer->count == placer->room) {
		const size_t room = placer->room ? 2 * placer->room : 256;
		struct known *bigger = reallocarray(placer->known, room, sizeof(*bigger));

		if (!bigger)
			return q2si_fail_nomem(placer->salvage->round->diag, "salvage");
		placer->known = bigger;
		placer->room = room;
	}
	placer->known[placer->count++] = (struct known){ cluster, guest, 1 };
	return Q2S_OK;
}

static enum q2s_err
know_table(struct placer *placer, const struct q2si_table *table, uint8_t *raw)
{
	struct q2si_round *round = placer->salvage->round;
	const struct q2s_geom *geom = round->ck->geom;

	Q2SI_TRY(q2si_round_read(round, table->cluster << geom->cluster_bits, raw,
				 geom->cluster_size));
	for (uint32_t i = 0; i < geom->l2_entries; i++) {
		struct q2s_l2_entry entry;

		if (q2si_get_be64(raw + (size_t)i * geom->l2_entry_size) == 0 ||
		    q2s_l2_decode_lenient(geom, raw + (size_t)i * geom->l2_entry_size, Q2S_NOWHERE,
					  &entry, NULL) != Q2S_OK ||
		    entry.compressed || !entry.has_host)
			continue;
		Q2SI_TRY(add_known(placer, entry.host.v >> geom->cluster_bits,
				   table->l1_index * geom->l2_span +
					   ((uint64_t)i << geom->cluster_bits)));
	}
	return Q2S_OK;
}

static int
by_cluster(const void *a, const void *b)
{
	const struct known *x = a, *y = b;

	return (x->cluster > y->cluster) - (x->cluster < y->cluster);
}

static enum q2s_err
know_all(struct placer *placer)
{
	const struct q2si_salvage *salvage = placer->salvage;
	const struct q2si_checker *ck = salvage->round->ck;
	uint8_t *const raw = malloc(ck->geom->cluster_size);
	enum q2s_err err = raw ? Q2S_OK : q2si_fail_nomem(salvage->round->diag, "salvage");

	for (size_t i = 0; err == Q2S_OK && i < ck->tables.count; i++)
		if (ck->tables.list[i].active)
			err = know_table(placer, &ck->tables.list[i], raw);
	for (size_t i = 0; err == Q2S_OK && i < salvage->count; i++)
		if (salvage->orphans[i].guest != Q2SI_NO_PLACE)
			err = add_known(placer, salvage->orphans[i].cluster,
					salvage->orphans[i].guest);
	free(raw);
	if (err == Q2S_OK && placer->count > 1)
		qsort(placer->known, placer->count, sizeof(*placer->known), by_cluster);
	return err;
}

/* ---- empty places -------------------------------------------------------------------------- */

/* Is all of a cluster free in the file system, or in its log, which is mostly zeros? */
static bool
is_free(const struct q2si_salvage *salvage, uint64_t guest)
{
	const struct q2si_xfs *xfs = &salvage->xfs;
	const uint64_t end = guest + salvage->round->ck->geom->cluster_size;
	const uint64_t log = xfs->known ? q2si_xfs_log(xfs) : Q2SI_NO_PLACE;

	const size_t i = Q2SI_COUNT_FIRST(k, salvage->free_count, salvage->free[k].end < end);

	if (i < salvage->free_count && salvage->free[i].start <= guest)
		return true;
	return log != Q2SI_NO_PLACE && xfs->base + log <= guest &&
	       end <= xfs->base + log + ((uint64_t)xfs->log_blocks << xfs->block_log);
}

/* Empty places of [@from, @to) in placer->places; @used: without those that are free. */
static enum q2s_err
find_places(struct placer *placer, uint64_t from, uint64_t to, size_t most, bool used)
{
	struct q2si_salvage *salvage = placer->salvage;
	const uint32_t size = salvage->round->ck->geom->cluster_size;

	placer->place_count = 0;
	for (uint64_t at = from; at < to && placer->place_count <= most; at += size) {
		uint64_t entry_at;
		bool open;

		if (used && is_free(salvage, at))
			continue;
		Q2SI_TRY(q2si_place_is_open(salvage, at, &open, &entry_at));
		if (!open)
			continue;
		if (placer->place_count == placer->place_room) {
			const size_t room = placer->place_room ? 2 * placer->place_room : 256;
			uint64_t *bigger = reallocarray(placer->places, room, sizeof(*bigger));

			if (!bigger)
				return q2si_fail_nomem(salvage->round->diag, "salvage");
			placer->places = bigger;
			placer->place_room = room;
		}
		placer->places[placer->place_count++] = at;
	}
	return Q2S_OK;
}

/* ---- orphans between two known runs -------------------------------------------------------- */

static void
give(struct q2si_orphan *orphan, uint64_t guest, const char *proof)
{
	orphan->guest = guest;
	orphan->sure = Q2S_SURE_LIKELY;
	orphan->proof = proof;
}

/*
 * There are not as many places as clusters. What is side by side with a known one, in the file and
 * on the disk, is still its neighbour; up to where the file system has free space.
 */
static void
give_beside(struct placer *placer, struct q2si_orphan *first, size_t n, const struct known *before,
	    const struct known *behind)
{
	const uint32_t bits = placer->salvage->round->ck->geom->cluster_bits;
	const uint64_t *places = placer->places;
	size_t left = 0, right = 0;

	while (before && left < n && left < placer->place_count &&
	       first[left].cluster == before->cluster + before->n + left &&
	       places[left] == before->guest + ((before->n + left) << bits))
		left++;
	while (behind && right < n - left && right < placer->place_count - left &&
	       first[n - 1 - right].cluster + 1 + right == behind->cluster &&
	       places[placer->place_count - 1 - right] + ((1 + right) << bits) == behind->guest)
		right++;
	for (size_t i = 0; i < left; i++)
		give(&first[i], places[i], beside_proof);
	for (size_t i = 0; i < right; i++)
		give(&first[n - 1 - i], places[placer->place_count - 1 - i], beside_proof);
}

/* How many entries of an L2 table are wiped at once, at least, when a disk loses a sector. */
static size_t
entries_in_sector(const struct placer *placer)
{
	return Q2S_SECTOR / placer->salvage->round->ck->geom->l2_entry_size;
}

/* Is there a whole sector of empty entries? */
static bool
has_empty_sector(const struct placer *placer)
{
	const struct q2s_geom *geom = placer->salvage->round->ck->geom;
	const size_t n = entries_in_sector(placer);
	const uint64_t sector = (uint64_t)n << geom->cluster_bits;
	const uint64_t *places = placer->places;

	for (size_t i = 0; i + n <= placer->place_count; i++)
		if (q2si_is_aligned(places[i], sector) &&
		    places[i + n - 1] - places[i] == sector - geom->cluster_size)
			return true;
	return false;
}

/* Would @n clusters from @from on fill a hole of the disk, that ends at what is mapped or with it? */
static enum q2s_err
fills_hole(struct placer *placer, uint64_t from, size_t n, bool *yes)
{
	const struct q2s_geom *geom = placer->salvage->round->ck->geom;
	const uint64_t to = from + ((uint64_t)n << geom->cluster_bits);
	uint64_t entry_at = 0;
	bool open = false;

	*yes = false;
	Q2SI_TRY(find_places(placer, from, q2si_min(to, geom->size), n, false));
	if (placer->place_count < n)
		return Q2S_OK;
	if (to < geom->size)
		Q2SI_TRY(q2si_place_is_open(placer->salvage, to, &open, &entry_at));
	*yes = to >= geom->size || (!open && entry_at != 0);
	return Q2S_OK;
}

/*
 * Whether they belong between these neighbours at all matters here, and not where each of them
 * does. They do if the hole on the disk is no larger than the one in the file, or was a sector's.
 * Leaks behind all others are what a crash leaves; but for so many, or as many as a hole has room
 * for.
 */
static enum q2s_err
place_strictly(struct placer *placer, struct q2si_orphan *first, size_t n,
	       const struct known *before, const struct known *behind)
{
	const struct q2s_geom *geom = placer->salvage->round->ck->geom;
	const uint64_t from = before ? before->guest + (before->n << geom->cluster_bits) : 0;
	const uint64_t end = behind ? behind->guest : geom->size;
	const uint64_t gap = behind ? behind->cluster - (before ? before->cluster + before->n : 1) : n;
	const uint64_t most = (gap + 4 * entries_in_sector(placer)) << geom->cluster_bits;
	bool fits = true;

	if (from >= end)
		return Q2S_OK;
	if (!behind && n < entries_in_sector(placer))
		Q2SI_TRY(fills_hole(placer, from, n, &fits));
	if (!fits)
		return Q2S_OK;
	Q2SI_TRY(find_places(placer, from, from + q2si_min(end - from, most), SIZE_MAX - 1, false));
	fits = end - from <= most && placer->place_count <= gap;
	if (placer->place_count < n || (behind && !fits && !has_empty_sector(placer)))
		return Q2S_OK;
	for (size_t i = 0; i < n; i++)
		give(&first[i], placer->places[i], between_proof);
	return Q2S_OK;
}

static enum q2s_err
place_group(struct placer *placer, struct q2si_orphan *first, size_t n, const struct known *before,
	    const struct known *behind)
{
	const struct q2s_geom *geom = placer->salvage->round->ck->geom;
	const uint64_t from = before ? before->guest + (before->n << geom->cluster_bits) : 0;
	const uint64_t to = behind ? behind->guest : geom->size;
	const size_t most = 4 * n + 65536;
	bool done = false;

	if (placer->salvage->strict)
		return place_strictly(placer, first, n, before, behind);
	if (from >= to || (to - from) >> geom->cluster_bits > PLACES_MAX)
		return Q2S_OK;
	Q2SI_TRY(find_places(placer, from, to, n, false));
	if (placer->place_count == n && before && behind) {
		for (size_t i = 0; i < n; i++)
			give(&first[i], placer->places[i], between_proof);
		return Q2S_OK;
	}
	Q2SI_TRY(find_places(placer, from, to, most, true));
	if (placer->place_count == n && placer->salvage->free_count) {
		for (size_t i = 0; i < n; i++)
			give(&first[i], placer->places[i], free_proof);
		return Q2S_OK;
	}
	/* Files that were deleted left data where the file system calls the place free. */
	if (placer->place_count < n)
		Q2SI_TRY(find_places(placer, from, to, most, false));
	if (placer->place_count > n && placer->place_count <= most && before && behind)
		Q2SI_TRY(q2si_align(placer->salvage, first, n, placer->places,
				    placer->place_count, &done));
	if (!done && placer->place_count <= most)
		give_beside(placer, first, n, before, behind);
	return Q2S_OK;
}

static enum q2s_err
place_all(struct placer *placer)
{
	struct q2si_salvage *salvage = placer->salvage;
	size_t known = 0;

	for (size_t i = 0, end; i < salvage->count; i = end) {
		const struct known *before, *behind;

		end = i + 1;
		if (salvage->orphans[i].guest != Q2SI_NO_PLACE || salvage->orphans[i].table)
			continue;
		while (known < placer->count &&
		       placer->known[known].cluster < salvage->orphans[i].cluster)
			known++;
		before = known ? &placer->known[known - 1] : NULL;
		behind = known < placer->count ? &placer->known[known] : NULL;
		while (end < salvage->count && salvage->orphans[end].guest == Q2SI_NO_PLACE &&
		       !salvage->orphans[end].table &&
		       (!behind || salvage->orphans[end].cluster < behind->cluster))
			end++;
		Q2SI_TRY(place_group(placer, &salvage->orphans[i], end - i, before, behind));
	}
	return Q2S_OK;
}

enum q2s_err
q2si_place_between(struct q2si_salvage *salvage)
{
	struct placer placer = { .salvage = salvage };
	enum q2s_err err = know_all(&placer);

	if (err == Q2S_OK)
		err = place_all(&placer);
	free(placer.known);
	free(placer.places);
	return err;
}
