/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How large refcount structures must be that count everything in a file, themselves included. */
#include "format/refcount_size.h"

#include "base/arith.h"
#include "base/diag.h"

/*
 * Each round counts the structures of the round before, so the result only grows; it ends because
 * one block counts many clusters. The first result that no longer changes is the smallest one.
 */
struct q2s_refcount_size
q2si_refcount_size(const struct q2s_geom *geom, uint64_t others)
{
	const uint64_t table_entries = geom->cluster_size / Q2S_REFTABLE_ENTRY_SIZE;
	struct q2s_refcount_size now = { 0, 1 }, before;

	do {
		before = now;
		now.blocks = q2si_div_up(others + now.blocks + now.table_clusters,
					 geom->block_entries);
		now.table_clusters = q2si_div_up(now.blocks, table_entries);
	} while (now.blocks != before.blocks || now.table_clusters != before.table_clusters);
	return now;
}

static enum q2s_err
too_many(struct q2s_diag *diag, uint64_t others, const char *rule)
{
	return q2si_fail(diag, Q2S_E_LIMIT, "host clusters", Q2S_NOWHERE, others, "%s", rule);
}

enum q2s_err
q2s_refcount_size_solve(const struct q2s_geom *geom, uint64_t others, struct q2s_refcount_size *out,
			struct q2s_diag *diag)
{
	const uint64_t file_max = Q2S_HOST_OFFSET_LIMIT >> geom->cluster_bits;
	struct q2s_refcount_size size;

	if (others > file_max) /* keeps the sums far from 64 bits */
		return too_many(diag, others, "the file would reach beyond 2^56 bytes");
	size = q2si_refcount_size(geom, others);
	if (size.table_clusters > Q2S_REFTABLE_MAX_BYTES >> geom->cluster_bits)
		return too_many(diag, others, "their refcount table would exceed 8 MiB");
	if (others + size.blocks + size.table_clusters > file_max)
		return too_many(diag, others, "the file would reach beyond 2^56 bytes");
	*out = size;
	return Q2S_OK;
}
