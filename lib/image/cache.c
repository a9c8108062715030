/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The metadata cache: a hash of slices, and a list of them by use. */
#include "image/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"

#define LEAST_SLICES 64u
#define PARTS 8u /* of a slice, each with a bit in its masks */

enum q2s_err
q2si_cache_init(struct q2si_cache *cache, struct q2s_store *store, uint32_t slice_size,
		size_t bytes, struct q2s_diag *diag)
{
	const size_t cost = slice_size + sizeof(struct q2si_slice);

	*cache = (struct q2si_cache){ .slice_size = slice_size, .buckets = LEAST_SLICES };
	cache->limit = q2si_max(bytes / cost, LEAST_SLICES);
	while (cache->buckets < cache->limit)
		cache->buckets *= 2;
	cache->table = calloc(cache->buckets, sizeof(*cache->table));
	if (!cache->table)
		return q2si_fail_nomem(diag, "metadata cache");
	cache->store = store ? q2s_store_ref(store) : NULL;
	return Q2S_OK;
}

void
q2si_cache_free(struct q2si_cache *cache)
{
	struct q2si_slice *next;

	for (struct q2si_slice *slice = cache->oldest; slice; slice = next) {
		next = slice->newer;
		free(slice->shadow);
		free(slice);
	}
	free(cache->table);
	q2s_store_unref(cache->store);
	*cache = (struct q2si_cache){ 0 };
}

/* ---- the hash, and the list by use --------------------------------------------------------- */

static struct q2si_slice **
bucket_of(const struct q2si_cache *cache, const struct q2s_store *store, uint64_t at)
{
	const uint64_t mixed = (at / cache->slice_size + (uintptr_t)store) * 0x9e3779b97f4a7c15ull;

	return &cache->table[mixed >> 32 & (cache->buckets - 1)];
}

static struct q2si_slice *
find(const struct q2si_cache *cache, const struct q2s_store *store, uint64_t at)
{
	struct q2si_slice *slice = *bucket_of(cache, store, at);

	while (slice && (slice->at != at || slice->store != store))
		slice = slice->hash_next;
	return slice;
}

static void
list_remove(struct q2si_cache *cache, struct q2si_slice *slice)
{
	*(slice->older ? &slice->older->newer : &cache->oldest) = slice->newer;
	*(slice->newer ? &slice->newer->older : &cache->newest) = slice->older;
}

static void
list_append(struct q2si_cache *cache, struct q2si_slice *slice)
{
	slice->older = cache->newest;
	slice->newer = NULL;
	*(slice->older ? &slice->older->newer : &cache->oldest) = slice;
	cache->newest = slice;
}

static void
used_now(struct q2si_cache *cache, struct q2si_slice *slice)
{
	if (cache->newest == slice)
		return;
	list_remove(cache, slice);
	list_append(cache, slice);
}

static void
insert(struct q2si_cache *cache, struct q2si_slice *slice)
{
	struct q2si_slice **bucket = bucket_of(cache, slice->store, slice->at);

	slice->hash_next = *bucket;
	*bucket = slice;
	list_append(cache, slice);
	cache->count++;
}

static void
take_out(struct q2si_cache *cache, struct q2si_slice *slice)
{
	struct q2si_slice **link = bucket_of(cache, slice->store, slice->at);

	while (*link != slice)
		link = &(*link)->hash_next;
	*link = slice->hash_next;
	list_remove(cache, slice);
	cache->count--;
}

static void
dirty_remove(struct q2si_cache *cache, struct q2si_slice *slice)
{
	struct q2si_slice **link = &cache->first_dirty;

	while (*link != slice)
		link = &(*link)->next_dirty;
	*link = slice->next_dirty;
	cache->dirty--;
}

static void
dirty_add(struct q2si_cache *cache, struct q2si_slice *slice)
{
	slice->next_dirty = cache->first_dirty;
	cache->first_dirty = slice;
	cache->dirty++;
}

/* ---- getting ------------------------------------------------------------------------------- */

/* The clean slice without users that was needed longest ago, out of the cache; NULL: none. */
static struct q2si_slice *
evict(struct q2si_cache *cache)
{
	struct q2si_slice *slice = cache->oldest;

	while (slice && (slice->pins || slice->dirty || slice->frozen))
		slice = slice->newer;
	if (slice)
		take_out(cache, slice);
	return slice;
}

static struct q2si_slice *
slice_make(struct q2si_cache *cache)
{
	struct q2si_slice *slice = cache->count >= cache->limit ? evict(cache) : NULL;

	/* Back to the budget, once what exceeded it is clean. */
	while (slice && cache->count >= cache->limit) {
		struct q2si_slice *more = evict(cache);

		if (!more)
			break;
		free(more);
	}
	return slice ? slice : malloc(sizeof(*slice) + cache->slice_size);
}

struct q2si_slice *
q2si_cache_find(struct q2si_cache *cache, const struct q2s_store *store, uint64_t at)
{
	struct q2si_slice *slice = find(cache, store, at);

	if (slice) {
		slice->pins++;
		used_now(cache, slice);
	}
	return slice;
}

struct q2si_slice *
q2si_cache_spare(struct q2si_cache *cache, const struct q2s_store *store, uint64_t at,
		 enum q2si_slice_kind kind)
{
	struct q2si_slice *slice = slice_make(cache);

	if (slice)
		*slice = (struct q2si_slice){ .store = store, .at = at, .kind = kind };
	return slice;
}

void
q2si_cache_add(struct q2si_cache *cache, struct q2si_slice *slice)
{
	slice->pins = 1;
	insert(cache, slice);
}

static enum q2s_err
slice_get(struct q2si_cache *cache, uint64_t at, enum q2si_slice_kind kind, bool fresh,
	  struct q2si_slice **out, struct q2s_diag *diag)
{
	const uint64_t start = q2si_round_down(at, cache->slice_size);
	struct q2si_slice *slice = q2si_cache_find(cache, cache->store, start);
	enum q2s_err err = Q2S_OK;

	if (slice) {
		*out = slice;
		return Q2S_OK;
	}
	slice = q2si_cache_spare(cache, cache->store, start, kind);
	if (!slice)
		return q2si_fail_nomem(diag, "metadata cache");
	if (fresh)
		memset(slice->data, 0, cache->slice_size);
	else
		err = q2s_store_read_padded(cache->store, start, slice->data, cache->slice_size,
					    NULL, diag);
	if (err != Q2S_OK) {
		free(slice);
		return err;
	}
	q2si_cache_add(cache, slice);
	*out = slice;
	return Q2S_OK;
}

enum q2s_err
q2si_cache_get(struct q2si_cache *cache, uint64_t at, enum q2si_slice_kind kind,
	       struct q2si_slice **out, struct q2s_diag *diag)
{
	return slice_get(cache, at, kind, false, out, diag);
}

enum q2s_err
q2si_cache_new(struct q2si_cache *cache, uint64_t at, enum q2si_slice_kind kind,
	       struct q2si_slice **out, struct q2s_diag *diag)
{
	return slice_get(cache, at, kind, true, out, diag);
}

void
q2si_cache_put(struct q2si_slice *slice)
{
	slice->pins--;
}

void
q2si_cache_forget(struct q2si_cache *cache, uint64_t at, uint64_t len)
{
	for (uint64_t end = at + len; at < end; at += cache->slice_size) {
		struct q2si_slice *slice = find(cache, cache->store, at);

		if (!slice)
			continue;
		if (slice->dirty)
			dirty_remove(cache, slice);
		take_out(cache, slice);
		free(slice->shadow);
		free(slice);
	}
}

/* ---- changing ------------------------------------------------------------------------------ */

enum q2s_err
q2si_cache_change(struct q2si_cache *cache, struct q2si_slice *slice, uint64_t at, size_t len,
		  struct q2s_diag *diag)
{
	const uint32_t part = cache->slice_size / PARTS;
	const uint32_t first = (uint32_t)(at - slice->at) / part;
	const uint32_t last = (uint32_t)(at - slice->at + len - 1) / part;

	if (slice->frozen && !slice->shadow) {
		slice->shadow = malloc(cache->slice_size);
		if (!slice->shadow)
			return q2si_fail_nomem(diag, "metadata cache");
		memcpy(slice->shadow, slice->data, cache->slice_size);
	}
	if (!slice->dirty)
		dirty_add(cache, slice);
	slice->dirty |= (uint8_t)((0xffu << first) & (0xffu >> (PARTS - 1 - last)));
	return Q2S_OK;
}

static int
by_kind_and_place(const void *va, const void *vb)
{
	const struct q2si_slice *a = *(struct q2si_slice *const *)va;
	const struct q2si_slice *b = *(struct q2si_slice *const *)vb;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return (a->at > b->at) - (a->at < b->at);
}

enum q2s_err
q2si_cache_freeze(struct q2si_cache *cache, struct q2si_frozen *out, struct q2s_diag *diag)
{
	struct q2si_frozen frozen = { 0 };
	size_t next = 0;

	frozen.list = malloc((cache->dirty + 1) * sizeof(struct q2si_slice *));
	if (!frozen.list)
		return q2si_fail_nomem(diag, "metadata cache");
	for (struct q2si_slice *slice = cache->first_dirty; slice; slice = slice->next_dirty) {
		slice->pins++;
		slice->frozen = slice->dirty;
		slice->dirty = 0;
		frozen.list[frozen.count++] = slice;
	}
	cache->first_dirty = NULL;
	cache->dirty = 0;
	qsort(frozen.list, frozen.count, sizeof(struct q2si_slice *), by_kind_and_place);
	for (unsigned kind = 0; kind <= Q2SI_SLICE_KINDS; kind++) {
		while (next < frozen.count && frozen.list[next]->kind < kind)
			next++;
		frozen.start[kind] = next;
	}
	*out = frozen;
	return Q2S_OK;
}

void
q2si_cache_thaw(struct q2si_cache *cache, struct q2si_frozen *frozen, bool written)
{
	for (size_t i = 0; i < frozen->count; i++) {
		struct q2si_slice *slice = frozen->list[i];

		if (!written && !slice->dirty)
			dirty_add(cache, slice);
		if (!written)
			slice->dirty |= slice->frozen;
		slice->frozen = 0;
		free(slice->shadow);
		slice->shadow = NULL;
		slice->pins--;
	}
	free(frozen->list);
	*frozen = (struct q2si_frozen){ 0 };
}
