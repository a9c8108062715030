/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs of L2 entries whose data clusters lie side by side: judged and counted as a whole. */
#include "l2.h"

#include "base/arith.h"
#include "base/diag.h"

void
q2si_l2_report_entry(struct q2si_l2_walk *walk, enum q2si_finding_id id, uint32_t index,
		     struct q2si_place place)
{
	const struct q2s_geom *geom = walk->ck->geom;

	place.host = q2si_l2_entry_at(walk, index);
	if (walk->table->active) {
		place.has_guest = true;
		place.guest.v = walk->table->l1_index * geom->l2_span +
				((uint64_t)index << geom->cluster_bits);
	}
	q2si_report_place(walk->ck, id, &place);
}

/* QEMU's measure: a cluster that does not follow the one before it in the same L2 table. */
static void
count_blocks(struct q2si_l2_walk *walk, const struct q2si_l2_run *run)
{
	struct q2s_check_result *result = &walk->ck->result;
	const uint64_t active = walk->table->active;

	if (!active)
		return;
	result->allocated_clusters += active * run->n;
	if (walk->follows && run->host != walk->follows)
		result->fragmented_clusters += active;
	walk->follows = run->host + ((uint64_t)run->n << walk->ck->geom->cluster_bits);
}

/* ---- external data file ------------------------------------------------------------------ */

static void
check_data_file(struct q2si_l2_walk *walk, const struct q2si_l2_run *run)
{
	const struct q2s_geom *geom = walk->ck->geom;
	const uint64_t guest = walk->table->l1_index * geom->l2_span +
			       ((uint64_t)run->index << geom->cluster_bits);

	if (!walk->table->active || (run->host == guest && run->copied))
		return;
	for (uint32_t i = 0; i < run->n; i++) {
		const uint64_t offset = (uint64_t)i << geom->cluster_bits;

		if (run->host != guest)
			q2si_l2_report(walk, DATA_FILE_OFFSET, run->index + i,
				       Q2SI_VALUES(run->host + offset, guest + offset));
		if (!run->copied)
			q2si_l2_report(walk, DATA_FILE_COPIED, run->index + i);
	}
}

/* ---- COPIED ------------------------------------------------------------------------------ */

/* COPIED in tables of snapshots has no meaning; it is only a trap for who believes it. */
static void
check_copied_inactive(struct q2si_l2_walk *walk, uint64_t first, uint64_t n)
{
	const struct q2si_counts *stored = &walk->ck->stored;

	if (q2si_counts_all(stored, first, n, 1))
		return;
	for (uint64_t i = 0; i < n; i++)
		walk->inactive_copied += q2si_counts_get(stored, first + i) != 1;
}

static void
check_copied(struct q2si_l2_walk *walk, const struct q2si_l2_run *run, uint64_t first, uint32_t n)
{
	const struct q2si_counts *stored = &walk->ck->stored;

	if (!walk->table->active) {
		if (run->copied)
			check_copied_inactive(walk, first, n);
		return;
	}
	if (run->copied ? q2si_counts_all(stored, first, n, 1)
			: q2si_counts_none(stored, first, n, 1))
		return;
	for (uint32_t i = 0; i < n; i++) {
		const uint64_t refs = q2si_counts_get(stored, first + i);

		if (run->copied && refs != 1)
			q2si_l2_report(walk, L2_COPIED_SET, run->index + i, Q2SI_VALUES(refs, 1));
		if (!run->copied && refs == 1)
			q2si_l2_report(walk, L2_COPIED_CLEAR, run->index + i);
	}
}

/* ---- two owners -------------------------------------------------------------------------- */

bool
q2si_l2_report_metadata(struct q2si_l2_walk *walk, uint32_t index, uint32_t step, uint64_t first,
			uint64_t n)
{
	const struct q2si_extents *metadata = &walk->ck->metadata;
	const uint64_t end = first + n;
	bool found = false;

	for (size_t i = q2si_extents_find(metadata, first); i < metadata->count; i++) {
		const struct q2si_extent *extent = &metadata->list[i];
		uint64_t cluster = q2si_max(first, extent->first);

		if (extent->first >= end)
			break;
		for (; cluster < q2si_min(end, extent->first + extent->n); cluster++)
			q2si_l2_report(walk, OVERLAP_DATA,
				       index + step * (uint32_t)(cluster - first),
				       .detail = q2si_extent_name(extent->kind));
		found = true;
	}
	return found;
}

static void
check_shared(struct q2si_l2_walk *walk, const struct q2si_l2_run *run, uint64_t first, uint32_t n)
{
	const struct q2si_counts *compressed = &walk->ck->compressed;

	q2si_l2_report_metadata(walk, run->index, 1, first, n);
	if (q2si_counts_all(compressed, first, n, 0))
		return;
	for (uint32_t i = 0; i < n; i++)
		if (q2si_counts_get(compressed, first + i))
			q2si_l2_report(walk, OVERLAP_COMPRESSED, run->index + i);
}

enum q2s_err
q2si_l2_count_run(struct q2si_l2_walk *walk, const struct q2si_l2_run *run)
{
	struct q2si_checker *ck = walk->ck;
	const uint64_t first = run->host >> ck->geom->cluster_bits;
	const uint64_t left = first < ck->file_clusters ? ck->file_clusters - first : 0;
	const uint32_t n = (uint32_t)q2si_min(run->n, left);
	bool touched = false;

	count_blocks(walk, run);
	if (ck->geom->data_file) {
		check_data_file(walk, run);
		return Q2S_OK;
	}
	for (uint32_t i = n; i < run->n; i++)
		q2si_l2_report(walk, DATA_CLUSTER_PAST_END, run->index + i,
			       Q2SI_VALUES(run->host + ((uint64_t)i << ck->geom->cluster_bits),
					   ck->file_size));
	if (n == 0)
		return Q2S_OK;
	check_copied(walk, run, first, n);
	Q2SI_TRY(q2si_counts_add(&ck->counted, first, n, walk->table->refs, &touched));
	if (touched)
		check_shared(walk, run, first, n);
	return Q2S_OK;
}
