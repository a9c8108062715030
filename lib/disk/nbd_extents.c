/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an NBD server says about allocation, asked in large stretches and remembered. */
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/search.h"
#include "disk/nbd.h"

/* The protocol counts in 32 bits; a power of two keeps every alignment. */
#define ASK_MAX (1ull << 31)

/* A hole whose content is not said to be zero has to be read. */
static enum q2s_state
state_of(uint32_t flags)
{
	if (!(flags & LIBNBD_STATE_ZERO))
		return Q2S_DATA;
	return flags & LIBNBD_STATE_HOLE ? Q2S_ABSENT : Q2S_ZERO;
}

/* Room for one more; false when the list is full, or memory is. */
static bool
make_room(struct q2si_nbd_extents *extents)
{
	const size_t room = q2si_max(2 * extents->room, 64);
	struct q2si_nbd_extent *grown;

	if (extents->count < extents->room)
		return true;
	if (extents->room >= Q2SI_NBD_ANSWER)
		return false;
	grown = reallocarray(extents->list, room, sizeof(*grown));
	if (!grown)
		return false;
	extents->list = grown;
	extents->room = room;
	return true;
}

/* Append [where the list ends, @end); false when it is full. */
static bool
append(struct q2si_nbd_extents *extents, uint64_t end, enum q2s_state state)
{
	const size_t count = extents->count;

	if (count > 0 && extents->list[count - 1].state == state) {
		extents->list[count - 1].end = end;
		return true;
	}
	if (!make_room(extents))
		return false;
	extents->list[count].end = end;
	extents->list[count].state = state;
	extents->count++;
	return true;
}

static enum q2s_state
changed_of(uint32_t flags)
{
	return flags & 1 ? Q2S_DATA : Q2S_ABSENT;
}

/* Take an answer into the list, as much of it as the list can keep. */
static void
take(struct q2si_nbd_extents *extents, uint64_t size, const uint32_t *entries, size_t count,
     enum q2s_state (*state)(uint32_t flags))
{
	uint64_t end = extents->start;

	/* the last extent may reach further than the disk */
	for (size_t i = 0; i + 1 < count && end < size; i += 2) {
		end = q2si_min(end + entries[i], size);
		if (entries[i] > 0 && !append(extents, end, state(entries[i + 1]))) {
			extents->span = extents->list[extents->count - 1].end - extents->start;
			return;
		}
	}
	if (extents->span != 0)
		extents->span = 2 * extents->span < ASK_MAX ? 2 * extents->span : 0;
}

static int
on_extents(void *opaque, const char *context, uint64_t offset, uint32_t *entries, size_t count,
	   int *error)
{
	struct q2si_nbd_pool *pool = opaque;
	const uint64_t size = pool->terms.size;

	(void)error;
	if (offset != pool->alloc.start)
		return 0;
	if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) == 0 && pool->alloc.count == 0)
		take(&pool->alloc, size, entries, count, state_of);
	else if (pool->context && strcmp(context, pool->context) == 0 && pool->changes.count == 0)
		take(&pool->changes, size, entries, count, changed_of);
	return 0;
}

/* A server that refuses to answer leaves only reading, which is always right. */
static enum q2s_err
ask_server(struct q2si_nbd_status *status, uint64_t start, uint64_t len, struct q2s_diag *diag)
{
	struct q2si_nbd_link *const link = status->link;
	const struct q2si_nbd_lib *const nbd = link->nbd;
	enum q2s_err err = Q2S_OK;

	pthread_mutex_lock(&link->lock);
	if (nbd->block_status(link->handle, len, start,
			      (nbd_extent_callback){ .callback = on_extents, .user_data = status->pool },
			      0) != 0 &&
	    (nbd->aio_is_dead(link->handle) || nbd->aio_is_closed(link->handle)))
		err = q2si_nbd_fail(nbd, diag, "cannot say what is allocated");
	pthread_mutex_unlock(&link->lock);
	return err;
}

/* Multiples of the block size, but at the end of the disk. */
static uint64_t
question_len(const struct q2si_nbd_terms *terms, uint64_t start, uint64_t span)
{
	const uint64_t len = span ? q2si_round_up(q2si_min(span, ASK_MAX), terms->block) : ASK_MAX;

	return q2si_min(terms->size - start, q2si_min(len, ASK_MAX));
}

static enum q2s_err
ask(struct q2si_nbd_status *status, uint64_t guest, uint64_t span, struct q2s_diag *diag)
{
	struct q2si_nbd_pool *const pool = status->pool;
	const struct q2si_nbd_terms *terms = &pool->terms;
	const uint64_t start = q2si_round_down(guest, terms->block);

	pool->alloc.start = pool->changes.start = start;
	pool->alloc.count = pool->changes.count = 0;
	pool->alloc.last = pool->changes.last = 0;
	if (!terms->extents && !terms->changes)
		return Q2S_OK;
	return ask_server(status, start, question_len(terms, start, span), diag);
}

static bool
knows(const struct q2si_nbd_extents *extents, uint64_t guest)
{
	return extents->count > 0 && guest >= extents->start &&
	       guest < extents->list[extents->count - 1].end;
}

static bool
is_entry(const struct q2si_nbd_extents *extents, size_t index, uint64_t guest)
{
	return index < extents->count && guest < extents->list[index].end &&
	       guest >= (index ? extents->list[index - 1].end : extents->start);
}

/* The entry that holds @guest, which is known. */
static size_t
entry_at(const struct q2si_nbd_extents *extents, uint64_t guest)
{
	for (size_t i = extents->last; i <= extents->last + 1; i++)
		if (is_entry(extents, i, guest))
			return i;
	return Q2SI_COUNT_FIRST(i, extents->count - 1, extents->list[i].end <= guest);
}

/* What @from says of @guest and of what follows, if it knows that. */
static void
copy(const struct q2si_nbd_extents *from, uint64_t guest, struct q2si_nbd_extents *to)
{
	size_t first;

	to->count = to->last = 0;
	if (!knows(from, guest))
		return;
	first = entry_at(from, guest);
	to->start = guest;
	to->count = q2si_min_size(from->count - first, to->room);
	memcpy(to->list, from->list + first, to->count * sizeof(*to->list));
}

/* Let the cursor know what the last answer says of @guest, in @which list; ask if need be. */
static enum q2s_err
learn(struct q2si_nbd_status *status, const struct q2si_nbd_extents *which, uint64_t guest,
      struct q2s_diag *diag)
{
	struct q2si_nbd_pool *const pool = status->pool;
	enum q2s_err err = Q2S_OK;

	pthread_mutex_lock(&pool->asking);
	if (!knows(which, guest))
		err = ask(status, guest, which->span, diag);
	copy(&pool->alloc, guest, &status->alloc);
	copy(&pool->changes, guest, &status->changes);
	pthread_mutex_unlock(&pool->asking);
	return err;
}

void
q2si_nbd_status_init(struct q2si_nbd_status *status, struct q2si_nbd_pool *pool)
{
	status->pool = pool;
	status->link = q2si_nbd_pool_take(pool);
	status->alloc = (struct q2si_nbd_extents){
		.list = status->room[0],
		.room = Q2SI_NBD_EXTENTS,
	};
	status->changes = (struct q2si_nbd_extents){
		.list = status->room[1],
		.room = Q2SI_NBD_EXTENTS,
	};
}

/* What the list says of @guest, which it knows. */
static void
look_up(struct q2si_nbd_extents *extents, uint64_t guest, enum q2s_state *state, uint64_t *end)
{
	const size_t index = extents->last = entry_at(extents, guest);

	*state = extents->list[index].state;
	*end = extents->list[index].end;
}

enum q2s_err
q2si_nbd_alloc_at(struct q2si_nbd_status *status, uint64_t guest, enum q2s_state *state,
		  uint64_t *end, struct q2s_diag *diag)
{
	const struct q2si_nbd_terms *terms = &status->pool->terms;
	struct q2si_nbd_extents *alloc = &status->alloc;

	if (!knows(alloc, guest))
		Q2SI_TRY(learn(status, &status->pool->alloc, guest, diag));
	else if (terms->changes && !knows(&status->changes, guest)) /* for q2si_nbd_known_data() */
		Q2SI_TRY(learn(status, &status->pool->changes, guest, diag));
	if (!knows(alloc, guest)) {
		alloc->start = q2si_round_down(guest, terms->block);
		alloc->list[0] = (struct q2si_nbd_extent){
			.end = terms->extents ? alloc->start + question_len(terms, alloc->start, 0) :
						terms->size,
			.state = Q2S_DATA,
		};
		alloc->count = 1;
		alloc->last = 0;
	}
	look_up(alloc, guest, state, end);
	return Q2S_OK;
}

enum q2s_err
q2si_nbd_changes_at(struct q2si_nbd_status *status, uint64_t guest, enum q2s_state *state,
		    uint64_t *end, struct q2s_diag *diag)
{
	if (!knows(&status->changes, guest))
		Q2SI_TRY(learn(status, &status->pool->changes, guest, diag));
	if (!knows(&status->changes, guest))
		return q2si_fail(diag, Q2S_E_IO, "NBD server", Q2S_NOWHERE, guest,
				 "does not say what changed at this guest offset");
	look_up(&status->changes, guest, state, end);
	return Q2S_OK;
}

static bool
known_data(const struct q2si_nbd_extents *extents, uint64_t guest, uint64_t *start, uint64_t *end)
{
	if (!knows(extents, guest))
		return false;
	*start = guest;
	for (size_t i = entry_at(extents, guest); i < extents->count; i++) {
		*end = extents->list[i].end;
		if (extents->list[i].state == Q2S_DATA)
			return true;
		*start = *end;
	}
	return false;
}

bool
q2si_nbd_known_data(const struct q2si_nbd_status *status, uint64_t guest, uint64_t *start,
		    uint64_t *end)
{
	uint64_t changed, changed_end;

	for (;;) {
		if (!known_data(&status->alloc, guest, start, end))
			return false;
		if (!status->pool->context)
			return true;
		if (!known_data(&status->changes, *start, &changed, &changed_end))
			return false;
		if (changed < *end)
			break;
		guest = changed;
	}
	*start = changed;
	*end = q2si_min(*end, changed_end);
	return true;
}
