/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lanes: what a reader waits for comes first, then what was announced, in that order. */
#include "io/http_plan.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"

#define GAP_MIN (64u << 10)
#define GAP_MAX (512u << 10)
/* Pieces of a plan. */
#define NEAR 64u
/* Less than this tells nothing of how fast it is. */
#define WORTH_MEASURING (128u << 10)
#define LONG_ENOUGH 50000 /* microseconds */
/* Further than this ahead of what a lane brings, a reader does not wait for it. */
#define REACH (4u << 20)

/* ---- how much to ask for ----------------------------------------------------------------- */

/*
 * Each request costs a delay. All lanes together, each for a stripe, bring what memory holds in the
 * time of one delay and of a stripe; that is more than one connection brings, unless that one is so
 * fast that memory is too small for what comes in a delay. Then it is best not to stop: the bytes
 * of the next long request wait in the kernel's buffers.
 */
static void
adapt(struct q2si_http_plan *plan)
{
	plan->meanwhile = (uint64_t)plan->rate * (uint64_t)plan->delay / 1000000;
	plan->request = plan->meanwhile > Q2SI_HTTP_MEMORY - Q2SI_REQUEST_STRIPE ?
				Q2SI_REQUEST_MAX :
				Q2SI_REQUEST_STRIPE;
	plan->gap = q2si_min(q2si_max(plan->meanwhile / 4, GAP_MIN), GAP_MAX);
	plan->meanwhile = q2si_min(plan->meanwhile, Q2SI_REQUEST_MAX);
}

static void
measure(struct q2si_http_plan *plan, const struct q2si_lane *lane, int64_t now)
{
	if (lane->first <= 0 || lane->slowed || lane->came < WORTH_MEASURING || now <= lane->first)
		return;
	if (lane->asked > 0 && (plan->delay < 0 || lane->first - lane->asked < plan->delay))
		plan->delay = lane->first - lane->asked;
	plan->rate = (int64_t)q2si_max((uint64_t)plan->rate,
				       lane->came * 1000000 / (uint64_t)(now - lane->first));
	if (plan->delay >= 0)
		adapt(plan);
}

/* ---- memory for bytes that come ---------------------------------------------------------- */

/*
 * May this piece have memory now? Not if that would take the room of what was announced before it
 * and is read first; nor if so much waits already.
 */
static bool
is_due(const struct q2si_http_plan *plan, const struct q2si_fetched *piece)
{
	uint64_t bytes = piece->end - piece->start;

	if (q2si_piece_is_spare(piece))
		return plan->memory + bytes <= Q2SI_HTTP_GUESS;
	for (const struct q2si_fetched *other = plan->pieces; other; other = other->next) {
		const bool read = other->taken >= other->end - other->start;
		const bool first = other->number < piece->number && other->state <= Q2SI_ASKED;

		if (other != piece && other->planned && (other->bytes ? !read : first))
			bytes += other->end - other->start;
	}
	return !piece->planned || bytes <= Q2SI_HTTP_NEXT;
}

/* Does a reader wait for a piece of this lane? Then all before it have to come. */
static bool
is_wanted(const struct q2si_lane *lane)
{
	for (const struct q2si_fetched *piece = lane->piece; piece && piece->end <= lane->until;
	     piece = piece->next)
		if (piece->wanted)
			return true;
	return false;
}

/* Give @piece of a lane memory; false: not now, or there is none. */
static bool
open_piece(struct q2si_http_plan *plan, struct q2si_fetched *piece, bool wanted)
{
	const uint64_t len = piece->end - piece->start;

	if (piece->bytes)
		return true;
	if (!(wanted || is_due(plan, piece)) || !q2si_plan_make_room(plan, len, wanted))
		return false;
	piece->bytes = malloc(q2si_size(len));
	if (!piece->bytes)
		return false;
	plan->memory += len;
	piece->state = Q2SI_MOVING;
	return true;
}

/* Have memory for the next @len bytes of @lane. */
static bool
open_pieces(struct q2si_http_plan *plan, struct q2si_lane *lane, size_t len)
{
	const bool wanted = is_wanted(lane);
	struct q2si_fetched *piece = lane->piece;

	for (uint64_t need = piece->filled + len; piece; piece = piece->next) {
		if (!open_piece(plan, piece, wanted))
			return false;
		if (need <= piece->end || piece->end == lane->until)
			return true;
	}
	return false;
}

bool
q2si_plan_open(struct q2si_http_plan *plan, struct q2si_lane *lane, size_t len, int64_t now)
{
	if (!lane->first)
		lane->first = now;
	if (open_pieces(plan, lane, len))
		return true;
	measure(plan, lane, now);
	plan->paused += !lane->paused;
	lane->paused = lane->slowed = true;
	return false;
}

static void
piece_done(struct q2si_fetched *piece)
{
	piece->state = Q2SI_THERE;
	piece->wanted = false;
}

void
q2si_plan_came(struct q2si_http_plan *plan, struct q2si_lane *lane, size_t len, int64_t now)
{
	struct q2si_fetched *const piece = lane->piece;

	piece->filled += len;
	lane->came += len;
	if (piece->filled < piece->end || piece->end == lane->until)
		return;
	lane->piece = piece->next;
	piece_done(piece);
	if (now - lane->first >= LONG_ENOUGH)
		measure(plan, lane, now);
}

void
q2si_plan_done(struct q2si_http_plan *plan, struct q2si_lane *lane, int64_t now)
{
	measure(plan, lane, now);
	piece_done(lane->piece);
	plan->paused -= lane->paused;
	*lane = (struct q2si_lane){ 0 };
}

/* The piece that needs memory next. */
static struct q2si_fetched *
next_of(const struct q2si_lane *lane)
{
	struct q2si_fetched *piece = lane->piece;

	return piece->bytes && piece->end < lane->until ? piece->next : piece;
}

void
q2si_plan_resume(struct q2si_http_plan *plan, struct q2si_lane *lane)
{
	lane->resume = lane->paused && open_piece(plan, next_of(lane), is_wanted(lane));
	if (!lane->resume)
		return;
	lane->paused = false;
	plan->paused--;
}

/* ---- choosing ---------------------------------------------------------------------------- */

static struct q2si_fetched *
choose(const struct q2si_http_plan *plan)
{
	struct q2si_fetched *best = NULL;

	for (struct q2si_fetched *piece = plan->pieces; piece; piece = piece->next) {
		if (piece->state != Q2SI_QUEUED)
			continue;
		if (!best || piece->wanted > best->wanted ||
		    (piece->wanted == best->wanted && piece->number < best->number))
			best = piece;
	}
	return best;
}

/* One piece is better than two, also with a gap that nobody needs. */
static void
absorb(struct q2si_http_plan *plan, struct q2si_fetched *piece)
{
	struct q2si_fetched *next = piece->next;

	while (next && next->state == Q2SI_QUEUED && next->readers == 0 &&
	       next->start - piece->end <= plan->gap && next->end - piece->start <= Q2SI_PIECE) {
		piece->taken += next->start - piece->end + next->taken;
		piece->end = next->end;
		piece->planned = piece->planned || next->planned;
		q2si_plan_drop(plan, next);
		next = piece->next;
	}
}

/* Are they wanted at about the same time? */
static bool
is_near(const struct q2si_fetched *a, const struct q2si_fetched *b)
{
	return (a->number > b->number ? a->number - b->number : b->number - a->number) <= NEAR;
}

/* Can one request be for both? */
static bool
follows(const struct q2si_http_plan *plan, const struct q2si_fetched *piece,
	const struct q2si_fetched *next)
{
	return next->state == Q2SI_QUEUED && next->planned &&
	       next->start - piece->end <= plan->gap && is_near(piece, next);
}

/* Ask for what follows @piece as well, as far as one request goes; returns the end of that. */
static uint64_t
gather(struct q2si_http_plan *plan, struct q2si_fetched *piece)
{
	const uint64_t start = piece->start;
	struct q2si_fetched *next;

	absorb(plan, piece);
	while ((next = piece->next) && follows(plan, piece, next)) {
		absorb(plan, next);
		if (next->end - start > plan->request)
			break;
		piece->taken += next->start - piece->end;
		piece->end = next->start;
		plan->queued--;
		next->state = Q2SI_ASKED;
		piece = next;
	}
	return piece->end;
}

/* Bytes of the plan that will be read before @piece. */
static uint64_t
distance(const struct q2si_http_plan *plan, const struct q2si_fetched *piece)
{
	uint64_t bytes = 0;

	for (const struct q2si_fetched *other = plan->pieces; other; other = other->next)
		if (other->planned && other->number < piece->number &&
		    other->taken < other->end - other->start)
			bytes += other->end - other->start;
	return bytes;
}

/* How far does the plan go on behind @piece, as far as one request would? */
static uint64_t
row(const struct q2si_http_plan *plan, const struct q2si_fetched *piece)
{
	const uint64_t start = piece->start;
	const struct q2si_fetched *next;

	while ((next = piece->next) && follows(plan, piece, next) &&
	       next->end - start <= plan->request)
		piece = next;
	return piece->end - start;
}

/*
 * Is it time to ask for @piece? What is wanted much later waits until the plan tells more of what
 * lies behind it, so that one request can be for all of that.
 */
static bool
is_time(const struct q2si_http_plan *plan, const struct q2si_fetched *piece)
{
	return piece->wanted || !piece->planned ||
	       row(plan, piece) + Q2SI_PIECE > plan->request ||
	       distance(plan, piece) <= Q2SI_HTTP_NEXT + plan->meanwhile;
}

bool
q2si_plan_load(struct q2si_http_plan *plan, struct q2si_lane *lane)
{
	struct q2si_fetched *piece = choose(plan);

	if (!piece || !is_time(plan, piece))
		return false;
	*lane = (struct q2si_lane){ .piece = piece, .until = gather(plan, piece) };
	plan->queued--;
	piece->state = Q2SI_ASKED;
	return true;
}

void
q2si_plan_sent(struct q2si_lane *lane, int64_t now)
{
	lane->came = 0;
	lane->asked = now;
	lane->later = lane->first = 0;
	lane->slowed = lane->cut = false;
}

/* The server is asked before one knows what for: the first bytes may tell that the next are needed. */
enum q2s_err
q2si_plan_guess(struct q2si_http_plan *plan, uint64_t from, uint64_t until, int64_t now,
		struct q2s_diag *diag)
{
	struct q2si_fetched **link, *piece;

	Q2SI_TRY(q2si_plan_want(plan, from, until, false, diag));
	piece = q2si_plan_find(plan, from, &link);
	plan->lanes[0] = (struct q2si_lane){ .piece = piece, .until = until, .first = now,
					     .paused = true };
	plan->paused++;
	for (; piece; piece = piece->next) {
		piece->guess = true;
		piece->taken = piece->end - piece->start;
		piece->state = Q2SI_ASKED;
		plan->queued--;
	}
	return Q2S_OK;
}

/* ---- breaking off ------------------------------------------------------------------------ */

/* The pieces behind @last are none of the lane's any more. */
static void
end_with(struct q2si_http_plan *plan, struct q2si_lane *lane, struct q2si_fetched *last)
{
	struct q2si_fetched *next;

	for (struct q2si_fetched *piece = last->next; piece && piece->end <= lane->until;
	     piece = next) {
		next = piece->next;
		q2si_plan_put_back(plan, piece);
	}
	lane->cut = true;
	lane->until = last->end;
}

void
q2si_plan_release(struct q2si_http_plan *plan, struct q2si_lane *lane)
{
	end_with(plan, lane, lane->piece);
	plan->paused -= lane->paused;
	*lane = (struct q2si_lane){ 0 };
}

static void
break_off(struct q2si_http_plan *plan, struct q2si_lane *lane)
{
	struct q2si_fetched *const own = lane->piece;

	q2si_plan_release(plan, lane);
	q2si_plan_put_back(plan, own);
}

struct q2si_lane *
q2si_plan_recall(struct q2si_http_plan *plan)
{
	const struct q2si_fetched *const piece = choose(plan);
	struct q2si_lane *last = NULL;

	if (!piece || !piece->wanted)
		return NULL;
	for (size_t i = 0; i < Q2SI_LANES; i++) {
		struct q2si_lane *lane = &plan->lanes[i];

		if (!lane->piece || !lane->paused)
			return NULL; /* it is free, or will be */
		if (!is_wanted(lane) && (!last || lane->piece->number > last->piece->number))
			last = lane;
	}
	if (last)
		break_off(plan, last);
	return last;
}

/* Nothing of what comes next is known to be read, but something behind it is, or a reader waits there. */
static bool
is_in_the_way(const struct q2si_lane *lane)
{
	const struct q2si_fetched *const next = next_of(lane);

	if (!q2si_piece_is_spare(next))
		return false;
	for (const struct q2si_fetched *piece = next; piece && piece->end <= lane->until;
	     piece = piece->next)
		if (piece->planned || (piece->wanted && piece->start > lane->piece->filled + REACH))
			return true;
	return false;
}

/* The last piece of what the lane brings until other lanes are answered, and of a stripe. */
static struct q2si_fetched *
stripe_end(const struct q2si_http_plan *plan, const struct q2si_lane *lane)
{
	struct q2si_fetched *piece = lane->piece;

	while (piece->end < lane->until &&
	       piece->next->end - lane->piece->filled <= plan->meanwhile + Q2SI_REQUEST_STRIPE)
		piece = piece->next;
	return piece;
}

bool
q2si_plan_trim(struct q2si_http_plan *plan, struct q2si_lane *lane)
{
	if (!lane->piece || lane->cut || lane->later)
		return false;
	if (is_in_the_way(lane)) {
		if (lane->piece->filled == lane->piece->start &&
		    q2si_piece_is_spare(lane->piece)) {
			break_off(plan, lane);
			return true;
		}
		end_with(plan, lane, lane->piece);
	} else if (plan->rate > 0 && plan->request == Q2SI_REQUEST_STRIPE && lane->piece->planned &&
		   lane->until - lane->piece->filled > plan->meanwhile + 2 * Q2SI_REQUEST_STRIPE) {
		end_with(plan, lane, stripe_end(plan, lane));
	}
	return false;
}
