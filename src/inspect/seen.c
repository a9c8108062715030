/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A set of places: a hash table with open addressing, never more than three quarters full. */
#include "inspect/seen.h"

#include <stdlib.h>

#include "base/arith.h"
#include "common/fault.h"

#define ROOM_MIN 64u

/* Offsets of clusters leave the low bits free; 0 means an empty place. */
static uint64_t
key_of(q2s_host at, unsigned kind)
{
	return at.v + kind + 1;
}

/* Where @key is, or the empty place for it. */
static size_t
find(const struct seen *seen, uint64_t key)
{
	size_t i = (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & (seen->room - 1);

	while (seen->keys[i] && seen->keys[i] != key)
		i = (i + 1) & (seen->room - 1);
	return i;
}

static enum q2s_err
grow(struct seen *seen, struct q2s_diag *diag)
{
	struct seen more = { .room = seen->room ? 2 * seen->room : ROOM_MIN, .count = seen->count };

	if (seen->count == SEEN_MAX)
		return fault(diag, Q2S_E_LIMIT, "image",
			     "more than %u structures, which are too many to remember", SEEN_MAX);
	more.keys = calloc(more.room, sizeof(*more.keys));
	if (!more.keys)
		return fault_nomem(diag, "places of structures");
	for (size_t i = 0; i < seen->room; i++) {
		if (seen->keys[i])
			more.keys[find(&more, seen->keys[i])] = seen->keys[i];
	}
	free(seen->keys);
	*seen = more;
	return Q2S_OK;
}

void
seen_free(struct seen *seen)
{
	free(seen->keys);
	*seen = (struct seen){ 0 };
}

enum q2s_err
seen_add(struct seen *seen, q2s_host at, unsigned kind, bool *again, struct q2s_diag *diag)
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

enum q2s_err
seen_add_table(struct seen *seen, const struct q2s_file *file, const struct q2s_geom *geom,
	       const struct seen_table *table, uint64_t *fresh, struct q2s_diag *diag)
{
	const uint64_t size = q2s_file_size(file), at = table->at.v;
	const uint64_t left = at < size ? size - at : 0;
	const uint64_t bytes = q2si_min(left, table->count * table->entry_size);
	uint64_t cluster = q2si_round_down(at, geom->cluster_size);
	bool again = false;

	for (; cluster < at + bytes; cluster += geom->cluster_size) {
		const enum q2s_err err =
			seen_add(seen, (q2s_host){ cluster }, table->kind, &again, diag);

		if (err != Q2S_OK)
			return err;
		if (again)
			break;
	}
	*fresh = again ? (cluster > at ? (cluster - at) / table->entry_size : 0)
		       : q2si_div_up(bytes, table->entry_size);
	return Q2S_OK;
}
