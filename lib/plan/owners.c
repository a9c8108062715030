/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/owners.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/search.h"
#include "plan/alloc.h"

size_t
q2si_owners_find(const struct q2si_owners *owners, uint64_t cluster)
{
	return Q2SI_COUNT_FIRST(i, owners->count, owners->list[i].cluster < cluster);
}

static enum q2s_err
wrong(struct q2s_diag *diag, uint64_t cluster, const char *why)
{
	return q2si_fail(diag, Q2S_E_USAGE, "shared cluster", Q2S_NOWHERE, cluster, "%s", why);
}

enum q2s_err
q2si_alloc_set_owners(struct q2s_alloc *alloc, const struct q2si_owners *owners,
		      struct q2s_diag *diag)
{
	const uint64_t most = q2si_min(alloc->geom.refcount_max, Q2S_SHARERS_MAX);
	struct q2si_owner *list;

	if (owners->count == 0)
		return Q2S_OK;
	for (size_t i = 0; i < owners->count; i++) {
		const struct q2si_owner *owner = &owners->list[i];

		if (i > 0 && owner->cluster <= owner[-1].cluster)
			return wrong(diag, owner->cluster, "they are not in order");
		if (owner->sharers == 0 || owner->sharers >= most)
			return wrong(diag, owner->cluster, "nobody shares it, or too many");
	}
	list = reallocarray(NULL, owners->count, sizeof(*list));
	if (!list)
		return q2si_fail_nomem(diag, "list of shared clusters");
	memcpy(list, owners->list, owners->count * sizeof(*list));
	alloc->owners = (struct q2si_owners){ list, owners->count };
	alloc->references_max = most;
	return Q2S_OK;
}

/* Owners among the clusters of a run that has content: where each lies. */
static void
place_owners(struct q2s_alloc *alloc, const struct q2si_placed_run *run, uint64_t first)
{
	struct q2si_owners *owners = &alloc->owners;

	for (size_t i = q2si_owners_find(owners, first);
	     i < owners->count && owners->list[i].cluster < first + run->count; i++) {
		struct q2si_owner *owner = &owners->list[i];

		owner->at = run->at +
			    ((owner->cluster - first) << alloc->geom.cluster_bits);
		owner->comp_bytes = run->slot.comp_bytes;
		owner->alloc = run->slot.alloc;
		owner->zero = run->slot.zero;
	}
}

/* Sharers: each must share an owner, which is before it and so is placed already. */
static enum q2s_err
count_sharers(const struct q2s_alloc *alloc, const struct q2si_placed_run *run, uint64_t first,
	      uint32_t *seen, struct q2s_diag *diag)
{
	const struct q2si_owners *owners = &alloc->owners;

	for (uint64_t cluster = first; cluster < first + run->count; cluster++) {
		const uint64_t wanted = cluster - run->slot.back;
		const size_t i = q2si_owners_find(owners, wanted);

		if (i == owners->count || owners->list[i].cluster != wanted)
			return wrong(diag, cluster, "it shares a cluster that cannot be shared");
		seen[i]++;
	}
	return Q2S_OK;
}

static enum q2s_err
resolve_table(struct q2s_alloc *alloc, size_t rank, uint32_t *seen, struct q2s_diag *diag)
{
	const uint64_t base = (uint64_t)alloc->tables[rank].index << alloc->geom.l2_bits;
	struct q2si_slot_walk walk;
	struct q2si_placed_run run;

	q2si_slot_walk_start(&walk, alloc, rank);
	while (q2si_slot_walk_next(&walk, &run)) {
		if (run.slot.back)
			Q2SI_TRY(count_sharers(alloc, &run, base + run.entry, seen, diag));
		else if (run.slot.alloc || run.slot.comp_bytes)
			place_owners(alloc, &run, base + run.entry);
	}
	return Q2S_OK;
}

enum q2s_err
q2si_owners_resolve(struct q2s_alloc *alloc, struct q2s_diag *diag)
{
	const struct q2si_owners *owners = &alloc->owners;
	Q2SI_AUTO_FREE uint32_t *seen = NULL;

	if (owners->count == 0 && !alloc->shares)
		return Q2S_OK;
	seen = calloc(owners->count + 1, sizeof(*seen));
	if (!seen)
		return q2si_fail_nomem(diag, "list of shared clusters");
	for (size_t rank = 0; rank < alloc->table_count; rank++)
		Q2SI_TRY(resolve_table(alloc, rank, seen, diag));
	for (size_t i = 0; i < owners->count; i++) {
		const struct q2si_owner *owner = &owners->list[i];

		if (!owner->alloc && !owner->comp_bytes)
			return wrong(diag, owner->cluster, "it holds no data");
		if (owner->sharers != seen[i])
			return wrong(diag, owner->cluster, "not as many share it as was said");
	}
	return Q2S_OK;
}
