/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plan that puts orphans back: what they are, where they belong, and the entries for them. */
#include "edit/salvage.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "edit/draft.h"

static const char freed_too[] = "it has no refcount, so it may be older than what the disk lost; "
				"other steps give it one";

struct salvage_work {
	unsigned flags;
	struct q2si_salvage salvage;
	struct q2s_salvage_result result;
};

static uint64_t
host_of(const struct salvage_work *work, const struct q2si_orphan *orphan)
{
	return orphan->cluster << work->salvage.round->ck->geom->cluster_bits;
}

/* ---- lost L2 tables ------------------------------------------------------------------------ */

/* Empty entries of the L1 table; the only one, if there is one. */
static enum q2s_err
only_empty_entry(struct salvage_work *work, uint64_t *index)
{
	struct q2si_round *round = work->salvage.round;
	const uint64_t entries = q2si_min(round->ck->header->l1_size, round->ck->geom->l1_entries);
	uint64_t empty = 0;
	uint8_t raw[8];

	for (uint64_t i = 0; i < entries && empty < 2; i++) {
		Q2SI_TRY(q2si_round_read(round, round->ck->header->l1_table_offset.v + 8 * i, raw,
					 sizeof(raw)));
		if (q2si_get_be64(raw) == 0 && empty++ == 0)
			*index = i;
	}
	if (empty != 1)
		*index = Q2SI_NO_PLACE;
	return Q2S_OK;
}

/* What the data of the table in work->salvage.buf says: the L1 entry, if all agree. */
static uint64_t
proved_entry(const struct salvage_work *work, enum q2s_sure *sure)
{
	const struct q2s_geom *geom = work->salvage.round->ck->geom;
	uint64_t index = Q2SI_NO_PLACE;

	*sure = Q2S_SURE_LIKELY;
	for (uint32_t i = 0; i < geom->l2_entries; i++) {
		const struct q2si_orphan *orphan;
		struct q2s_l2_entry entry;

		if (q2s_l2_decode(geom, work->salvage.buf + (size_t)i * geom->l2_entry_size,
				  Q2S_NOWHERE, &entry, NULL) != Q2S_OK ||
		    entry.compressed || !entry.has_host)
			continue;
		orphan = q2si_salvage_find(&work->salvage, entry.host.v >> geom->cluster_bits);
		if (!orphan || orphan->guest == Q2SI_NO_PLACE)
			continue;
		if (q2s_l2_index(geom, (q2s_guest){ orphan->guest }) != i)
			return Q2SI_NO_PLACE;
		if (index != Q2SI_NO_PLACE &&
		    index != q2s_l1_index(geom, (q2s_guest){ orphan->guest }))
			return Q2SI_NO_PLACE;
		index = q2s_l1_index(geom, (q2s_guest){ orphan->guest });
		if (orphan->sure == Q2S_SURE_CERTAIN)
			*sure = Q2S_SURE_CERTAIN;
	}
	return index;
}

/* All that a table maps comes back with it. */
static enum q2s_err
claim(void *opaque, uint64_t cluster)
{
	struct q2si_orphan *orphan = q2si_salvage_find(opaque, cluster);

	if (orphan)
		orphan->table = true;
	return Q2S_OK;
}

static enum q2s_err
enter_table(struct salvage_work *work, const struct q2si_orphan *table, uint64_t index,
	    enum q2s_sure sure, const char *why)
{
	struct q2si_round *round = work->salvage.round;
	const uint64_t at = round->ck->header->l1_table_offset.v + 8 * index;
	const struct q2si_step step = {
		.id = "refcount-leak",
		.structure = "L1 entry",
		.host = at,
		.has_guest = true,
		.guest = index * round->ck->geom->l2_span,
		.sure = sure,
		.why = why,
		.also = work->salvage.freed ? freed_too : NULL,
		.loss = "nothing: the entry is empty now",
	};
	uint8_t raw[8];

	Q2SI_TRY(q2si_round_read(round, at, raw, sizeof(raw)));
	if (index >= round->ck->header->l1_size || q2si_get_be64(raw) != 0)
		return Q2S_OK;
	Q2SI_TRY(q2si_step_begin(round->repair, &step, round->diag));
	q2si_put_be64(raw, host_of(work, table) | Q2S_ENTRY_COPIED);
	Q2SI_TRY(q2si_step_bytes(round->repair, Q2SI_STAGE_L1, at, raw, sizeof(raw), round->diag));
	work->result.tables++;
	return q2si_salvage_targets(&work->salvage, work->salvage.buf, claim, &work->salvage);
}

static enum q2s_err
restore_table(struct salvage_work *work, const struct q2si_orphan *table, bool only)
{
	struct q2si_salvage *salvage = &work->salvage;
	enum q2s_sure sure;
	uint64_t index;

	Q2SI_TRY(q2si_round_read(salvage->round, host_of(work, table), salvage->buf,
				 salvage->round->ck->geom->cluster_size));
	index = proved_entry(work, &sure);
	if (index != Q2SI_NO_PLACE)
		return work->flags & Q2S_SALVAGE_CERTAIN && sure != Q2S_SURE_CERTAIN
			       ? Q2S_OK
			       : enter_table(work, table, index, sure,
					     "an L2 table that nobody refers to; data that it maps "
					     "says where it is");
	if (!only || work->flags & Q2S_SALVAGE_CERTAIN)
		return Q2S_OK;
	Q2SI_TRY(only_empty_entry(work, &index));
	return index == Q2SI_NO_PLACE
		       ? Q2S_OK
		       : enter_table(work, table, index, Q2S_SURE_LIKELY,
				     "an L2 table that nobody refers to, and one L1 entry that is "
				     "empty");
}

static enum q2s_err
restore_tables(struct salvage_work *work)
{
	struct q2si_salvage *salvage = &work->salvage;
	uint64_t tables = 0;

	for (size_t i = 0; i < salvage->count; i++)
		tables += salvage->orphans[i].is_table;
	for (size_t i = 0; i < salvage->count; i++)
		if (salvage->orphans[i].is_table)
			Q2SI_TRY(restore_table(work, &salvage->orphans[i], tables == 1));
	return Q2S_OK;
}

/* ---- entries ------------------------------------------------------------------------------- */

/* @n orphans in a row whose entries lie side by side from @at on. */
static enum q2s_err
enter_run(struct salvage_work *work, struct q2si_orphan *const *list, size_t n, uint64_t at)
{
	struct q2si_round *round = work->salvage.round;
	const struct q2s_geom *geom = round->ck->geom;
	const size_t len = n * geom->l2_entry_size;
	const struct q2si_step step = {
		.id = "refcount-leak",
		.structure = "L2 entry",
		.host = at,
		.has_guest = true,
		.guest = list[0]->guest,
		.sure = list[0]->sure,
		.why = list[0]->proof,
		.also = work->salvage.freed ? freed_too : NULL,
		.loss = "nothing: the entries are empty now",
	};
	uint8_t *const raw = malloc(len);
	enum q2s_err err = raw ? Q2S_OK : q2si_fail_nomem(round->diag, "salvage");

	for (size_t i = 0; err == Q2S_OK && i < n; i++) {
		const struct q2s_l2_entry entry = { .copied = true, .has_host = true,
						    .host = { host_of(work, list[i]) },
						    .alloc = geom->sub_mask };

		err = q2s_l2_encode(geom, &entry, raw + i * geom->l2_entry_size, round->diag);
	}
	if (err == Q2S_OK)
		err = q2si_step_begin(round->repair, &step, round->diag);
	if (err == Q2S_OK)
		err = q2si_step_bytes(round->repair, Q2SI_STAGE_L2, at, raw, len, round->diag);
	free(raw);
	if (work->salvage.freed)
		work->result.freed_likely += n;
	else if (list[0]->sure == Q2S_SURE_CERTAIN)
		work->result.certain += n;
	else
		work->result.likely += n;
	return err;
}

static enum q2s_err
enter_all(struct salvage_work *work)
{
	struct q2si_salvage *salvage = &work->salvage;
	const struct q2s_geom *geom = salvage->round->ck->geom;
	size_t count;
	Q2SI_AUTO_FREE struct q2si_orphan **list = q2si_salvage_placed(salvage, &count);

	if (!list)
		return q2si_fail_nomem(salvage->round->diag, "salvage");
	for (size_t i = 0, n; i < count; i += n) {
		uint64_t at = 0, next;
		bool open;

		n = 1;
		Q2SI_TRY(q2si_place_is_open(salvage, list[i]->guest, &open, &at));
		if (!open || list[i]->table ||
		    (work->flags & Q2S_SALVAGE_CERTAIN && list[i]->sure != Q2S_SURE_CERTAIN))
			continue;
		for (; i + n < count; n++) {
			if (list[i + n]->guest != list[i]->guest + ((uint64_t)n
								    << geom->cluster_bits) ||
			    list[i + n]->proof != list[i]->proof ||
			    list[i + n]->sure != list[i]->sure || list[i + n]->table)
				break;
			Q2SI_TRY(q2si_place_is_open(salvage, list[i + n]->guest, &open, &next));
			if (!open || next != at + n * geom->l2_entry_size)
				break;
		}
		Q2SI_TRY(enter_run(work, list + i, n, at));
	}
	return Q2S_OK;
}

/* ---- all of it ----------------------------------------------------------------------------- */

/* What was freed goes only where nothing else belongs, and its neighbours say nothing about it. */
static enum q2s_err
look_and_enter(struct salvage_work *work, bool freed)
{
	struct q2si_salvage *salvage = &work->salvage;

	salvage->freed = freed;
	Q2SI_TRY(q2si_salvage_look(salvage));
	Q2SI_TRY(restore_tables(work));
	if (!freed && !(work->flags & Q2S_SALVAGE_CERTAIN))
		Q2SI_TRY(q2si_place_between(salvage));
	Q2SI_TRY(q2si_salvage_rivals(salvage));
	return enter_all(work);
}

static enum q2s_err
find_all(void *opaque, struct q2si_checker *ck)
{
	struct salvage_work *work = opaque;
	struct q2si_round *round = work->salvage.round;
	enum q2s_err err;

	round->ck = ck;
	if (ck->result.check_errors)
		return q2si_fail_at(round->diag, Q2S_E_IO, "image", Q2S_NOWHERE,
				    "some of its metadata cannot be read, so nobody knows what "
				    "nothing refers to");
	if (ck->geom->data_file)
		return Q2S_OK;
	err = look_and_enter(work, false);
	work->result.orphans = work->salvage.count;
	work->result.zeros = work->salvage.zeros;
	q2si_salvage_end(&work->salvage);
	if (err != Q2S_OK)
		return err;
	work->salvage = (struct q2si_salvage){ .round = round };
	err = look_and_enter(work, true);
	work->result.freed = work->salvage.count;
	q2si_salvage_end(&work->salvage);
	return err;
}

static enum q2s_err
raise_counts(void *opaque, struct q2si_checker *ck)
{
	struct salvage_work *work = opaque;

	work->salvage.round->ck = ck;
	return q2si_repair_counts(work->salvage.round);
}

static enum q2s_err
run(struct salvage_work *work, struct q2s_repair *repair, bool counts, struct q2s_diag *diag)
{
	uint64_t next_free = 0;
	struct q2si_round round = { .repair = repair, .diag = diag, .next_free = &next_free,
				    .only_rises = true };
	const struct q2si_check_hooks hooks = { .digest = counts ? NULL : &repair->digest,
						.settled = counts ? raise_counts : find_all,
						.opaque = work };
	struct q2s_check_result checked;
	struct q2s_image *image;
	enum q2s_err err;

	work->salvage = (struct q2si_salvage){ .round = &round };
	Q2SI_TRY(q2s_image_open(repair->draft, Q2S_IMAGE_DAMAGED, &image, diag));
	repair->cluster_bits = q2s_image_geom(image)->cluster_bits;
	repair->refcount_order = q2s_image_geom(image)->refcount_order;
	err = q2si_check(image, NULL, &hooks, &checked, diag);
	q2s_image_close(image);
	return err;
}

static enum q2s_err
plan(struct q2s_repair *repair, struct salvage_work *work, struct q2s_diag *diag)
{
	Q2SI_TRY(run(work, repair, false, diag));
	/* An L2 table may map compressed data whose count has fallen since. */
	if (work->result.freed_likely || work->result.tables)
		Q2SI_TRY(run(work, repair, true, diag));
	q2si_step_end(repair);
	repair->total = repair->step_count;
	return q2s_store_verify(repair->file, diag);
}

enum q2s_err
q2s_salvage_plan(struct q2s_store *file, unsigned flags, struct q2s_repair **out,
		 struct q2s_salvage_result *result, struct q2s_diag *diag)
{
	struct salvage_work work = { .flags = flags };
	struct q2s_repair *repair = calloc(1, sizeof(*repair));
	enum q2s_err err;

	if (!repair)
		return q2si_fail_nomem(diag, "repair plan");
	repair->flags = Q2S_REPAIR_ALL;
	repair->file = q2s_store_ref(file);
	repair->old_length = repair->new_length = q2s_store_size(file);
	err = q2si_draft_open(file, &repair->draft, diag);
	if (err == Q2S_OK)
		err = plan(repair, &work, diag);
	if (err != Q2S_OK) {
		q2s_repair_free(repair);
		return err;
	}
	*out = repair;
	*result = work.result;
	return Q2S_OK;
}
