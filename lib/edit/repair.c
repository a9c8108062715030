/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making a plan: rounds of checking and repairing a draft of the image. */
#include "edit/repair.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/options.h"
#include "edit/draft.h"
#include "format/header.h"

/* Each round mends what the one before laid open; nothing has been seen that takes as many. */
#define ROUNDS_MAX 24u
/* Findings that one round remembers; the next one finds the others. */
#define CASES_MAX (UINT64_C(1) << 20)

/* ---- one round ----------------------------------------------------------------------------- */

static void
note_marks(struct q2si_round *round, enum q2si_finding_id id)
{
	round->dirty |= id == Q2SI_FOUND_HEADER_DIRTY;
	round->corrupt |= id == Q2SI_FOUND_HEADER_CORRUPT;
}

/* What is in the way, where two structures share a cluster: what can be moved comes first. */
static const char *
kind_of(enum q2si_finding_id id, const char *detail)
{
	static const enum q2s_structure_kind kinds[] = {
		Q2S_STRUCTURE_REFCOUNT_TABLE, Q2S_STRUCTURE_REFCOUNT_BLOCK, Q2S_STRUCTURE_L2,
		Q2S_STRUCTURE_SNAPSHOT_L1,    Q2S_STRUCTURE_SNAPSHOT_TABLE, Q2S_STRUCTURE_BITMAP_DIRECTORY,
		Q2S_STRUCTURE_BITMAP_TABLE,   Q2S_STRUCTURE_BITMAP_DATA,		Q2S_STRUCTURE_L1,
		Q2S_STRUCTURE_CRYPTO,	    Q2S_STRUCTURE_HEADER,
	};

	if (id != Q2SI_FOUND_OVERLAP_DATA && id != Q2SI_FOUND_OVERLAP_METADATA)
		return NULL;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strstr(detail, q2s_structure_name(kinds[i])))
			return q2s_structure_name(kinds[i]);
	return NULL;
}

static void
found(void *opaque, enum q2si_finding_id id, const struct q2si_place *place)
{
	struct q2si_round *round = opaque;

	note_marks(round, id);
	/* What counts say is taken from the counts themselves. */
	if (id == Q2SI_FOUND_REFCOUNT_LEAK || id == Q2SI_FOUND_REFCOUNT_HIGH ||
	    id == Q2SI_FOUND_REFCOUNT_LOW || id == Q2SI_FOUND_REFCOUNT_ZERO ||
	    round->count >= CASES_MAX || round->no_memory)
		return;
	if (round->count == round->room) {
		const size_t room = round->room ? 2 * round->room : 64;
		struct q2si_case *cases =
			reallocarray(round->cases, room, sizeof(*round->cases));

		if (!cases) {
			round->no_memory = true;
			return;
		}
		round->cases = cases;
		round->room = room;
	}
	round->cases[round->count++] = (struct q2si_case){
		.id = id,
		.host = place->host.v,
		.has_guest = place->has_guest,
		.guest = place->guest.v,
		.found = place->found,
		.expected = place->expected,
		.times = place->repeated ? place->times : 1,
		.kind = kind_of(id, place->detail),
	};
}

/* All kinds of damage in the order in which one hides the other. */
static enum q2s_err
settled(void *opaque, struct q2si_checker *ck)
{
	struct q2si_round *round = opaque;
	const bool all = round->repair->flags & Q2S_REPAIR_ALL;

	round->ck = ck;
	if (round->no_memory)
		return q2si_fail_nomem(round->diag, "repair plan");
	/* What could not be read may refer to anything. */
	if (ck->result.check_errors)
		return Q2S_OK;
	Q2SI_TRY(q2si_repair_header(round));
	if (all) {
		Q2SI_TRY(q2si_repair_records(round));
		Q2SI_TRY(q2si_repair_l1(round));
		if (!round->changed)
			Q2SI_TRY(q2si_repair_l2(round));
	}
	if (!round->changed)
		Q2SI_TRY(q2si_repair_owners(round));
	if (!round->changed && !(all && round->rebuild))
		Q2SI_TRY(q2si_repair_counts(round));
	if (!round->changed && !(all && round->rebuild))
		Q2SI_TRY(q2si_repair_copied(round));
	if (!round->changed && all && round->rebuild)
		Q2SI_TRY(q2si_repair_spare(round));
	round->changed |= round->count >= CASES_MAX && round->fixed;
	q2si_step_end(round->repair);
	return Q2S_OK;
}

/* @image is that of the draft, as it is now. */
static enum q2s_err
round_run(struct q2si_round *round, struct q2s_image *image, bool first,
	  const struct q2s_observer *observer, struct q2s_check_result *result)
{
	const struct q2s_check_options options = { .size = sizeof(options), .observer = observer };
	const struct q2si_check_hooks hooks = { .digest = first ? &round->repair->digest : NULL,
						.found = found,
						.settled = settled,
						.opaque = round };

	return q2si_check(image, &options, &hooks, result, round->diag);
}

/* ---- all rounds ---------------------------------------------------------------------------- */

struct maker {
	struct q2s_repair *repair;
	const struct q2s_observer *observer;
	struct q2s_diag *diag;
	struct q2s_repair_result result;
	uint64_t next_free;
	bool dirty, corrupt;
	bool rebuilt; /* by the last round, when there were so many @corruptions */
	uint64_t corruptions;
};

/* What was right as soon as the refcounts were is counted by what is not found any more. */
static void
add_rebuilt(struct maker *maker)
{
	struct q2s_repair_result *result = &maker->result;

	if (!maker->rebuilt)
		return;
	maker->rebuilt = false;
	result->corruptions_fixed +=
		maker->corruptions - q2si_min(maker->corruptions, result->after.corruptions);
}

static void
add_up(struct maker *maker, const struct q2si_round *round)
{
	struct q2s_repair_result *result = &maker->result;

	result->corruptions_fixed += round->fixed;
	result->leaks_fixed += round->leaks_fixed;
	result->leaks_kept = round->leaks_kept;
	result->lost += round->lost;
	result->drop = round->drop;
	maker->dirty = round->dirty;
	maker->corrupt = round->corrupt;
	/* Of what the last round did nothing else follows. */
	result->after.corruptions -= q2si_min(result->after.corruptions, round->fixed);
	result->after.leaks -= q2si_min(result->after.leaks, round->leaks_fixed);
}

/* COPIED follows from the counts, so that qemu-img never sees what is right again. */
static enum q2s_err
rebuild(struct maker *maker, const struct q2si_round *round, struct q2s_image *image, bool *more)
{
	const uint64_t steps = maker->repair->step_count;

	/* Of a device the end is that of all that is in use or has a count. */
	if (maker->next_free == 0 && q2s_store_is_block_device(maker->repair->file))
		maker->next_free = maker->result.after.image_end_offset;
	Q2SI_TRY(q2si_repair_rebuild(round, image));
	maker->result.leaks_unknown = round->leaks_unknown;
	*more = maker->repair->step_count > steps;
	maker->rebuilt = *more;
	maker->corruptions = maker->result.after.corruptions - q2si_min(
		maker->result.after.corruptions, q2si_copied_times(round));
	return Q2S_OK;
}

static enum q2s_err
one_round(struct maker *maker, unsigned number, bool *more)
{
	struct q2si_round round = { .repair = maker->repair,
				    .diag = maker->diag,
				    .next_free = &maker->next_free };
	struct q2s_image *image;
	enum q2s_err err =
		q2s_image_open(maker->repair->draft, Q2S_IMAGE_DAMAGED, &image, maker->diag);

	if (err != Q2S_OK)
		return err;
	maker->repair->cluster_bits = q2s_image_geom(image)->cluster_bits;
	maker->repair->refcount_order = q2s_image_geom(image)->refcount_order;
	q2s_repair_free(maker->repair->aside);
	maker->repair->aside = NULL;
	/* Leaks that were kept, and references that were lost, count in all rounds. */
	round.broken = maker->result.lost > 0;
	err = round_run(&round, image, number == 0, maker->observer, &maker->result.after);
	if (number == 0)
		maker->result.before = maker->result.after;
	*more = round.changed;
	add_rebuilt(maker);
	if (err == Q2S_OK && round.rebuild && !round.changed &&
	    maker->repair->flags & Q2S_REPAIR_ALL && !maker->result.after.check_errors)
		err = rebuild(maker, &round, image, more);
	if (err == Q2S_OK)
		add_up(maker, &round);
	free(round.cases);
	free(round.keep.list);
	free(round.spared);
	q2s_image_close(image);
	return err;
}

/* Once all is well the header says so. */
static enum q2s_err
clear_marks(struct maker *maker)
{
	static const struct q2si_step dirty = {
		.id = "header-dirty", .structure = "header", .host = 72,
		.why = "the dirty bit is cleared, as the refcounts are right",
		.loss = "nothing",
	}, corrupt = {
		.id = "header-corrupt", .structure = "header", .host = 72,
		.why = "the corrupt bit is cleared, as nothing is wrong any more",
		.loss = "nothing",
	};
	const struct q2s_check_result *after = &maker->result.after;
	const uint64_t marks = (maker->dirty ? Q2S_INCOMPAT_DIRTY : 0) |
			       (maker->corrupt ? Q2S_INCOMPAT_CORRUPT : 0);
	uint8_t last;

	if (!marks || after->corruptions || after->check_errors)
		return Q2S_OK;
	Q2SI_TRY(q2si_step_begin(maker->repair, maker->corrupt ? &corrupt : &dirty, maker->diag));
	Q2SI_TRY(q2s_store_read(maker->repair->draft, 79, &last, 1, maker->diag));
	last &= (uint8_t)~marks;
	return q2si_step_bytes(maker->repair, Q2SI_STAGE_MARK, 79, &last, 1, maker->diag);
}

/* As any writer that does not know what they mean. */
static enum q2s_err
clear_unknown(struct maker *maker)
{
	static const struct q2si_step step = {
		.id = "header-autoclear-unknown", .structure = "header",
		.host = AT_AUTOCLEAR_FEATURES,
		.why = "autoclear bits that are not known are cleared, as the image is changed",
		.loss = "what they stand for is not trusted any more",
	};
	uint8_t version[4], raw[8];
	uint64_t bits;

	q2si_step_end(maker->repair);
	if (maker->repair->step_count == 0)
		return Q2S_OK;
	Q2SI_TRY(q2s_store_read(maker->repair->draft, AT_VERSION, version, 4, maker->diag));
	if (q2si_get_be32(version) < 3)
		return Q2S_OK;
	Q2SI_TRY(q2s_store_read(maker->repair->draft, AT_AUTOCLEAR_FEATURES, raw, sizeof(raw),
				maker->diag));
	bits = q2si_get_be64(raw) & (Q2S_AUTOCLEAR_BITMAPS | Q2S_AUTOCLEAR_DATA_FILE_RAW);
	q2si_put_be64(raw, bits);
	Q2SI_TRY(q2si_step_begin(maker->repair, &step, maker->diag));
	return q2si_step_bytes(maker->repair, Q2SI_STAGE_FILL, AT_AUTOCLEAR_FEATURES, raw,
			       sizeof(raw), maker->diag);
}

static enum q2s_err
make(struct maker *maker)
{
	bool more = true;

	for (unsigned i = 0; more && i < ROUNDS_MAX; i++)
		Q2SI_TRY(one_round(maker, i, &more));
	/* Half of a repair may be worse than none. */
	if (more)
		return q2si_fail_at(maker->diag, Q2S_E_UNSUPPORTED, "repair plan", Q2S_NOWHERE,
				    "each repair makes another one necessary: nothing is planned");
	Q2SI_TRY(clear_marks(maker));
	Q2SI_TRY(clear_unknown(maker));
	q2si_step_end(maker->repair);
	maker->repair->total = maker->repair->step_count;
	if (maker->repair->aside)
		maker->repair->total += maker->repair->aside->step_count;
	/* What has an owner again is no leak either. */
	maker->result.leaks_fixed = q2si_max(
		maker->result.leaks_fixed,
		maker->result.before.leaks -
			q2si_min(maker->result.before.leaks, maker->result.after.leaks));
	maker->repair->new_length = q2s_store_size(maker->repair->draft);
	return q2s_store_verify(maker->repair->file, maker->diag);
}

enum q2s_err
q2s_repair_plan(struct q2s_store *file, const struct q2s_repair_options *given,
		struct q2s_repair **out, struct q2s_repair_result *result, struct q2s_diag *diag)
{
	struct q2s_repair_options options = Q2S_REPAIR_OPTIONS_INIT;
	struct maker maker = { .diag = diag };
	enum q2s_err err;

	Q2SI_TRY(q2si_options_copy(&options, given, diag));
	maker.observer = options.observer;
	maker.repair = calloc(1, sizeof(*maker.repair));
	if (!maker.repair)
		return q2si_fail_nomem(diag, "repair plan");
	maker.repair->flags = options.flags;
	maker.repair->file = q2s_store_ref(file);
	maker.repair->old_length = maker.repair->new_length = q2s_store_size(file);
	err = q2si_draft_open(file, &maker.repair->draft, diag);
	if (err == Q2S_OK)
		err = make(&maker);
	if (err != Q2S_OK) {
		q2s_repair_free(maker.repair);
		return err;
	}
	*out = maker.repair;
	if (result)
		*result = maker.result;
	return Q2S_OK;
}
