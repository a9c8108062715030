/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is given back. A freed cluster keeps its count, so that nobody can have it, until a flush
 * has made durable that nothing refers to it; then its hole is punched, and only when that has
 * returned its count falls to 0. A crash in between leaks the cluster.
 */
#include "edit/edit.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"

enum q2s_err
q2si_freed_add(struct q2s_edit *edit, struct q2si_freed freed, struct q2s_diag *diag)
{
	struct q2si_freed_list *list = &edit->freed;
	struct q2si_freed *last = list->count ? &list->list[list->count - 1] : NULL;

	list->bytes += freed.len;
	if (last && last->kind == freed.kind && last->host + last->len == freed.host &&
	    (freed.kind != Q2SI_FREED_BYTES || last->guest + last->len == freed.guest)) {
		last->len += freed.len;
		return Q2S_OK;
	}
	if (list->count == list->room) {
		const size_t room = list->room ? 2 * list->room : 64;
		struct q2si_freed *more = realloc(list->list, room * sizeof(*more));

		if (!more)
			return q2si_fail_nomem(diag, "list of freed clusters");
		list->list = more;
		list->room = room;
	}
	list->list[list->count++] = freed;
	return Q2S_OK;
}

/* ---- holes --------------------------------------------------------------------------------- */

static bool
punches(const struct q2s_edit *edit)
{
	return !(edit->flags & Q2S_EDIT_KEEP_SPACE);
}

/* Releases the lock. A hole that cannot be punched costs space, and nothing else. */
static void
punch(struct q2s_edit *edit, struct q2si_sync *sync, uint64_t at, uint64_t len)
{
	pthread_mutex_unlock(&edit->lock);
	if (q2s_store_discard(sync->store, at, len, NULL) == Q2S_OK)
		q2si_wrote(sync);
	pthread_mutex_lock(&edit->lock);
}

/* ---- clusters ------------------------------------------------------------------------------ */

/* Clusters [@first, @end) had a count of 1, and nobody refers to them: they are free from here on.
 */
static void
clusters_free(struct q2s_edit *edit, uint64_t first, uint64_t end)
{
	const uint32_t bits = edit->geom.cluster_bits;

	if (first == end)
		return;
	if (punches(edit) && Q2SI_KEEPS(Q2SI_PUNCH_BEFORE_REUSE))
		punch(edit, q2si_meta(edit), first << bits, (end - first) << bits);
	q2si_alloc_undo(edit, first << bits, end - first);
	if (punches(edit) && !Q2SI_KEEPS(Q2SI_PUNCH_BEFORE_REUSE))
		punch(edit, q2si_meta(edit), first << bits, (end - first) << bits);
}

/* One reference less to each. Those that were the last are punched in as long runs as there are. */
static void
references_drop(struct q2s_edit *edit, const struct q2si_freed *freed)
{
	const uint32_t bits = edit->geom.cluster_bits;
	const uint64_t end = (freed->host + freed->len) >> bits;
	uint64_t last = freed->host >> bits; /* where clusters with a count of 1 began */
	uint64_t count, until;

	for (uint64_t cluster = last; cluster < end; cluster = until) {
		if (q2si_refcount_run(edit, cluster, end, &count, &until, NULL) == Q2S_OK &&
		    count == 1)
			continue;
		if (count > 1)
			(void)q2si_refcount_fill(edit, cluster, until - cluster, count - 1, NULL);
		clusters_free(edit, last, cluster);
		last = until;
	}
	clusters_free(edit, last, end);
}

static void
table_drop(struct q2s_edit *edit, const struct q2si_freed *freed)
{
	uint64_t count;

	/* It may go on as the table of a snapshot, which is none of ours. */
	if (q2si_refcount_get(edit, freed->host >> edit->geom.cluster_bits, &count, NULL) ==
		    Q2S_OK &&
	    count == 1) {
		q2si_cache_forget(&edit->cache, freed->host, freed->len);
		q2si_overlap_remove(edit, freed->host, freed->len);
	}
	references_drop(edit, freed);
}

/* ---- subclusters --------------------------------------------------------------------------- */

/* Does the guest still see nothing of the subclusters at host @host? */
static bool
is_still_unused(struct q2s_edit *edit, uint64_t cluster, uint64_t host, uint32_t from, uint32_t to)
{
	struct q2si_mapping mapping;

	if (q2si_mapping_get(edit, cluster, &mapping, NULL) != Q2S_OK || mapping.entry.compressed)
		return false;
	if (!q2si_has_data_file(edit) &&
	    (!mapping.entry.has_host || !mapping.entry.copied || mapping.entry.host.v != host))
		return false;
	return !(mapping.entry.alloc & q2si_touched(&edit->geom, from, to));
}

/*
 * The cluster is still in use, so these bytes may have been written anew since: then they are left
 * alone. While the hole is punched, nobody may begin to use them.
 */
static void
bytes_drop(struct q2s_edit *edit, const struct q2si_freed *freed)
{
	const uint64_t size = edit->geom.cluster_size;
	struct q2si_active active;

	for (uint64_t done = 0; done < freed->len;) {
		const uint64_t guest = freed->guest + done, host = freed->host + done;
		const uint32_t from = (uint32_t)(guest & (size - 1));
		const uint64_t n = q2si_min(freed->len - done, size - from);

		done += n;
		if (q2si_active_conflicts(edit, guest, guest + n, true) ||
		    !is_still_unused(edit, guest >> edit->geom.cluster_bits, host - from, from,
				     from + (uint32_t)n))
			continue;
		q2si_active_begin(edit, &active, guest, guest + n, true);
		punch(edit, edit->data, host, n);
		q2si_active_end(edit, &active);
	}
}

/* ------------------------------------------------------------------------------------------ */

void
q2si_freed_release(struct q2s_edit *edit, struct q2si_freed_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		switch (list->list[i].kind) {
		case Q2SI_FREED_REFERENCE:
			references_drop(edit, &list->list[i]);
			break;
		case Q2SI_FREED_TABLE:
			table_drop(edit, &list->list[i]);
			break;
		case Q2SI_FREED_BYTES:
			if (punches(edit))
				bytes_drop(edit, &list->list[i]);
			break;
		}
	}
	free(list->list);
	*list = (struct q2si_freed_list){ 0 };
}
