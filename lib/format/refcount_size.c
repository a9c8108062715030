/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How large refcount structures must be that count everything in a file, themselves included. */
#include <q2s/format.h>

#include "base/arith.h"
#include "base/diag.h"

static enum q2s_err
too_many(struct q2s_diag *diag, uint64_t others, const char *rule)
{
	return q2si_fail(diag, Q2S_E_LIMIT, "host clusters", Q2S_NOWHERE, others, "%s", rule);
}

/*
 * Each round counts the structures of the round before, so the result only grows; it ends because
 * one block counts many clusters. The first result that no longer changes is the smallest one.
 */
enum q2s_err
q2s_refcount_size_solve(const struct q2s_geom *geom, uint64_t others, struct q2s_refcount_size *out,
			struct q2s_diag *diag)
{
	const uint64_t file_max = Q2S_HOST_OFFSET_LIMIT >> geom->cluster_bits;
	const uint64_t table_max = Q2S_REFTABLE_MAX_BYTES >> geom->cluster_bits;
	const uint64_t table_entries = geom->cluster_size / Q2S_REFTABLE_ENTRY_SIZE;
	struct q2s_refcount_size now = { 0, 1 }, before;
	uint64_t total;

	if (others > file_max) /* keeps the sums below far from 64 bits */
		return too_many(diag, others, "the file would reach beyond 2^56 bytes");
	do {
		before = now;
		total = others + now.blocks + now.table_clusters;
		now.blocks = q2si_div_up(total, geom->block_entries);
		now.table_clusters = q2si_div_up(now.blocks, table_entries);
		if (now.table_clusters > table_max)
			return too_many(diag, others, "their refcount table would exceed 8 MiB");
	} while (now.blocks != before.blocks || now.table_clusters != before.table_clusters);
	if (total > file_max)
		return too_many(diag, others, "the file would reach beyond 2^56 bytes");
	*out = now;
	return Q2S_OK;
}
