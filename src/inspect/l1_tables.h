/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All L1 tables of an image: the active one and those of its snapshots, also of a damaged image. */
#ifndef INSPECT_L1_TABLES_H
#define INSPECT_L1_TABLES_H

#include "inspect/subject.h"

/**
 * One L1 table.
 *
 * @owner         0: the active one; else the number of the snapshot record, plus 1
 * @entries       cut to the format's limit
 * @fresh         so many of them lie in the file, and in no cluster of an earlier L1 table (in a
 *                sound image no two L1 tables share one)
 * @disk_entries  so many show the guest disk, those behind hold the VM state
 */
struct l1_ref {
	uint32_t owner;
	q2s_host at;
	uint64_t entries;
	uint64_t fresh;
	uint64_t disk_entries;
};

typedef enum q2s_err (*l1_visit)(void *opaque, const struct l1_ref *ref, struct q2s_diag *diag);

/** Visit each; stops at the first error. Malformed snapshot records are passed over. */
enum q2s_err l1_tables(const struct subject *subject, l1_visit visit, void *opaque,
		       struct q2s_diag *diag);

/** The fresh entries for guest bytes from @guest up to @end: [first, end). */
struct l1_range {
	uint64_t first;
	uint64_t end;
};
struct l1_range l1_range(const struct l1_ref *ref, const struct q2s_geom *geom, uint64_t guest,
			 uint64_t end);

/**
 * Where the L2 table of an L1 entry lies, read as leniently as QEMU does: reserved bits are passed
 * over. False for an empty entry and for an offset that cannot be.
 */
bool l1_target(const struct q2s_geom *geom, const uint8_t *raw, q2s_host *out);

#endif
