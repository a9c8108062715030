/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file on a server as a store: readers make pieces and wait for them (http_store.c); one thread
 * asks the server (http_fetch.c); what it asks for when is decided in http_plan.h.
 */
#ifndef Q2SI_IO_HTTP_STORE_H
#define Q2SI_IO_HTTP_STORE_H

#include <pthread.h>

#include "io/http.h"
#include "io/http_plan.h"

/** A place where somebody reads forward. */
struct q2si_forward {
	uint64_t next, ahead, used;
	uint32_t window;
};

#define Q2SI_FORWARDS 8u

/** The request of a lane. The first lane's is the http's, which has a connection already. */
struct q2si_http_lane {
	struct q2si_http_store *store;
	struct q2si_lane *lane;
	struct q2si_request *request, own;
};

/** Is the file still the same? */
enum q2si_http_check {
	Q2SI_CHECK_NONE,
	Q2SI_CHECK_WANTED, /* by a reader, who waits */
	Q2SI_CHECK_ASKED,
};

struct q2si_http_store {
	struct q2s_http *http;
	struct q2s_http_options options; /* what names the http's copies */
	pthread_mutex_t lock;            /* of all below */
	pthread_cond_t came;
	struct q2si_http_plan plan;
	struct q2si_forward forwards[Q2SI_FORWARDS];
	bool running, closing;
	enum q2si_http_check check;
	struct q2s_diag checked; /* what came of it */
	struct q2s_diag drift;   /* of all of it, once its err is set */

	/* the fetching thread's */
	pthread_t thread;
	CURLM *multi; /* the http's */
	struct q2si_http_lane lanes[Q2SI_LANES];
	struct q2si_request checking;
	int64_t check_later;
};

/** Start the fetching thread, which ends when @closing is set; it is not running yet. */
enum q2s_err q2si_fetch_start(struct q2si_http_store *store, struct q2s_diag *diag);

/** Free its requests, once it has ended. */
void q2si_fetch_close(struct q2si_http_store *store);

#endif
