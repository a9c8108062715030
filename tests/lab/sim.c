/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"

static void *
grown(void *list, size_t *room, size_t wanted, size_t item)
{
	if (wanted <= *room)
		return list;
	*room = q2si_max(2 * *room, wanted);
	list = realloc(list, *room * item);
	if (!list) {
		perror("laboratory");
		exit(2);
	}
	return list;
}

/* Whoever writes behind the end finds zeros there. */
static void
make_room(struct sim *sim, uint64_t end)
{
	const size_t old = sim->room;

	sim->bytes = grown(sim->bytes, &sim->room, end, 1);
	if (sim->room > old)
		memset(sim->bytes + old, 0, sim->room - old);
}

void
sim_reset(struct sim *sim, const uint8_t *bytes, uint64_t length)
{
	make_room(sim, q2si_round_up(length, SIM_SECTOR));
	memset(sim->bytes, 0, sim->room);
	memcpy(sim->bytes, bytes, length);
	sim->length = length;
	sim->count = sim->used = 0;
	sim->calls = sim->fail_at = 0;
	sim->failed = false;
	sim->meanwhile = NULL;
}

void
sim_free(struct sim *sim)
{
	free(sim->bytes);
	free(sim->events);
	free(sim->arena);
	*sim = (struct sim){ 0 };
}

/* ---- the store ----------------------------------------------------------------------------- */

static void
note(struct sim *sim, enum sim_kind kind, uint64_t at, uint64_t len)
{
	struct sim_event *event;

	sim->events = grown(sim->events, &sim->events_room, sim->count + 1, sizeof(*event));
	event = &sim->events[sim->count++];
	*event = (struct sim_event){ .kind = kind, .at = at, .len = len, .end = sim->length };
	if (kind != SIM_WRITE)
		return;
	sim->arena = grown(sim->arena, &sim->arena_room, sim->used + len, 1);
	event->data = sim->used;
	memcpy(sim->arena + sim->used, sim->bytes + at, len);
	sim->used += len;
}

/* Does this call fail? */
static bool
fails(struct sim *sim)
{
	sim->failed = sim->failed || (sim->fail_at != 0 && sim->calls + 1 == sim->fail_at);
	return ++sim->calls == sim->fail_at;
}

static enum q2s_err
failure(const struct sim *sim, uint64_t at, struct q2s_diag *diag)
{
	return q2si_fail_errno(diag, sim->fail_errno, "simulated disk", (q2s_host){ at },
			       "fails as it was told to");
}

static enum q2s_err
view_read(const uint8_t *bytes, uint64_t length, uint64_t at, void *buf, size_t len, size_t *got)
{
	*got = at < length ? q2si_min(len, length - at) : 0;
	if (*got > 0)
		memcpy(buf, bytes + at, *got);
	return Q2S_OK;
}

static enum q2s_err
sim_read(void *self, uint64_t at, void *buf, size_t len, size_t *got, struct q2s_diag *diag)
{
	const struct sim *sim = self;

	(void)diag;
	return view_read(sim->bytes, sim->length, at, buf, len, got);
}

static uint64_t
sim_length(void *self)
{
	return ((const struct sim *)self)->length;
}

static enum q2s_err
sim_write(void *self, uint64_t at, const void *buf, size_t len, struct q2s_diag *diag)
{
	struct sim *sim = self;
	const bool fail = fails(sim);
	const uint64_t half = q2si_max(at, q2si_round_down(at + len / 2, SIM_SECTOR));
	const size_t n = fail ? sim->fail_short ? half - at : 0 : len;
	const uint64_t from = q2si_round_down(at, SIM_SECTOR);
	const uint64_t until = q2si_round_up(at + n, SIM_SECTOR);

	make_room(sim, q2si_round_up(at + len, SIM_SECTOR));
	if (n > 0) {
		memcpy(sim->bytes + at, buf, n);
		sim->length = q2si_max(sim->length, at + n);
		note(sim, SIM_WRITE, from, until - from);
	}
	return fail ? failure(sim, at, diag) : Q2S_OK;
}

/* Zeros of whole sectors are one event; the ends, if there are any, are written. */
static void
put_zeros(struct sim *sim, uint64_t at, uint64_t len)
{
	const uint64_t from = q2si_round_up(at, SIM_SECTOR);
	const uint64_t until = q2si_round_down(at + len, SIM_SECTOR);

	memset(sim->bytes + at, 0, len);
	if (at < from)
		note(sim, SIM_WRITE, from - SIM_SECTOR, SIM_SECTOR);
	if (from < until)
		note(sim, SIM_ZERO, from, until - from);
	if (until < at + len && until >= from)
		note(sim, SIM_WRITE, until, SIM_SECTOR);
}

static enum q2s_err
sim_zero(void *self, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	struct sim *sim = self;

	if (fails(sim))
		return failure(sim, at, diag);
	make_room(sim, q2si_round_up(at + len, SIM_SECTOR));
	sim->length = q2si_max(sim->length, at + len);
	put_zeros(sim, at, len);
	return Q2S_OK;
}

static enum q2s_err
sim_discard(void *self, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	struct sim *sim = self;

	void (*const meanwhile)(void *opaque) = sim->meanwhile;

	if (fails(sim))
		return failure(sim, at, diag);
	sim->meanwhile = NULL;
	if (meanwhile)
		meanwhile(sim->opaque);
	put_zeros(sim, at, len);
	return Q2S_OK;
}

static enum q2s_err
sim_flush(void *self, struct q2s_diag *diag)
{
	struct sim *sim = self;

	if (fails(sim))
		return failure(sim, UINT64_MAX, diag);
	note(sim, SIM_FLUSH, 0, 0);
	return Q2S_OK;
}

static enum q2s_err
sim_set_length(void *self, uint64_t length, struct q2s_diag *diag)
{
	struct sim *sim = self;

	if (fails(sim))
		return failure(sim, length, diag);
	make_room(sim, q2si_round_up(length, SIM_SECTOR));
	if (length < sim->length)
		memset(sim->bytes + length, 0, sim->length - length);
	sim->length = length;
	note(sim, SIM_LENGTH, 0, 0);
	return Q2S_OK;
}

static bool
always_cached(void *self, uint64_t at)
{
	(void)self, (void)at;
	return true;
}

static struct q2s_store *
store_of(const struct q2s_store_ops *ops, void *self)
{
	struct q2s_store *store;

	if (q2s_store_new(ops, self, "simulated", &store, NULL) == Q2S_OK)
		return store;
	perror("laboratory");
	exit(2);
}

struct q2s_store *
sim_store(struct sim *sim)
{
	static const struct q2s_store_ops ops = {
		.size = sizeof(ops),
		.read = sim_read,
		.length = sim_length,
		.write = sim_write,
		.zero = sim_zero,
		.discard = sim_discard,
		.flush = sim_flush,
		.set_length = sim_set_length,
		.is_cached = always_cached,
	};

	return store_of(&ops, sim);
}

/* ---- what a crash leaves --------------------------------------------------------------------- */

static void
put_sectors(const uint8_t *from, uint64_t len, uint64_t mask, uint8_t *to)
{
	for (uint64_t sector = 0; sector * SIM_SECTOR < len; sector++) {
		const uint64_t at = sector * SIM_SECTOR;

		if (!(mask >> sector % 64 & 1))
			continue;
		if (from)
			memcpy(to + at, from + at, SIM_SECTOR);
		else
			memset(to + at, 0, SIM_SECTOR);
	}
}

void
sim_apply(const struct sim *sim, const struct sim_event *event, uint64_t mask, uint8_t *bytes,
	  size_t room, uint64_t *length)
{
	const uint8_t *from = event->kind == SIM_WRITE ? sim->arena + event->data : NULL;

	if (event->kind == SIM_FLUSH)
		return;
	if (event->kind == SIM_LENGTH) {
		if (event->end < *length)
			memset(bytes + event->end, 0, room - event->end);
		*length = event->end;
		return;
	}
	if (mask == UINT64_MAX && from)
		memcpy(bytes + event->at, from, event->len);
	else if (mask == UINT64_MAX)
		memset(bytes + event->at, 0, event->len);
	else
		put_sectors(from, event->len, mask, bytes + event->at);
	*length = q2si_max(*length, q2si_min(event->end, event->at + event->len));
}

static enum q2s_err
view_read_op(void *self, uint64_t at, void *buf, size_t len, size_t *got, struct q2s_diag *diag)
{
	const struct sim_view *view = self;

	(void)diag;
	return view_read(view->bytes, view->length, at, buf, len, got);
}

static uint64_t
view_length(void *self)
{
	return ((const struct sim_view *)self)->length;
}

struct q2s_store *
sim_view_store(struct sim_view *view)
{
	static const struct q2s_store_ops ops = {
		.size = sizeof(ops),
		.read = view_read_op,
		.length = view_length,
		.is_cached = always_cached,
	};

	return store_of(&ops, view);
}
