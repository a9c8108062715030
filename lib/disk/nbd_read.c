/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading from an NBD server. A request takes as long as the way there and back, so the ones that
 * will probably come next are sent before they are made: a ring of requests for each cursor.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "disk/nbd.h"

/* ---- the ring ---------------------------------------------------------------------------- */

static struct q2si_nbd_slot *
nth(struct q2si_nbd_reader *reader, unsigned n)
{
	return &reader->slots[(reader->first + n) % Q2SI_NBD_SLOTS];
}

/* The request that brings the byte at @at, or NULL. */
static struct q2si_nbd_slot *
find(struct q2si_nbd_reader *reader, uint64_t at)
{
	for (unsigned i = 0; i < reader->count; i++) {
		struct q2si_nbd_slot *slot = nth(reader, i);

		if (at >= slot->at && at - slot->at < slot->len)
			return slot;
	}
	return NULL;
}

static bool
is_in_flight(struct q2si_nbd_reader *reader, const struct q2si_nbd_slot *slot)
{
	pthread_mutex_lock(&reader->link->lock);
	const bool in_flight = slot->in_flight;

	pthread_mutex_unlock(&reader->link->lock);
	return in_flight;
}

/* Until the request is answered, for whoever else uses the connection too. */
static enum q2s_err
wait_for(struct q2si_nbd_reader *reader, const struct q2si_nbd_slot *slot, struct q2s_diag *diag)
{
	struct q2si_nbd_link *const link = reader->link;
	enum q2s_err err = Q2S_OK;

	pthread_mutex_lock(&link->lock);
	while (slot->in_flight && err == Q2S_OK) {
		/* when a connection breaks, libnbd answers all requests with an error */
		if (link->nbd->poll(link->handle, -1) < 0 && slot->in_flight)
			err = q2si_nbd_fail(link->nbd, diag, "the connection failed");
	}
	pthread_mutex_unlock(&link->lock);
	return err;
}

static void
drop_first(struct q2si_nbd_reader *reader)
{
	reader->bytes -= nth(reader, 0)->len;
	reader->first = (reader->first + 1) % Q2SI_NBD_SLOTS;
	reader->count--;
}

/* Is there room for one more request, whatever its length? */
static bool
has_room(const struct q2si_nbd_reader *reader)
{
	return reader->count < Q2SI_NBD_SLOTS &&
	       reader->bytes + Q2SI_NBD_CHUNK <= Q2SI_NBD_FLIGHT;
}

/* Forget the oldest requests that end at @at or before, as far as they are answered. */
static void
drop_until(struct q2si_nbd_reader *reader, uint64_t at)
{
	while (reader->count > 0) {
		struct q2si_nbd_slot *slot = nth(reader, 0);

		if (slot->at + slot->len > at || is_in_flight(reader, slot))
			break;
		drop_first(reader);
	}
}

/* Called with the connection's lock held, by whoever polls. */
static int
on_answer(void *opaque, int *error)
{
	struct q2si_nbd_slot *slot = opaque;

	slot->error = *error;
	slot->in_flight = false;
	return 1; /* nobody asks for this command by its number */
}

static enum q2s_err
send_slot(struct q2si_nbd_reader *reader, struct q2si_nbd_slot *slot, struct q2s_diag *diag)
{
	struct q2si_nbd_link *const link = reader->link;
	enum q2s_err err = Q2S_OK;

	pthread_mutex_lock(&link->lock);
	slot->in_flight = true;
	slot->error = 0;
	if (link->nbd->aio_pread(link->handle, slot->data, slot->len, slot->at,
				 (nbd_completion_callback){ .callback = on_answer,
							    .user_data = slot },
				 0) < 0) {
		slot->in_flight = false;
		err = q2si_nbd_fail(link->nbd, diag, "cannot be asked for data");
	}
	pthread_mutex_unlock(&link->lock);
	return err;
}

/* Give the buffers of free slots back until there is room for @len bytes more. */
static void
free_rooms(struct q2si_nbd_reader *reader, size_t len)
{
	for (unsigned i = reader->count; i < Q2SI_NBD_SLOTS; i++) {
		struct q2si_nbd_slot *slot = nth(reader, i);

		if (reader->room + len <= Q2SI_NBD_FLIGHT)
			return;
		reader->room -= slot->room;
		free(slot->data);
		slot->data = NULL;
		slot->room = 0;
	}
}

/* A buffer for @len bytes, of a slot that is free. */
static enum q2s_err
slot_room(struct q2si_nbd_reader *reader, struct q2si_nbd_slot *slot, size_t len,
	  struct q2s_diag *diag)
{
	if (slot->room >= len)
		return Q2S_OK;
	free_rooms(reader, len);
	reader->room -= slot->room;
	free(slot->data);
	slot->data = malloc(len);
	slot->room = slot->data ? len : 0;
	reader->room += slot->room;
	return slot->data ? Q2S_OK : q2si_fail_nomem(diag, "NBD request");
}

/*
 * Send a request that begins with the byte at @at and reaches to @end, or as far as one request
 * may; the ring has room. @sent receives where it ends.
 */
static enum q2s_err
send_request(struct q2si_nbd_reader *reader, uint64_t at, uint64_t end, uint64_t *sent,
	     struct q2s_diag *diag)
{
	const struct q2si_nbd_terms *terms = reader->terms;
	struct q2si_nbd_slot *slot = nth(reader, reader->count);
	const uint64_t start = q2si_round_down(at, terms->block);

	end = q2si_round_up(q2si_min(end, start + terms->request), terms->block);
	end = q2si_min(end, terms->size);
	slot->at = start;
	slot->len = end - start;
	Q2SI_TRY(slot_room(reader, slot, slot->len, diag));
	Q2SI_TRY(send_slot(reader, slot, diag));
	reader->count++;
	reader->bytes += slot->len;
	*sent = end;
	return Q2S_OK;
}

/* ---- what comes next --------------------------------------------------------------------- */

/* Does a call at @at go on where the one before ended, but for what needs no reading? */
static bool
goes_on(const struct q2si_nbd_reader *reader, uint64_t at)
{
	const uint64_t last_end = reader->last_at + reader->last_len;
	uint64_t start, end;

	if (at == last_end)
		return true;
	return at > last_end && q2si_nbd_known_data(reader->status, last_end, &start, &end) &&
	       at == start;
}

static enum q2si_nbd_pattern
pattern_of(const struct q2si_nbd_reader *reader, uint64_t at, size_t len)
{
	if (reader->last_len == 0 || at <= reader->last_at)
		return Q2SI_NBD_RANDOM;
	if (goes_on(reader, at))
		return Q2SI_NBD_SEQUENTIAL;
	if (len == reader->last_len && at - reader->last_at == reader->stride)
		return Q2SI_NBD_STRIDED;
	return Q2SI_NBD_RANDOM;
}

/* Learn from this call. A new pattern has to prove itself: its depth doubles with each call. */
static void
note(struct q2si_nbd_reader *reader, uint64_t at, size_t len)
{
	const enum q2si_nbd_pattern pattern = pattern_of(reader, at, len);
	const uint64_t next = pattern == Q2SI_NBD_STRIDED ? at + reader->stride : at + len;

	if (pattern != reader->pattern || pattern == Q2SI_NBD_RANDOM) {
		reader->pattern = pattern;
		reader->depth = 1;
		reader->next = next;
	} else {
		reader->depth = (unsigned)q2si_min(2 * reader->depth, Q2SI_NBD_GUESSES);
		reader->next = q2si_max(reader->next, next);
	}
	reader->stride = at > reader->last_at ? at - reader->last_at : 0;
	reader->last_at = at;
	reader->last_len = len;
}

/* Behind what is sent, and behind holes: the next stretch of data, as long as a request may be. */
static bool
predict_sequential(struct q2si_nbd_reader *reader, uint64_t *start, uint64_t *end)
{
	const struct q2si_nbd_slot *slot;

	while (q2si_nbd_known_data(reader->status, reader->next, start, end)) {
		slot = find(reader, *start);
		if (!slot) {
			*end = q2si_min(*end, *start + reader->terms->request);
			reader->next = *end;
			return true;
		}
		reader->next = slot->at + slot->len;
	}
	return false;
}

static bool
predict_strided(struct q2si_nbd_reader *reader, uint64_t *start, uint64_t *end)
{
	while (find(reader, reader->next))
		reader->next += reader->stride;
	if (!q2si_nbd_known_data(reader->status, reader->next, start, end) ||
	    *start != reader->next || *end - *start < reader->last_len)
		return false;
	*end = *start + reader->last_len;
	reader->next += reader->stride;
	return true;
}

/* The next stretch that will probably be asked for; false when there is none worth a request. */
static bool
predict(struct q2si_nbd_reader *reader, uint64_t *start, uint64_t *end)
{
	switch (reader->pattern) {
	case Q2SI_NBD_SEQUENTIAL:
		return predict_sequential(reader, start, end);
	case Q2SI_NBD_STRIDED:
		return predict_strided(reader, start, end);
	case Q2SI_NBD_RANDOM:
	default:
		return false;
	}
}

/* What cannot be sent ahead will be sent when it is needed, and fail then if it has to. */
static void
read_ahead(struct q2si_nbd_reader *reader)
{
	uint64_t start, end, sent;

	while (reader->count < reader->depth && has_room(reader) && predict(reader, &start, &end)) {
		if (send_request(reader, start, end, &sent, NULL) != Q2S_OK)
			break;
	}
}

/* ---- reading ----------------------------------------------------------------------------- */

static enum q2s_err
make_room(struct q2si_nbd_reader *reader, struct q2s_diag *diag)
{
	while (!has_room(reader)) {
		Q2SI_TRY(wait_for(reader, nth(reader, 0), diag));
		drop_first(reader);
	}
	return Q2S_OK;
}

/* Have the requests for [@at, @end) sent: the first in any case, the others while there is room. */
static enum q2s_err
request(struct q2si_nbd_reader *reader, uint64_t at, uint64_t end, struct q2s_diag *diag)
{
	const struct q2si_nbd_slot *slot = find(reader, at);

	if (!slot) {
		Q2SI_TRY(make_room(reader, diag));
		Q2SI_TRY(send_request(reader, at, end, &at, diag));
	} else {
		at = slot->at + slot->len;
	}
	while (at < end && has_room(reader)) {
		slot = find(reader, at);
		if (slot)
			at = slot->at + slot->len;
		else
			Q2SI_TRY(send_request(reader, at, end, &at, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
read_failed(const struct q2si_nbd_slot *slot, struct q2s_diag *diag)
{
	return q2si_fail_errno(diag, slot->error, "NBD server", Q2S_NOWHERE,
			       "cannot read %zu bytes at guest offset 0x%" PRIx64, slot->len,
			       slot->at);
}

/*
 * A request that failed is of no more use. One that was made ahead may have asked for more than
 * what is wanted now, [@at, @end), and failed for what nobody wants: then Q2S_OK, to ask again.
 */
static enum q2s_err
take_failure(const struct q2si_nbd_reader *reader, struct q2si_nbd_slot *slot, uint64_t at,
	     uint64_t end, struct q2s_diag *diag)
{
	const uint32_t block = reader->terms->block;
	const bool wider = slot->at < q2si_round_down(at, block) ||
			   slot->at + slot->len > q2si_round_up(end, block);
	const enum q2s_err err = wider ? Q2S_OK : read_failed(slot, diag);

	slot->len = 0;
	return err;
}

enum q2s_err
q2si_nbd_read(struct q2si_nbd_reader *reader, uint64_t at, uint8_t *buf, size_t len,
	      struct q2s_diag *diag)
{
	const uint64_t end = at + len;

	drop_until(reader, at);
	note(reader, at, len);
	while (at < end) {
		struct q2si_nbd_slot *slot;

		Q2SI_TRY(request(reader, at, end, diag));
		read_ahead(reader);
		slot = find(reader, at);
		Q2SI_TRY(wait_for(reader, slot, diag));
		if (slot->error != 0) {
			Q2SI_TRY(take_failure(reader, slot, at, end, diag));
			continue;
		}

		const size_t skip = at - slot->at;
		const size_t n = q2si_min_size(end - at, slot->len - skip);

		memcpy(buf, slot->data + skip, n);
		buf += n;
		at += n;
		drop_until(reader, at);
	}
	return Q2S_OK;
}

bool
q2si_nbd_will_read(struct q2si_nbd_reader *reader, uint64_t at, size_t len)
{
	const uint64_t end = at + len;

	/* Nothing is dropped for it: what was announced before is still to be read. */
	while (at < end) {
		const struct q2si_nbd_slot *slot = find(reader, at);

		if (slot)
			at = slot->at + slot->len;
		else if (!has_room(reader) ||
			 send_request(reader, at, end, &at, NULL) != Q2S_OK)
			return false;
	}
	return true;
}

void
q2si_nbd_reader_close(struct q2si_nbd_reader *reader)
{
	for (unsigned i = 0; i < reader->count; i++)
		(void)wait_for(reader, nth(reader, i), NULL);
	for (size_t i = 0; i < Q2SI_NBD_SLOTS; i++)
		free(reader->slots[i].data);
}
