/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A set of places: a hash table with open addressing, never more than three quarters full. */
#include <q2s/walk.h>

#include <stdlib.h>

#include "base/diag.h"

#define ROOM_MIN 64u

/* Offsets of clusters leave the low bits free; 0 means an empty place. */
static uint64_t
key_of(q2s_host at, unsigned kind)
{
	return at.v + kind + 1;
}

/* Where @key is, or the empty place for it. */
static size_t
find(const struct q2s_seen *seen, uint64_t key)
{
	size_t i = (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & (seen->room - 1);

	while (seen->keys[i] && seen->keys[i] != key)
		i = (i + 1) & (seen->room - 1);
	return i;
}

static enum q2s_err
grow(struct q2s_seen *seen, struct q2s_diag *diag)
{
	struct q2s_seen more = { .room = seen->room ? 2 * seen->room : ROOM_MIN, .count = seen->count };

	if (seen->count == Q2S_SEEN_MAX)
		return q2si_fail_at(diag, Q2S_E_LIMIT, "image", Q2S_NOWHERE,
			     "more than %u structures, which are too many to remember", Q2S_SEEN_MAX);
	more.keys = calloc(more.room, sizeof(*more.keys));
	if (!more.keys)
		return q2si_fail_nomem(diag, "places of structures");
	for (size_t i = 0; i < seen->room; i++) {
		if (seen->keys[i])
			more.keys[find(&more, seen->keys[i])] = seen->keys[i];
	}
	free(seen->keys);
	*seen = more;
	return Q2S_OK;
}

void
q2s_seen_free(struct q2s_seen *seen)
{
	free(seen->keys);
	*seen = (struct q2s_seen){ 0 };
}

enum q2s_err
q2s_seen_add(struct q2s_seen *seen, q2s_host at, unsigned kind, bool *again, struct q2s_diag *diag)
{
	const uint64_t key = key_of(at, kind);
	size_t place;

	if (seen->count >= seen->room / 4 * 3) {
		const enum q2s_err err = grow(seen, diag);

		if (err != Q2S_OK)
			return err;
	}
	place = find(seen, key);
	*again = seen->keys[place] != 0;
	if (!*again) {
		seen->keys[place] = key;
		seen->count++;
	}
	return Q2S_OK;
}
