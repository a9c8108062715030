/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who owns which bytes of the file: all metadata, structure by structure, and all guest data. What
 * is malformed is passed over; showing what is wrong is the work of `check` and `dump`.
 */
#ifndef INSPECT_REGIONS_H
#define INSPECT_REGIONS_H

#include "inspect/l1_tables.h"
#include "inspect/subject.h"

enum region_kind {
	REGION_HEADER, /* cluster 0: header, extensions, backing file name */
	REGION_REFTABLE,
	REGION_REFBLOCK,
	REGION_L1,
	REGION_L2,
	REGION_SNAPSHOTS,
	REGION_BITMAP_DIRECTORY,
	REGION_BITMAP_TABLE,
	REGION_BITMAP_DATA,
	REGION_LUKS,
};

/**
 * One structure in the file.
 *
 * @len    bytes; what is left of the last cluster is padding
 * @owner  L1, L2: the number of the L1 table (as in struct l1_ref); bitmaps: of the bitmap
 * @index  refcount block: its entry in the table; L2: the L1 entry; bitmap data: the table entry
 */
struct region {
	enum region_kind kind;
	q2s_host at;
	uint64_t len;
	uint32_t owner;
	uint64_t index;
};

typedef enum q2s_err (*region_visit)(void *opaque, const struct region *region,
				     struct q2s_diag *diag);

/**
 * Visit all metadata, in the order in which structures lead to each other. What several entries
 * lead to, such as an L2 table that a snapshot shares with the active L1 table, is visited once: for
 * the first of them. Stops at the first error.
 */
enum q2s_err regions_visit(const struct subject *subject, region_visit visit, void *opaque,
			   struct q2s_diag *diag);

/** The name for people: "refcount block". Static storage. */
const char *region_name(enum region_kind kind);

/**
 * Host bytes behind one L2 entry.
 *
 * @at, @len  the cluster, or the sectors that a compressed cluster touches
 * @owner     number of the L1 table
 * @guest     first guest byte of the entry
 * @where     of the entry itself
 */
struct data_range {
	q2s_host at;
	uint64_t len;
	bool compressed;
	uint32_t owner;
	uint64_t guest;
	q2s_host where;
};

typedef enum q2s_err (*data_visit)(void *opaque, const struct data_range *range,
				   struct q2s_diag *diag);

/** Visit the host bytes of all L2 entries; nothing for an image with an external data file. */
enum q2s_err regions_visit_data(const struct subject *subject, data_visit visit, void *opaque,
				struct q2s_diag *diag);

#endif
