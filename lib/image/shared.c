/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The lock round a cache that is only read, which is not held while a slice is on its way. */
#include "image/shared.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"

struct q2si_shared {
	pthread_mutex_t lock;
	struct q2si_cache cache;
};

enum q2s_err
q2si_shared_open(size_t bytes, struct q2si_shared **out, struct q2s_diag *diag)
{
	struct q2si_shared *const shared = malloc(sizeof(*shared));
	enum q2s_err err;

	if (!shared)
		return q2si_fail_nomem(diag, "metadata cache");
	err = q2si_cache_init(&shared->cache, NULL, Q2SI_SLICE_MAX, bytes, diag);
	if (err != Q2S_OK) {
		free(shared);
		return err;
	}
	pthread_mutex_init(&shared->lock, NULL);
	*out = shared;
	return Q2S_OK;
}

void
q2si_shared_close(struct q2si_shared *shared)
{
	if (!shared)
		return;
	q2si_cache_free(&shared->cache);
	pthread_mutex_destroy(&shared->lock);
	free(shared);
}

/* Somebody else may have read the same slice meanwhile: then that one is everybody's. */
static struct q2si_slice *
slice_add(struct q2si_shared *shared, struct q2si_slice *slice)
{
	struct q2si_slice *const other = q2si_cache_find(&shared->cache, slice->store, slice->at);

	if (other) {
		free(slice);
		return other;
	}
	q2si_cache_add(&shared->cache, slice);
	return slice;
}

/* Called with the lock, returns with it. */
static enum q2s_err
slice_read(struct q2si_shared *shared, struct q2s_store *store, uint64_t at, uint32_t size,
	   enum q2si_slice_kind kind, struct q2si_slice **out, struct q2s_diag *diag)
{
	struct q2si_slice *const slice = q2si_cache_spare(&shared->cache, store, at, kind);
	enum q2s_err err;

	if (!slice)
		return q2si_fail_nomem(diag, "metadata cache");
	pthread_mutex_unlock(&shared->lock);
	err = q2s_store_read_padded(store, at, slice->data, size, NULL, diag);
	pthread_mutex_lock(&shared->lock);
	if (err == Q2S_OK)
		*out = slice_add(shared, slice);
	else
		free(slice);
	return err;
}

enum q2s_err
q2si_shared_get(struct q2si_shared *shared, struct q2s_store *store, uint64_t at,
		uint32_t size, enum q2si_slice_kind kind, struct q2si_slice **out,
		const uint8_t **bytes, struct q2s_diag *diag)
{
	const uint64_t start = q2si_round_down(at, size);
	enum q2s_err err = Q2S_OK;

	pthread_mutex_lock(&shared->lock);
	*out = q2si_cache_find(&shared->cache, store, start);
	if (!*out)
		err = slice_read(shared, store, start, size, kind, out, diag);
	pthread_mutex_unlock(&shared->lock);
	if (err == Q2S_OK)
		*bytes = (*out)->data + (at - start);
	return err;
}

void
q2si_shared_put(struct q2si_shared *shared, struct q2si_slice *slice)
{
	pthread_mutex_lock(&shared->lock);
	q2si_cache_put(slice);
	pthread_mutex_unlock(&shared->lock);
}
