/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a server is asked for, and when: pieces of the file, and lanes, each of them a request.
 * Pure: no connection, no thread, no clock. The caller holds the lock, does what is decided here,
 * and says what came of it and what time it is.
 */
#ifndef Q2SI_IO_HTTP_PLAN_H
#define Q2SI_IO_HTTP_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <q2s/base.h>

/** Requests at a time. */
#define Q2SI_LANES 8u
/**
 * Bytes that may wait in memory; of a plan, those that come next; of what nobody asked for; and of
 * metadata that was read, but may be read again.
 */
#define Q2SI_HTTP_MEMORY (40u << 20)
#define Q2SI_HTTP_NEXT (32u << 20)
#define Q2SI_HTTP_GUESS (16u << 20)
#define Q2SI_HTTP_METADATA (8u << 20)
/** A piece. A request is for several in a row: */
#define Q2SI_PIECE (1u << 20)
/** so many bytes that all lanes have room in memory, */
#define Q2SI_REQUEST_STRIPE (4u << 20)
/** or so many that the next request is answered before this one ends. */
#define Q2SI_REQUEST_MAX (64u << 20)

enum q2si_piece_state {
	Q2SI_QUEUED, /* not asked for yet; no memory */
	Q2SI_ASKED,  /* comes behind the piece of some lane; no memory */
	Q2SI_MOVING, /* belongs to the fetching thread, but for what is below @filled */
	Q2SI_THERE,
	Q2SI_LOST, /* see @failure */
};

/**
 * Bytes [@start, @end) of the file.
 *
 * @filled   up to here they have come
 * @readers  wait for it or copy from it: it stays
 * @wanted   a reader waits for it now
 * @planned  it was announced before it was read
 * @guess    it comes because it follows the first bytes; announced, it is @planned too
 * @metadata read without being announced: not the first to go
 * @number   the order in which pieces were asked for: of planned ones that in which they are read
 * @used     when it was read last, by the plan's clock
 * @taken    bytes that were read, or that will not be; all of it: it may go first
 */
struct q2si_fetched {
	struct q2si_fetched *next;
	uint64_t start, end, filled;
	uint8_t *bytes;
	enum q2si_piece_state state;
	unsigned readers;
	bool wanted, planned, guess, metadata;
	uint64_t number, used, taken;
	struct q2s_diag *failure;
};

/**
 * A request. Times are in microseconds.
 *
 * @piece   that is filled now; NULL: the lane is free
 * @until   where the last piece ends that it is for
 * @came    bytes by this request
 * @later   not before this time; 0: it is on its way
 * @asked   when it was sent; 0: that tells nothing
 * @first   when its first byte came; 0: that did not happen yet
 * @paused  there is no room for what comes next; @resume: now there is
 * @slowed  it has been paused, so its time tells nothing of how fast the server is
 * @cut     it asked for bytes behind @until, which are not wanted any more
 */
struct q2si_lane {
	struct q2si_fetched *piece;
	uint64_t until, came;
	int64_t later, asked, first;
	bool paused, resume, slowed, cut;
};

struct q2si_http_plan {
	struct q2si_fetched *pieces; /* by offset, apart from each other */
	size_t memory;               /* of their bytes */
	size_t queued;
	uint64_t clock, numbers;
	unsigned paused; /* lanes */
	struct q2si_lane lanes[Q2SI_LANES];
	uint64_t request;   /* how much to ask for at a time, */
	uint64_t gap;       /* and what is not worth a request of its own */
	int64_t delay;      /* shortest time to a first byte; -1: not known */
	int64_t rate;       /* of one request, the best so far, in bytes a second; 0: not known */
	uint64_t meanwhile; /* bytes that one request brings in the time to a first byte */
};

/* ---- pieces (http_pieces.c) -------------------------------------------------------------- */

void q2si_plan_init(struct q2si_http_plan *plan);
void q2si_plan_free(struct q2si_http_plan *plan);

/** The piece that holds @at, or NULL and the link behind which one would come. */
struct q2si_fetched *q2si_plan_find(struct q2si_http_plan *plan, uint64_t at,
				    struct q2si_fetched ***link);

/** Queue what is missing of [@at, @end); @planned: it is announced, in the order in which it is read. */
enum q2s_err q2si_plan_want(struct q2si_http_plan *plan, uint64_t at, uint64_t end, bool planned,
			    struct q2s_diag *diag);

/** [0, @len) is there; takes over @bytes. */
enum q2s_err q2si_plan_head(struct q2si_http_plan *plan, uint8_t **bytes, uint64_t len,
			    struct q2s_diag *diag);

/** @piece, which is there, has been read, @len bytes of it. */
void q2si_plan_read(struct q2si_http_plan *plan, struct q2si_fetched *piece, uint64_t len);

/** Will it not be read, as far as one knows? */
bool q2si_piece_is_spare(const struct q2si_fetched *piece);

/**
 * Make room for a piece of @len bytes: what was read goes, and, if the piece is @wanted, then also
 * what was not. False: not now.
 */
bool q2si_plan_make_room(struct q2si_http_plan *plan, uint64_t len, bool wanted);

/** Take @piece, which nobody uses, out of the list and free it. */
void q2si_plan_drop(struct q2si_http_plan *plan, struct q2si_fetched *piece);

/** @piece waits for another request; without readers, and if it is spare, it goes. */
void q2si_plan_put_back(struct q2si_http_plan *plan, struct q2si_fetched *piece);

/* ---- lanes (http_plan.c) ----------------------------------------------------------------- */

/** The first lane is on its way already, and paused: it brings [@from, @until). */
enum q2s_err q2si_plan_guess(struct q2si_http_plan *plan, uint64_t from, uint64_t until, int64_t now,
			     struct q2s_diag *diag);

/** Give a free lane what comes next; true: it has to be sent. */
bool q2si_plan_load(struct q2si_http_plan *plan, struct q2si_lane *lane);

/** The request of @lane is sent, for [lane->piece->filled, lane->until). */
void q2si_plan_sent(struct q2si_lane *lane, int64_t now);

/** @len bytes of @lane are about to come. False: there is no memory for them, and the lane is paused. */
bool q2si_plan_open(struct q2si_http_plan *plan, struct q2si_lane *lane, size_t len, int64_t now);

/** @len bytes came into the piece of @lane, which had room for them; on to the next one when it is full. */
void q2si_plan_came(struct q2si_http_plan *plan, struct q2si_lane *lane, size_t len, int64_t now);

/** All that @lane was for is there: it is free. */
void q2si_plan_done(struct q2si_http_plan *plan, struct q2si_lane *lane, int64_t now);

/** The lane is free; what it was for behind its piece is put back. */
void q2si_plan_release(struct q2si_http_plan *plan, struct q2si_lane *lane);

/**
 * Is @lane in the way? If it is to end with its present piece, that is noted (lane->cut). True: it
 * has to be broken off now, and is free.
 */
bool q2si_plan_trim(struct q2si_http_plan *plan, struct q2si_lane *lane);

/** A reader waits, and all lanes wait for him to read other pieces: the lane to break off, or NULL. */
struct q2si_lane *q2si_plan_recall(struct q2si_http_plan *plan);

/** There may be room now for a lane that is paused: sets lane->resume. */
void q2si_plan_resume(struct q2si_http_plan *plan, struct q2si_lane *lane);

#endif
