/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one interface behind every kind of store, for the kinds of the library. */
#ifndef Q2SI_IO_STORE_H
#define Q2SI_IO_STORE_H

#include <stdatomic.h>

#include <q2s/store.h>

#include "io/feed.h"

/** Digests of samples of a store's bytes, see q2s_store_sample(). */
struct q2si_samples;

struct q2s_store {
	atomic_uint owners;
	struct q2s_store_ops ops; /* what the kind does not have is NULL */
	void *self;
	char *name;
	int fd; /* whose offsets are the store's, or -1 */
	bool block_device;
	unsigned locks;               /* that are held: lock.c */
	struct q2si_samples *samples; /* or NULL: sample.c */
	/** On a server: open what lies at the relative name @path beside it. NULL: it is local. */
	enum q2s_err (*beside)(void *self, const char *path, struct q2s_store **out,
			       struct q2s_diag *diag);
	/** Of such a store: see q2si_store_will_look(). */
	void (*will_look)(void *self, uint64_t at, uint64_t len);
	struct q2si_feed *feed; /* of a stream that is still arriving, or NULL */
	/** Where a hole ends data begins: how far it goes. NULL: @ops.extent says it as well. */
	enum q2s_err (*data_extent)(void *self, uint64_t at, struct q2s_stretch *out,
				    struct q2s_diag *diag);
	/** See q2s_store_set_direct(); NULL: it cannot. */
	enum q2s_err (*set_direct)(void *self, struct q2s_diag *diag);
	/** See q2si_store_clone(). NULL: it cannot. */
	enum q2s_err (*clone)(void *self, uint64_t at, int from, uint64_t from_at, uint64_t len,
			      struct q2s_diag *diag);
};

/**
 * Let [@at, @at + @len) of @store have the blocks that @from has at @from_at: nothing is moved, and
 * whoever writes to one of the two gets blocks of his own. As a write it lengthens the store.
 * Q2S_E_UNSUPPORTED: the file system cannot, or not with these offsets; nothing changed. Q2S_E_IO.
 */
enum q2s_err q2si_store_clone(struct q2s_store *store, uint64_t at, const struct q2s_store *from,
			      uint64_t from_at, uint64_t len, struct q2s_diag *diag);

/** Up to @len bytes of @fd at @at; *@got says how many: fewer only at the end. Q2S_E_IO. */
enum q2s_err q2si_fd_read(int fd, uint64_t at, void *buf, size_t len, size_t *got,
			  struct q2s_diag *diag);

/** Are the samples, if there are any, what they were? Q2S_E_CHANGED. */
enum q2s_err q2si_samples_verify(struct q2s_store *store, struct q2s_diag *diag);

/**
 * The range holds metadata that will be read soon, and more than once: a server is asked for it
 * before the data that was announced (q2s_store_will_need()). Nothing to prepare where the file is
 * local.
 */
void q2si_store_will_look(struct q2s_store *store, uint64_t at, uint64_t len);

#endif
