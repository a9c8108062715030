/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * More places than clusters: some places were zeros, and never got a cluster. Both are in order, so
 * each orphan is as many places further than its number as places were left out before it. The best
 * way to leave them out is found by dynamic programming: a place is good for an orphan if files end
 * there where its bytes turn to zeros, and it is full where the file system is.
 */
#include <stdlib.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/search.h"
#include "edit/salvage.h"

#define BLOCK 4096u
/* Scores that are computed at most, four bytes each. */
#define WORK_MAX (UINT64_C(1) << 26)

enum {
	SCORE_TAIL = 8,    /* a file ends where zeros begin */
	SCORE_NO_TAIL = -40, /* it ends where there are none: this cannot be */
	SCORE_ZERO = -4,   /* a block of zeros, in a place that is in use */
	SCORE_SKIP = -6,   /* places are left out here */
	SCORE_EDGE = 5,    /* and this is where zeros begin, or end */
};

/* @zeros: how many zeros each block of each orphan ends with. */
struct align {
	struct q2si_salvage *salvage;
	const uint64_t *places;
	size_t n, shifts;
	uint32_t blocks;
	uint16_t *zeros;
};

static uint16_t
zeros_at_end(const uint8_t *block, uint32_t len)
{
	uint32_t n = 0;

	while (n < len && block[len - 1 - n] == 0)
		n++;
	return (uint16_t)n;
}

static enum q2s_err
look(struct align *align, const struct q2si_orphan *first)
{
	struct q2si_round *round = align->salvage->round;
	const uint32_t size = round->ck->geom->cluster_size;
	Q2SI_AUTO_FREE uint8_t *buf = malloc(size);

	align->zeros = calloc(align->n * align->blocks, sizeof(*align->zeros));
	if (!buf || !align->zeros)
		return q2si_fail_nomem(round->diag, "salvage");
	for (size_t i = 0; i < align->n; i++) {
		Q2SI_TRY(q2si_round_read(round, first[i].cluster * size, buf, size));
		for (uint32_t block = 0; block < align->blocks; block++)
			align->zeros[i * align->blocks + block] =
				zeros_at_end(buf + block * BLOCK, BLOCK);
	}
	return Q2S_OK;
}

static int
score(const struct align *align, size_t orphan, size_t place)
{
	const struct q2si_salvage *salvage = align->salvage;
	const uint64_t at = align->places[place], end = at + (uint64_t)align->blocks * BLOCK;
	const uint16_t *zeros = align->zeros + orphan * align->blocks;
	int sum = 0;

	for (uint32_t block = 0; block < align->blocks; block++)
		sum += zeros[block] == BLOCK ? SCORE_ZERO : 0;
	for (size_t i = Q2SI_COUNT_FIRST(k, salvage->tail_count, salvage->tails[k].at < at);
	     i < salvage->tail_count && salvage->tails[i].at < end; i++) {
		const uint32_t block = (uint32_t)(salvage->tails[i].at - at) / BLOCK;

		sum += zeros[block] >= salvage->tails[i].zeros ? SCORE_TAIL : SCORE_NO_TAIL;
	}
	return sum;
}

/* What leaving out places before this orphan costs. */
static int
skip_score(const struct align *align, size_t orphan)
{
	const uint16_t *zeros = align->zeros + orphan * align->blocks;
	int sum = SCORE_SKIP;

	sum += zeros[0] == BLOCK ? SCORE_EDGE : 0;
	if (orphan > 0)
		sum += zeros[-1] == BLOCK ? SCORE_EDGE : 0;
	return sum;
}

/*
 * @best: of all ways for the orphans so far, by the number of places left out. @from: for each
 *        orphan
 * and each such number, what that number was for the orphan before it.
 */
static void
fill(const struct align *align, int32_t *best, uint32_t *from)
{
	for (size_t i = 0; i < align->n; i++) {
		const int skip = skip_score(align, i);
		int32_t top = INT32_MIN / 2;
		uint32_t top_at = 0;

		for (size_t shift = 0; shift < align->shifts; shift++) {
			const int32_t stay = i ? best[shift] : shift ? INT32_MIN / 2 : 0;
			const int32_t come = i ? top + skip : shift ? skip : INT32_MIN / 2;
			const bool skips = come > stay;

			from[i * align->shifts + shift] = skips ? top_at : (uint32_t)shift;
			if (stay > top) {
				top = stay;
				top_at = (uint32_t)shift;
			}
			best[shift] = (skips ? come : stay) + score(align, i, i + shift);
		}
	}
}

/* Places may be left out behind the last orphan, too. */
static size_t
best_end(const struct align *align, const int32_t *best)
{
	size_t at = align->shifts - 1;

	for (size_t shift = 0; shift + 1 < align->shifts; shift++)
		if (best[shift] + SCORE_SKIP > best[at] + (at + 1 < align->shifts ? SCORE_SKIP : 0))
			at = shift;
	return at;
}

enum q2s_err
q2si_align(struct q2si_salvage *salvage, struct q2si_orphan *first, size_t n,
	   const uint64_t *places, size_t count, bool *done)
{
	static const char proof[] = "in the order of its neighbours, with places left out that were "
				    "zeros; files end where it ends";
	const uint32_t size = salvage->round->ck->geom->cluster_size;
	struct align align = { .salvage = salvage, .places = places, .n = n,
			       .shifts = count - n + 1, .blocks = size / BLOCK };
	Q2SI_AUTO_FREE int32_t *best = NULL;
	Q2SI_AUTO_FREE uint32_t *from = NULL;
	enum q2s_err err;
	size_t shift;

	*done = false;
	if (align.blocks == 0 || n == 0 || align.shifts > WORK_MAX / n)
		return Q2S_OK;
	best = calloc(align.shifts, sizeof(*best));
	from = calloc(n * align.shifts, sizeof(*from));
	if (!best || !from)
		return q2si_fail_nomem(salvage->round->diag, "salvage");
	err = look(&align, first);
	if (err == Q2S_OK) {
		fill(&align, best, from);
		shift = best_end(&align, best);
		for (size_t i = n; i-- > 0; shift = from[i * align.shifts + shift]) {
			first[i].guest = places[i + shift];
			first[i].sure = Q2S_SURE_LIKELY;
			first[i].proof = proof;
		}
		*done = true;
	}
	free(align.zeros);
	return err;
}
