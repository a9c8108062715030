/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Repair: what its files share.
 *
 * A plan is made in rounds. Each checks a draft of the image (draft.h), that is the image with all
 * steps so far, and turns what is found into further steps: first references that lead nowhere,
 * then clusters with two owners, then refcounts, and COPIED at last, as it follows from them. A
 * round that changes nothing ends it. So whatever a step does is seen by the same checker that saw
 * the damage.
 *
 * A step is a decision that a person may strike out; its changes are what it writes. No byte is
 * changed by two changes: the second one goes into the first.
 */
#ifndef Q2SI_EDIT_REPAIR_H
#define Q2SI_EDIT_REPAIR_H

#include <q2s/repair.h>

#include "check/checker.h"

/** In this order, with a flush behind each. */
enum q2si_stage {
	Q2SI_STAGE_FILL,   /* new clusters, and refcounts that rise */
	Q2SI_STAGE_SWITCH, /* the header enters a new refcount table */
	Q2SI_STAGE_L2,     /* L2 entries */
	Q2SI_STAGE_L1,     /* L1 entries and the header: what leads to tables */
	Q2SI_STAGE_FALL,   /* refcounts that fall */
	Q2SI_STAGE_MARK,   /* the dirty and the corrupt bit */
	Q2SI_STAGES
};

/** The word for a stage in a plan. */
extern const char *const q2si_stage_names[Q2SI_STAGES];

enum q2si_change_kind { Q2SI_CHANGE_BYTES, Q2SI_CHANGE_COUNTS, Q2SI_CHANGE_COPY, Q2SI_CHANGE_ZERO };

#define Q2SI_CHANGE_SMALL 16u

/**
 * One change of the file.
 *
 * @at     host offset of what is written; of counts: of their refcount block
 * @len    bytes; of counts: how many, all alike
 * @from   COPY: where the bytes come from. COUNTS: the first one's index in the block
 * @small  BYTES, up to Q2SI_CHANGE_SMALL of them: the old ones, then the new ones
 * @large  more than that: the same, to be freed
 * @old, @fresh  COUNTS: the value before and after
 */
struct q2si_change {
	enum q2si_change_kind kind;
	enum q2si_stage stage;
	uint64_t at;
	uint64_t len;
	uint64_t from;
	union {
		uint8_t small[2 * Q2SI_CHANGE_SMALL];
		uint8_t *large;
		struct {
			uint64_t old, fresh;
		};
	};
};

static inline const uint8_t *
q2si_change_old(const struct q2si_change *change)
{
	return change->len > Q2SI_CHANGE_SMALL ? change->large : change->small;
}

static inline const uint8_t *
q2si_change_new(const struct q2si_change *change)
{
	return q2si_change_old(change) + change->len;
}

/**
 * One step: what is shown of it, and its changes.
 *
 * @kept       why it is struck out; NULL: it is not
 * @candidate  host offset of a leaked cluster that may be what an entry led to that shows
 *             @candidate_guest; 0: none
 */
struct q2si_step {
	const char *id;
	const char *structure;
	uint64_t host;
	bool has_guest;
	uint64_t guest;
	enum q2s_sure sure;
	const char *why;
	const char *also;
	const char *loss;
	const char *kept;
	uint64_t candidate, candidate_guest;
	size_t first, count;
};

/** Something that a round found. */
struct q2si_case {
	enum q2si_finding_id id;
	uint64_t host;
	bool has_guest;
	uint64_t guest;
	uint64_t found, expected;
	uint64_t times;
	const char *kind; /* static, of the structure that is in the way; NULL */
};

/**
 * A plan, and what making it needs.
 *
 * @old_length, @new_length  bytes of the file
 * @digest      of the metadata before
 * @cluster_bits, @refcount_order  of the image
 * @first_new   host offset of the first new cluster; 0: there is none
 * @total       steps when it was made; the rest was struck out
 * @index       of changes of few bytes: open addressing by their offset, index plus one
 * @file, @draft  while it is made
 * @arena       strings of a plan that was loaded
 * @bitmaps_done  malformed bitmaps were given up
 * @aside       steps that are struck out from the start, or NULL
 * @candidates  clusters that are named as such by steps
 */
struct q2s_repair {
	unsigned flags;
	uint64_t old_length, new_length, digest, first_new;
	uint32_t cluster_bits, refcount_order;
	struct q2si_step *steps;
	size_t step_count, step_room;
	struct q2si_change *changes;
	size_t change_count, change_room;
	size_t *index;
	size_t index_room, index_count;
	uint64_t total;
	struct q2s_store *file, *draft;
	char *arena;
	bool bitmaps_done;
	struct q2s_repair *aside;
	uint64_t *candidates;
	size_t candidate_count, candidate_room;
};

/** As much of the geometry as counts need: a plan that is applied has no image at first. */
static inline struct q2s_geom
q2si_count_geom(const struct q2s_repair *repair)
{
	return (struct q2s_geom){
		.cluster_bits = repair->cluster_bits,
		.refcount_order = repair->refcount_order,
		.refcount_bits = 1u << repair->refcount_order,
		.refcount_max = UINT64_MAX >> (64 - (1u << repair->refcount_order)),
		.block_entries = (8u << repair->cluster_bits) >> repair->refcount_order,
	};
}

struct q2si_round;

/* ---- repair_steps.c ------------------------------------------------------------------------ */

/** Begin a step. Its changes follow; one without any is dropped by the next, or at the end. */
enum q2s_err q2si_step_begin(struct q2s_repair *repair, const struct q2si_step *step,
			     struct q2s_diag *diag);
void q2si_step_end(struct q2s_repair *repair);
/** A step of one change that is struck out, as @kept says. */
enum q2s_err q2si_step_aside(struct q2si_round *round, const struct q2si_case *found,
			     const char *why, const char *loss, const char *kept,
			     const struct q2si_change *change);
/** Add a change as it is, without doing it to the draft. */
enum q2s_err q2si_change_add(struct q2s_repair *repair, const struct q2si_change *change,
			     struct q2s_diag *diag);
/**
 * Have room for the @len old bytes of @change, and as many new ones behind them; they are freed
 * with the plan. NULL: out of memory.
 */
uint8_t *q2si_change_room(struct q2si_change *change);

/* These do it to the draft, too. */

/** Bytes that are there; nothing happens if they are these already. */
enum q2s_err q2si_step_bytes(struct q2s_repair *repair, enum q2si_stage stage, uint64_t at,
			     const void *bytes, size_t len, struct q2s_diag *diag);
/** @n counts from @index on of the refcount block at @block. */
enum q2s_err q2si_step_counts(struct q2s_repair *repair, enum q2si_stage stage, uint64_t block,
			      uint64_t index, uint64_t n, uint64_t old, uint64_t fresh,
			      struct q2s_diag *diag);
/** New clusters of zeros. */
enum q2s_err q2si_step_zero(struct q2s_repair *repair, uint64_t at, uint64_t len,
			    struct q2s_diag *diag);
/** New clusters with what lies elsewhere. @table: it is metadata, so the draft has to show it. */
enum q2s_err q2si_step_copy(struct q2s_repair *repair, uint64_t from, uint64_t to, uint64_t len,
			    bool table, struct q2s_diag *diag);

/** Do one change to a store that holds nothing but the old or the new bytes there. */
enum q2s_err q2si_change_do(const struct q2s_repair *repair, const struct q2si_change *change,
			    struct q2s_store *store, bool back, struct q2s_diag *diag);

/* ---- one round: repair_round.c ------------------------------------------------------------- */

/** A leaked cluster that may be the last copy of guest data, and why. */
struct q2si_kept {
	uint64_t cluster;
	const char *why; /* static */
};

/** @looked: they were looked for. @all: why all of them are, or NULL. @list: sorted when complete. */
struct q2si_keep {
	bool looked;
	const char *all;
	struct q2si_kept *list;
	size_t count, room;
};

/** @n leaked clusters from @first on, each with this refcount. */
struct q2si_spared {
	uint64_t first, n, count;
};

/**
 * One check of the draft and what follows from it.
 *
 * @next_free  host offset of the next new cluster
 * @claimed    orphans that got an owner in this round have been counted in ck->counted
 * @changed    a step was made whose consequences have to be looked at
 * @rebuild    the refcount structures cannot be used
 * @fixed      corruptions, as qemu-img counts them
 * @broken     references that lead nowhere were seen, so that leaks may be what they led to
 * @only_rises no count falls
 * @distrust   what stored counts can be read need not be counts
 * @keep       leaks that are not given back
 * @spared     of these, in runs, those that have to be counted when all refcounts are made anew
 * @drop       Q2S_REPAIR_DROP_* that would mend something
 */
struct q2si_round {
	struct q2s_repair *repair;
	struct q2si_checker *ck;
	struct q2s_diag *diag;
	struct q2si_case *cases;
	size_t count, room;
	bool no_memory;
	uint64_t *next_free;
	bool changed;
	bool rebuild;
	bool distrust;
	bool broken;
	bool only_rises;
	bool dirty, corrupt;
	struct q2si_keep keep;
	struct q2si_spared *spared;
	size_t spared_count, spared_room;
	unsigned drop;
	uint64_t fixed, leaks_fixed, leaks_kept, leaks_unknown, lost;
};

/** New clusters at the end of the file, or, of a device, behind what is in use. */
enum q2s_err q2si_round_alloc(struct q2si_round *round, uint64_t clusters, uint64_t *host);
/**
 * May this cluster be what @refs lost references led to? It has that count, and nobody refers to
 * it.
 */
bool q2si_round_orphan(const struct q2si_round *round, uint64_t cluster, uint64_t refs);
/** Give it to them. */
enum q2s_err q2si_round_claim(struct q2si_round *round, uint64_t cluster, uint64_t refs);
/** Begin a step for a case. */
enum q2s_err q2si_round_step(struct q2si_round *round, const struct q2si_case *found,
			     enum q2s_sure sure, const char *why, const char *loss);
/** Read metadata as the draft shows it; zeros behind its end. */
enum q2s_err q2si_round_read(struct q2si_round *round, uint64_t at, void *buf, size_t len);

/* Each makes what steps it can of the cases that are its own. */
enum q2s_err q2si_repair_header(struct q2si_round *round);
enum q2s_err q2si_repair_records(struct q2si_round *round);
enum q2s_err q2si_repair_l1(struct q2si_round *round);
enum q2s_err q2si_repair_l2(struct q2si_round *round);
enum q2s_err q2si_repair_owners(struct q2si_round *round);
enum q2s_err q2si_repair_counts(struct q2si_round *round);
enum q2s_err q2si_repair_copied(struct q2si_round *round);
/** The refcount block that counts @cluster; 0: there is none. */
enum q2s_err q2si_block_of(struct q2si_round *round, uint64_t cluster, uint64_t *out);
/** Of the corruptions of this round, those that are a wrong COPIED. */
uint64_t q2si_copied_times(const struct q2si_round *round);

/* ---- leaks that are kept: repair_keep.c ---------------------------------------------------- */

/** Find the leaks that may be the last copy of guest data. */
enum q2s_err q2si_keep_look(struct q2si_round *round);
/** Why this cluster is kept; NULL: it is not. */
const char *q2si_keep_why(const struct q2si_round *round, uint64_t cluster);

/**
 * Before the refcounts are made anew: which of the leaks that are known stay leaks, and of how many
 * clusters it is not known whether they are leaks.
 */
enum q2s_err q2si_repair_spare(struct q2si_round *round);
/**
 * Replace the refcount table and all blocks. Checks the draft once more, for the counts.
 *
 * @round  the one that asks for it; its check is over
 */
enum q2s_err q2si_repair_rebuild(const struct q2si_round *round, struct q2s_image *image);

/**
 * The leaked cluster that the L2 entry at @entry most likely led to, by its neighbours in the
 * table, or, not @near, as there is one alone; 0: none.
 */
enum q2s_err q2si_fitting_orphan(struct q2si_round *round, uint64_t entry, uint64_t *out, bool *near);

/* ---- L2 tables by their shape: repair_shape.c ---------------------------------------------- */

/**
 * What a cluster would be as an L2 table.
 *
 * @good, @bad  entries that could be, or cannot be, those of this image
 * @owned       of the good ones: those that lead to orphans, with COPIED
 * @orphans     without it too
 * @freed       those that lead to clusters with neither owner nor refcount, with COPIED
 */
struct q2si_shape {
	uint32_t good, bad, owned, orphans, freed;
};
/** @entries: so many of it are looked at; what is behind the end of the disk says nothing. */
enum q2s_err q2si_shape_look(struct q2si_round *round, uint64_t cluster, uint32_t entries,
			     struct q2si_shape *out);
/**
 * Is it a lost L2 table of this image: nothing in it is wrong, and all leads to orphans? One of
 * them may have an owner by mistake: the entry that was to lead to this table.
 */
static inline bool
q2si_shape_is_lost_table(const struct q2si_shape *shape)
{
	return shape->bad == 0 && shape->owned > 0 && shape->owned + 1 >= shape->good;
}

/* ---- digest and view: repair_fits.c -------------------------------------------------------- */

/** The digest of the metadata of the image in @store. */
enum q2s_err q2si_metadata_digest(struct q2s_store *store, uint64_t *out, struct q2s_diag *diag);

#endif
