/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Preallocation: an allocation map in which no cluster is without space. */
#include "base/diag.h"
#include "plan/alloc.h"

/* What a run becomes. */
static struct q2s_slot
filled_slot(const struct q2s_slot *slot, const struct q2s_slot *space)
{
	struct q2s_slot out = *slot;

	if (slot->host)
		return out;
	if (!slot->zero)
		return *space;
	out.host = true;
	return out;
}

/* @count clusters with @slot, which had no space before unless @had. */
static enum q2s_err
add(struct q2s_alloc *out, const struct q2s_slot *slot, uint64_t count, bool had,
    struct q2s_diag *diag)
{
	if (!had)
		out->spare += count;
	return q2s_alloc_add(out, slot, count, diag);
}

static enum q2s_err
fill_table(const struct q2s_alloc *plain, size_t rank, const struct q2s_slot *space,
	   struct q2s_alloc *out, struct q2s_diag *diag)
{
	struct q2si_slot_walk walk;
	struct q2si_placed_run run;

	q2si_slot_walk_start(&walk, plain, rank);
	while (q2si_slot_walk_next(&walk, &run)) {
		const struct q2s_slot slot = filled_slot(&run.slot, space);
		const uint64_t first = walk.first + run.entry;

		if (run.slot.comp_bytes || run.slot.back)
			return q2si_fail_at(diag, Q2S_E_USAGE, "allocation", Q2S_NOWHERE,
					    "what is compressed or shared has no space of its own");
		if (first > out->next)
			Q2SI_TRY(add(out, space, first - out->next, false, diag));
		Q2SI_TRY(add(out, &slot, run.count, run.slot.host, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
fill(const struct q2s_alloc *plain, const struct q2s_slot *space, struct q2s_alloc *out,
     struct q2s_diag *diag)
{
	for (size_t rank = 0; rank < plain->table_count; rank++)
		Q2SI_TRY(fill_table(plain, rank, space, out, diag));
	return add(out, space, plain->geom.clusters - out->next, false, diag);
}

enum q2s_err
q2s_alloc_fill(struct q2s_alloc *plain, const struct q2s_slot *space, struct q2s_alloc **out,
	       struct q2s_diag *diag)
{
	struct q2s_alloc *filled = NULL;
	enum q2s_err err;

	if (!space->host)
		return q2si_fail_at(diag, Q2S_E_USAGE, "allocation", Q2S_NOWHERE,
				    "space without a host cluster");
	Q2SI_TRY(q2si_alloc_finish(plain, diag));
	Q2SI_TRY(q2s_alloc_new(&plain->geom, &filled, diag));
	err = fill(plain, space, filled, diag);
	if (err != Q2S_OK)
		q2s_alloc_free(filled);
	else
		*out = filled;
	return err;
}
