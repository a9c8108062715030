/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The connections to one NBD export: made, agreed upon, and shared among cursors. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arith.h"
#include "base/diag.h"
#include "disk/nbd.h"
#include "disk/nbd_uri.h"

/* What a server that names no limit accepts, by the protocol's advice. */
#define BLOCK_DEFAULT 512u
#define REQUEST_DEFAULT (32u << 20)

enum q2s_err
q2si_nbd_fail(const struct q2si_nbd_lib *nbd, struct q2s_diag *diag, const char *doing)
{
	const char *reason = nbd->get_error();

	if (nbd->get_errno() == ENOMEM)
		return q2si_fail_nomem(diag, "NBD server");
	return q2si_fail_at(diag, Q2S_E_IO, "NBD server", Q2S_NOWHERE, "%s: %s", doing,
			    reason ? reason : "no reason given");
}

/* ---- one connection ---------------------------------------------------------------------- */

static struct nbd_handle *
new_handle(const struct q2si_nbd_pool *pool)
{
	const struct q2si_nbd_lib *nbd = &pool->nbd;
	struct nbd_handle *handle = nbd->create();

	if (!handle)
		return NULL;
	if (nbd->add_meta_context(handle, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 ||
	    (pool->context && nbd->add_meta_context(handle, pool->context) != 0) ||
	    nbd->set_uri_allow_local_file(handle, true) != 0) {
		nbd->close(handle);
		return NULL;
	}
#ifdef LIBNBD_HAVE_NBD_SET_PREAD_INITIALIZE
	/* nothing is taken from a buffer whose request failed */
	(void)nbd->set_pread_initialize(handle, false);
#endif
	return handle;
}

/* Connect by the pool's URI or, without one, by @socket, which is closed on failure. */
static enum q2s_err
connect_link(const struct q2si_nbd_pool *pool, int socket, struct nbd_handle **out,
	     struct q2s_diag *diag)
{
	const struct q2si_nbd_lib *nbd = &pool->nbd;
	const char *const uri = pool->uri;
	struct nbd_handle *handle = new_handle(pool);
	enum q2s_err err = Q2S_OK;

	if (!handle)
		err = q2si_nbd_fail(nbd, diag, "cannot be talked to");
	else if ((uri ? nbd->connect_uri(handle, uri)
		      : nbd->connect_socket(handle, socket)) != 0)
		err = q2si_nbd_fail(nbd, diag, "cannot connect");
	if (err == Q2S_OK) {
		*out = handle;
		return Q2S_OK;
	}
	if (!uri)
		close(socket);
	nbd->close(handle);
	return err;
}

/* ---- terms ------------------------------------------------------------------------------- */

static uint32_t
limit_of(const struct q2si_nbd_lib *nbd, struct nbd_handle *handle, int which, uint32_t otherwise)
{
	const int64_t limit = nbd->get_block_size(handle, which);

	return limit > 0 && limit <= UINT32_MAX ? (uint32_t)limit : otherwise;
}

static enum q2s_err
agree(const struct q2si_nbd_pool *pool, struct nbd_handle *handle, struct q2si_nbd_terms *terms,
      struct q2s_diag *diag)
{
	const struct q2si_nbd_lib *nbd = &pool->nbd;
	const int64_t size = nbd->get_size(handle);
	uint32_t largest;

	if (size < 0)
		return q2si_nbd_fail(nbd, diag, "does not say how large the disk is");
	terms->size = (uint64_t)size;
	terms->block = limit_of(nbd, handle, LIBNBD_SIZE_MINIMUM, BLOCK_DEFAULT);
	if ((terms->block & (terms->block - 1)) != 0 || terms->block > Q2SI_NBD_CHUNK)
		return q2si_fail(diag, Q2S_E_IO, "NBD server", Q2S_NOWHERE, terms->block,
				 "wants requests in multiples of what the protocol forbids");
	largest = limit_of(nbd, handle, LIBNBD_SIZE_MAXIMUM, REQUEST_DEFAULT);
	largest = (uint32_t)q2si_min(largest, Q2SI_NBD_CHUNK);
	terms->request = (uint32_t)q2si_max(q2si_round_down(largest, terms->block), terms->block);
	terms->extents = nbd->can_meta_context(handle, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
	terms->changes = pool->context && nbd->can_meta_context(handle, pool->context) == 1;
	terms->multi = nbd->can_multi_conn(handle) == 1;
	return Q2S_OK;
}

/* ---- the pool ---------------------------------------------------------------------------- */

static void
add(struct q2si_nbd_pool *pool, struct nbd_handle *handle)
{
	struct q2si_nbd_link *link = &pool->links[pool->count++];

	*link = (struct q2si_nbd_link){ .nbd = &pool->nbd, .handle = handle };
	pthread_mutex_init(&link->lock, NULL);
}

/* All sockets are shaken hands on at once, as a server does not wait for ever. */
static enum q2s_err
add_sockets(struct q2si_nbd_pool *pool, const int *sockets, size_t count, struct q2s_diag *diag)
{
	struct nbd_handle *handle;
	enum q2s_err err = Q2S_OK;

	for (size_t i = 0; i < count; i++) {
		if (err != Q2S_OK || i == Q2SI_NBD_LINKS_MAX) {
			close(sockets[i]);
			continue;
		}
		err = connect_link(pool, sockets[i], &handle, diag);
		if (err == Q2S_OK)
			add(pool, handle);
	}
	return err;
}

static enum q2s_err
add_by_uri(struct q2si_nbd_pool *pool, struct q2s_diag *diag)
{
	struct nbd_handle *handle;

	Q2SI_TRY(connect_link(pool, -1, &handle, diag));
	add(pool, handle);
	return Q2S_OK;
}

enum q2s_err
q2si_nbd_pool_open(struct q2si_nbd_pool *pool, const struct q2s_disk_nbd_options *options,
		   struct q2s_diag *diag)
{
	enum q2s_err err;

	pthread_mutex_init(&pool->lock, NULL);
	pthread_mutex_init(&pool->asking, NULL);
	err = q2si_nbd_lib_open(&pool->nbd, diag);
	if (err != Q2S_OK) {
		q2si_nbd_close_sockets(options);
		return err;
	}
	if (options->context && !(pool->context = strdup(options->context))) {
		q2si_nbd_close_sockets(options);
		return q2si_fail_nomem(diag, "NBD server");
	}
	if (!options->uri) {
		Q2SI_TRY(add_sockets(pool, options->sockets, options->socket_count, diag));
	} else {
		pool->uri = strdup(options->uri);
		if (!pool->uri)
			return q2si_fail_nomem(diag, "NBD server");
		/* A scheme may be written in either case; older libnbd knows the small letters. */
		for (char *at = pool->uri; *at && *at != ':'; at++)
			if (*at >= 'A' && *at <= 'Z')
				*at = (char)(*at - 'A' + 'a');
		Q2SI_TRY(add_by_uri(pool, diag));
	}
	if (pool->count == 0)
		return q2si_fail(diag, Q2S_E_USAGE, "NBD server", Q2S_NOWHERE, 0,
				 "neither a URI nor a connection is given");
	return agree(pool, pool->links[0].handle, &pool->terms, diag);
}

void
q2si_nbd_pool_close(struct q2si_nbd_pool *pool)
{
	for (size_t i = 0; i < pool->count; i++) {
		/* a polite end, but nobody waits for the answer of a server that gives none */
		(void)pool->nbd.aio_disconnect(pool->links[i].handle, 0);
		pool->nbd.close(pool->links[i].handle);
		pthread_mutex_destroy(&pool->links[i].lock);
	}
	free(pool->alloc.list);
	free(pool->changes.list);
	pthread_mutex_destroy(&pool->asking);
	pthread_mutex_destroy(&pool->lock);
	free(pool->uri);
	free(pool->context);
	q2si_nbd_lib_close(&pool->nbd);
}

/* One more connection, if the server takes it and shows the same disk on it. */
static struct q2si_nbd_link *
grow(struct q2si_nbd_pool *pool)
{
	struct q2si_nbd_terms terms;
	struct nbd_handle *handle;

	if (!pool->uri || !pool->terms.multi || pool->count == Q2SI_NBD_LINKS_MAX ||
	    connect_link(pool, -1, &handle, NULL) != Q2S_OK)
		return NULL;
	if (agree(pool, handle, &terms, NULL) != Q2S_OK || terms.size != pool->terms.size ||
	    terms.changes != pool->terms.changes) {
		pool->nbd.close(handle);
		return NULL;
	}
	add(pool, handle);
	return &pool->links[pool->count - 1];
}

static struct q2si_nbd_link *
least_used(struct q2si_nbd_pool *pool)
{
	struct q2si_nbd_link *best = &pool->links[0];

	/* without a promise that connections agree, all that is read comes from the first */
	for (size_t i = 1; i < pool->count && pool->terms.multi; i++) {
		if (pool->links[i].users < best->users)
			best = &pool->links[i];
	}
	return best;
}

struct q2si_nbd_link *
q2si_nbd_pool_take(struct q2si_nbd_pool *pool)
{
	struct q2si_nbd_link *link, *fresh;

	pthread_mutex_lock(&pool->lock);
	link = least_used(pool);
	if (link->users > 0 && (fresh = grow(pool)) != NULL)
		link = fresh;
	link->users++;
	pthread_mutex_unlock(&pool->lock);
	return link;
}

void
q2si_nbd_pool_return(struct q2si_nbd_pool *pool, struct q2si_nbd_link *link)
{
	pthread_mutex_lock(&pool->lock);
	link->users--;
	pthread_mutex_unlock(&pool->lock);
}
