/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pieces of a file on a server: which are there or asked for, and which may go. */
#include <stdlib.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "io/http_plan.h"

/* What has waited through so many reads of other pieces was asked for in vain. */
#define PATIENCE 4096u
#define GAP_FIRST (64u << 10)

void
q2si_plan_init(struct q2si_http_plan *plan)
{
	*plan = (struct q2si_http_plan){ .request = Q2SI_REQUEST_STRIPE, .gap = GAP_FIRST,
					 .delay = -1 };
}

void
q2si_plan_free(struct q2si_http_plan *plan)
{
	while (plan->pieces)
		q2si_plan_drop(plan, plan->pieces);
}

static void
free_bytes(struct q2si_http_plan *plan, struct q2si_fetched *piece)
{
	if (piece->bytes)
		plan->memory -= piece->end - piece->start;
	free(piece->bytes);
	piece->bytes = NULL;
}

void
q2si_plan_drop(struct q2si_http_plan *plan, struct q2si_fetched *piece)
{
	struct q2si_fetched **link = &plan->pieces;

	while (*link != piece)
		link = &(*link)->next;
	*link = piece->next;
	free_bytes(plan, piece);
	if (piece->state == Q2SI_QUEUED)
		plan->queued--;
	free(piece->failure);
	free(piece);
}

bool
q2si_piece_is_spare(const struct q2si_fetched *piece)
{
	return piece->guess && !piece->planned;
}

void
q2si_plan_put_back(struct q2si_http_plan *plan, struct q2si_fetched *piece)
{
	free_bytes(plan, piece);
	piece->filled = piece->start;
	piece->state = Q2SI_QUEUED;
	plan->queued++;
	if (q2si_piece_is_spare(piece) && piece->readers == 0)
		q2si_plan_drop(plan, piece);
}

/* Of what was read the piece that was used longest ago; one of metadata only where these are many. */
static struct q2si_fetched *
choose_read(const struct q2si_http_plan *plan)
{
	struct q2si_fetched *oldest[2] = { NULL, NULL };
	uint64_t kept = 0;

	for (struct q2si_fetched *piece = plan->pieces; piece; piece = piece->next) {
		struct q2si_fetched **const old = &oldest[piece->metadata];
		const bool read = piece->taken >= piece->end - piece->start ||
				  plan->clock - piece->used > PATIENCE;

		if (piece->state != Q2SI_THERE)
			continue;
		kept += piece->metadata ? piece->end - piece->start : 0;
		if (piece->readers == 0 && read && (!*old || piece->used < (*old)->used))
			*old = piece;
	}
	return oldest[1] && kept > Q2SI_HTTP_METADATA ? oldest[1] : oldest[0];
}

/* Of the rest the one that will be needed last. */
static struct q2si_fetched *
choose_unread(const struct q2si_http_plan *plan)
{
	struct q2si_fetched *last = NULL;

	for (struct q2si_fetched *piece = plan->pieces; piece; piece = piece->next)
		if (piece->state == Q2SI_THERE && piece->readers == 0 && !piece->metadata &&
		    (!last || piece->number > last->number))
			last = piece;
	return last;
}

bool
q2si_plan_make_room(struct q2si_http_plan *plan, uint64_t len, bool wanted)
{
	struct q2si_fetched *piece;

	while (plan->memory + len > Q2SI_HTTP_MEMORY) {
		piece = choose_read(plan);
		if (!piece && wanted)
			piece = choose_unread(plan);
		if (!piece)
			return wanted; /* a reader must not wait for another one */
		q2si_plan_drop(plan, piece);
	}
	return true;
}

struct q2si_fetched *
q2si_plan_find(struct q2si_http_plan *plan, uint64_t at, struct q2si_fetched ***link)
{
	struct q2si_fetched **to = &plan->pieces;

	while (*to && (*to)->end <= at)
		to = &(*to)->next;
	*link = to;
	return *to && (*to)->start <= at ? *to : NULL;
}

static enum q2s_err
insert(struct q2si_http_plan *plan, struct q2si_fetched **link, uint64_t start, uint64_t end,
       struct q2s_diag *diag)
{
	struct q2si_fetched *const piece = calloc(1, sizeof(*piece));

	if (!piece)
		return q2si_fail_nomem(diag, "HTTP request");
	*piece = (struct q2si_fetched){ .next = *link, .start = start, .end = end, .filled = start,
					.number = plan->numbers++, .used = plan->clock };
	*link = piece;
	plan->queued++;
	return Q2S_OK;
}

/* [@at, @end) of @piece is announced: of a guess one knows only now what of it will be read, and when. */
static void
announce(struct q2si_http_plan *plan, struct q2si_fetched *piece, uint64_t at, uint64_t end)
{
	const uint64_t len = q2si_min(end, piece->end) - at;

	if (!piece->guess)
		return;
	if (!piece->planned)
		piece->number = plan->numbers++;
	piece->planned = true;
	piece->taken -= q2si_min(piece->taken, len);
}

enum q2s_err
q2si_plan_want(struct q2si_http_plan *plan, uint64_t at, uint64_t end, bool planned,
	       struct q2s_diag *diag)
{
	while (at < end) {
		struct q2si_fetched **link;
		struct q2si_fetched *piece = q2si_plan_find(plan, at, &link);
		uint64_t until = q2si_min(end, at + Q2SI_PIECE);

		if (piece) {
			if (planned)
				announce(plan, piece, at, end);
			at = piece->end;
			continue;
		}
		if (*link)
			until = q2si_min(until, (*link)->start);
		Q2SI_TRY(insert(plan, link, at, until, diag));
		(*link)->planned = planned;
		at = until;
	}
	return Q2S_OK;
}

enum q2s_err
q2si_plan_head(struct q2si_http_plan *plan, uint8_t **bytes, uint64_t len, struct q2s_diag *diag)
{
	struct q2si_fetched *head;

	Q2SI_TRY(insert(plan, &plan->pieces, 0, len, diag));
	head = plan->pieces;
	plan->queued--;
	head->state = Q2SI_THERE;
	head->filled = len;
	head->bytes = Q2SI_STEAL(*bytes);
	plan->memory += len;
	return Q2S_OK;
}

void
q2si_plan_read(struct q2si_http_plan *plan, struct q2si_fetched *piece, uint64_t len)
{
	piece->used = plan->clock;
	if (!q2si_piece_is_spare(piece))
		piece->taken += len;
	/* data is announced; what is not will rather be read again */
	if (!piece->planned)
		piece->metadata = true;
}
