/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A vector that is sorted and merged whenever it is full, so that it holds each table about once.
 */
#include "tables.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"

void
q2si_tables_init(struct q2si_tables *tables, struct q2si_budget *budget)
{
	*tables = (struct q2si_tables){ .budget = budget };
}

void
q2si_tables_free(struct q2si_tables *tables)
{
	free(tables->list);
	tables->list = NULL;
	tables->count = tables->room = 0;
}

/* Into @to, which is of the same cluster. */
static void
table_merge(struct q2si_table *to, const struct q2si_table *from)
{
	to->refs += from->refs;
	to->active += from->active;
	if (from->l1_index < to->l1_index)
		to->l1_index = from->l1_index;
}

static enum q2s_err
tables_grow(struct q2si_tables *tables)
{
	const size_t room = tables->room ? 2 * tables->room : 64;
	struct q2si_table *list;

	Q2SI_TRY(q2si_budget_take(tables->budget, (room - tables->room) * sizeof(*list)));
	list = realloc(tables->list, room * sizeof(*list));
	if (!list)
		return Q2S_E_NOMEM;
	tables->list = list;
	tables->room = room;
	return Q2S_OK;
}

enum q2s_err
q2si_tables_add(struct q2si_tables *tables, const struct q2si_table *table)
{
	struct q2si_table *last = tables->count ? &tables->list[tables->count - 1] : NULL;

	if (last && last->cluster == table->cluster) {
		table_merge(last, table);
		return Q2S_OK;
	}
	if (tables->count == tables->room) {
		q2si_tables_settle(tables);
		if (tables->count >= tables->room / 2)
			Q2SI_TRY(tables_grow(tables));
	}
	tables->list[tables->count++] = *table;
	return Q2S_OK;
}

static int
by_cluster(const void *a, const void *b)
{
	const struct q2si_table *x = a, *y = b;

	return (x->cluster > y->cluster) - (x->cluster < y->cluster);
}

static bool
tables_ascend(const struct q2si_tables *tables)
{
	for (size_t i = 1; i < tables->count; i++)
		if (tables->list[i - 1].cluster >= tables->list[i].cluster)
			return false;
	return true;
}

void
q2si_tables_settle(struct q2si_tables *tables)
{
	size_t kept = 0;

	if (tables->count < 2 || tables_ascend(tables))
		return;
	qsort(tables->list, tables->count, sizeof(*tables->list), by_cluster);
	for (size_t i = 1; i < tables->count; i++) {
		if (tables->list[i].cluster == tables->list[kept].cluster)
			table_merge(&tables->list[kept], &tables->list[i]);
		else
			tables->list[++kept] = tables->list[i];
	}
	tables->count = kept + 1;
}
