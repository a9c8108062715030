/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/kept_plan.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fault.h"
#include "stream/path.h"
#include "stream/source.h"

static struct q2s_plan_note
note_of(const struct target *target)
{
	struct q2s_plan_note note = {
		.compressed = target->compressed,
		.type = target->compression.type,
		.has_level = target->compression.has_level,
		.level = target->compression.level,
	};

	if (target->options->snapshot)
		(void)snprintf(note.view, sizeof(note.view), "snapshot %s",
			       target->options->snapshot);
	if (note.compressed)
		(void)snprintf(note.encoder, sizeof(note.encoder), "%s",
			       q2s_encoder_name(&target->compression));
	return note;
}

static struct q2s_plan_look
look_of(const struct target *target)
{
	return (struct q2s_plan_look){
		.from = target->from,
		.until = target->until,
		.threads = target->options->threads,
		.observer = progress_observer(),
	};
}

static bool
same_inode(const char *path, const char *other)
{
	struct stat a, b;

	return stat(path, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* Are they the same name in the same folder, however that is spelled? */
static bool
same_place(const char *path, const char *other)
{
	char *const a = strdup(path), *const b = strdup(other);
	const bool same = a && b && strcmp(path_last_part(path), path_last_part(other)) == 0 &&
			  same_inode(dirname(a), dirname(b));

	free(a);
	free(b);
	return same;
}

/* Is @path another name of what @other names, which need not be there yet? */
static bool
is_file(const char *path, const char *other)
{
	return other && (strcmp(path, other) == 0 || same_inode(path, other) ||
			 same_place(path, other));
}

/* Does the guest content of @disk, which may be NULL, lie in @path? */
static bool
holds(const struct q2s_disk *disk, const char *path)
{
	struct q2s_file_ident ident = { 0 };
	struct stat st;

	if (!disk || stat(path, &st) != 0)
		return false;
	ident.dev = st.st_dev;
	ident.ino = st.st_ino;
	return q2s_disk_uses(disk, &ident);
}

enum q2s_err
kept_plan_check(const struct target *target, const char *path, struct q2s_diag *diag)
{
	const struct stream_options *options = target->options;
	const char *why = NULL;

	if (source_is_output(options, path) || holds(target->disk, path) ||
	    is_file(path, options->base) || holds(target->base.disk, path))
		why = "this file is the source or the base, or they refer to it";
	else if (is_file(path, options->dest))
		why = "this is where the image goes";
	else if (is_file(path, options->extents) || is_file(path, options->key_file))
		why = "this file is read";
	if (!why)
		return Q2S_OK;
	return fault_in(diag, fault(diag, Q2S_E_CONFLICT, "--save-plan", "%s", why), path);
}

enum q2s_err
kept_plan_save(const struct target *target, const char *path, struct q2s_diag *diag)
{
	const struct q2s_plan_note note = note_of(target);
	const struct q2s_plan_look look = look_of(target);
	struct q2s_sink *sink = NULL;
	enum q2s_err err = q2s_sink_open(path, Q2S_SINK_REPLACE, 0, &sink, diag);

	if (err != Q2S_OK)
		return err;
	err = q2s_plan_save(target->plan, &note, target->disk, &look, sink, diag);
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
	const struct q2s_plan_note mine = note_of(target);

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
	struct q2s_file *file = NULL;
	enum q2s_err err = q2s_file_open(path, &file, diag);

	if (err == Q2S_OK)
		err = q2s_plan_load(file, target->disk, &target->plan, &note, diag);
	q2s_file_close(file);
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
	err = fault_in(diag, err, path);
	return err != Q2S_OK ? err : q2s_plan_measure(target->plan, &target->measure, diag);
}

enum q2s_err
kept_plan_verify(const struct target *target, struct q2s_diag *diag)
{
	const struct q2s_plan_look look = look_of(target);

	return q2s_plan_verify(target->plan, target->disk, &look, diag);
}
