/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Giving space back: what its files share. Functions here are called with the lock; nobody else
 * uses the edit meanwhile.
 */
#ifndef Q2SI_EDIT_COMPACT_H
#define Q2SI_EDIT_COMPACT_H

#include "edit/edit.h"

/** Clusters that one round moves at most: that bounds its memory. */
#define Q2SI_MOVES_MAX (1u << 18)

/** An L1 table: the active one, or that of a snapshot. */
struct q2si_root {
	uint64_t at;
	uint64_t entries;
};

/** From a host offset to another; @from is not 0. */
struct q2si_move {
	uint64_t from, to;
};

/**
 * One round.
 *
 * @limit   clusters from here on are to be moved below it
 * @window, @window_len  clusters below it that are to be moved as well, for a table to lie there;
 *          nothing is moved into them
 * @wanted  clusters of the longest table for which there was no run that is long enough
 * @low     where the search for one free cluster goes on
 * @roots   [0]: the active one
 * @moves   a hash, of @room, a power of two; data and tables by their cluster's offset, compressed
 *          ones by that of their first byte
 * @packed, @packed_end  where the next compressed cluster goes, and where its run of clusters ends
 * @last    the compressed cluster that was moved last
 * @later   what loses a reference when the round is durable
 * @moved   clusters
 */
struct q2si_round {
	struct q2s_edit *edit;
	struct q2si_worker *worker;
	uint64_t limit;
	uint64_t window, window_len;
	uint64_t wanted;
	uint64_t low;
	struct q2si_root *roots;
	size_t root_count;
	struct q2si_move *moves;
	size_t room, count;
	uint64_t packed, packed_end;
	struct q2si_move last;
	uint64_t last_len;
	struct q2si_freed_list later;
	uint64_t moved;
};

/* ---- compact_space.c ------------------------------------------------------------------------- */

/** Clusters that are in use. */
enum q2s_err q2si_used_count(struct q2s_edit *edit, uint64_t *out, struct q2s_diag *diag);

/**
 * Take @want contiguous free clusters below the round's limit, each with @count. *@host is 0 when
 * there are none; of several the round remembers that they were wanted.
 */
enum q2s_err q2si_low_alloc(struct q2si_round *round, uint64_t want, uint64_t count,
			    uint64_t *host, struct q2s_diag *diag);

/** Where @from was moved to, or 0. */
uint64_t q2si_moved_to(const struct q2si_round *round, uint64_t from);
void q2si_moved_note(struct q2si_round *round, uint64_t from, uint64_t to);

/** No more can be noted; what is left waits for the next round. */
static inline bool
q2si_is_full(const struct q2si_round *round)
{
	return round->count >= round->room / 2;
}

static inline bool
q2si_is_in_window(const struct q2si_round *round, uint64_t cluster)
{
	return cluster - round->window < round->window_len;
}

/** Is the byte at @host to be moved? */
static inline bool
q2si_is_high(const struct q2si_round *round, uint64_t host)
{
	const uint64_t cluster = host >> round->edit->geom.cluster_bits;

	return cluster >= round->limit || q2si_is_in_window(round, cluster);
}

/** Each of the clusters at @host loses @times references when the round is durable. */
enum q2s_err q2si_round_drop(struct q2si_round *round, uint64_t host, uint64_t len,
			     uint64_t times, enum q2si_freed_kind kind, struct q2s_diag *diag);

/**
 * Refcount blocks that describe nothing any more go, of those for clusters from @from on; all is
 * flushed.
 */
enum q2s_err q2si_blocks_drop(struct q2s_edit *edit, uint64_t from, struct q2s_diag *diag);

/* ---- compact_room.c -------------------------------------------------------------------------- */

/**
 * Choose the window of round->wanted clusters in which the least is in use, and nothing that has to
 * stay. *@out: is there one, and room elsewhere below the limit for what lies in it?
 */
enum q2s_err q2si_window_choose(struct q2si_round *round, bool *out, struct q2s_diag *diag);

/* ---- what is moved: compact_data.c, compact_tables.c ---------------------------------------- */

enum q2s_err q2si_data_move(struct q2si_round *round, struct q2s_diag *diag);
enum q2s_err q2si_l2_move(struct q2si_round *round, struct q2s_diag *diag);
enum q2s_err q2si_blocks_move(struct q2si_round *round, struct q2s_diag *diag);
enum q2s_err q2si_l1_move(struct q2si_round *round, struct q2s_diag *diag);
enum q2s_err q2si_reftable_move(struct q2si_round *round, struct q2s_diag *diag);
enum q2s_err q2si_snapshots_move(struct q2si_round *round, struct q2s_diag *diag);
/** compact_bitmaps.c: tables, data and directory of all bitmaps, if any of it is high. */
enum q2s_err q2si_bitmaps_move(struct q2si_round *round, struct q2s_diag *diag);

#endif
