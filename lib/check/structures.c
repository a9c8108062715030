/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Structures as a whole: counted, remembered, and judged when two of them share clusters. */
#include "checker.h"

#include <stdio.h>

#include "base/arith.h"
#include "base/diag.h"

enum q2s_err
q2si_count_structure(struct q2si_checker *ck, enum q2s_structure_kind kind, uint64_t at,
		     uint64_t len, enum q2si_finding_id lost)
{
	const uint32_t bits = ck->geom->cluster_bits;
	const uint64_t first = at >> bits;
	const bool past_end = q2si_past_end(ck, at, len);
	uint64_t end = ck->counted.limit;
	bool touched = false;

	if (len == 0)
		return Q2S_OK;
	if (past_end) {
		q2si_report_place(ck, lost,
				  &(const struct q2si_place){ .host = { at },
							      Q2SI_VALUES(at, ck->file_size) });
		end = ck->file_clusters;
	}
	if (first >= end)
		return Q2S_OK;
	/* What leaves 64 bits is past the end of any file. */
	if (len - 1 <= UINT64_MAX - at)
		end = q2si_min(end, ((at + len - 1) >> bits) + 1);
	/* QEMU counts a structure as a whole or not at all. */
	if (!past_end)
		Q2SI_TRY(q2si_counts_add(&ck->counted, first, end - first, 1, &touched));
	return q2si_extents_add(&ck->metadata, kind, first, end - first);
}

static void
report_overlap(struct q2si_checker *ck, const struct q2si_extent *a, const struct q2si_extent *b)
{
	char detail[80];

	/* Refcount blocks are judged by their counts. */
	if (a->kind == Q2S_STRUCTURE_REFCOUNT_BLOCK && b->kind == Q2S_STRUCTURE_REFCOUNT_BLOCK)
		return;
	snprintf(detail, sizeof(detail), "%s and %s", q2s_structure_name(a->kind),
		 q2s_structure_name(b->kind));
	q2si_report(ck, OVERLAP_METADATA, .host = { b->first << ck->geom->cluster_bits },
		    .detail = detail, Q2SI_TIMES(0));
}

/* Report each extent that starts within an earlier one, and cut off what they share. */
static void
separate(struct q2si_checker *ck)
{
	struct q2si_extents *all = &ck->metadata;
	size_t kept = 0;

	for (size_t i = 1; i < all->count; i++) {
		struct q2si_extent *last = &all->list[kept], next = all->list[i];
		const uint64_t end = last->first + last->n;

		if (next.first < end) {
			report_overlap(ck, last, &next);
			if (next.first + next.n <= end)
				continue;
			next.n -= (uint32_t)(end - next.first);
			next.first = end;
		}
		all->list[++kept] = next;
	}
	if (all->count)
		all->count = kept + 1;
}

enum q2s_err
q2si_check_overlaps(struct q2si_checker *ck)
{
	bool touched = false;

	q2si_tables_settle(&ck->tables);
	for (size_t i = 0; i < ck->tables.count; i++) {
		const struct q2si_table *table = &ck->tables.list[i];

		Q2SI_TRY(q2si_counts_add(&ck->counted, table->cluster, 1, table->refs, &touched));
		Q2SI_TRY(q2si_extents_add(&ck->metadata, Q2S_STRUCTURE_L2, table->cluster, 1));
	}
	q2si_extents_sort(&ck->metadata);
	separate(ck);
	return Q2S_OK;
}
