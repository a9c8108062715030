/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/kept_plan.h"

#include <stdio.h>
#include <string.h>

#include "common/fault.h"
#include "stream/source.h"

/* What of its files SOURCE shows, as a plan calls it; empty: what they are now. */
static void
set_view(const struct target *target, struct q2s_plan_note *note)
{
	if (target->options->snapshot)
		(void)snprintf(note->view, sizeof(note->view), "snapshot %s",
			       target->options->snapshot);
}

enum q2s_err
kept_plan_save(const struct target *target, const char *path, struct q2s_diag *diag)
{
	struct q2s_plan_note note = { 0 };
	struct q2s_sink *sink = NULL;
	enum q2s_err err = q2s_sink_open(path, Q2S_SINK_REPLACE, 0, &sink, diag);

	if (err != Q2S_OK)
		return err;
	set_view(target, &note);
	err = q2s_builder_save_plan(target->builder, note.view, sink, diag);
	if (err == Q2S_OK)
		return q2s_sink_commit(sink, diag);
	q2s_sink_abort(sink);
	return err;
}

/* Another library, or another version of it, may make other bytes of the same data. */
static enum q2s_err
check_encoder(const struct target *target, const struct q2s_plan_note *note, struct q2s_diag *diag)
{
	const char *const mine = q2s_encoder_name(&target->compression);

	if (!note->compressed || strcmp(note->encoder, mine) == 0)
		return Q2S_OK;
	return fault(diag, Q2S_E_MISSING, "plan",
		     "its clusters were compressed by %s; this is %s, which may make other bytes",
		     note->encoder, mine);
}

/* The files prove nothing about which of their contents was meant. */
static enum q2s_err
check_view(const struct target *target, const struct q2s_plan_note *note, struct q2s_diag *diag)
{
	struct q2s_plan_note mine = { 0 };

	set_view(target, &mine);
	if (strcmp(note->view, mine.view) == 0)
		return Q2S_OK;
	return fault(diag, Q2S_E_CHANGED, "plan", "it was made for %s of SOURCE, not for %s",
		     note->view[0] ? note->view : "the present state",
		     mine.view[0] ? mine.view : "the present state");
}

enum q2s_err
kept_plan_load(struct target *target, const char *path, struct q2s_diag *diag)
{
	struct q2s_plan_note note = { 0 };
	struct q2s_store *file = NULL;
	enum q2s_err err = q2s_store_open(path, &file, diag);

	if (err == Q2S_OK)
		err = q2s_plan_load(file, target->disk, &target->plan, &note, diag);
	q2s_store_unref(file);
	if (err != Q2S_OK)
		return err;
	target->compressed = note.compressed;
	target->compression = (struct q2s_compression){
		.type = note.type,
		.has_level = note.has_level,
		.level = note.level,
	};
	err = check_view(target, &note, diag);
	if (err == Q2S_OK)
		err = check_encoder(target, &note, diag);
	return fault_in(diag, err, path);
}
