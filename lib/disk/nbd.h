/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An NBD export from the inside: connections that cursors share, and requests in flight. */
#ifndef Q2SI_DISK_NBD_H
#define Q2SI_DISK_NBD_H

#include <pthread.h>

#include "disk/disk.h"
#include "disk/nbd_lib.h"

/* ---- extents ----------------------------------------------------------------------------- */

/** Entries of one answer that are kept; what is behind them is asked again. */
#define Q2SI_NBD_ANSWER (64u << 10)
/** Entries that a cursor takes of it at a time. */
#define Q2SI_NBD_EXTENTS 1024u

struct q2si_nbd_extent {
	uint64_t end;
	enum q2s_state state;
};

/**
 * What the server said last about a stretch of the disk: ascending, without gaps.
 *
 * @span  bytes that the next question is about, 0: as many as possible. It follows how many the
 *        list could keep, as an answer may be far longer than that
 * @last  the entry that was looked up last: the next one is mostly that or its neighbour
 */
struct q2si_nbd_extents {
	uint64_t start;
	uint64_t span;
	size_t count, room;
	size_t last;
	struct q2si_nbd_extent *list;
};

/* ---- connections ------------------------------------------------------------------------- */

/** More connections than this serve nobody: each has many requests in flight. */
#define Q2SI_NBD_LINKS_MAX 8u

/** One connection. @lock is held by whoever talks to the server, or looks at a request. */
struct q2si_nbd_link {
	const struct q2si_nbd_lib *nbd;
	struct nbd_handle *handle;
	pthread_mutex_t lock;
	unsigned users; /* cursors; guarded by the pool */
};

/** What all connections of a disk have in common, as agreed on the first one. */
struct q2si_nbd_terms {
	uint64_t size;
	uint32_t block;   /* requests are multiples of this, but for the end of the disk */
	uint32_t request; /* bytes of the largest request, a multiple of @block */
	bool extents;     /* the server tells what is allocated */
	bool changes;     /* it offers the metadata context that was asked for */
	bool multi;       /* connections agree with each other */
};

struct q2si_nbd_pool {
	struct q2si_nbd_lib nbd;
	char *uri; /* NULL: no connection can be added */
	char *context; /* the metadata context that says what changed, or NULL */
	struct q2si_nbd_terms terms;
	/* the last answer about extents, for all cursors; @asking is held while there is a question */
	pthread_mutex_t asking;
	struct q2si_nbd_extents alloc, changes;
	pthread_mutex_t lock; /* guards all below */
	size_t count;
	struct q2si_nbd_link links[Q2SI_NBD_LINKS_MAX];
};

/** Load libnbd; make the first connection (@options->uri) or all there are; agree on the terms. */
enum q2s_err q2si_nbd_pool_open(struct q2si_nbd_pool *pool,
				const struct q2s_disk_nbd_options *options, struct q2s_diag *diag);
void q2si_nbd_pool_close(struct q2si_nbd_pool *pool);

/** A connection for one more cursor: its own if possible. Never fails: one is always there. */
struct q2si_nbd_link *q2si_nbd_pool_take(struct q2si_nbd_pool *pool);
void q2si_nbd_pool_return(struct q2si_nbd_pool *pool, struct q2si_nbd_link *link);

/** Record what libnbd says about the call of this thread that just failed; Q2S_E_IO or NOMEM. */
enum q2s_err q2si_nbd_fail(const struct q2si_nbd_lib *nbd, struct q2s_diag *diag,
			   const char *doing);

/* ---- what a cursor knows ------------------------------------------------------------------ */

/**
 * What a cursor knows of its export: a part of the last answer, as cursors are near each other. One
 * question brings both lists, each as far as it goes.
 *
 * @alloc    what is allocated
 * @changes  where the context of the pool has its bit 0 set: data is dirty, the rest clean
 */
struct q2si_nbd_status {
	struct q2si_nbd_link *link;
	struct q2si_nbd_pool *pool;
	struct q2si_nbd_extents alloc, changes;
	struct q2si_nbd_extent room[2][Q2SI_NBD_EXTENTS];
};

/** Nothing is known yet. The connection is returned by q2si_nbd_pool_return(). */
void q2si_nbd_status_init(struct q2si_nbd_status *status, struct q2si_nbd_pool *pool);

/** What is at @guest, which is below the size; asks the server when it is not known yet. */
enum q2s_err q2si_nbd_alloc_at(struct q2si_nbd_status *status, uint64_t guest,
			       enum q2s_state *state, uint64_t *end, struct q2s_diag *diag);
/** The same of what changed; Q2S_E_IO where the server does not answer. */
enum q2s_err q2si_nbd_changes_at(struct q2si_nbd_status *status, uint64_t guest,
				 enum q2s_state *state, uint64_t *end, struct q2s_diag *diag);

/**
 * The first data at @guest or behind it, as far as is known without asking; where the server tells
 * what changed, the first such data.
 * Returns false when there is none; else [*@start, *@end).
 */
bool q2si_nbd_known_data(const struct q2si_nbd_status *status, uint64_t guest, uint64_t *start,
			 uint64_t *end);

/* ---- reading ----------------------------------------------------------------------------- */

/** Requests in flight: many, as it takes many small ones to keep a server busy. */
#define Q2SI_NBD_SLOTS 64u
/** Of these, as many may be guesses: those that prove wrong were read for nothing. */
#define Q2SI_NBD_GUESSES 16u
/** Bytes of all requests of a cursor together; with large ones fewer are in flight. */
#define Q2SI_NBD_FLIGHT (4u << 20)
/** The most bytes of one request, if the server takes as many. */
#define Q2SI_NBD_CHUNK (256u << 10)

/** One request: sent, then filled. Guarded by the connection's lock while it is in flight. */
struct q2si_nbd_slot {
	uint64_t at;
	size_t len; /* 0: free */
	bool in_flight;
	int error; /* errno of the request */
	uint8_t *data;
	size_t room;
};

/** How requests follow each other, so that the next ones can be sent before they are made. */
enum q2si_nbd_pattern {
	Q2SI_NBD_RANDOM,
	Q2SI_NBD_SEQUENTIAL, /* each begins where the one before ended, or behind a hole there */
	Q2SI_NBD_STRIDED,    /* equal lengths at equal distances: the scan looks at cluster starts */
};

/** The requests of one cursor: a ring, the oldest at @first. */
struct q2si_nbd_reader {
	struct q2si_nbd_link *link;
	const struct q2si_nbd_terms *terms;
	const struct q2si_nbd_status *status;
	struct q2si_nbd_slot slots[Q2SI_NBD_SLOTS];
	unsigned first, count;
	size_t bytes; /* of the requests in the ring */
	size_t room;  /* of all buffers */
	enum q2si_nbd_pattern pattern;
	uint64_t last_at, stride; /* of the call before */
	size_t last_len;
	uint64_t next;  /* where reading ahead goes on */
	unsigned depth; /* requests in the ring up to which it goes on: at most Q2SI_NBD_GUESSES */
};

enum q2s_err q2si_nbd_read(struct q2si_nbd_reader *reader, uint64_t at, uint8_t *buf, size_t len,
			   struct q2s_diag *diag);
/** Send the requests for what will be read soon; false when the ring has no room for all of them. */
bool q2si_nbd_will_read(struct q2si_nbd_reader *reader, uint64_t at, size_t len);
/** Wait for what is in flight, and free the buffers. */
void q2si_nbd_reader_close(struct q2si_nbd_reader *reader);

#endif
