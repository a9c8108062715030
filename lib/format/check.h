/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules that several structures share: where a table or a cluster may lie. */
#ifndef Q2SI_FORMAT_CHECK_H
#define Q2SI_FORMAT_CHECK_H

#include <q2s/format.h>

/** The place of a field @offset bytes into the structure at @at; nowhere stays nowhere. */
static inline q2s_host
q2si_field_at(q2s_host at, uint64_t offset)
{
	return at.v == Q2S_NOWHERE.v ? at : (q2s_host){ at.v + offset };
}

/**
 * May @bytes bytes of a table lie at @table? Cluster-aligned and ending below 2^63, as QEMU's
 * qcow2_validate_table() asks; whether 0 is a place is the caller's question.
 *
 * @cluster_size  a power of two
 * @what          the field that holds @table
 * @at            host offset of that field
 *
 * Returns Q2S_OK or Q2S_E_OFFSET.
 */
enum q2s_err q2si_check_table(uint32_t cluster_size, q2s_host table, uint64_t bytes,
			      const char *what, q2s_host at, struct q2s_diag *diag);

/**
 * May one cluster lie at @cluster? Cluster-aligned and below Q2S_HOST_OFFSET_LIMIT.
 *
 * @what   the entry that holds @cluster
 * @at     host offset of that entry
 * @value  the entry as stored
 *
 * Returns Q2S_OK or Q2S_E_OFFSET.
 */
enum q2s_err q2si_check_cluster(const struct q2s_geom *geom, q2s_host cluster, const char *what,
				q2s_host at, uint64_t value, struct q2s_diag *diag);

#endif
