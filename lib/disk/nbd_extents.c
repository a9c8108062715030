/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an NBD server says about allocation, asked in large stretches and remembered. */
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

/* Append [where the list ends, @end); false when it is full. */
static bool
append(struct q2si_nbd_extents *extents, uint64_t end, enum q2s_state state)
{
	const size_t count = extents->count;

	if (count > 0 && extents->list[count - 1].state == state) {
		extents->list[count - 1].end = end;
		return true;
	}
	if (count == Q2SI_NBD_EXTENTS)
		return false;
	extents->list[count].end = end;
	extents->list[count].state = state;
	extents->count++;
	return true;
}

/* An answer on its way into the list. */
struct answer {
	struct q2si_nbd_extents *extents;
	uint64_t size; /* of the disk: the last extent may reach further */
};

static int
on_extents(void *opaque, const char *context, uint64_t offset, uint32_t *entries, size_t count,
	   int *error)
{
	const struct answer *answer = opaque;
	uint64_t end = offset;

	(void)error;
	if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 || answer->extents->count > 0)
		return 0;
	for (size_t i = 0; i + 1 < count && end < answer->size; i += 2) {
		end = q2si_min(end + entries[i], answer->size);
		if (entries[i] > 0 &&
		    !append(answer->extents, end, state_of(entries[i + 1])))
			break;
	}
	return 0;
}

/* A server that refuses to answer leaves only reading, which is always right. */
static enum q2s_err
ask_server(struct q2si_nbd_link *link, struct answer *answer, uint64_t start, uint64_t len,
	   struct q2s_diag *diag)
{
	const struct q2si_nbd_lib *const nbd = link->nbd;
	enum q2s_err err = Q2S_OK;

	pthread_mutex_lock(&link->lock);
	if (nbd->block_status(link->handle, len, start,
			      (nbd_extent_callback){ .callback = on_extents, .user_data = answer },
			      0) != 0 &&
	    (nbd->aio_is_dead(link->handle) || nbd->aio_is_closed(link->handle)))
		err = q2si_nbd_fail(nbd, diag, "cannot say what is allocated");
	pthread_mutex_unlock(&link->lock);
	return err;
}

static enum q2s_err
ask(struct q2si_nbd_link *link, const struct q2si_nbd_terms *terms,
    struct q2si_nbd_extents *extents, uint64_t guest, struct q2s_diag *diag)
{
	struct answer answer = { .extents = extents, .size = terms->size };
	const uint64_t start = q2si_round_down(guest, terms->block);
	const uint64_t len = q2si_min(terms->size - start, ASK_MAX);

	extents->start = start;
	extents->count = 0;
	if (terms->extents)
		Q2SI_TRY(ask_server(link, &answer, start, len, diag));
	if (extents->count == 0 || extents->list[extents->count - 1].end <= guest) {
		extents->count = 0;
		(void)append(extents, terms->extents ? start + len : terms->size, Q2S_DATA);
	}
	return Q2S_OK;
}

static bool
knows(const struct q2si_nbd_extents *extents, uint64_t guest)
{
	return extents->count > 0 && guest >= extents->start &&
	       guest < extents->list[extents->count - 1].end;
}

/* The entry that holds @guest, which is known. */
static size_t
entry_at(const struct q2si_nbd_extents *extents, uint64_t guest)
{
	return Q2SI_COUNT_FIRST(i, extents->count - 1, extents->list[i].end <= guest);
}

enum q2s_err
q2si_nbd_extent_at(struct q2si_nbd_link *link, const struct q2si_nbd_terms *terms,
		   struct q2si_nbd_extents *extents, uint64_t guest, enum q2s_state *state,
		   uint64_t *end, struct q2s_diag *diag)
{
	if (!knows(extents, guest))
		Q2SI_TRY(ask(link, terms, extents, guest, diag));

	const size_t index = entry_at(extents, guest);

	*state = extents->list[index].state;
	*end = extents->list[index].end;
	return Q2S_OK;
}

bool
q2si_nbd_known_data(const struct q2si_nbd_extents *extents, uint64_t guest, uint64_t *start,
		    uint64_t *end)
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
