/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 5: repair of an image by a plan. A plan is a list of steps, each with what is wrong, what
 * is written and what could be lost; it can be kept as a text, reviewed, applied, and taken back.
 */
#ifndef Q2S_REPAIR_H
#define Q2S_REPAIR_H

#include <q2s/check.h>

Q2S_BEGIN_DECLS

/** A plan of repair. For one thread. */
struct q2s_repair;

/** Also repair what is not a mere leak, as `qemu-img check -r all`. Else as `-r leaks`. */
#define Q2S_REPAIR_ALL (1u << 0)
/** Give up malformed persistent bitmaps. */
#define Q2S_REPAIR_DROP_BITMAPS (1u << 1)
/** Give up internal snapshots that are malformed. */
#define Q2S_REPAIR_DROP_SNAPSHOTS (1u << 2)
/** Give back also leaked clusters that may be the last copy of guest data. */
#define Q2S_REPAIR_DROP_ORPHANS (1u << 3)

/**
 * How to plan. Start from Q2S_REPAIR_OPTIONS_INIT.
 *
 * @size      sizeof(struct q2s_repair_options)
 * @flags     Q2S_REPAIR_*
 * @observer  or NULL; sees Q2S_PHASE_CHECK, as often as the image has to be checked
 */
struct q2s_repair_options {
	size_t size;
	unsigned flags;
	const struct q2s_observer *observer;
};
#define Q2S_REPAIR_OPTIONS_INIT { .size = sizeof(struct q2s_repair_options) }

/**
 * What a plan does. Numbers are those of `qemu-img check`.
 *
 * @before, @after     what a check says without the plan and with it
 * @corruptions_fixed, @leaks_fixed  uses of wrong values that are set right, and clusters given
 *                     back
 * @leaks_kept         leaked clusters that are not given back, as they may be the last copy of
 *                     guest data
 * @leaks_unknown      clusters of the file that nothing refers to, and of which it is not known
 *                     whether they were leaks, as the refcounts are made anew: they have none then
 * @lost               places where the guest's data could not be found, so that it reads zeros
 * @drop               which Q2S_REPAIR_DROP_BITMAPS and _SNAPSHOTS would give up something that is
 *                     malformed, and were not given
 */
struct q2s_repair_result {
	struct q2s_check_result before, after;
	uint64_t corruptions_fixed;
	uint64_t leaks_fixed;
	uint64_t leaks_kept;
	uint64_t leaks_unknown;
	uint64_t lost;
	unsigned drop;
};

/** How sure a step is. */
enum q2s_sure {
	Q2S_SURE_CERTAIN, /* it follows from what the image holds */
	Q2S_SURE_LIKELY,  /* there is evidence for it, and none against it */
	Q2S_SURE_UNKNOWN, /* what the guest reads there then may be wrong */
};

/**
 * One step, to be shown. All strings live as long as the plan.
 *
 * @number     counts from 1
 * @id         of the finding (doc/findings)
 * @structure  what is changed, and @host where it lies
 * @guest      the guest offset that it is about, when @has_guest
 * @bytes      that it changes
 * @why        what is wrong, and what is done
 * @also       a second reason, or NULL
 * @loss       what could be lost
 * @candidate  host offset of a leaked cluster that is kept, as it may be the data of guest offset
 *             @candidate_guest, which shares a host cluster with others against its refcount; 0:
 *                               none
 */
struct q2s_repair_step {
	uint64_t number;
	const char *id;
	const char *structure;
	q2s_host host;
	bool has_guest;
	q2s_guest guest;
	uint64_t bytes;
	enum q2s_sure sure;
	const char *why;
	const char *also;
	const char *loss;
	q2s_host candidate;
	q2s_guest candidate_guest;
};

/**
 * Plan the repair of an image. Nothing is written.
 *
 * @file     the image; a reference is taken
 * @options  NULL: as Q2S_REPAIR_OPTIONS_INIT
 * @result   or NULL
 *
 * Returns Q2S_OK, also when there is nothing to repair or some of it cannot be; or what
 * q2s_image_open() and q2s_check() report, Q2S_E_CHANGED (it is being written to), Q2S_E_LIMIT
 * (more steps than a plan may have), Q2S_E_USAGE (@options->size).
 */
enum q2s_err q2s_repair_plan(struct q2s_store *file, const struct q2s_repair_options *options,
			     struct q2s_repair **out, struct q2s_repair_result *result,
			     struct q2s_diag *diag);
void q2s_repair_free(struct q2s_repair *repair); /* NULL is fine */

/** How many steps there are that are not struck out, and one of them, @index below that. */
uint64_t q2s_repair_steps(const struct q2s_repair *repair);
/** How many are struck out: by who reviewed the plan, or from the start, as with leaks that are kept. */
uint64_t q2s_repair_steps_struck(const struct q2s_repair *repair);
void q2s_repair_step(const struct q2s_repair *repair, uint64_t index, struct q2s_repair_step *out);

/* ---- what nothing refers to ----------------------------------------------------------------- */

/**
 * What was found of clusters that have no owner.
 *
 * @orphans           how many there are that have a refcount, without those of zeros alone: @zeros
 * @certain, @likely  of these, those that get a place on the disk
 * @freed             how many have no refcount, and are not zeros
 * @freed_likely      of these, those that get a place on the disk
 * @tables            L2 tables among all of them that get an L1 entry
 */
struct q2s_salvage_result {
	uint64_t orphans, zeros;
	uint64_t certain, likely;
	uint64_t freed, freed_likely;
	uint64_t tables;
};

/** Only what is certain. */
#define Q2S_SALVAGE_CERTAIN (1u << 0)

/**
 * Plan to put back what lost its place on the disk: host clusters that nothing refers to. Their
 * guest offset is known by what they hold, by their neighbours in the file, or by an L2 table that
 * is an orphan itself; of those that have no refcount, as they were freed and not yet written over,
 * by what they hold alone, and never for certain. Only places that are empty now are filled.
 * Nothing is written.
 *
 * @flags  0 or Q2S_SALVAGE_CERTAIN
 *
 * Returns as q2s_repair_plan().
 */
enum q2s_err q2s_salvage_plan(struct q2s_store *file, unsigned flags, struct q2s_repair **out,
			      struct q2s_salvage_result *result, struct q2s_diag *diag);

/* ---- the plan as a text (doc/repair-plan) -------------------------------------------------- */

/**
 * The plan as text, piece by piece.
 *
 * @put  takes @len bytes of it; what it returns that is not Q2S_OK ends the work, and is returned
 * Fails with Q2S_E_NOMEM else.
 */
enum q2s_err q2s_repair_save(const struct q2s_repair *repair,
			     enum q2s_err (*put)(void *opaque, const char *text, size_t len),
			     void *opaque);

/**
 * Read a plan. Steps may have been struck out of the text.
 *
 * Returns Q2S_OK; Q2S_E_PLAN: not a plan, or a line of it is wrong (diag->text says which), or it
 * ends too early; Q2S_E_NOMEM; what reading reports.
 */
enum q2s_err q2s_repair_load(struct q2s_store *text, struct q2s_repair **out,
			     struct q2s_diag *diag);

/* ---- doing it ------------------------------------------------------------------------------ */

/**
 * Is this the image that the plan was made for, and as it was then? What an application of the same
 * plan that was interrupted has written is no difference. Reads all metadata.
 *
 * Returns Q2S_OK; Q2S_E_CHANGED when it is not; Q2S_E_PLAN when steps were struck out without which
 * the rest would make corruption that is not there now (the text names one).
 */
enum q2s_err q2s_repair_fits(const struct q2s_repair *repair, struct q2s_store *file,
			     struct q2s_diag *diag);

/**
 * What q2s_repair_revert() needs, piece by piece; after q2s_repair_fits() said yes. It follows from
 * the plan and the image: the same again after an application that was interrupted. Fails with what
 * @put returns, or what reading reports.
 */
enum q2s_err q2s_repair_undo(const struct q2s_repair *repair, struct q2s_store *file,
			     enum q2s_err (*put)(void *opaque, const void *data, size_t len),
			     void *opaque, struct q2s_diag *diag);

/**
 * Apply the plan, after q2s_repair_fits() said yes: in stages with a flush between, so that at any
 * moment a crash leaves an image for which the plan still fits. Durable when it returns. When it
 * fails the plan can be applied again.
 *
 * @file  writable
 */
enum q2s_err q2s_repair_apply(const struct q2s_repair *repair, struct q2s_store *file,
			      struct q2s_diag *diag);

/**
 * Make the image what it was, byte by byte, before the plan was applied, in whole or in part.
 *
 * @undo  what q2s_repair_undo() gave
 * @file  writable
 *
 * Returns Q2S_OK; Q2S_E_PLAN: @undo is none, or is damaged; Q2S_E_CHANGED: something else has
 * changed the metadata since (nothing is written then); or what reading and writing report.
 */
enum q2s_err q2s_repair_revert(struct q2s_store *undo, struct q2s_store *file,
			       struct q2s_diag *diag);

Q2S_END_DECLS
#endif
