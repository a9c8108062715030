/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * L2 entries. What contradicts itself is set right where that leaves the guest's bytes as they are.
 * An entry that leads nowhere gets the cluster that it most likely had, which is a leak now; if
 * there is none it is made to read as zeros, as QEMU shows it.
 */
#include "edit/repair.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/search.h"
#include "format/l2.h"

#define LOSS_GUESS "if it was another cluster, wrong bytes show in this place"
#define LOSS_ZERO "the guest's data of this cluster, which reads as zeros then; leaked clusters, one " \
		  "of which may hold it, are not given away"

/* One entry under repair, as the draft has it now; @refs L1 entries lead to its table. */
struct entry_work {
	struct q2si_round *round;
	const struct q2si_case *found;
	uint8_t raw[16];
	uint64_t desc, map;
	uint64_t refs;
};

static uint64_t
table_refs(const struct q2si_checker *ck, uint64_t cluster)
{
	const size_t i = Q2SI_COUNT_FIRST(k, ck->tables.count,
					  ck->tables.list[k].cluster < cluster);

	return i < ck->tables.count && ck->tables.list[i].cluster == cluster
		       ? ck->tables.list[i].refs
		       : 1;
}

static enum q2s_err
entry_load(struct entry_work *work)
{
	const struct q2s_geom *geom = work->round->ck->geom;

	Q2SI_TRY(q2si_round_read(work->round, work->found->host, work->raw, geom->l2_entry_size));
	work->desc = q2si_get_be64(work->raw);
	work->map = geom->extended ? q2si_get_be64(work->raw + 8) : 0;
	work->refs = table_refs(work->round->ck, work->found->host >> geom->cluster_bits);
	return Q2S_OK;
}

static enum q2s_err
entry_store(struct entry_work *work, uint64_t desc, uint64_t map, enum q2s_sure sure,
	    const char *why, const char *loss)
{
	struct q2si_round *round = work->round;
	const struct q2s_geom *geom = round->ck->geom;
	uint8_t raw[16];

	Q2SI_TRY(q2si_round_step(round, work->found, sure, why, loss));
	q2si_put_be64(raw, desc);
	q2si_put_be64(raw + 8, map);
	round->changed = true;
	return q2si_step_bytes(round->repair, Q2SI_STAGE_L2, work->found->host, raw,
			       geom->l2_entry_size, round->diag);
}

/* ---- entries whose host cluster is known --------------------------------------------------- */

static enum q2s_err
mend_reserved(struct entry_work *work)
{
	const struct q2s_geom *geom = work->round->ck->geom;
	const uint64_t zero = geom->extended || geom->version < 3 ? UINT64_C(0) : (uint64_t)Q2S_ENTRY_ZERO;

	if (work->desc & Q2S_ENTRY_COMPRESSED)
		return Q2S_OK;
	return entry_store(work, work->desc & (Q2S_ENTRY_COPIED | zero | Q2S_ENTRY_HOST_MASK),
			   work->map, Q2S_SURE_CERTAIN, "bits that must be zero are cleared",
			   "nothing: they are ignored by whoever reads");
}

/* Version 2 has no such flag, so nobody has set it. */
static enum q2s_err
mend_zero_flag(struct entry_work *work)
{
	return entry_store(work, work->desc & ~Q2S_ENTRY_ZERO, 0, Q2S_SURE_CERTAIN,
			   "the zero flag, which version 2 has not, is cleared",
			   "if somebody meant zeros by it, the data below it shows again");
}

static enum q2s_err
mend_compressed(struct entry_work *work)
{
	return entry_store(work, work->desc & ~Q2S_ENTRY_COPIED, 0, Q2S_SURE_CERTAIN,
			   "a compressed cluster has neither COPIED nor a bitmap",
			   "nothing: they are ignored by whoever reads");
}

/* In a data file a cluster lies at its guest offset. */
static enum q2s_err
mend_data_file(struct entry_work *work)
{
	const uint64_t rest = work->map;

	if (!work->found->has_guest)
		return Q2S_OK;
	return entry_store(work, Q2S_ENTRY_COPIED | work->found->guest |
			   (work->desc & Q2S_ENTRY_COMPRESSED ? 0u : work->desc & Q2S_ENTRY_ZERO),
			   rest, Q2S_SURE_CERTAIN,
			   "a cluster of a data file lies at its guest offset, with COPIED",
			   "nothing: there is no other place where it can be");
}

/* ---- entries that lead nowhere ------------------------------------------------------------- */

/* The host cluster of the entry @step behind @here in its table, if it is plain; else 0. */
static enum q2s_err
neighbour(struct q2si_round *round, uint64_t here, int64_t step, uint64_t *out)
{
	const struct q2s_geom *geom = round->ck->geom;
	const uint64_t table = q2si_round_down(here, geom->cluster_size);
	const uint64_t at = here + (uint64_t)(step * (int64_t)geom->l2_entry_size);
	struct q2s_l2_entry entry;
	uint8_t raw[16];

	*out = 0;
	if (at < table || at >= table + geom->cluster_size)
		return Q2S_OK;
	Q2SI_TRY(q2si_round_read(round, at, raw, geom->l2_entry_size));
	if (q2s_l2_decode_lenient(geom, raw, Q2S_NOWHERE, &entry, NULL) == Q2S_OK &&
	    !entry.compressed && entry.has_host)
		*out = entry.host.v >> geom->cluster_bits;
	return Q2S_OK;
}

/* An orphan, but for what the broken entry itself was counted for: an unaligned one counts two. */
static bool
may_be_its_own(const struct entry_work *work, uint64_t cluster)
{
	const struct q2si_checker *ck = work->round->ck;
	const uint64_t first = (work->desc & Q2S_ENTRY_HOST_MASK) >> ck->geom->cluster_bits;

	if (q2si_round_orphan(work->round, cluster, work->refs))
		return true;
	return work->found->id == Q2SI_FOUND_DATA_CLUSTER_UNALIGNED && cluster > 0 &&
	       (cluster == first || cluster == first + 1) &&
	       q2si_counts_get(&ck->stored, cluster) == work->refs &&
	       q2si_counts_get(&ck->counted, cluster) == work->refs;
}

/* The leaked cluster, if there is one alone. */
static uint64_t
only_orphan(const struct q2si_round *round, uint64_t refs)
{
	struct q2si_count_diff diff;
	uint64_t one = 0;

	for (uint64_t from = 0; q2si_counts_next_diff(&round->ck->stored, &round->ck->counted,
						      from, &diff);
	     from = diff.cluster + 1) {
		if (!q2si_round_orphan(round, diff.cluster, refs))
			continue;
		if (one)
			return 0;
		one = diff.cluster;
	}
	return one;
}

/* The cluster that it most likely led to; 0 if nothing speaks for one. */
static enum q2s_err
find_cluster(struct entry_work *work, uint64_t *out)
{
	const struct q2s_geom *geom = work->round->ck->geom;
	const uint64_t down = (work->desc & Q2S_ENTRY_HOST_MASK) >> geom->cluster_bits;
	uint64_t before, behind;
	size_t lost = 0;

	*out = down;
	if (work->found->id == Q2SI_FOUND_DATA_CLUSTER_UNALIGNED && may_be_its_own(work, down))
		return Q2S_OK;
	Q2SI_TRY(neighbour(work->round, work->found->host, -1, &before));
	Q2SI_TRY(neighbour(work->round, work->found->host, 1, &behind));
	*out = before ? before + 1 : 0;
	if (*out && may_be_its_own(work, *out))
		return Q2S_OK;
	*out = behind ? behind - 1 : 0;
	if (*out && may_be_its_own(work, *out))
		return Q2S_OK;
	for (size_t i = 0; i < work->round->count; i++)
		lost += work->round->cases[i].id == work->found->id;
	*out = lost == 1 ? only_orphan(work->round, work->refs) : 0;
	return Q2S_OK;
}

enum q2s_err
q2si_fitting_orphan(struct q2si_round *round, uint64_t entry, uint64_t *out, bool *near)
{
	uint64_t before, behind;

	Q2SI_TRY(neighbour(round, entry, -1, &before));
	Q2SI_TRY(neighbour(round, entry, 1, &behind));
	*near = true;
	*out = before + 1;
	if (before && q2si_round_orphan(round, *out, 1))
		return Q2S_OK;
	*out = behind - 1;
	if (behind && q2si_round_orphan(round, *out, 1))
		return Q2S_OK;
	*near = false;
	*out = only_orphan(round, 1);
	return Q2S_OK;
}

/* Version 2 cannot say zero over a backing file but by a cluster of zeros. */
static enum q2s_err
read_as_zero(struct entry_work *work, const char *why)
{
	struct q2si_round *round = work->round;
	const struct q2s_geom *geom = round->ck->geom;
	const bool was_zero = geom->version >= 3 && !geom->extended &&
			      !(work->desc & Q2S_ENTRY_COMPRESSED) && work->desc & Q2S_ENTRY_ZERO;
	const uint64_t seen = work->desc & Q2S_ENTRY_COMPRESSED
				      ? UINT32_MAX
				      : (work->map >> 32 | work->map) & UINT32_MAX;
	uint8_t raw[8];
	uint64_t host;

	if (was_zero)
		return entry_store(work, Q2S_ENTRY_ZERO, 0, Q2S_SURE_CERTAIN,
				   "a cluster that reads as zero keeps no host cluster that is wrong",
				   "nothing: it reads as zero before and after");
	/* Behind the end of the disk nobody reads it. */
	if (!work->found->has_guest || work->found->guest < geom->size) {
		round->lost++;
		round->broken = true;
	}
	if (geom->version >= 3)
		return entry_store(work, geom->extended ? UINT64_C(0) : (uint64_t)Q2S_ENTRY_ZERO, seen << 32,
				   Q2S_SURE_UNKNOWN, why, LOSS_ZERO);
	if (round->ck->header->backing_file_offset.v == 0)
		return entry_store(work, 0, 0, Q2S_SURE_UNKNOWN, why, LOSS_ZERO);
	Q2SI_TRY(q2si_round_alloc(round, 1, &host));
	Q2SI_TRY(q2si_round_step(round, work->found, Q2S_SURE_UNKNOWN, why, LOSS_ZERO));
	Q2SI_TRY(q2si_step_zero(round->repair, host, geom->cluster_size, round->diag));
	q2si_put_be64(raw, host | Q2S_ENTRY_COPIED);
	round->changed = true;
	return q2si_step_bytes(round->repair, Q2SI_STAGE_L2, work->found->host, raw, sizeof(raw),
			       round->diag);
}

static enum q2s_err
repoint(struct entry_work *work, uint64_t cluster, const char *why)
{
	const struct q2s_geom *geom = work->round->ck->geom;
	const uint64_t flags = (geom->extended ? 0 : work->desc & Q2S_ENTRY_ZERO) |
			       (work->refs == 1 ? Q2S_ENTRY_COPIED : 0);

	Q2SI_TRY(q2si_round_claim(work->round, cluster, work->refs));
	return entry_store(work, cluster << geom->cluster_bits | flags, work->map,
			   Q2S_SURE_LIKELY, why, LOSS_GUESS);
}

/* Subclusters that contradict themselves: their data is shown, where there is any. */
static enum q2s_err
mend_bitmap(struct entry_work *work)
{
	const uint64_t alloc = work->map & UINT32_MAX, zero = work->map >> 32;
	uint64_t cluster;

	if (work->desc & Q2S_ENTRY_HOST_MASK)
		return entry_store(work, work->desc, (zero & ~alloc) << 32 | alloc, Q2S_SURE_LIKELY,
				   "subclusters that are both allocated and zero show their data, "
				   "so that none is lost",
				   "if they were zero, old data shows again");
	work->map = (zero & ~alloc) << 32 | alloc;
	Q2SI_TRY(find_cluster(work, &cluster));
	if (cluster)
		return repoint(work, cluster,
			       "subclusters are allocated without a host cluster; by the neighbours "
			       "of the entry it had one that is leaked now");
	work->round->lost++;
	work->round->broken = true;
	return entry_store(work, work->desc & ~Q2S_ENTRY_COPIED, (zero | alloc) << 32,
			   Q2S_SURE_UNKNOWN,
			   "subclusters that are allocated without a host cluster read as zero",
			   LOSS_ZERO);
}

static enum q2s_err
mend_lost(struct entry_work *work)
{
	const struct q2s_geom *geom = work->round->ck->geom;
	const uint64_t host = work->desc & Q2S_ENTRY_HOST_MASK;
	const bool zero = geom->version >= 3 && !geom->extended && work->desc & Q2S_ENTRY_ZERO;
	uint64_t cluster = 0;

	/* The same entry may have been mended for another reason. */
	if (work->desc & Q2S_ENTRY_COMPRESSED ||
	    (q2si_is_aligned(host, geom->cluster_size) &&
	     host >> geom->cluster_bits < work->round->ck->file_clusters))
		return Q2S_OK;
	if (!geom->data_file && !zero)
		Q2SI_TRY(find_cluster(work, &cluster));
	if (cluster)
		return repoint(work, cluster,
			       "the entry leads to no cluster of the file; by its neighbours it led "
			       "to one that is leaked now");
	if (geom->data_file)
		return mend_data_file(work);
	return read_as_zero(work, "the entry leads to no cluster of the file, and nothing says to "
				  "which one it led");
}

/* A stream may end before the sectors that the entry counts: then the file need not have them all. */
static enum q2s_err
mend_stream(struct entry_work *work)
{
	const struct q2si_checker *ck = work->round->ck;
	const struct q2s_geom *geom = ck->geom;
	const uint32_t bits = q2s_comp_offset_bits(geom);
	const uint64_t at = work->desc & ((UINT64_C(1) << bits) - 1);
	const uint64_t end = (ck->file_clusters) << geom->cluster_bits;
	uint64_t sectors;

	if (!(work->desc & Q2S_ENTRY_COMPRESSED))
		return Q2S_OK;
	if (geom->data_file)
		return mend_data_file(work);
	if (work->found->id != Q2SI_FOUND_COMPRESSED_PAST_END || at >= ck->file_size)
		return read_as_zero(work, "the compressed data is not in the file");
	sectors = (end - 1) / Q2S_SECTOR - at / Q2S_SECTOR;
	return entry_store(work, Q2S_ENTRY_COMPRESSED | sectors << bits | at, 0, Q2S_SURE_LIKELY,
			   "the entry counts sectors that the file does not have; the compressed "
			   "data may end before them",
			   "nothing: what the file does not have cannot be read anyway");
}

/* ---- data on metadata ---------------------------------------------------------------------- */

/* The guest keeps what it reads now, at a place of its own: so neither can destroy the other. */
static enum q2s_err
move_away(struct entry_work *work, uint64_t first, uint64_t clusters, uint64_t mask)
{
	struct q2si_round *round = work->round;
	const struct q2s_geom *geom = round->ck->geom;
	const uint64_t copied = work->desc & Q2S_ENTRY_COMPRESSED ? 0 : Q2S_ENTRY_COPIED;
	uint8_t raw[16];
	uint64_t host;

	Q2SI_TRY(q2si_round_alloc(round, clusters, &host));
	Q2SI_TRY(q2si_round_step(round, work->found, Q2S_SURE_UNKNOWN,
				 "guest data lies on metadata; it is copied to clusters of its own",
				 "nothing that can be read now; if the data was overwritten by "
				 "metadata, that has happened"));
	Q2SI_TRY(q2si_step_copy(round->repair, first << geom->cluster_bits, host,
				clusters << geom->cluster_bits, false, round->diag));
	q2si_put_be64(raw, (work->desc & ~mask) | copied |
			   ((work->desc & mask) - (first << geom->cluster_bits) + host));
	q2si_put_be64(raw + 8, work->map);
	round->changed = true;
	return q2si_step_bytes(round->repair, Q2SI_STAGE_L2, work->found->host, raw,
			       geom->l2_entry_size, round->diag);
}

static enum q2s_err
mend_overlap(struct entry_work *work)
{
	struct q2si_round *round = work->round;
	const struct q2si_checker *ck = round->ck;
	const struct q2s_geom *geom = ck->geom;
	const bool on_refcounts = strstr(work->found->kind, "refcount");
	struct q2s_l2_entry entry;
	uint64_t cluster = 0;

	if (q2s_l2_decode_lenient(geom, work->raw, Q2S_NOWHERE, &entry, NULL) != Q2S_OK)
		return Q2S_OK;
	/* Refcounts are made anew, elsewhere, so that the data keeps its place. */
	if (entry.compressed && on_refcounts)
		return Q2S_OK;
	if (entry.compressed) {
		const struct q2si_clusters range = q2si_l2_clusters(geom, &entry);

		if (range.first >= ck->file_clusters)
			return Q2S_OK;
		return move_away(work, range.first, range.count,
				 (UINT64_C(1) << q2s_comp_offset_bits(geom)) - 1);
	}
	if (!entry.has_host || entry.host.v >> geom->cluster_bits >= ck->file_clusters)
		return Q2S_OK;
	Q2SI_TRY(find_cluster(work, &cluster));
	if (cluster)
		return repoint(work, cluster,
			       "the entry leads to metadata; by its neighbours it led to a cluster "
			       "that is leaked now");
	if (on_refcounts)
		return Q2S_OK;
	/* Elsewhere the bytes would be decrypted with another key stream. */
	if (ck->header->crypt_method == Q2S_CRYPT_LUKS)
		return read_as_zero(work, "the entry leads to metadata");
	return move_away(work, entry.host.v >> geom->cluster_bits, 1, Q2S_ENTRY_HOST_MASK);
}

/* ---- all of them --------------------------------------------------------------------------- */

static enum q2s_err
mend(struct entry_work *work, bool broken)
{
	switch (work->found->id) {
	case Q2SI_FOUND_L2_RESERVED:
		return broken ? mend_reserved(work) : Q2S_OK;
	case Q2SI_FOUND_L2_ZERO_FLAG:
		return broken ? mend_zero_flag(work) : Q2S_OK;
	case Q2SI_FOUND_L2_SUBCLUSTER_BOTH:
	case Q2SI_FOUND_L2_SUBCLUSTER_NO_HOST:
		return broken ? mend_bitmap(work) : Q2S_OK;
	case Q2SI_FOUND_COMPRESSED_COPIED:
	case Q2SI_FOUND_COMPRESSED_BITMAP:
		return broken ? mend_compressed(work) : Q2S_OK;
	case Q2SI_FOUND_COMPRESSED_DATA_FILE:
	case Q2SI_FOUND_COMPRESSED_OFFSET:
	case Q2SI_FOUND_COMPRESSED_PAST_END:
		return mend_stream(work);
	case Q2SI_FOUND_DATA_FILE_OFFSET:
	case Q2SI_FOUND_DATA_FILE_COPIED:
		return mend_data_file(work);
	case Q2SI_FOUND_DATA_CLUSTER_UNALIGNED:
	case Q2SI_FOUND_DATA_CLUSTER_PAST_END:
		return mend_lost(work);
	case Q2SI_FOUND_OVERLAP_DATA:
		return mend_overlap(work);
	default:
		return Q2S_OK;
	}
}

enum q2s_err
q2si_repair_l2(struct q2si_round *round)
{
	for (size_t i = 0; i < round->count; i++) {
		struct entry_work work = { .round = round, .found = &round->cases[i] };
		const enum q2si_finding_id id = work.found->id;
		const bool changed = round->changed;
		struct q2s_l2_entry entry;

		if (id < Q2SI_FOUND_OVERLAP_DATA || id > Q2SI_FOUND_DATA_FILE_COPIED)
			continue;
		if (strcmp(q2si_finding_kinds[id].structure, "L2 entry") != 0)
			continue;
		Q2SI_TRY(entry_load(&work));
		round->changed = false;
		Q2SI_TRY(mend(&work, q2s_l2_decode(round->ck->geom, work.raw, Q2S_NOWHERE, &entry,
						   NULL) != Q2S_OK));
		/* The refcount, and COPIED, of what two owners had; an L2 table has them twice. */
		if (round->changed && id == Q2SI_FOUND_OVERLAP_DATA)
			round->fixed += 1 + (work.desc >> 63) +
					(work.found->kind && strcmp(work.found->kind, "L2 table") == 0);
		else if (round->changed)
			round->fixed += work.found->times;
		round->changed |= changed;
	}
	return Q2S_OK;
}
