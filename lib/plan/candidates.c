/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A list, and a table of their numbers with open addressing, so that growing moves few bytes. */
#include "plan/candidates.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"

#define PLACES_MIN 1024u

void
q2si_candidates_free(struct q2si_candidates *candidates)
{
	free(candidates->list);
	free(candidates->index);
	*candidates = (struct q2si_candidates){ .max = candidates->max };
}

size_t
q2si_candidates_start(const struct q2si_candidates *candidates, uint32_t tag)
{
	return candidates->places ? tag & (candidates->places - 1) : 0;
}

struct q2si_candidate *
q2si_candidates_next(const struct q2si_candidates *candidates, uint32_t tag, size_t *place)
{
	while (candidates->places && candidates->index[*place]) {
		struct q2si_candidate *candidate =
			&candidates->list[candidates->index[*place] - 1];

		*place = (*place + 1) & (candidates->places - 1);
		if (candidate->tag == tag)
			return candidate;
	}
	return NULL;
}

/* Enter number @number under its tag. */
static void
enter(struct q2si_candidates *candidates, uint32_t number)
{
	size_t place = q2si_candidates_start(candidates, candidates->list[number].tag);

	while (candidates->index[place])
		place = (place + 1) & (candidates->places - 1);
	candidates->index[place] = number + 1;
}

static enum q2s_err
grow_index(struct q2si_candidates *candidates, struct q2s_diag *diag)
{
	const size_t places = q2si_max(2 * candidates->places, PLACES_MIN);
	uint32_t *index = calloc(places, sizeof(*index));

	if (!index)
		return q2si_fail_nomem(diag, "table of clusters");
	free(candidates->index);
	candidates->index = index;
	candidates->places = places;
	for (uint32_t i = 0; i < candidates->count; i++)
		enter(candidates, i);
	return Q2S_OK;
}

static enum q2s_err
grow_list(struct q2si_candidates *candidates, struct q2s_diag *diag)
{
	const size_t wanted = q2si_max(candidates->room * 3 / 2, PLACES_MIN);
	const size_t room = q2si_min_size(wanted, candidates->max);
	struct q2si_candidate *list =
		reallocarray(candidates->list, room, sizeof(*list));

	if (!list)
		return q2si_fail_nomem(diag, "table of clusters");
	candidates->list = list;
	candidates->room = room;
	return Q2S_OK;
}

enum q2s_err
q2si_candidates_add(struct q2si_candidates *candidates, const struct q2si_candidate *candidate,
		    struct q2s_diag *diag)
{
	if (candidates->count == candidates->max)
		return Q2S_OK;
	if (candidates->count == candidates->room)
		Q2SI_TRY(grow_list(candidates, diag));
	if (2 * ((size_t)candidates->count + 1) > candidates->places)
		Q2SI_TRY(grow_index(candidates, diag));
	candidates->list[candidates->count] = *candidate;
	enter(candidates, candidates->count++);
	return Q2S_OK;
}
