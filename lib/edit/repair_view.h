/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An image on which a plan may have been applied in part: what it was before, and what it will be.
 * Whatever a plan changes holds the old bytes, the new ones, or some of each.
 */
#ifndef Q2SI_EDIT_REPAIR_VIEW_H
#define Q2SI_EDIT_REPAIR_VIEW_H

#include "edit/repair.h"

/** A range of clusters that the plan makes: what it held before is nobody's. */
struct q2si_fresh {
	uint64_t start, end;
};

/** Sorted. */
struct q2si_fresh_list {
	struct q2si_fresh *list;
	size_t count;
};
enum q2s_err q2si_fresh_init(struct q2si_fresh_list *fresh, const struct q2s_repair *repair,
			     struct q2s_diag *diag);
void q2si_fresh_free(struct q2si_fresh_list *fresh);
/** Does @change write to such a range? */
bool q2si_fresh_has(const struct q2si_fresh_list *fresh, const struct q2si_change *change);

/** The bytes of the file that a change writes to. */
void q2si_change_range(const struct q2s_repair *repair, const struct q2si_change *change,
		       uint64_t *at, uint64_t *len);

/**
 * The file as it was before.
 *
 * @stage  or NULL; receives the last stage of which something is on the file already; all before it
 *         is durable then
 * Q2S_E_CHANGED: something else is there.
 */
enum q2s_err q2si_view_before(const struct q2s_repair *repair, struct q2s_store *file,
			      struct q2s_store **out, enum q2si_stage *stage,
			      struct q2s_diag *diag);

/** @before as it will be. @tables: only where the file ends before the plan's new clusters. */
enum q2s_err q2si_view_after(const struct q2s_repair *repair, struct q2s_store *before,
			     struct q2s_store **out, struct q2s_diag *diag);

#endif
