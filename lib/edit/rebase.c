/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another backing file. What the image leaves to the old one and the new one shows differently is
 * written into the image first; when that is durable one write of the header changes the name. A
 * crash before leaves an image of the old backing file that shows the same.
 */
#include "edit/edit.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"

/* Extents that are asked for at a time. */
#define ASK_MAX (64u << 20)

/* [@at, @at + @len) is left to the backing file. */
static enum q2s_err
absent_fill(struct q2s_edit *edit, struct q2s_cursor *diff, uint64_t at, uint64_t len,
	    uint8_t *buf, struct q2s_diag *diag)
{
	for (const uint64_t end = at + len; at < end;) {
		struct q2s_extent extent;

		Q2SI_TRY(q2s_cursor_extent(diff, (q2s_guest){ at }, end - at, &extent, diag));
		if (extent.state == Q2S_ZERO)
			Q2SI_TRY(q2s_edit_zero(edit, (q2s_guest){ at }, extent.len, 0, diag));
		else if (extent.state == Q2S_DATA)
			Q2SI_TRY(q2si_copy(edit, diff, at, &extent, extent.len, buf, diag));
		at += extent.len;
	}
	return Q2S_OK;
}

static enum q2s_err
step(const struct q2s_observer *observer, uint64_t done, uint64_t total, struct q2s_diag *diag)
{
	if (!observer || observer->step(observer->opaque, Q2S_PHASE_WRITE, done, total))
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_CANCELLED, "rebase", Q2S_NOWHERE, "stopped");
}

/* Through what the image itself maps. */
static enum q2s_err
image_fill(struct q2s_edit *edit, struct q2s_cursor *diff, uint8_t *buf,
	   const struct q2s_observer *observer, struct q2s_diag *diag)
{
	const uint64_t size = edit->geom.size;

	for (uint64_t at = 0; at < size;) {
		struct q2si_extent extent;
		enum q2s_err err;

		Q2SI_TRY(step(observer, at, size, diag));
		pthread_mutex_lock(&edit->lock);
		err = q2si_mapping_extent(edit, at, q2si_min(size - at, ASK_MAX), &extent, diag);
		pthread_mutex_unlock(&edit->lock);
		Q2SI_TRY(err);
		if (extent.state == Q2S_ABSENT)
			Q2SI_TRY(absent_fill(edit, diff, at, extent.len, buf, diag));
		at += extent.len;
	}
	return step(observer, size, size, diag);
}

enum q2s_err
q2s_edit_fill(struct q2s_edit *edit, const struct q2s_observer *observer, struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE uint8_t *buf = malloc(Q2SI_COPY_STEP);
	struct q2s_cursor *diff;
	enum q2s_err err;

	if (!edit->base)
		return q2si_fail_at(diag, Q2S_E_USAGE, "rebase", Q2S_NOWHERE,
				    "the image was opened without a base");
	if (!buf)
		return q2si_fail_nomem(diag, "rebase");
	Q2SI_TRY(q2s_cursor_open(edit->base, &diff, diag));
	err = image_fill(edit, diff, buf, observer, diag);
	q2s_cursor_close(diff);
	return err == Q2S_OK ? q2s_edit_flush(edit, diag) : err;
}

/* ---- the header ------------------------------------------------------------------------------ */

static enum q2s_err
names_check(const struct q2s_edit *edit, struct q2s_bytes name, struct q2s_bytes format,
	    struct q2s_diag *diag)
{
	if (name.len > Q2S_BACKING_NAME_MAX)
		return q2si_fail(diag, Q2S_E_LIMIT, "backing file", Q2S_NOWHERE, name.len,
				 "the name is longer than %u bytes", Q2S_BACKING_NAME_MAX);
	if (format.len > Q2S_FORMAT_NAME_MAX)
		return q2si_fail(diag, Q2S_E_LIMIT, "backing format", Q2S_NOWHERE, format.len,
				 "longer than %u bytes", Q2S_FORMAT_NAME_MAX);
	if (name.len > 0 && edit->raw_data)
		return q2si_fail_at(diag, Q2S_E_CONFLICT, "backing file", Q2S_NOWHERE,
				    "an image with a raw external data file cannot have one");
	return Q2S_OK;
}

enum q2s_err
q2s_edit_set_backing(struct q2s_edit *edit, struct q2s_bytes name, struct q2s_bytes format,
		     struct q2s_diag *diag)
{
	const struct q2si_head_change change = { .backing = true, .name = name, .format = format };
	enum q2s_err err;

	Q2SI_TRY(names_check(edit, name, format, diag));
	pthread_mutex_lock(&edit->lock);
	err = q2si_may_change(edit, diag);
	if (err == Q2S_OK)
		err = q2si_flush(edit, diag);
	if (err == Q2S_OK) {
		q2si_flush_turn_take(edit);
		err = q2si_header_change(edit, &change, diag);
		q2si_flush_turn_give(edit);
	}
	pthread_mutex_unlock(&edit->lock);
	return err;
}
