/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What kinds of damage there are, before anything is done: it decides what may be done at all. */
#include "edit/repair.h"

#include <string.h>

#include "base/diag.h"

/* The refcount structures themselves are wrong, or something else lies on them. */
static bool
hurts_refcounts(const struct q2si_case *found)
{
	switch (found->id) {
	case Q2SI_FOUND_REFCOUNT_TABLE_EMPTY:
	case Q2SI_FOUND_REFCOUNT_TABLE_OFFSET:
	case Q2SI_FOUND_REFCOUNT_TABLE_TOO_LARGE:
	case Q2SI_FOUND_REFCOUNT_TABLE_PAST_END:
	case Q2SI_FOUND_REFCOUNT_TABLE_RESERVED: /* a table that is too long reaches into data */
	case Q2SI_FOUND_REFCOUNT_BLOCK_UNALIGNED:
	case Q2SI_FOUND_REFCOUNT_BLOCK_PAST_END:
	case Q2SI_FOUND_REFCOUNT_BLOCK_SHARED:
		return true;
	case Q2SI_FOUND_OVERLAP_METADATA:
	case Q2SI_FOUND_OVERLAP_DATA:
		return found->kind && strstr(found->kind, "refcount");
	default:
		return false;
	}
}

/* May the counts that can be read be something else? A block that is not there has none. */
static bool
hurts_counts(const struct q2si_case *found)
{
	return found->id != Q2SI_FOUND_REFCOUNT_BLOCK_UNALIGNED &&
	       found->id != Q2SI_FOUND_REFCOUNT_BLOCK_PAST_END && hurts_refcounts(found);
}

/* Something refers to what is not there: so what nobody refers to may be just that. */
static bool
loses_something(const struct q2si_case *found)
{
	switch (found->id) {
	case Q2SI_FOUND_OVERLAP_METADATA:
	case Q2SI_FOUND_OVERLAP_DATA:
	case Q2SI_FOUND_L1_TABLE_PAST_END:
	case Q2SI_FOUND_L2_TABLE_UNALIGNED:
	case Q2SI_FOUND_L2_TABLE_PAST_END:
	case Q2SI_FOUND_L2_SUBCLUSTER_NO_HOST:
	case Q2SI_FOUND_DATA_CLUSTER_UNALIGNED:
	case Q2SI_FOUND_DATA_CLUSTER_PAST_END:
	case Q2SI_FOUND_COMPRESSED_OFFSET:
	case Q2SI_FOUND_COMPRESSED_PAST_END:
	case Q2SI_FOUND_SNAPSHOT_TABLE_OFFSET:
	case Q2SI_FOUND_SNAPSHOT_TABLE_TOO_LARGE:
	case Q2SI_FOUND_SNAPSHOT_TABLE_PAST_END:
	case Q2SI_FOUND_SNAPSHOT_RECORD:
	case Q2SI_FOUND_SNAPSHOT_L1_OFFSET:
	case Q2SI_FOUND_SNAPSHOT_L1_PAST_END:
	case Q2SI_FOUND_BITMAP_DIRECTORY_PAST_END:
	case Q2SI_FOUND_BITMAP_RECORD:
	case Q2SI_FOUND_BITMAP_TABLE_PAST_END:
	case Q2SI_FOUND_BITMAP_TABLE_ENTRY:
	case Q2SI_FOUND_EXTENSION_BITMAPS_BAD:
	case Q2SI_FOUND_CRYPTO_HEADER_PAST_END:
	case Q2SI_FOUND_CRYPTO_HEADER_MAGIC:
		return true;
	default:
		return false;
	}
}

enum q2s_err
q2si_repair_header(struct q2si_round *round)
{
	for (size_t i = 0; i < round->count; i++) {
		const struct q2si_case *found = &round->cases[i];

		round->rebuild |= hurts_refcounts(found);
		round->distrust |= hurts_counts(found);
		round->broken |= loses_something(found);
	}
	return Q2S_OK;
}
