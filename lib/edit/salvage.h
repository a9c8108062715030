/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Salvage: what its files share. Orphans are host clusters without an owner. Most have a refcount;
 * those that have none were freed, and may be written over at any time. Their place on the disk is
 * found by what they hold; that of those with a refcount also by their neighbours.
 */
#ifndef Q2SI_EDIT_SALVAGE_H
#define Q2SI_EDIT_SALVAGE_H

#include "edit/repair.h"

/** No place is known. */
#define Q2SI_NO_PLACE UINT64_MAX

/**
 * One orphan, in the order of the file.
 *
 * @cluster  host cluster
 * @guest    guest offset, or Q2SI_NO_PLACE
 * @sure     how sure that is
 * @proof    static text: from what
 * @table    it is a lost L2 table, or belongs to one that is put back
 * @is_table   it is such a table
 * @like_table  it may be one, though some of what it maps has other owners too
 */
struct q2si_orphan {
	uint64_t cluster;
	uint64_t guest;
	enum q2s_sure sure;
	const char *proof;
	bool table, is_table, like_table;
};

/**
 * The XFS file system of the guest, as its superblock says.
 *
 * @base  guest offset at which it begins
 */
struct q2si_xfs {
	bool known;
	bool base_known;
	uint64_t base;
	uint32_t block_size, ag_blocks, ag_count, sector_size;
	uint8_t ag_block_log, inode_log, inodes_log, block_log;
	uint8_t uuid[16];
	uint64_t log_start;
	uint32_t log_blocks;
};

/** A range of guest bytes that a file system calls free. */
struct q2si_free_range {
	uint64_t start, end;
};

/** A file ends at @at, within a block, of which @zeros bytes follow: those are zero. */
struct q2si_tail {
	uint64_t at;
	uint32_t zeros;
};

/**
 * @orphans  in the order of the file, without those of zeros alone: @zeros
 * @freed    those without a refcount alone
 * @strict   neighbours have to be on both sides, with a hole of the right size between
 * @buf      a cluster
 */
struct q2si_salvage {
	struct q2si_round *round;
	struct q2si_orphan *orphans;
	size_t count, room;
	uint64_t zeros;
	bool freed, strict;
	uint8_t *buf;
	struct q2si_xfs xfs;
	struct q2si_free_range *free;
	size_t free_count, free_room;
	struct q2si_tail *tails;
	size_t tail_count, tail_room;
};

/* ---- salvage_find.c ------------------------------------------------------------------------ */

/** Find orphans, what they say of their place, and tables. */
enum q2s_err q2si_salvage_look(struct q2si_salvage *salvage);
/** Free all that it holds. */
void q2si_salvage_end(struct q2si_salvage *salvage);
/** Of several that claim one place none has it, but for one that is certain: others are older. */
enum q2s_err q2si_salvage_rivals(struct q2si_salvage *salvage);
/** The orphan in this cluster, or NULL. */
struct q2si_orphan *q2si_salvage_find(const struct q2si_salvage *salvage, uint64_t cluster);
/** Those with a place, by their place; to be freed. NULL: out of memory. */
struct q2si_orphan **q2si_salvage_placed(struct q2si_salvage *salvage, size_t *count);
/** Each host cluster that an L2 table of these bytes leads to. */
enum q2s_err q2si_salvage_targets(const struct q2si_salvage *salvage, const uint8_t *table,
				  enum q2s_err (*take)(void *opaque, uint64_t cluster),
				  void *opaque);

/* ---- salvage_proof.c: what a cluster says of its own place --------------------------------- */

/** Look for a file system in one cluster: its superblock, before anything else of it is believed. */
void q2si_proof_learn(struct q2si_salvage *salvage, const uint8_t *bytes, uint64_t guest);
/** Where the log begins, from the start of the file system; else Q2SI_NO_PLACE. */
uint64_t q2si_xfs_log(const struct q2si_xfs *xfs);
/** The guest offset of a cluster, by what is in it; else Q2SI_NO_PLACE. */
uint64_t q2si_proof_place(struct q2si_salvage *salvage, const uint8_t *bytes, const char **proof,
			  enum q2s_sure *sure);

/* ---- salvage_align.c: which of more places than clusters ----------------------------------- */

/**
 * Give @n orphans, in their order, to @count places, more than that: so that what lies there agrees
 * best with where files end, and where blocks are zeros.
 *
 * Returns false in *@done when there is too much to try.
 */
enum q2s_err q2si_align(struct q2si_salvage *salvage, struct q2si_orphan *first, size_t n,
			const uint64_t *places, size_t count, bool *done);

/* ---- salvage_place.c: neighbours ----------------------------------------------------------- */

/** Give places to orphans between others whose place is known. */
enum q2s_err q2si_place_between(struct q2si_salvage *salvage);
/**
 * What the active tables map guest offset @guest to now: true in *@open if nothing, and there is a
 * table, which has the entry at *@entry_at. That is left alone where there is none.
 */
enum q2s_err q2si_place_is_open(struct q2si_salvage *salvage, uint64_t guest, bool *open,
				uint64_t *entry_at);

#endif
