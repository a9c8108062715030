/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules that several structures share: where a table or a cluster may lie. */
#include "format/check.h"

#include "base/arith.h"
#include "base/diag.h"

enum q2s_err
q2si_check_table(uint32_t cluster_size, q2s_host table, uint64_t bytes, const char *what,
		 q2s_host at, struct q2s_diag *diag)
{
	uint64_t end;

	if (!q2si_is_aligned(table.v, cluster_size))
		return q2si_fail(diag, Q2S_E_OFFSET, what, at, table.v,
				 "table not cluster-aligned");
	if (!q2si_add(table.v, bytes, &end) || end > INT64_MAX)
		return q2si_fail(diag, Q2S_E_OFFSET, what, at, table.v,
				 "table ends beyond 2^63 - 1");
	return Q2S_OK;
}

enum q2s_err
q2si_check_cluster(const struct q2s_geom *geom, q2s_host cluster, const char *what, q2s_host at,
		   uint64_t value, struct q2s_diag *diag)
{
	if (!q2si_is_aligned(cluster.v, geom->cluster_size))
		return q2si_fail(diag, Q2S_E_OFFSET, what, at, value,
				 "host offset not cluster-aligned");
	if (cluster.v >= Q2S_HOST_OFFSET_LIMIT)
		return q2si_fail(diag, Q2S_E_OFFSET, what, at, value, "host offset beyond 2^56");
	return Q2S_OK;
}
