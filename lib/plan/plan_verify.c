/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is what a range of the output is made of still what the plan was made for? */
#include <stdlib.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/options.h"
#include "plan/plan.h"
#include "plan/scope.h"

/* Stretches that are looked at in any case. */
#define SAMPLES 8u

/* The stretches that [@from, @until) of the guest lies in. */
static void
mark_guest(const struct q2si_sums *sums, uint64_t from, uint64_t until, bool *marks)
{
	const uint64_t last = (until - 1) >> Q2SI_STRETCH_BITS;

	for (size_t i = q2si_sums_find(sums, from >> Q2SI_STRETCH_BITS);
	     i < sums->count && sums->list[i].stretch <= last; i++)
		marks[i] = true;
}

/* The stretches that some byte of the output range is made of. */
static enum q2s_err
mark_range(const struct q2s_plan *plan, uint64_t from, uint64_t until, bool *marks,
	   struct q2s_diag *diag)
{
	struct q2s_pieces *pieces;
	struct q2s_piece piece = { 0 };
	enum q2s_err err;

	Q2SI_TRY(q2s_pieces_open(plan, (q2s_host){ from }, false, &pieces, diag));
	while ((err = q2s_pieces_next(pieces, &piece, diag)) == Q2S_OK &&
	       piece.kind != Q2S_PIECE_END && piece.at.v < until) {
		/* a stream is shorter than its cluster, which lies in one stretch */
		const uint64_t len = q2si_min(piece.len, until - piece.at.v);

		if (piece.kind == Q2S_PIECE_STREAM || piece.kind == Q2S_PIECE_GUEST)
			mark_guest(&plan->sums, piece.guest.v, piece.guest.v + len, marks);
	}
	q2s_pieces_close(pieces);
	return err;
}

/*
 * Zeros that are stored, what is the same as in a base, and what shares another's place: of some
 * stretches no byte of the image is made. They, and holes, are the matter of whoever writes the
 * header.
 */
static enum q2s_err
mark_unused(const struct q2s_plan *plan, bool *marks, struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE bool *used = calloc(plan->sums.count + 1, sizeof(*used));

	if (!used)
		return q2si_fail_nomem(diag, "plan");
	Q2SI_TRY(mark_range(plan, 0, plan->layout.length, used, diag));
	for (size_t i = 0; i < plan->sums.count; i++)
		marks[i] = marks[i] || !used[i];
	return Q2S_OK;
}

/* So that a source that was mistaken for another is refused by the first part that is tried. */
static void
mark_samples(const struct q2s_plan *plan, bool *marks)
{
	const size_t count = plan->sums.count, samples = q2si_min_size(SAMPLES, count);

	for (size_t i = 0; i < samples; i++)
		marks[i * count / samples] = true;
}

static enum q2s_err
check_sums(const struct q2s_plan *plan, struct q2s_disk *disk, const struct q2s_plan_look *look,
	   const bool *wanted, struct q2s_diag *diag)
{
	struct q2si_scoped scoped = { 0 };
	enum q2s_err err = Q2S_OK;

	if (plan->scope)
		err = q2si_scoped_open(&scoped, disk, plan->scope, diag);
	if (err == Q2S_OK)
		err = q2si_sums_check(plan->scope ? scoped.disk : disk, look, &plan->sums, wanted,
				      look->from == 0, diag);
	q2si_scoped_close(&scoped);
	return err;
}

enum q2s_err
q2s_plan_verify(const struct q2s_plan *plan, struct q2s_disk *disk,
		const struct q2s_plan_look *given, struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE bool *wanted = NULL;
	struct q2s_plan_look look = Q2S_PLAN_LOOK_INIT;

	Q2SI_TRY(q2si_options_copy(&look, given, diag));
	look.until = q2si_min(look.until, plan->layout.length);
	if (!plan->doubtful || look.from >= look.until)
		return Q2S_OK;
	wanted = calloc(plan->sums.count + 1, sizeof(*wanted));
	if (!wanted)
		return q2si_fail_nomem(diag, "plan");
	mark_samples(plan, wanted);
	Q2SI_TRY(mark_range(plan, look.from, look.until, wanted, diag));
	if (look.from == 0)
		Q2SI_TRY(mark_unused(plan, wanted, diag));
	return check_sums(plan, disk, &look, wanted, diag);
}
