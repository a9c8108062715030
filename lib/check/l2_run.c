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

	if (!place.host.v)
		place.host = q2si_l2_entry_at(walk, index);
	if (walk->table->active) {
		place.has_guest = true;
		place.guest.v = walk->table->l1_index * geom->l2_span +
				((uint64_t)index << geom->cluster_bits);
	}
	q2si_report_place(walk->ck, id, &place);
}

/* QEMU's measure: a cluster that does not follow the one before it in the same L2 table. */
void
q2si_l2_count_blocks(struct q2si_l2_walk *walk, uint64_t host, uint32_t n)
{
	struct q2s_check_result *result = &walk->ck->result;
	const uint64_t active = walk->table->active;

	if (!active)
		return;
	result->allocated_clusters += active * n;
	if (walk->follows && host != walk->follows)
		result->fragmented_clusters += active;
	walk->follows = host + ((uint64_t)n << walk->ck->geom->cluster_bits);
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
			q2si_l2_report(walk, DATA_FILE_COPIED, run->index + i,
				       Q2SI_TIMES(walk->table->active));
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

/* Of clusters from @first on, which may lie past the end of the file. */
void
q2si_l2_check_copied(struct q2si_l2_walk *walk, const struct q2si_l2_run *run, uint64_t first,
		     uint32_t n)
{
	const struct q2si_counts *stored = &walk->ck->stored;

	if (!walk->table->active) {
		if (run->copied && first < stored->limit)
			check_copied_inactive(walk, first, q2si_min(n, stored->limit - first));
		return;
	}
	if (first + n <= stored->limit && (run->copied ? q2si_counts_all(stored, first, n, 1)
						       : q2si_counts_none(stored, first, n, 1)))
		return;
	for (uint32_t i = 0; i < n; i++) {
		const uint64_t refs = q2si_stored_count(walk->ck, first + i);

		if (run->copied && refs != 1)
			q2si_l2_report(walk, L2_COPIED_SET, run->index + i, Q2SI_VALUES(refs, 1),
				       Q2SI_TIMES(walk->table->active));
		if (!run->copied && refs == 1)
			q2si_l2_report(walk, L2_COPIED_CLEAR, run->index + i,
				       Q2SI_TIMES(walk->table->active));
	}
}

/* ---- the end of the file ----------------------------------------------------------------- */

/* A file may end before its last cluster does; what a copy lost there looks the same. */
static void
check_cut(struct q2si_l2_walk *walk, const struct q2si_l2_run *run, uint64_t first)
{
	const struct q2si_checker *ck = walk->ck;
	const struct q2s_geom *geom = ck->geom;
	const uint32_t there = (uint32_t)ck->file_size & (geom->cluster_size - 1);
	const uint64_t last = ck->file_clusters - 1;
	struct q2s_l2_entry entry;
	uint64_t guest;
	uint32_t index;

	if (there == 0 || !walk->table->active || last < first || last - first >= run->n)
		return;
	index = run->index + (uint32_t)(last - first);
	guest = walk->table->l1_index * geom->l2_span + ((uint64_t)index << geom->cluster_bits);
	if (guest + there >= geom->size ||
	    q2s_l2_decode_lenient(geom, walk->raw + (size_t)index * geom->l2_entry_size,
				  q2si_l2_entry_at(walk, index), &entry, NULL) != Q2S_OK ||
	    entry.alloc >> (there >> geom->sub_bits) == 0)
		return;
	q2si_l2_report(walk, DATA_CLUSTER_CUT, index,
		       Q2SI_VALUES(ck->file_size, (last + 1) << geom->cluster_bits));
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
				       .detail = q2s_structure_name(extent->kind),
				       Q2SI_TIMES(0));
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
			q2si_l2_report(walk, OVERLAP_COMPRESSED, run->index + i, Q2SI_TIMES(0));
}

enum q2s_err
q2si_l2_count_run(struct q2si_l2_walk *walk, const struct q2si_l2_run *run)
{
	struct q2si_checker *ck = walk->ck;
	const uint64_t first = run->host >> ck->geom->cluster_bits;
	const uint64_t left = first < ck->file_clusters ? ck->file_clusters - first : 0;
	const uint32_t n = (uint32_t)q2si_min(run->n, left);
	bool touched = false;

	q2si_l2_count_blocks(walk, run->host, run->n);
	if (ck->geom->data_file) {
		check_data_file(walk, run);
		return Q2S_OK;
	}
	for (uint32_t i = n; i < run->n; i++)
		q2si_l2_report(walk, DATA_CLUSTER_PAST_END, run->index + i,
			       Q2SI_VALUES(run->host + ((uint64_t)i << ck->geom->cluster_bits),
					   ck->file_size),
			       Q2SI_TIMES(walk->table->refs));
	q2si_l2_check_copied(walk, run, first, run->n);
	if (n == 0)
		return Q2S_OK;
	check_cut(walk, run, first);
	Q2SI_TRY(q2si_counts_add(&ck->counted, first, n, walk->table->refs, &touched));
	if (touched)
		check_shared(walk, run, first, n);
	return Q2S_OK;
}
