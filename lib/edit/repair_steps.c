/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The steps of a plan while it is made: each change is noted, and done to the draft. */
#include "edit/repair_view.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"

/* A plan of more changes is of no use to a person, and too large for memory. */
#define CHANGES_MAX (UINT64_C(1) << 23)

const char *const q2si_stage_names[Q2SI_STAGES] = {
	[Q2SI_STAGE_FILL] = "fill", [Q2SI_STAGE_SWITCH] = "switch", [Q2SI_STAGE_L2] = "l2",
	[Q2SI_STAGE_L1] = "l1",     [Q2SI_STAGE_FALL] = "fall",     [Q2SI_STAGE_MARK] = "mark",
};

static enum q2s_err
grown(void **list, size_t *room, size_t count, size_t item, struct q2s_diag *diag)
{
	const size_t wanted = *room ? 2 * *room : 64;
	void *bigger;

	if (count < *room)
		return Q2S_OK;
	if (count >= CHANGES_MAX)
		return q2si_fail(diag, Q2S_E_LIMIT, "repair plan", Q2S_NOWHERE, count,
				 "more changes than a plan may have");
	bigger = reallocarray(*list, wanted, item);
	if (!bigger)
		return q2si_fail_nomem(diag, "repair plan");
	*list = bigger;
	*room = wanted;
	return Q2S_OK;
}

/* ---- steps and changes --------------------------------------------------------------------- */

void
q2si_step_end(struct q2s_repair *repair)
{
	if (repair->step_count && repair->steps[repair->step_count - 1].count == 0)
		repair->step_count--;
}

enum q2s_err
q2si_step_begin(struct q2s_repair *repair, const struct q2si_step *step, struct q2s_diag *diag)
{
	q2si_step_end(repair);
	Q2SI_TRY(grown((void **)&repair->steps, &repair->step_room, repair->step_count,
		       sizeof(*step), diag));
	repair->steps[repair->step_count] = *step;
	repair->steps[repair->step_count].first = repair->change_count;
	repair->steps[repair->step_count++].count = 0;
	return Q2S_OK;
}

enum q2s_err
q2si_step_aside(struct q2si_round *round, const struct q2si_case *found, const char *why,
		const char *loss, const char *kept, const struct q2si_change *change)
{
	struct q2s_repair *repair = round->repair;
	const struct q2si_step step = {
		.id = q2si_finding_kinds[found->id].id,
		.structure = q2si_finding_kinds[found->id].structure,
		.host = found->host,
		.sure = Q2S_SURE_UNKNOWN,
		.why = why,
		.loss = loss,
		.kept = kept,
	};

	if (!repair->aside)
		repair->aside = calloc(1, sizeof(*repair->aside));
	if (!repair->aside)
		return q2si_fail_nomem(round->diag, "repair plan");
	Q2SI_TRY(q2si_step_begin(repair->aside, &step, round->diag));
	return q2si_change_add(repair->aside, change, round->diag);
}

enum q2s_err
q2si_change_add(struct q2s_repair *repair, const struct q2si_change *change,
		struct q2s_diag *diag)
{
	Q2SI_TRY(grown((void **)&repair->changes, &repair->change_room, repair->change_count,
		       sizeof(*change), diag));
	repair->changes[repair->change_count++] = *change;
	repair->steps[repair->step_count - 1].count++;
	return Q2S_OK;
}

uint8_t *
q2si_change_room(struct q2si_change *change)
{
	if (change->len <= Q2SI_CHANGE_SMALL)
		return change->small;
	change->large = malloc(q2si_size(2 * change->len));
	return change->large;
}

void
q2s_repair_free(struct q2s_repair *repair)
{
	if (!repair)
		return;
	for (size_t i = 0; i < repair->change_count; i++)
		if (repair->changes[i].kind == Q2SI_CHANGE_BYTES &&
		    repair->changes[i].len > Q2SI_CHANGE_SMALL)
			free(repair->changes[i].large);
	free(repair->changes);
	free(repair->steps);
	free(repair->index);
	free(repair->arena);
	free(repair->candidates);
	q2s_repair_free(repair->aside);
	q2s_store_unref(repair->draft);
	q2s_store_unref(repair->file);
	free(repair);
}

uint64_t
q2s_repair_steps(const struct q2s_repair *repair)
{
	return repair->step_count;
}

/* The first number of a plan may have been edited, too. */
uint64_t
q2s_repair_steps_struck(const struct q2s_repair *repair)
{
	return repair->total - q2si_min(repair->total, repair->step_count);
}

void
q2s_repair_step(const struct q2s_repair *repair, uint64_t index, struct q2s_repair_step *out)
{
	const struct q2si_step *step = &repair->steps[index];

	*out = (struct q2s_repair_step){
		.number = index + 1,
		.id = step->id,
		.structure = step->structure,
		.host = { step->host },
		.has_guest = step->has_guest,
		.guest = { step->guest },
		.sure = step->sure,
		.why = step->why,
		.also = step->also,
		.loss = step->loss,
		.candidate = { step->candidate },
		.candidate_guest = { step->candidate_guest },
	};
	for (size_t i = 0; i < step->count; i++) {
		uint64_t at, len;

		q2si_change_range(repair, &repair->changes[step->first + i], &at, &len);
		out->bytes += len;
	}
}

/* ---- changes by their offset --------------------------------------------------------------- */

static size_t
index_slot(const struct q2s_repair *repair, uint64_t at)
{
	size_t slot = (size_t)(at * 0x9e3779b97f4a7c15u >> 20) & (repair->index_room - 1);

	while (repair->index[slot] && repair->changes[repair->index[slot] - 1].at != at)
		slot = (slot + 1) & (repair->index_room - 1);
	return slot;
}

static enum q2s_err
index_grow(struct q2s_repair *repair, struct q2s_diag *diag)
{
	size_t *const old = repair->index;
	const size_t old_room = repair->index_room;

	if (2 * (repair->index_count + 1) <= old_room)
		return Q2S_OK;
	repair->index_room = old_room ? 2 * old_room : 256;
	repair->index = calloc(repair->index_room, sizeof(*old));
	if (!repair->index) {
		repair->index = old;
		repair->index_room = old_room;
		return q2si_fail_nomem(diag, "repair plan");
	}
	for (size_t i = 0; i < old_room; i++)
		if (old[i])
			repair->index[index_slot(repair, repair->changes[old[i] - 1].at)] = old[i];
	free(old);
	return Q2S_OK;
}

static enum q2s_err
index_add(struct q2s_repair *repair, struct q2s_diag *diag)
{
	Q2SI_TRY(index_grow(repair, diag));
	repair->index[index_slot(repair, repair->changes[repair->change_count - 1].at)] =
		repair->change_count;
	repair->index_count++;
	return Q2S_OK;
}

static struct q2si_change *
index_find(const struct q2s_repair *repair, uint64_t at)
{
	const size_t slot = repair->index_room ? index_slot(repair, at) : 0;

	return repair->index_room && repair->index[slot]
		       ? &repair->changes[repair->index[slot] - 1]
		       : NULL;
}

/* The step of a change that was made before. */
static struct q2si_step *
step_of(const struct q2s_repair *repair, size_t change)
{
	size_t low = 0, high = repair->step_count;

	while (high - low > 1) {
		const size_t middle = low + (high - low) / 2;

		if (repair->steps[middle].first <= change)
			low = middle;
		else
			high = middle;
	}
	return &repair->steps[low];
}

/* The step that has just begun goes into the one that changed the same bytes before. */
static void
merge(struct q2s_repair *repair, struct q2si_change *into, const void *bytes)
{
	const struct q2si_step *now = &repair->steps[repair->step_count - 1];
	struct q2si_step *before = step_of(repair, (size_t)(into - repair->changes));

	memcpy(into->small + into->len, bytes, into->len);
	if (!before->also && before != now && now->count == 0)
		before->also = now->why;
	/* It is as sure as the least sure of its reasons, and loses what that loses. */
	if (now->sure > before->sure) {
		before->sure = now->sure;
		before->loss = now->loss;
	}
}

/* ---- changes that are done to the draft ---------------------------------------------------- */

enum q2s_err
q2si_step_bytes(struct q2s_repair *repair, enum q2si_stage stage, uint64_t at, const void *bytes,
		size_t len, struct q2s_diag *diag)
{
	struct q2si_change change = { Q2SI_CHANGE_BYTES, stage, .at = at, .len = len };
	struct q2si_change *before;
	uint8_t *const old = q2si_change_room(&change);
	enum q2s_err err;

	if (!old)
		return q2si_fail_nomem(diag, "repair plan");
	memcpy(old + len, bytes, len);
	err = q2s_store_read_padded(repair->draft, at, old, len, NULL, diag);
	if (err == Q2S_OK && memcmp(old, bytes, len) == 0) {
		if (len > Q2SI_CHANGE_SMALL)
			free(change.large);
		return Q2S_OK;
	}
	before = err == Q2S_OK && len <= Q2SI_CHANGE_SMALL ? index_find(repair, at) : NULL;
	if (before && before->len == len) {
		merge(repair, before, bytes);
		return q2s_store_write(repair->draft, at, bytes, len, diag);
	}
	if (err == Q2S_OK)
		err = q2si_change_add(repair, &change, diag);
	if (err != Q2S_OK) {
		if (len > Q2SI_CHANGE_SMALL)
			free(change.large);
		return err;
	}
	if (len <= Q2SI_CHANGE_SMALL)
		Q2SI_TRY(index_add(repair, diag));
	return q2s_store_write(repair->draft, at, bytes, len, diag);
}

/* The bytes of a block that hold some counts, rewritten. */
static enum q2s_err
counts_do(const struct q2s_repair *repair, const struct q2si_change *change,
	  struct q2s_store *store, uint64_t value, struct q2s_diag *diag)
{
	const struct q2s_geom geom = q2si_count_geom(repair);
	const uint64_t first = (change->from << repair->refcount_order) / 8;
	const uint64_t end =
		q2si_div_up((change->from + change->len) << repair->refcount_order, 8);
	const uint64_t skipped = (first * 8) >> repair->refcount_order;
	uint8_t *const raw = malloc(q2si_size(end - first));
	enum q2s_err err;

	if (!raw)
		return q2si_fail_nomem(diag, "refcount block");
	err = q2s_store_read_padded(store, change->at + first, raw, end - first, NULL, diag);
	if (err == Q2S_OK)
		err = q2s_refcount_fill(&geom, raw, (uint32_t)(change->from - skipped),
					(uint32_t)change->len, value, diag);
	if (err == Q2S_OK)
		err = q2s_store_write(store, change->at + first, raw, end - first, diag);
	free(raw);
	return err;
}

enum q2s_err
q2si_step_counts(struct q2s_repair *repair, enum q2si_stage stage, uint64_t block, uint64_t index,
		 uint64_t n, uint64_t old, uint64_t fresh, struct q2s_diag *diag)
{
	const struct q2si_change change = { Q2SI_CHANGE_COUNTS, stage, .at = block, .len = n,
					    .from = index, .old = old, .fresh = fresh };

	Q2SI_TRY(q2si_change_add(repair, &change, diag));
	return counts_do(repair, &change, repair->draft, fresh, diag);
}

/* What is new lies behind the end of a file, so that the draft only has to be longer. */
static enum q2s_err
lengthen(struct q2s_repair *repair, uint64_t end, struct q2s_diag *diag)
{
	if (end > q2s_store_size(repair->draft))
		Q2SI_TRY(q2s_store_set_length(repair->draft, end, diag));
	repair->new_length = q2s_store_size(repair->draft);
	return Q2S_OK;
}

enum q2s_err
q2si_step_zero(struct q2s_repair *repair, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	const struct q2si_change change = { Q2SI_CHANGE_ZERO, Q2SI_STAGE_FILL, .at = at,
					    .len = len };

	Q2SI_TRY(q2si_change_add(repair, &change, diag));
	if (at < repair->old_length)
		Q2SI_TRY(q2s_store_zero(repair->draft, at, len, diag));
	return lengthen(repair, at + len, diag);
}

enum q2s_err
q2si_step_copy(struct q2s_repair *repair, uint64_t from, uint64_t to, uint64_t len, bool table,
	       struct q2s_diag *diag)
{
	const struct q2si_change change = { Q2SI_CHANGE_COPY, Q2SI_STAGE_FILL, .at = to,
					    .len = len, .from = from };

	Q2SI_TRY(q2si_change_add(repair, &change, diag));
	if (table)
		Q2SI_TRY(q2si_change_do(repair, &change, repair->draft, false, diag));
	return lengthen(repair, to + len, diag);
}

/* ---- a change and a store ------------------------------------------------------------------ */

#define PIECE (UINT64_C(256) << 10)

static enum q2s_err
copy_do(const struct q2si_change *change, struct q2s_store *store, struct q2s_diag *diag)
{
	uint8_t *const buf = malloc(q2si_min_size(change->len, PIECE));
	enum q2s_err err = buf ? Q2S_OK : q2si_fail_nomem(diag, "copy of a cluster");

	for (uint64_t done = 0; err == Q2S_OK && done < change->len; done += PIECE) {
		const size_t n = (size_t)q2si_min(PIECE, change->len - done);

		err = q2s_store_read_padded(store, change->from + done, buf, n, NULL, diag);
		if (err == Q2S_OK)
			err = q2s_store_write(store, change->at + done, buf, n, diag);
	}
	free(buf);
	return err;
}

/* Back: what new clusters held before is nobody's, so it stays, but for what an undo puts back. */
enum q2s_err
q2si_change_do(const struct q2s_repair *repair, const struct q2si_change *change,
	       struct q2s_store *store, bool back, struct q2s_diag *diag)
{
	switch (change->kind) {
	case Q2SI_CHANGE_BYTES:
		return q2s_store_write(store, change->at,
				       back ? q2si_change_old(change) : q2si_change_new(change),
				       change->len, diag);
	case Q2SI_CHANGE_COUNTS:
		return counts_do(repair, change, store, back ? change->old : change->fresh, diag);
	case Q2SI_CHANGE_COPY:
		return back ? Q2S_OK : copy_do(change, store, diag);
	default:
		return back ? Q2S_OK : q2s_store_zero(store, change->at, change->len, diag);
	}
}
