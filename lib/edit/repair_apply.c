/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Applying a plan: stage by stage. */
#include "base/arith.h"
#include "base/diag.h"
#include "edit/repair_view.h"

/* Space behind the end of a file comes as zeros. */
static enum q2s_err
do_change(const struct q2s_repair *repair, const struct q2si_change *change, struct q2s_store *file,
	  struct q2s_diag *diag)
{
	if (change->kind == Q2SI_CHANGE_ZERO && change->at >= q2s_store_size(file))
		return q2s_store_set_length(file, change->at + change->len, diag);
	return q2si_change_do(repair, change, file, false, diag);
}

/* @fresh: new clusters that are there already, and in use; else NULL. */
static enum q2s_err
do_stage(const struct q2s_repair *repair, enum q2si_stage stage, struct q2s_store *file,
	 const struct q2si_fresh_list *fresh, struct q2s_diag *diag)
{
	bool any = false;

	for (size_t i = 0; i < repair->change_count; i++) {
		const struct q2si_change *change = &repair->changes[i];

		if (change->stage != stage ||
		    (stage == Q2SI_STAGE_FILL && fresh && q2si_fresh_has(fresh, change)))
			continue;
		Q2SI_TRY(do_change(repair, change, file, diag));
		any = true;
	}
	return any ? q2s_store_flush(file, diag) : Q2S_OK;
}

enum q2s_err
q2s_repair_apply(const struct q2s_repair *repair, struct q2s_store *file, struct q2s_diag *diag)
{
	struct q2si_fresh_list fresh;
	struct q2s_store *before;
	enum q2si_stage begun;
	bool filled;
	enum q2s_err err;

	if (!q2s_store_is_writable(file))
		return q2si_fail_at(diag, Q2S_E_USAGE, "image", Q2S_NOWHERE,
				    "it is not open for writing");
	Q2SI_TRY(q2si_view_before(repair, file, &before, &begun, diag));
	q2s_store_unref(before);
	/*
	 * A later stage is begun when new clusters are durable. Something may refer to them then,
	 * so they are not made once more, which would empty them for a while.
	 */
	filled = begun > Q2SI_STAGE_FILL && q2s_store_size(file) == repair->new_length &&
		 repair->new_length > repair->old_length;
	err = q2si_fresh_init(&fresh, repair, diag);
	for (int stage = 0; err == Q2S_OK && stage < Q2SI_STAGES; stage++)
		err = do_stage(repair, (enum q2si_stage)stage, file, filled ? &fresh : NULL, diag);
	q2si_fresh_free(&fresh);
	return err;
}
