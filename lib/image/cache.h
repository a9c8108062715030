/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The metadata cache: slices of the tables of one image that is changed, or of all the layers of a
 * disk that is read (shared.h), with a budget. A changed slice is written by whoever knows the
 * order of writes (lib/edit/flush.c); the cache itself never writes, and only forgets what is
 * clean. Its callers hold one lock around all calls.
 */
#ifndef Q2SI_IMAGE_CACHE_H
#define Q2SI_IMAGE_CACHE_H

#include <q2s/io.h>

/** Bytes of a slice, unless clusters are smaller: a changed entry costs at most one such write. */
#define Q2SI_SLICE_MAX 4096u

/** What a slice belongs to. The order is that in which flushing writes them. */
enum q2si_slice_kind {
	Q2SI_SLICE_REFCOUNT, /* refcount blocks */
	Q2SI_SLICE_REFTABLE,
	Q2SI_SLICE_L2,
	Q2SI_SLICE_L1,
	Q2SI_SLICE_KINDS
};

/**
 * A slice of a table: slice_size bytes at host offset @at of @store, as stored (big-endian).
 *
 * @pins    users; a pinned slice stays
 * @dirty   one bit for each eighth that was changed and is not on its way to the store
 * @frozen  the same for what a flush is writing now
 * @shadow  the bytes of the frozen state, when the slice was changed since; else NULL
 */
struct q2si_slice {
	const struct q2s_store *store;
	uint64_t at;
	enum q2si_slice_kind kind;
	unsigned pins;
	uint8_t dirty;
	uint8_t frozen;
	uint8_t *shadow;
	struct q2si_slice *hash_next;
	struct q2si_slice *older, *newer; /* by use, of all slices */
	struct q2si_slice *next_dirty;
	uint8_t data[];
};

struct q2si_cache {
	struct q2s_store *store;
	uint32_t slice_size;
	size_t limit; /* slices */
	size_t count;
	size_t dirty;   /* slices with a bit in @dirty */
	size_t buckets; /* a power of two */
	struct q2si_slice **table;
	struct q2si_slice *oldest, *newest;
	struct q2si_slice *first_dirty;
};

/**
 * @store       of all slices that are asked for without one; a reference is taken. NULL: there are
 *              none such
 * @slice_size  a power of two from 512 to Q2SI_SLICE_MAX; no table starts within a slice
 * @bytes       budget; a few slices are the least. Pinned and dirty slices may exceed it.
 */
enum q2s_err q2si_cache_init(struct q2si_cache *cache, struct q2s_store *store, uint32_t slice_size,
			     size_t bytes, struct q2s_diag *diag);
/** What is dirty is lost. */
void q2si_cache_free(struct q2si_cache *cache);

/** Pin the slice that holds byte @at, which is read unless it is there. */
enum q2s_err q2si_cache_get(struct q2si_cache *cache, uint64_t at, enum q2si_slice_kind kind,
			    struct q2si_slice **out, struct q2s_diag *diag);
/** The same for a slice of a new table, which is zero in the store: nothing is read. */
enum q2s_err q2si_cache_new(struct q2si_cache *cache, uint64_t at, enum q2si_slice_kind kind,
			    struct q2si_slice **out, struct q2s_diag *diag);
void q2si_cache_put(struct q2si_slice *slice);

/*
 * The same in steps, for who does not want to hold the lock while it is read. What is in a cache
 * that is used so is never changed, and its slices may be of several stores.
 */
/** Pin the slice of @store at @at, which is a multiple of slice_size; NULL: it is not there. */
struct q2si_slice *q2si_cache_find(struct q2si_cache *cache, const struct q2s_store *store,
				   uint64_t at);
/** One to be filled, which is not in the cache; NULL: no memory. Free with free(). */
struct q2si_slice *q2si_cache_spare(struct q2si_cache *cache, const struct q2s_store *store,
				    uint64_t at, enum q2si_slice_kind kind);
/** Add one that is filled, pinned once. Nobody may have added its like: q2si_cache_find(). */
void q2si_cache_add(struct q2si_cache *cache, struct q2si_slice *slice);

/** The bytes at host offset @at, which is in @slice. */
static inline uint8_t *
q2si_slice_at(const struct q2si_cache *cache, struct q2si_slice *slice, uint64_t at)
{
	return slice->data + (at & (cache->slice_size - 1));
}

/** To be called before [@at, @at + @len), which is in @slice, is changed. Q2S_E_NOMEM. */
enum q2s_err q2si_cache_change(struct q2si_cache *cache, struct q2si_slice *slice, uint64_t at,
			       size_t len, struct q2s_diag *diag);

/** The tables at [@at, @at + @len) are no more: forget their slices, changed ones too. */
void q2si_cache_forget(struct q2si_cache *cache, uint64_t at, uint64_t len);

/** The dirty slices at one time, by host offset within each kind, each pinned. */
struct q2si_frozen {
	struct q2si_slice **list;
	size_t count;
	size_t start[Q2SI_SLICE_KINDS + 1]; /* where each kind begins in @list */
};

/**
 * Freeze all that is dirty: until it is thawed, what is written of it (q2si_slice_frozen()) stays
 * as it is now, while the slices may be changed and become dirty again. One freeze at a time.
 */
enum q2s_err q2si_cache_freeze(struct q2si_cache *cache, struct q2si_frozen *out,
			       struct q2s_diag *diag);
/** @written  all of it is in the store; else what was frozen is dirty again. */
void q2si_cache_thaw(struct q2si_cache *cache, struct q2si_frozen *frozen, bool written);

/** The bytes of a frozen slice. */
static inline const uint8_t *
q2si_slice_frozen(const struct q2si_slice *slice)
{
	return slice->shadow ? slice->shadow : slice->data;
}

#endif
