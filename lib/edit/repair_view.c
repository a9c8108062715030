/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "edit/repair_view.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/search.h"
#include "edit/draft.h"

/* ---- new clusters -------------------------------------------------------------------------- */

static int
by_start(const void *a, const void *b)
{
	const struct q2si_fresh *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

enum q2s_err
q2si_fresh_init(struct q2si_fresh_list *fresh, const struct q2s_repair *repair,
		struct q2s_diag *diag)
{
	size_t count = 0;

	*fresh = (struct q2si_fresh_list){ 0 };
	for (size_t i = 0; i < repair->change_count; i++)
		count += repair->changes[i].kind >= Q2SI_CHANGE_COPY;
	fresh->list = calloc(count + 1, sizeof(*fresh->list));
	if (!fresh->list)
		return q2si_fail_nomem(diag, "repair plan");
	for (size_t i = 0; i < repair->change_count; i++) {
		const struct q2si_change *change = &repair->changes[i];

		if (change->kind >= Q2SI_CHANGE_COPY)
			fresh->list[fresh->count++] =
				(struct q2si_fresh){ change->at, change->at + change->len };
	}
	qsort(fresh->list, fresh->count, sizeof(*fresh->list), by_start);
	count = fresh->count ? 1 : 0;
	for (size_t i = 1; i < fresh->count; i++) {
		struct q2si_fresh *last = &fresh->list[count - 1];

		if (fresh->list[i].start <= last->end)
			last->end = q2si_max(last->end, fresh->list[i].end);
		else
			fresh->list[count++] = fresh->list[i];
	}
	fresh->count = count;
	return Q2S_OK;
}

void
q2si_fresh_free(struct q2si_fresh_list *fresh)
{
	free(fresh->list);
	*fresh = (struct q2si_fresh_list){ 0 };
}

bool
q2si_fresh_has(const struct q2si_fresh_list *fresh, const struct q2si_change *change)
{
	const size_t i = Q2SI_COUNT_FIRST(k, fresh->count, fresh->list[k].end <= change->at);

	return i < fresh->count && fresh->list[i].start <= change->at;
}

void
q2si_change_range(const struct q2s_repair *repair, const struct q2si_change *change, uint64_t *at,
		  uint64_t *len)
{
	const uint32_t order = repair->refcount_order;
	uint64_t first, end;

	*at = change->at;
	*len = change->len;
	if (change->kind != Q2SI_CHANGE_COUNTS)
		return;
	first = (change->from << order) / 8;
	end = q2si_div_up((change->from + change->len) << order, 8);
	*at += first;
	*len = end - first;
}

/* ---- what is there ------------------------------------------------------------------------- */

/* Is each byte, or each count, an old or a new one? @begun: some are new. */
static bool
bytes_fit(const struct q2si_change *change, const uint8_t *now, bool *begun)
{
	const uint8_t *old = q2si_change_old(change), *fresh = q2si_change_new(change);

	for (uint64_t i = 0; i < change->len; i++) {
		if (now[i] != old[i] && now[i] != fresh[i])
			return false;
		*begun |= now[i] != old[i];
	}
	return true;
}

static bool
counts_fit(const struct q2s_repair *repair, const struct q2si_change *change, const uint8_t *now,
	   bool *begun)
{
	const struct q2s_geom geom = q2si_count_geom(repair);
	const uint64_t skip = (((change->from << repair->refcount_order) / 8) * 8) >>
			      repair->refcount_order;

	for (uint64_t i = 0; i < change->len; i++) {
		const uint64_t count =
			q2s_refcount_get(&geom, now, (uint32_t)(change->from + i - skip));

		if (count != change->old && count != change->fresh)
			return false;
		*begun |= count != change->old;
	}
	return true;
}

static enum q2s_err
put_back(const struct q2s_repair *repair, const struct q2si_change *change, struct q2s_store *file,
	 struct q2s_store *view, bool *begun, struct q2s_diag *diag)
{
	uint64_t at, len;
	uint8_t *now;
	bool fits;
	enum q2s_err err;

	q2si_change_range(repair, change, &at, &len);
	now = malloc(q2si_size(len));
	if (!now)
		return q2si_fail_nomem(diag, "repair plan");
	err = q2s_store_read_padded(file, at, now, len, NULL, diag);
	if (err == Q2S_OK) {
		fits = change->kind == Q2SI_CHANGE_BYTES ? bytes_fit(change, now, begun)
							 : counts_fit(repair, change, now, begun);
		if (!fits)
			err = q2si_fail_at(diag, Q2S_E_CHANGED, "image", (q2s_host){ at },
					   "there is neither what the plan says nor what it writes");
	}
	free(now);
	return err == Q2S_OK && *begun ? q2si_change_do(repair, change, view, true, diag) : err;
}

static enum q2s_err
put_all_back(const struct q2s_repair *repair, const struct q2si_fresh_list *fresh,
	     struct q2s_store *file, struct q2s_store *view, enum q2si_stage *stage,
	     struct q2s_diag *diag)
{
	for (size_t i = 0; i < repair->change_count; i++) {
		const struct q2si_change *change = &repair->changes[i];
		bool begun = false;

		if (change->kind >= Q2SI_CHANGE_COPY || q2si_fresh_has(fresh, change))
			continue;
		Q2SI_TRY(put_back(repair, change, file, view, &begun, diag));
		if (begun && stage && change->stage > *stage)
			*stage = change->stage;
	}
	return q2s_store_set_length(view, repair->old_length, diag);
}

enum q2s_err
q2si_view_before(const struct q2s_repair *repair, struct q2s_store *file, struct q2s_store **out,
		 enum q2si_stage *stage, struct q2s_diag *diag)
{
	const uint64_t length = q2s_store_size(file);
	struct q2si_fresh_list fresh;
	struct q2s_store *view;
	enum q2s_err err;

	if (stage)
		*stage = Q2SI_STAGE_FILL;
	if (length < repair->old_length || length > repair->new_length)
		return q2si_fail(diag, Q2S_E_CHANGED, "image", Q2S_NOWHERE, length,
				 "the plan is for a file of 0x%llx bytes",
				 (unsigned long long)repair->old_length);
	Q2SI_TRY(q2si_draft_open(file, &view, diag));
	err = q2si_fresh_init(&fresh, repair, diag);
	if (err == Q2S_OK)
		err = put_all_back(repair, &fresh, file, view, stage, diag);
	q2si_fresh_free(&fresh);
	if (err == Q2S_OK)
		*out = view;
	else
		q2s_store_unref(view);
	return err;
}

enum q2s_err
q2si_view_after(const struct q2s_repair *repair, struct q2s_store *before, struct q2s_store **out,
		struct q2s_diag *diag)
{
	struct q2s_store *view;
	enum q2s_err err;

	Q2SI_TRY(q2si_draft_open(before, &view, diag));
	err = q2s_store_set_length(view, q2si_max(repair->new_length, repair->old_length), diag);
	for (int stage = 0; err == Q2S_OK && stage < Q2SI_STAGES; stage++)
		for (size_t i = 0; err == Q2S_OK && i < repair->change_count; i++) {
			const struct q2si_change *change = &repair->changes[i];

			/* Behind the old end all is zero already. */
			if ((int)change->stage != stage ||
			    (change->kind == Q2SI_CHANGE_ZERO && change->at >= repair->old_length))
				continue;
			err = q2si_change_do(repair, change, view, false, diag);
		}
	if (err == Q2S_OK)
		*out = view;
	else
		q2s_store_unref(view);
	return err;
}
