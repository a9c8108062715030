/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From an overlay into what lies below it. Each of the overlay's bytes hides the base's until the
 * overlay is emptied, and that begins when the base is durable: so at any moment the guest sees the
 * same, and the same commit may begin again.
 */
#include "edit/edit.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "io/limit.h"

/* Of a raw base: what is compared, and written if it differs. */
#define RAW_UNIT 4096u

/* Extents that are asked for at a time. */
#define ASK_MAX (64u << 20)

/* @upper, @lower: Q2SI_COPY_STEP bytes each. @size: of the layers' disk. */
struct work {
	const struct q2s_commit *commit;
	struct q2s_cursor *cursor;
	uint8_t *upper, *lower;
	uint64_t size;
	struct q2si_bucket *bucket; /* NULL: no limit */
};

static enum q2s_err
step(const struct work *work, uint64_t done, struct q2s_diag *diag)
{
	const struct q2s_observer *observer = work->commit->observer;

	if (!observer || observer->step(observer->opaque, Q2S_PHASE_WRITE, done, work->size))
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_CANCELLED, "commit", Q2S_NOWHERE, "stopped");
}

/* Wait until @len bytes, those at @at, may pass. */
static enum q2s_err
pace(const struct work *work, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	const struct q2si_clock *clock = &q2si_clock_monotonic;
	uint64_t wait;

	while (work->bucket && len > 0) {
		const uint64_t n =
			q2si_bucket_take(work->bucket, clock->now(clock->opaque), len, &wait);

		if (n == 0) {
			Q2SI_TRY(step(work, at, diag));
			clock->sleep(clock->opaque, q2si_min(wait, Q2SI_LIMIT_SLEEP_MAX));
		}
		len -= n;
	}
	return Q2S_OK;
}

/* ---- the base: an image, or a raw disk ------------------------------------------------------- */

static uint64_t
base_unit(const struct q2s_commit *commit)
{
	return commit->base ? commit->base->geom.sub_size : RAW_UNIT;
}

static enum q2s_err
base_read(const struct q2s_commit *commit, uint64_t at, void *buf, size_t len,
	  struct q2s_diag *diag)
{
	if (commit->base)
		return q2s_edit_read(commit->base, (q2s_guest){ at }, buf, len, diag);
	return q2s_store_read_padded(commit->raw, at, buf, len, NULL, diag);
}

static enum q2s_err
base_write(const struct q2s_commit *commit, uint64_t at, const void *buf, size_t len,
	   struct q2s_diag *diag)
{
	if (commit->base)
		return q2s_edit_write(commit->base, (q2s_guest){ at }, buf, len, diag);
	return q2s_store_write(commit->raw, at, buf, len, diag);
}

/* Only what is not a hole already. */
static enum q2s_err
raw_zero(struct q2s_store *raw, uint64_t at, uint64_t end, struct q2s_diag *diag)
{
	while (at < end && at < q2s_store_size(raw)) {
		struct q2s_stretch stretch;
		enum q2s_err err = Q2S_OK;
		uint64_t n;

		Q2SI_TRY(q2s_store_stretch(raw, at, &stretch, diag));
		n = q2si_min(end - at, stretch.len);
		if (!stretch.hole)
			err = q2s_store_discard(raw, at, n, NULL);
		if (err != Q2S_OK)
			Q2SI_TRY(q2s_store_zero(raw, at, n, diag));
		at += n;
	}
	return Q2S_OK;
}

static enum q2s_err
base_zero(const struct q2s_commit *commit, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	if (commit->base)
		return q2s_edit_zero(commit->base, (q2s_guest){ at }, len, Q2S_EDIT_MAY_DISCARD,
				     diag);
	return raw_zero(commit->raw, at, at + len, diag);
}

/* ---- data ------------------------------------------------------------------------------------ */

/* Write the units of the buffers that differ. */
static enum q2s_err
differences_write(const struct work *work, uint64_t at, size_t len, struct q2s_diag *diag)
{
	const uint64_t unit = base_unit(work->commit);
	size_t done = 0, start = 0; /* [start, done) differs */

	while (done < len) {
		const size_t n = q2si_min_size(unit - ((at + done) & (unit - 1)), len - done);

		if (memcmp(work->upper + done, work->lower + done, n) == 0) {
			if (start < done)
				Q2SI_TRY(base_write(work->commit, at + start, work->upper + start,
						    done - start, diag));
			start = done + n;
		}
		done += n;
	}
	return start < len ? base_write(work->commit, at + start, work->upper + start, len - start,
					diag)
			   : Q2S_OK;
}

static enum q2s_err
data_copy(const struct work *work, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	for (uint64_t done = 0; done < len;) {
		const size_t n = q2si_min_size(len - done, Q2SI_COPY_STEP);

		Q2SI_TRY(step(work, at + done, diag));
		Q2SI_TRY(pace(work, at + done, n, diag));
		Q2SI_TRY(q2s_cursor_read(work->cursor, (q2s_guest){ at + done }, work->upper, n,
					 diag));
		Q2SI_TRY(base_read(work->commit, at + done, work->lower, n, diag));
		Q2SI_TRY(differences_write(work, at + done, n, diag));
		done += n;
	}
	return Q2S_OK;
}

/* Blocks that can be shared need not be looked at. */
static enum q2s_err
data_commit(const struct work *work, uint64_t at, const struct q2s_extent *extent,
	    struct q2s_diag *diag)
{
	uint64_t done = 0;

	if (work->commit->base)
		Q2SI_TRY(q2si_share(work->commit->base, at, extent, extent->len, &done, diag));
	return data_copy(work, at + done, extent->len - done, diag);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static enum q2s_err
layers_commit(const struct work *work, struct q2s_diag *diag)
{
	for (uint64_t at = 0; at < work->size;) {
		struct q2s_extent extent;

		Q2SI_TRY(step(work, at, diag));
		Q2SI_TRY(q2s_cursor_extent(work->cursor, (q2s_guest){ at },
					   q2si_min(work->size - at, ASK_MAX), &extent, diag));
		if (extent.state == Q2S_ZERO)
			Q2SI_TRY(base_zero(work->commit, at, extent.len, diag));
		else if (extent.state == Q2S_DATA)
			Q2SI_TRY(data_commit(work, at, &extent, diag));
		at += extent.len;
	}
	Q2SI_TRY(step(work, work->size, diag));
	return work->commit->base ? q2s_edit_flush(work->commit->base, diag)
				  : q2s_store_flush(work->commit->raw, diag);
}

/* A base that is smaller becomes as large as the layers; a larger one stays as it is. */
static enum q2s_err
size_fit(const struct q2s_commit *commit, struct q2s_disk *upper, struct q2s_diag *diag)
{
	const uint64_t size = q2s_disk_size(upper);

	if (!commit->base == !commit->raw || commit->size != sizeof(*commit))
		return q2si_fail(diag, Q2S_E_USAGE, "commit", Q2S_NOWHERE, commit->size,
				 "needs one base, of a size that this library knows");
	if (commit->raw && q2s_store_size(commit->raw) < size)
		return q2s_store_set_length(commit->raw, size, diag);
	if (commit->base && q2s_edit_size(commit->base) < size)
		return q2s_edit_resize(commit->base, size, 0, Q2S_PREALLOCATION_OFF, diag);
	return Q2S_OK;
}

enum q2s_err
q2s_commit_layers(struct q2s_disk *upper, const struct q2s_commit *commit, struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE uint8_t *buf = malloc(2 * (size_t)Q2SI_COPY_STEP);
	struct work work = { .commit = commit, .upper = buf, .size = q2s_disk_size(upper) };
	const struct q2si_clock *clock = &q2si_clock_monotonic;
	struct q2si_bucket bucket;
	enum q2s_err err;

	if (!buf)
		return q2si_fail_nomem(diag, "commit");
	work.lower = buf + Q2SI_COPY_STEP;
	Q2SI_TRY(size_fit(commit, upper, diag));
	if (commit->rate) {
		q2si_bucket_init(&bucket, commit->rate, clock->now(clock->opaque));
		work.bucket = &bucket;
	}
	Q2SI_TRY(q2s_cursor_open(upper, &work.cursor, diag));
	err = layers_commit(&work, diag);
	q2s_cursor_close(work.cursor);
	return err;
}

/* ---- emptying -------------------------------------------------------------------------------- */

static enum q2s_err
tables_unlink(struct q2s_edit *edit, struct q2s_diag *diag)
{
	const uint64_t step = edit->geom.l2_entries;

	for (uint64_t cluster = 0; cluster < edit->geom.clusters; cluster += step) {
		Q2SI_TRY(q2si_mapping_unlink(edit, cluster, diag));
		Q2SI_TRY(q2si_flush_if_full(edit, diag));
	}
	/* What is given back by one changes counts, which the next one writes. */
	Q2SI_TRY(q2si_flush(edit, diag));
	Q2SI_TRY(q2si_flush(edit, diag));
	return q2si_trim_end(edit, diag);
}

enum q2s_err
q2s_edit_empty(struct q2s_edit *edit, struct q2s_diag *diag)
{
	enum q2s_err err;

	pthread_mutex_lock(&edit->lock);
	while (q2si_active_conflicts(edit, 0, UINT64_MAX, true))
		q2si_active_wait(edit);
	err = q2si_may_change(edit, diag);
	if (err == Q2S_OK)
		err = tables_unlink(edit, diag);
	pthread_mutex_unlock(&edit->lock);
	return err;
}
