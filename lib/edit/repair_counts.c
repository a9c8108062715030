/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Refcounts that become what was counted, and COPIED, which follows from them. */
#include "edit/repair.h"

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/search.h"

/* ---- counts -------------------------------------------------------------------------------- */

enum q2s_err
q2si_block_of(struct q2si_round *round, uint64_t cluster, uint64_t *out)
{
	const struct q2si_checker *ck = round->ck;
	const uint64_t bytes = (uint64_t)ck->header->refcount_table_clusters
			       << ck->geom->cluster_bits;
	const uint64_t at = (cluster >> ck->geom->block_bits) * Q2S_REFTABLE_ENTRY_SIZE;
	q2s_host block;
	uint8_t raw[8];

	*out = 0;
	if (at >= q2si_min(bytes, Q2S_REFTABLE_MAX_BYTES))
		return Q2S_OK;
	Q2SI_TRY(q2si_round_read(round, ck->header->refcount_table_offset.v + at, raw,
				 sizeof(raw)));
	if (q2s_reftable_decode(ck->geom, raw, Q2S_NOWHERE, &block, NULL) == Q2S_OK &&
	    block.v >> ck->geom->cluster_bits < ck->file_clusters)
		*out = block.v;
	return Q2S_OK;
}

/*
 * @n clusters from @first on, in one block, whose counts are wrong in the same way. @kept: why they
 * are not given back, or NULL.
 */
struct wrong_run {
	uint64_t first, n;
	uint64_t stored, counted;
	const char *kept;
};

static enum q2si_finding_id
finding_of(const struct wrong_run *run)
{
	if (run->counted == 0)
		return Q2SI_FOUND_REFCOUNT_LEAK;
	if (run->stored > run->counted)
		return Q2SI_FOUND_REFCOUNT_HIGH;
	return run->stored ? Q2SI_FOUND_REFCOUNT_LOW : Q2SI_FOUND_REFCOUNT_ZERO;
}

static enum q2s_err
step_run(struct q2si_round *round, const struct wrong_run *run, uint64_t block)
{
	static const char *const why[] = {
		"the clusters are not in use, and are given back",
		"the refcount falls to the number of references",
		"the refcount rises to the number of references",
	};
	static const char *const loss[] = {
		"if they are what is left of lost data: that, once something else is written "
		"there; until then it stays where it is (see q2s-edit salvage)",
		"nothing: as many references were found",
	};
	const uint64_t index = run->first & (round->ck->geom->block_entries - 1);
	const bool falls = run->stored > run->counted;
	const struct q2si_case found = { .id = finding_of(run),
					 .host = run->first << round->ck->geom->cluster_bits };

	if (run->kept)
		return q2si_step_aside(round, &found, why[run->counted != 0], loss[0], run->kept,
				       &(struct q2si_change){
					       Q2SI_CHANGE_COUNTS, Q2SI_STAGE_FALL, .at = block,
					       .len = run->n, .from = index, .old = run->stored,
					       .fresh = run->counted });
	/* References that are likely make such counts. */
	Q2SI_TRY(q2si_round_step(round, &found,
				 round->only_rises ? Q2S_SURE_LIKELY : Q2S_SURE_CERTAIN,
				 why[falls ? run->counted != 0 : 2], loss[run->counted != 0]));
	Q2SI_TRY(q2si_step_counts(round->repair, falls ? Q2SI_STAGE_FALL : Q2SI_STAGE_FILL, block,
				  index, run->n, run->stored, run->counted, round->diag));
	if (falls)
		round->leaks_fixed += run->n;
	else if (!round->repair->first_new ||
		 run->first << round->ck->geom->cluster_bits < round->repair->first_new)
		round->fixed += run->n;
	/* References to them may have a wrong COPIED now. */
	round->changed |= run->counted != 0;
	return Q2S_OK;
}

/* @try: only see whether there are blocks for all of them. */
static enum q2s_err
mend_run(struct q2si_round *round, const struct wrong_run *run, bool try)
{
	const bool all = round->repair->flags & Q2S_REPAIR_ALL;
	uint64_t block;

	if (run->stored < run->counted ? !all : round->only_rises)
		return Q2S_OK;
	if (run->kept && !try)
		round->leaks_kept += run->n;
	Q2SI_TRY(q2si_block_of(round, run->first, &block));
	round->rebuild |= block == 0 && run->counted != 0 && !run->kept;
	if (block == 0 || try)
		return Q2S_OK;
	return step_run(round, run, block);
}

/* Is this cluster one more of the run? */
static bool
goes_on(const struct q2si_round *round, const struct wrong_run *run, const struct wrong_run *next)
{
	return run->n > 0 && next->first == run->first + run->n && next->stored == run->stored &&
	       next->counted == run->counted && next->kept == run->kept &&
	       next->first & (round->ck->geom->block_entries - 1);
}

static enum q2s_err
mend_runs(struct q2si_round *round, bool try)
{
	const struct q2si_checker *ck = round->ck;
	const uint64_t max = ck->geom->refcount_max;
	struct wrong_run run = { 0 };
	struct q2si_count_diff diff;

	for (uint64_t from = 0; q2si_counts_next_diff(&ck->stored, &ck->counted, from, &diff);
	     from = diff.cluster + 1) {
		const uint64_t counted = q2si_min(diff.b, max);
		const struct wrong_run next = {
			diff.cluster, diff.a != counted, diff.a, counted,
			diff.a > counted ? q2si_keep_why(round, diff.cluster) : NULL
		};

		if (goes_on(round, &run, &next)) {
			run.n++;
			continue;
		}
		if (run.n)
			Q2SI_TRY(mend_run(round, &run, try));
		run = next;
	}
	return run.n ? mend_run(round, &run, try) : Q2S_OK;
}

enum q2s_err
q2si_repair_counts(struct q2si_round *round)
{
	if (!round->only_rises)
		Q2SI_TRY(q2si_keep_look(round));
	Q2SI_TRY(mend_runs(round, true));
	if (round->rebuild && round->repair->flags & Q2S_REPAIR_ALL)
		return Q2S_OK;
	return mend_runs(round, false);
}

/* ---- COPIED -------------------------------------------------------------------------------- */

static bool
is_copied_case(enum q2si_finding_id id)
{
	return id == Q2SI_FOUND_L1_COPIED_SET || id == Q2SI_FOUND_L1_COPIED_CLEAR ||
	       id == Q2SI_FOUND_L2_COPIED_SET || id == Q2SI_FOUND_L2_COPIED_CLEAR;
}

static enum q2s_err
mend_copied(struct q2si_round *round, const struct q2si_case *found)
{
	const struct q2si_checker *ck = round->ck;
	const bool l1 = found->id == Q2SI_FOUND_L1_COPIED_SET ||
			found->id == Q2SI_FOUND_L1_COPIED_CLEAR;
	uint64_t entry, cluster;
	uint8_t raw[8];
	bool once;

	Q2SI_TRY(q2si_round_read(round, found->host, raw, sizeof(raw)));
	entry = q2si_get_be64(raw);
	cluster = (entry & Q2S_ENTRY_HOST_MASK) >> ck->geom->cluster_bits;
	once = q2si_counts_get(&ck->counted, cluster) == 1;
	if (once == (entry >> 63) || (entry & Q2S_ENTRY_COMPRESSED && !l1))
		return Q2S_OK;
	Q2SI_TRY(q2si_round_step(round, found, Q2S_SURE_CERTAIN,
				 once ? "COPIED is set, as there is one reference"
				      : "COPIED is cleared, as there are others than this reference",
				 "nothing"));
	q2si_put_be64(raw, entry ^ Q2S_ENTRY_COPIED);
	round->fixed += found->times;
	return q2si_step_bytes(round->repair, l1 ? Q2SI_STAGE_L1 : Q2SI_STAGE_L2, found->host, raw,
			       sizeof(raw), round->diag);
}

uint64_t
q2si_copied_times(const struct q2si_round *round)
{
	uint64_t times = 0;

	for (size_t i = 0; i < round->count; i++)
		times += is_copied_case(round->cases[i].id) ? round->cases[i].times : 0;
	return times;
}

enum q2s_err
q2si_repair_copied(struct q2si_round *round)
{
	const bool all = round->repair->flags & Q2S_REPAIR_ALL;

	/* What is seen is too much to be remembered, or -r leaks is not asked to look into it. */
	if (!all && q2si_copied_times(round) != round->ck->result.corruptions)
		return Q2S_OK;
	for (size_t i = 0; i < round->count; i++)
		if (is_copied_case(round->cases[i].id))
			Q2SI_TRY(mend_copied(round, &round->cases[i]));
	return Q2S_OK;
}
