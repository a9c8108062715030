/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A sorted vector: few items, as structures that lie side by side are one. */
#include "extents.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/search.h"

void
q2si_extents_init(struct q2si_extents *extents, struct q2si_budget *budget)
{
	*extents = (struct q2si_extents){ .budget = budget };
}

void
q2si_extents_free(struct q2si_extents *extents)
{
	free(extents->list);
	extents->list = NULL;
	extents->count = extents->room = 0;
}

static enum q2s_err
extents_grow(struct q2si_extents *extents)
{
	const size_t room = extents->room ? 2 * extents->room : 64;
	struct q2si_extent *list;

	Q2SI_TRY(
		q2si_budget_take(extents->budget, (room - extents->room) * sizeof(*extents->list)));
	list = realloc(extents->list, room * sizeof(*list));
	if (!list)
		return Q2S_E_NOMEM;
	extents->list = list;
	extents->room = room;
	return Q2S_OK;
}

enum q2s_err
q2si_extents_add(struct q2si_extents *extents, enum q2s_structure_kind kind, uint64_t first,
		 uint64_t n)
{
	struct q2si_extent *last = extents->count ? &extents->list[extents->count - 1] : NULL;

	if (last && last->kind == kind && first == last->first + last->n &&
	    n <= UINT32_MAX - last->n) {
		last->n += (uint32_t)n;
		return Q2S_OK;
	}
	while (n > 0) {
		const uint32_t part = (uint32_t)q2si_min(n, UINT32_MAX);

		if (extents->count == extents->room)
			Q2SI_TRY(extents_grow(extents));
		extents->list[extents->count++] = (struct q2si_extent){ first, part, kind };
		first += part;
		n -= part;
	}
	return Q2S_OK;
}

/* Kinds break ties, so that the order does not depend on the sort. */
static int
by_first(const void *a, const void *b)
{
	const struct q2si_extent *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return (x->n > y->n) - (x->n < y->n);
}

void
q2si_extents_sort(struct q2si_extents *extents)
{
	if (extents->count > 1)
		qsort(extents->list, extents->count, sizeof(*extents->list), by_first);
}

size_t
q2si_extents_find(const struct q2si_extents *extents, uint64_t cluster)
{
	return Q2SI_COUNT_FIRST(i, extents->count,
				extents->list[i].first + extents->list[i].n <= cluster);
}
