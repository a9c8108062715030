/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bitmaps of a new image: where their tables, their data and the directory lie. */
#ifndef Q2SI_PLAN_BITMAPS_H
#define Q2SI_PLAN_BITMAPS_H

#include <q2s/plan.h>

struct q2s_plan;

/**
 * One bitmap. Clusters are counted from the start of the bitmaps' area.
 *
 * @table       its first cluster; the data follows the table
 * @entries     of the table
 * @data        its first cluster
 * @data_count  clusters that are neither all clean nor all dirty
 * @stored      the table entry of each of them
 * @record_end  of its record in the directory, in bytes
 */
struct q2si_bitmap {
	uint64_t table;
	uint64_t entries;
	uint64_t data;
	uint64_t data_count;
	uint32_t *stored;
	uint64_t record_end;
};

/**
 * Zero-initialise.
 *
 * @spec        copies of what the plan was given, with names of their own
 * @directory   its first cluster, behind all bitmaps
 * @clusters    of all together
 * @full_bytes  what they would take if no cluster were left out
 */
struct q2si_bitmaps {
	size_t count;
	struct q2s_spec_bitmap *spec;
	struct q2si_bitmap *list;
	uint8_t *names;
	uint64_t directory;
	uint64_t directory_bytes;
	uint64_t clusters;
	uint64_t full_bytes;
};

/** The rules: names, granularity, sizes; see q2s_spec_check(). */
enum q2s_err q2si_bitmaps_check(const struct q2s_spec *spec, struct q2s_diag *diag);

/** Copy what @spec says, let it point to the copy, and compute the places. */
enum q2s_err q2si_bitmaps_make(struct q2s_spec *spec, struct q2si_bitmaps *out,
			       struct q2s_diag *diag);
void q2si_bitmaps_free(struct q2si_bitmaps *bitmaps);

/** Make cluster number @index of the area: cluster_size bytes at @buf. */
enum q2s_err q2si_bitmaps_cluster(const struct q2s_plan *plan, uint64_t index, uint8_t *buf,
				  struct q2s_diag *diag);

#endif
