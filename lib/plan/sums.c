/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sums of a disk's data: several threads read and hash, and the results come in order. */
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/hash.h"
#include "base/ordered.h"
#include "base/pages.h"
#include "base/search.h"
#include "base/zero.h"
#include "disk/disk.h"
#include "plan/sums.h"

#define STRETCH ((size_t)1 << Q2SI_STRETCH_BITS)
#define ROOM_MIN 64u

/* Taking sums, or, with @known, checking those that are @wanted, and then the rest. */
struct summing {
	struct q2s_disk *disk;
	const struct q2s_plan_look *look;
	const struct q2si_sums *known;
	const bool *wanted;
	bool rest;                 /* checking: is there data where none was? */
	size_t index;              /* checking: of the next sum to look at */
	struct q2s_cursor *finder; /* finds data from @at on */
	uint64_t at;
	uint64_t done; /* how far it has come, which never goes back */
	struct q2si_sums out;
	size_t room;
};

/* One thread, and the stretch that it reads. */
struct summer {
	struct q2s_cursor *cursor;
	uint8_t *data;
	size_t index; /* of the known sum; behind the last where there was no data */
	struct q2si_sum sum;
	bool changed;
};

size_t
q2si_sums_find(const struct q2si_sums *sums, uint64_t stretch)
{
	return Q2SI_COUNT_FIRST(i, sums->count, sums->list[i].stretch < stretch);
}

static enum q2s_err
summer_open(void *opaque, void **worker, struct q2s_diag *diag)
{
	const struct summing *summing = opaque;
	struct summer *summer = calloc(1, sizeof(*summer));

	*worker = summer;
	if (!summer || !(summer->data = q2si_pages(STRETCH)))
		return q2si_fail_nomem(diag, "buffer");
	return q2s_cursor_open(summing->disk, &summer->cursor, diag);
}

static void
summer_close(void *worker)
{
	struct summer *summer = worker;

	if (!summer)
		return;
	q2s_cursor_close(summer->cursor);
	free(summer->data);
	free(summer);
}

static size_t
summer_memory(const void *opaque)
{
	return STRETCH + q2si_cursor_memory(((const struct summing *)opaque)->disk);
}

/* The next stretch that holds data. */
static enum q2s_err
find_data(struct summing *summing, bool *more, uint64_t *stretch, struct q2s_diag *diag)
{
	const uint64_t size = q2s_disk_size(summing->disk);
	struct q2s_extent extent = { 0 };

	for (; summing->at < size; summing->at += extent.len) {
		Q2SI_TRY(q2s_cursor_extent(summing->finder, (q2s_guest){ summing->at }, UINT64_MAX,
					   &extent, diag));
		if (extent.state == Q2S_DATA)
			break;
	}
	*more = summing->at < size;
	*stretch = summing->at >> Q2SI_STRETCH_BITS;
	summing->at = (*stretch + 1) << Q2SI_STRETCH_BITS;
	return Q2S_OK;
}

static bool
is_known(const struct q2si_sums *known, uint64_t stretch)
{
	const size_t i = q2si_sums_find(known, stretch);

	return i < known->count && known->list[i].stretch == stretch;
}

static enum q2s_err
summer_take(void *opaque, void *worker, bool *more, struct q2s_diag *diag)
{
	struct summing *summing = opaque;
	struct summer *summer = worker;
	const struct q2si_sums *known = summing->known;

	if (!known)
		return find_data(summing, more, &summer->sum.stretch, diag);
	while (summing->index < known->count && !summing->wanted[summing->index])
		summing->index++;
	summer->index = summing->index;
	*more = summing->index < known->count;
	if (*more) {
		summer->sum.stretch = known->list[summing->index++].stretch;
		return Q2S_OK;
	}
	if (!summing->rest)
		return Q2S_OK;
	do
		Q2SI_TRY(find_data(summing, more, &summer->sum.stretch, diag));
	while (*more && is_known(known, summer->sum.stretch));
	return Q2S_OK;
}

/* What is no data is zero, and need not be read. */
static enum q2s_err
summer_work(void *opaque, void *worker, struct q2s_diag *diag)
{
	const struct summing *summing = opaque;
	const struct q2si_sums *known = summing->known;
	const uint64_t size = q2s_disk_size(summing->disk);
	struct summer *summer = worker;
	const uint64_t start = summer->sum.stretch << Q2SI_STRETCH_BITS;
	const size_t len = q2si_min_size(size - start, STRETCH);
	struct q2s_extent extent;

	for (size_t done = 0; done < len; done += extent.len) {
		const q2s_guest at = { start + done };

		Q2SI_TRY(q2s_cursor_extent(summer->cursor, at, len - done, &extent, diag));
		if (extent.state == Q2S_DATA)
			Q2SI_TRY(q2s_cursor_read(summer->cursor, at, summer->data + done,
						 extent.len, diag));
		else
			memset(summer->data + done, 0, extent.len);
	}
	summer->sum.hash = q2si_hash(summer->data, len, 0);
	if (known && summer->index < known->count)
		summer->changed = summer->sum.hash != known->list[summer->index].hash;
	else
		summer->changed = known && !q2si_is_zero(summer->data, len);
	return Q2S_OK;
}

static enum q2s_err
append(struct summing *summing, const struct q2si_sum *sum, struct q2s_diag *diag)
{
	struct q2si_sums *out = &summing->out;

	if (out->count == summing->room) {
		const size_t room = q2si_max(2 * summing->room, ROOM_MIN);
		struct q2si_sum *list = reallocarray(out->list, room, sizeof(*list));

		if (!list)
			return q2si_fail_nomem(diag, "sums of the data");
		out->list = list;
		summing->room = room;
	}
	out->list[out->count++] = *sum;
	return Q2S_OK;
}

static enum q2s_err
observe(struct summing *summing, uint64_t done, struct q2s_diag *diag)
{
	const struct q2s_observer *observer = summing->look->observer;
	const uint64_t size = q2s_disk_size(summing->disk);

	summing->done = q2si_min(q2si_max(summing->done, done), size);
	if (!observer || observer->step(observer->opaque, Q2S_PHASE_VERIFY, summing->done, size))
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_CANCELLED, "source", Q2S_NOWHERE, "stopped on request");
}

static enum q2s_err
summer_deliver(void *opaque, void *worker, struct q2s_diag *diag)
{
	struct summing *summing = opaque;
	const struct summer *summer = worker;
	const uint64_t start = summer->sum.stretch << Q2SI_STRETCH_BITS;

	if (!summing->known)
		Q2SI_TRY(append(summing, &summer->sum, diag));
	if (summer->changed)
		return q2si_fail(diag, Q2S_E_CHANGED, "source", Q2S_NOWHERE, start,
				 "its data in the %zu MiB at this guest offset is not what it was "
				 "when the plan was made", STRETCH >> 20);
	return observe(summing, start + STRETCH, diag);
}

static const struct q2si_ordered_ops sum_ops = {
	.open = summer_open,
	.close = summer_close,
	.take = summer_take,
	.work = summer_work,
	.deliver = summer_deliver,
	.memory = summer_memory,
};

static enum q2s_err
run(struct summing *summing, struct q2s_diag *diag)
{
	enum q2s_err err = observe(summing, 0, diag);

	if (err == Q2S_OK)
		err = q2s_cursor_open(summing->disk, &summing->finder, diag);
	if (err == Q2S_OK)
		err = q2si_ordered_run(&sum_ops, summing, summing->look->threads, diag);
	q2s_cursor_close(summing->finder);
	return err == Q2S_OK ? observe(summing, UINT64_MAX, diag) : err;
}

enum q2s_err
q2si_sums_take(struct q2s_disk *disk, const struct q2s_plan_look *look, struct q2si_sums *out,
	       struct q2s_diag *diag)
{
	struct summing summing = { .disk = disk, .look = look };
	const enum q2s_err err = run(&summing, diag);

	if (err != Q2S_OK) {
		q2si_sums_free(&summing.out);
		return err;
	}
	*out = summing.out;
	return Q2S_OK;
}

enum q2s_err
q2si_sums_check(struct q2s_disk *disk, const struct q2s_plan_look *look,
		const struct q2si_sums *sums, const bool *wanted, bool rest,
		struct q2s_diag *diag)
{
	struct summing summing = {
		.disk = disk, .look = look, .known = sums, .wanted = wanted, .rest = rest
	};

	return run(&summing, diag);
}
