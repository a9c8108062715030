/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guest reads, and what the disk is made of. */
#include "edit/edit.h"

#include <string.h>

#include "base/arith.h"
#include "base/diag.h"

/* No single piece is longer, so that nobody waits long for it. */
#define PIECE_MAX (32u << 20)

/*
 * Find what is at @at. Who reads from a host cluster is in the list of requests meanwhile, so that
 * nobody gives the cluster away.
 */
static enum q2s_err
piece_begin(struct q2s_edit *edit, uint64_t at, size_t len, struct q2si_extent *out,
	    struct q2si_active *active, struct q2s_diag *diag)
{
	enum q2s_err err;

	pthread_mutex_lock(&edit->lock);
	for (;;) {
		err = q2si_mapping_extent(edit, at, q2si_min(len, PIECE_MAX), out, diag);
		if (err != Q2S_OK || out->state != Q2S_DATA)
			break;
		if (!q2si_active_conflicts(edit, at, at + out->len, false)) {
			q2si_active_begin(edit, active, at, at + out->len, false);
			break;
		}
		q2si_active_wait(edit);
	}
	pthread_mutex_unlock(&edit->lock);
	return err;
}

static enum q2s_err
piece_read(struct q2s_edit *edit, struct q2si_worker *worker, uint64_t at,
	   const struct q2si_extent *extent, void *buf, struct q2s_diag *diag)
{
	if (extent->compressed)
		return q2si_inflated_read(edit, worker, &extent->entry,
					  q2s_in_cluster(&edit->geom, (q2s_guest){ at }), buf,
					  extent->len, diag);
	if (extent->state == Q2S_DATA)
		return q2si_data_read(edit, worker, at, extent->host, buf, extent->len, diag);
	if (extent->state == Q2S_ABSENT)
		return q2si_base_read(edit, worker, at, buf, extent->len, diag);
	memset(buf, 0, extent->len);
	return Q2S_OK;
}

enum q2s_err
q2s_edit_read(struct q2s_edit *edit, q2s_guest at, void *buf, size_t len, struct q2s_diag *diag)
{
	struct q2si_worker *worker;
	enum q2s_err err = Q2S_OK;

	Q2SI_TRY(q2si_on_disk(edit, at, len, diag));
	Q2SI_TRY(q2si_worker_take(edit, &worker, diag));
	for (size_t done = 0; done < len && err == Q2S_OK;) {
		struct q2si_active active;
		struct q2si_extent extent;

		err = piece_begin(edit, at.v + done, len - done, &extent, &active, diag);
		if (err != Q2S_OK)
			break;
		err = piece_read(edit, worker, at.v + done, &extent, (uint8_t *)buf + done, diag);
		worker->holds = 0;
		if (extent.state == Q2S_DATA) {
			pthread_mutex_lock(&edit->lock);
			q2si_active_end(edit, &active);
			pthread_mutex_unlock(&edit->lock);
		}
		done += extent.len;
	}
	q2si_worker_give(edit, worker);
	return err;
}

/* What the base says of what this image leaves to it. */
static enum q2s_err
base_extent(struct q2s_edit *edit, uint64_t at, struct q2s_extent *extent, struct q2s_diag *diag)
{
	struct q2si_worker *worker;
	struct q2s_extent below;
	enum q2s_err err = Q2S_OK;

	if (at >= edit->base_size)
		return Q2S_OK;
	Q2SI_TRY(q2si_worker_take(edit, &worker, diag));
	if (!worker->cursor)
		err = q2s_cursor_open(edit->base, &worker->cursor, diag);
	if (err == Q2S_OK)
		err = q2s_cursor_extent(worker->cursor, (q2s_guest){ at },
					q2si_min(extent->len, edit->base_size - at), &below, diag);
	q2si_worker_give(edit, worker);
	if (err == Q2S_OK)
		*extent = (struct q2s_extent){ .len = below.len, .state = below.state };
	return err;
}

enum q2s_err
q2s_edit_extent(struct q2s_edit *edit, q2s_guest at, uint64_t max, struct q2s_extent *out,
		struct q2s_diag *diag)
{
	struct q2s_extent extent;
	struct q2si_extent found;
	enum q2s_err err;

	Q2SI_TRY(q2si_on_disk(edit, at, 0, diag));
	if (at.v >= edit->geom.size || max == 0)
		return q2si_fail(diag, Q2S_E_USAGE, "guest offset", Q2S_NOWHERE, at.v,
				 "not on the disk");
	pthread_mutex_lock(&edit->lock);
	err = q2si_mapping_extent(edit, at.v, max, &found, diag);
	pthread_mutex_unlock(&edit->lock);
	Q2SI_TRY(err);
	extent = (struct q2s_extent){ .len = found.len, .state = found.state };
	if (extent.state == Q2S_ABSENT)
		Q2SI_TRY(base_extent(edit, at.v, &extent, diag));
	*out = extent;
	return Q2S_OK;
}
