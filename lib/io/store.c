/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The frame of all stores: owners, argument checks, and what a kind does not do itself. */
#include "io/store.h"

#include <stdlib.h>
#include <string.h>

#include <q2s/http.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "io/sink.h"

/* ---- owners ------------------------------------------------------------------------------ */

enum q2s_err
q2s_store_new(const struct q2s_store_ops *ops, void *self, const char *name, struct q2s_store **out,
	      struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE struct q2s_store *store = NULL;

	if (ops->size < offsetof(struct q2s_store_ops, write) || !ops->read || !ops->length)
		return q2si_fail(diag, Q2S_E_USAGE, "store", Q2S_NOWHERE, ops->size,
				 "the functions to read it are not there");
	store = calloc(1, sizeof(*store));
	if (!store || !(store->name = strdup(name)))
		return q2si_fail_nomem(diag, "store");
	memcpy(&store->ops, ops, q2si_min_size(ops->size, sizeof(*ops)));
	store->self = self;
	store->fd = -1;
	atomic_init(&store->owners, 1);
	*out = Q2SI_STEAL(store);
	return Q2S_OK;
}

struct q2s_store *
q2s_store_ref(struct q2s_store *store)
{
	atomic_fetch_add_explicit(&store->owners, 1, memory_order_relaxed);
	return store;
}

void
q2s_store_unref(struct q2s_store *store)
{
	if (!store || atomic_fetch_sub_explicit(&store->owners, 1, memory_order_acq_rel) != 1)
		return;
	/* Closing is not enough for a descriptor that was inherited or duplicated. */
	q2s_store_unlock(store);
	if (store->ops.close)
		store->ops.close(store->self);
	free(store->samples);
	free(store->name);
	free(store);
}

enum q2s_err
q2s_store_set_direct(struct q2s_store *store, struct q2s_diag *diag)
{
	if (store->set_direct)
		return store->set_direct(store->self, diag);
	return q2si_in_file(diag,
			    q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "store", Q2S_NOWHERE,
					 "no file or block device, so O_DIRECT cannot be set"),
			    store->name);
}

/* ---- what it is -------------------------------------------------------------------------- */

uint64_t
q2s_store_size(const struct q2s_store *store)
{
	return store->ops.length(store->self);
}

uint64_t
q2s_store_size_until(const struct q2s_store *store, uint64_t end)
{
	if (store->feed)
		(void)q2si_feed_until(store->feed, end);
	return q2s_store_size(store);
}

uint64_t
q2s_store_allocated(const struct q2s_store *store)
{
	return store->ops.allocated ? store->ops.allocated(store->self) : q2s_store_size(store);
}

const char *
q2s_store_name(const struct q2s_store *store)
{
	return store->name;
}

int
q2s_store_fd(const struct q2s_store *store)
{
	return store->fd;
}

bool
q2s_store_is_block_device(const struct q2s_store *store)
{
	return store->block_device;
}

bool
q2s_store_is_remote(const struct q2s_store *store)
{
	return store->beside != NULL;
}

bool
q2s_store_is_writable(const struct q2s_store *store)
{
	return store->ops.write != NULL;
}

/* No device has the number 0, and no two stores the same address. */
void
q2s_store_ident(const struct q2s_store *store, struct q2s_store_ident *out)
{
	*out = (struct q2s_store_ident){ .ino = (uintptr_t)store, .size = q2s_store_size(store) };
	if (store->ops.ident)
		store->ops.ident(store->self, out);
}

/* Say of a failure what the kind has not said. */
static enum q2s_err
failed(const struct q2s_store *store, enum q2s_err err, uint64_t at, const char *doing,
       struct q2s_diag *diag)
{
	if (err == Q2S_OK)
		return Q2S_OK;
	if (diag && diag->err == Q2S_OK)
		(void)q2si_fail_at(diag, err, "store", (q2s_host){ at }, "%s failed", doing);
	return q2si_in_file(diag, err, store->name);
}

enum q2s_err
q2s_store_verify(struct q2s_store *store, struct q2s_diag *diag)
{
	if (store->ops.verify)
		Q2SI_TRY(failed(store, store->ops.verify(store->self, diag), UINT64_MAX,
				"looking for changes", diag));
	return q2si_samples_verify(store, diag);
}

bool
q2s_store_is_arriving(const struct q2s_store *store)
{
	return store->feed != NULL;
}

enum q2s_err
q2s_store_failure(const struct q2s_store *store, struct q2s_diag *diag)
{
	return store->feed ? q2si_feed_failure(store->feed, diag) : Q2S_OK;
}

/* ---- reading ----------------------------------------------------------------------------- */

enum q2s_err
q2s_store_read_padded(struct q2s_store *store, uint64_t at, void *buf, size_t len, size_t *got,
		      struct q2s_diag *diag)
{
	/* Nothing lies where an offset cannot be. */
	const size_t want = at > INT64_MAX ? 0 : q2si_min(len, (uint64_t)INT64_MAX - at);
	size_t n = 0;

	if (want > 0) {
		const enum q2s_err err = store->ops.read(store->self, at, buf, want, &n, diag);

		if (err != Q2S_OK)
			return failed(store, err, at, "reading", diag);
	}
	n = q2si_min_size(n, want);
	memset((char *)buf + n, 0, len - n);
	if (got)
		*got = n;
	return Q2S_OK;
}

enum q2s_err
q2s_store_read(struct q2s_store *store, uint64_t at, void *buf, size_t len, struct q2s_diag *diag)
{
	size_t got = 0;

	Q2SI_TRY(q2s_store_read_padded(store, at, buf, len, &got, diag));
	if (got == len)
		return Q2S_OK;
	return q2si_in_file(diag,
			    q2si_fail(diag, Q2S_E_SHORT, "file", (q2s_host){ at }, got,
				      "ends before %zu bytes could be read", len),
			    store->name);
}

/* An extent is neither empty nor goes past the end, whatever a kind says. */
static enum q2s_err
extent(struct q2s_store *store, bool data, uint64_t at, struct q2s_stretch *out,
       struct q2s_diag *diag)
{
	const uint64_t size = q2s_store_size(store);
	enum q2s_err err = Q2S_OK;

	*out = (struct q2s_stretch){ .len = size - at };
	if (data && store->data_extent)
		err = store->data_extent(store->self, at, out, diag);
	else if (store->ops.extent)
		err = store->ops.extent(store->self, at, out, diag);
	if (err != Q2S_OK)
		return failed(store, err, at, "looking for holes", diag);
	if (out->len == 0)
		return failed(store, Q2S_E_IO, at, "looking for holes", diag);
	out->len = q2si_min(out->len, q2s_store_size(store) - at);
	return Q2S_OK;
}

enum q2s_err
q2s_store_stretch(struct q2s_store *store, uint64_t at, struct q2s_stretch *out,
		  struct q2s_diag *diag)
{
	return extent(store, false, at, out, diag);
}

enum q2s_err
q2s_store_stretch_on(struct q2s_store *store, struct q2s_stretch_walk *walk, uint64_t at,
		     struct q2s_stretch *out, struct q2s_diag *diag)
{
	if (at < walk->start || at >= walk->end) {
		const bool data = walk->hole && at == walk->end;

		Q2SI_TRY(extent(store, data, at, out, diag));
		*walk = (struct q2s_stretch_walk){ .start = at,
						   .end = at + out->len,
						   .hole = out->hole };
	}
	*out = (struct q2s_stretch){ .hole = walk->hole, .len = walk->end - at };
	return Q2S_OK;
}

void
q2s_store_forget(struct q2s_store *store, uint64_t at, uint64_t len)
{
	if (store->ops.wont_need)
		store->ops.wont_need(store->self, at, len);
}

bool
q2s_store_is_cached(struct q2s_store *store, uint64_t at)
{
	return store->ops.is_cached && store->ops.is_cached(store->self, at);
}

void
q2s_store_will_need(struct q2s_store *store, uint64_t at, uint64_t len)
{
	if (store->ops.will_need)
		store->ops.will_need(store->self, at, len);
}

void
q2si_store_will_look(struct q2s_store *store, uint64_t at, uint64_t len)
{
	if (store->will_look)
		store->will_look(store->self, at, len);
}

/* ---- writing ----------------------------------------------------------------------------- */

/* May [@at, @at + @len) be changed? */
static enum q2s_err
check_range(const struct q2s_store *store, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	uint64_t end;
	enum q2s_err err = Q2S_OK;

	if (!store->ops.write)
		err = q2si_fail_at(diag, Q2S_E_USAGE, "store", Q2S_NOWHERE, "not open for writing");
	else if (!q2si_add(at, len, &end) || end > INT64_MAX)
		err = q2si_fail(diag, Q2S_E_OVERFLOW, "store", (q2s_host){ at }, len,
				"no store is as long as that");
	return q2si_in_file(diag, err, store->name);
}

enum q2s_err
q2s_store_write(struct q2s_store *store, uint64_t at, const void *buf, size_t len,
		struct q2s_diag *diag)
{
	Q2SI_TRY(check_range(store, at, len, diag));
	if (len == 0)
		return Q2S_OK;
	return failed(store, store->ops.write(store->self, at, buf, len, diag), at, "writing",
		      diag);
}

static enum q2s_err
write_zeros(const struct q2s_store *store, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	while (len > 0) {
		const size_t n = q2si_min_size(len, Q2SI_ZEROS_SIZE);

		Q2SI_TRY(store->ops.write(store->self, at, q2si_zeros, n, diag));
		at += n;
		len -= n;
	}
	return Q2S_OK;
}

enum q2s_err
q2s_store_zero(struct q2s_store *store, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_E_UNSUPPORTED;

	Q2SI_TRY(check_range(store, at, len, diag));
	if (len == 0)
		return Q2S_OK;
	/* That it cannot is no failure, so nothing is said about it. */
	if (store->ops.zero) {
		struct q2s_diag why = { 0 };

		err = store->ops.zero(store->self, at, len, &why);
		if (err != Q2S_OK && err != Q2S_E_UNSUPPORTED && diag && diag->err == Q2S_OK)
			*diag = why;
	}
	if (err == Q2S_E_UNSUPPORTED)
		err = write_zeros(store, at, len, diag);
	return failed(store, err, at, "writing zeros", diag);
}

enum q2s_err
q2s_store_discard(struct q2s_store *store, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	const uint64_t size = q2s_store_size(store);
	enum q2s_err err = Q2S_E_UNSUPPORTED;

	Q2SI_TRY(check_range(store, at, len, diag));
	len = at < size ? q2si_min(len, size - at) : 0;
	if (len == 0)
		return Q2S_OK;
	if (store->ops.discard)
		err = store->ops.discard(store->self, at, len, diag);
	return failed(store, err, at, "giving back space", diag);
}

enum q2s_err
q2s_store_flush(struct q2s_store *store, struct q2s_diag *diag)
{
	Q2SI_TRY(check_range(store, 0, 0, diag));
	if (!store->ops.flush)
		return Q2S_OK;
	return failed(store, store->ops.flush(store->self, diag), UINT64_MAX, "flushing", diag);
}

enum q2s_err
q2s_store_set_length(struct q2s_store *store, uint64_t length, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_E_UNSUPPORTED;

	Q2SI_TRY(check_range(store, length, 0, diag));
	if (store->ops.set_length)
		err = store->ops.set_length(store->self, length, diag);
	return failed(store, err, UINT64_MAX, "setting its size", diag);
}

enum q2s_err
q2si_store_clone(struct q2s_store *store, uint64_t at, const struct q2s_store *from,
		 uint64_t from_at, uint64_t len, struct q2s_diag *diag)
{
	if (!store->clone || from->fd < 0)
		return Q2S_E_UNSUPPORTED;
	return store->clone(store->self, at, from->fd, from_at, len, diag);
}
