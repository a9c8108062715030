/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The set of L2 tables, each with the number of L1 entries that refer to it: a table that is
 * mapped a million times is then read once.
 */
#ifndef Q2SI_CHECK_TABLES_H
#define Q2SI_CHECK_TABLES_H

#include "counts.h"

#define Q2SI_NO_INDEX UINT32_MAX

/**
 * One L2 table.
 *
 * @cluster   host cluster
 * @refs      L1 entries that refer to it, in all L1 tables
 * @active    of those, the ones in the active L1 table
 * @l1_index  the lowest of the active ones, or Q2SI_NO_INDEX
 */
struct q2si_table {
	uint64_t cluster;
	uint64_t refs;
	uint32_t active;
	uint32_t l1_index;
};

struct q2si_tables {
	struct q2si_table *list;
	size_t count;
	size_t room;
	struct q2si_budget *budget; /* borrowed */
};

void q2si_tables_init(struct q2si_tables *tables, struct q2si_budget *budget);
void q2si_tables_free(struct q2si_tables *tables);

/** Note @table's references; may be the table's first or further ones. Q2S_E_LIMIT, Q2S_E_NOMEM. */
enum q2s_err q2si_tables_add(struct q2si_tables *tables, const struct q2si_table *table);

/** Sort by cluster, one item a table. */
void q2si_tables_settle(struct q2si_tables *tables);

#endif
