/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The thread that asks the server: it does with libcurl what http_plan.c decides. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "io/http_store.h"

#define POLL_MAX 1000
/* Less than this is no progress: a server that breaks off after each byte would keep us for ever. */
#define LEAST_PROGRESS (64u << 10)

/* ---- bytes that come ---------------------------------------------------------------------- */

static size_t
take(void *opaque, const char *bytes, size_t len)
{
	const struct q2si_http_lane *const own = opaque;
	struct q2si_http_store *const store = own->store;
	struct q2si_lane *const lane = own->lane;
	const int64_t now = q2si_now();
	size_t done = 0;

	(void)pthread_mutex_lock(&store->lock);
	const bool open = q2si_plan_open(&store->plan, lane, len, now);

	(void)pthread_mutex_unlock(&store->lock);
	if (!open)
		return CURL_WRITEFUNC_PAUSE;
	while (done < len) {
		struct q2si_fetched *piece = lane->piece;
		const size_t n = q2si_min_size(piece->end - piece->filled, len - done);

		if (n == 0 && piece->end == lane->until)
			return 0; /* more than was asked for, or than is wanted by now */
		/* nobody else looks behind @filled, or frees a piece that is moving */
		memcpy(piece->bytes + (piece->filled - piece->start), bytes + done, n);
		done += n;
		(void)pthread_mutex_lock(&store->lock);
		q2si_plan_came(&store->plan, lane, n, now);
		if (piece->readers > 0)
			(void)pthread_cond_broadcast(&store->came);
		(void)pthread_mutex_unlock(&store->lock);
	}
	return len;
}

static size_t
take_none(void *opaque, const char *bytes, size_t len)
{
	(void)opaque;
	(void)bytes;
	return len;
}

/* ---- requests ---------------------------------------------------------------------------- */

static enum q2s_err
send_request(struct q2si_http_store *store, struct q2si_request *request, uint64_t from, uint64_t until,
	     struct q2s_diag *diag)
{
	CURLMcode code;

	Q2SI_TRY(q2si_request_begin(request, from, until, diag));
	code = q2si_curl.multi_add_handle(store->multi, request->easy);
	if (code == CURLM_OK)
		return Q2S_OK;
	return q2si_http_fail(store->http,
			      q2si_fail_at(diag, Q2S_E_IO, "HTTP", Q2S_NOWHERE, "%s",
					   q2si_curl.multi_strerror(code)),
			      diag);
}

/* The lane's piece cannot be had; and everybody learns it if it is another file. */
static void
give_up(struct q2si_http_store *store, struct q2si_lane *lane, const struct q2s_diag *why)
{
	struct q2si_fetched *piece = lane->piece;

	q2si_plan_release(&store->plan, lane);
	if (why->err == Q2S_E_CHANGED && store->drift.err == Q2S_OK)
		store->drift = *why;
	piece->state = Q2SI_LOST;
	piece->failure = malloc(sizeof(*piece->failure));
	if (piece->failure)
		*piece->failure = *why;
	else if (store->drift.err == Q2S_OK)
		(void)q2si_fail_nomem(&store->drift, "HTTP request");
	(void)pthread_cond_broadcast(&store->came);
	if (piece->readers == 0)
		q2si_plan_drop(&store->plan, piece);
}

/* Ask for what is missing of the lane's piece. */
static void
send_lane(struct q2si_http_lane *own)
{
	struct q2si_lane *const lane = own->lane;
	struct q2s_diag diag = { 0 };

	q2si_plan_sent(lane, q2si_now());
	if (send_request(own->store, own->request, lane->piece->filled, lane->until, &diag) != Q2S_OK)
		give_up(own->store, lane, &diag);
}

static void
load_lane(struct q2si_http_lane *own)
{
	if (own->store->drift.err != Q2S_OK || !q2si_plan_load(&own->store->plan, own->lane))
		return;
	own->request->failures = 0;
	own->request->failure = (struct q2s_diag){ 0 };
	send_lane(own);
}

static void
finish_lane(struct q2si_http_lane *own, CURLcode code)
{
	struct q2si_http_store *const store = own->store;
	struct q2si_request *const request = own->request;
	struct q2si_lane *const lane = own->lane;
	const bool complete = lane->piece->filled == lane->until;
	unsigned pause = 0;

	(void)q2si_curl.multi_remove_handle(store->multi, request->easy);
	/* our own breaking off is an error to libcurl */
	if (lane->cut && complete && request->failure.err == Q2S_OK)
		code = CURLE_OK;
	/* an end that came early is the same as one with an error */
	if (code == CURLE_OK && request->status == 206 && !complete &&
	    request->failure.err == Q2S_OK)
		code = CURLE_PARTIAL_FILE;
	store->plan.paused -= lane->paused;
	lane->paused = lane->resume = false;
	switch (q2si_request_end(request, code, lane->came >= LEAST_PROGRESS, &pause)) {
	case Q2SI_HTTP_DONE:
		q2si_plan_done(&store->plan, lane, q2si_now());
		(void)pthread_cond_broadcast(&store->came);
		break;
	case Q2SI_HTTP_AGAIN:
		lane->later = q2si_now() + pause * INT64_C(1000);
		break;
	case Q2SI_HTTP_FAILED:
	default:
		(void)q2si_http_fail(store->http, request->failure.err, &request->failure);
		give_up(store, lane, &request->failure);
	}
}

/* ---- is it still the same? --------------------------------------------------------------- */

static void
end_check(struct q2si_http_store *store)
{
	store->check = Q2SI_CHECK_NONE;
	(void)pthread_cond_broadcast(&store->came);
}

static void
start_check(struct q2si_http_store *store, int64_t now)
{
	if (store->check != Q2SI_CHECK_WANTED || store->check_later > now)
		return;
	store->check = Q2SI_CHECK_ASKED;
	if (send_request(store, &store->checking, 0, 1, &store->checked) != Q2S_OK)
		end_check(store);
}

static void
finish_check(struct q2si_http_store *store, CURLcode code)
{
	struct q2si_request *const request = &store->checking;
	unsigned pause = 0;

	(void)q2si_curl.multi_remove_handle(store->multi, request->easy);
	store->check_later = 0;
	switch (q2si_request_end(request, code, false, &pause)) {
	case Q2SI_HTTP_DONE:
		request->failures = 0;
		end_check(store);
		break;
	case Q2SI_HTTP_AGAIN:
		store->check_later = q2si_now() + pause * INT64_C(1000);
		store->check = Q2SI_CHECK_WANTED;
		break;
	case Q2SI_HTTP_FAILED:
	default:
		store->checked = request->failure;
		(void)q2si_http_fail(store->http, store->checked.err, &store->checked);
		end_check(store);
	}
}

/* ---- the thread -------------------------------------------------------------------------- */

static void
finish(struct q2si_http_store *store, const char *request, CURLcode code)
{
	if (request == (const char *)&store->checking)
		finish_check(store, code);
	for (size_t i = 0; i < Q2SI_LANES; i++)
		if (request == (const char *)store->lanes[i].request)
			finish_lane(&store->lanes[i], code);
}

static void
collect(struct q2si_http_store *store)
{
	CURLMsg *message;
	int left;

	while ((message = q2si_curl.multi_info_read(store->multi, &left))) {
		const CURLcode code = message->data.result;
		char *request = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void)q2si_curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
		finish(store, request, code);
	}
}

static void
remove_lane(struct q2si_http_store *store, const struct q2si_lane *lane)
{
	struct q2si_request *const request = store->lanes[lane - store->plan.lanes].request;

	(void)q2si_curl.multi_remove_handle(store->multi, request->easy);
}

/* Outside the lock, as bytes that libcurl has kept come at once. */
static void
resume_lanes(struct q2si_http_store *store)
{
	for (size_t i = 0; i < Q2SI_LANES; i++) {
		struct q2si_http_lane *own = &store->lanes[i];

		if (own->lane->resume)
			(void)q2si_curl.easy_pause(own->request->easy, CURLPAUSE_CONT);
		own->lane->resume = false;
	}
}

static void
break_off_lanes(struct q2si_http_store *store)
{
	const struct q2si_lane *recalled;

	for (size_t i = 0; i < Q2SI_LANES; i++)
		if (q2si_plan_trim(&store->plan, &store->plan.lanes[i]))
			remove_lane(store, &store->plan.lanes[i]);
	recalled = q2si_plan_recall(&store->plan);
	if (recalled)
		remove_lane(store, recalled);
}

/* Start what can be started; returns how long to wait for more, in milliseconds. */
static int
dispatch(struct q2si_http_store *store)
{
	const int64_t now = q2si_now();
	int64_t until = now + POLL_MAX * INT64_C(1000);

	break_off_lanes(store);
	start_check(store, now);
	if (store->check == Q2SI_CHECK_WANTED && store->check_later < until)
		until = store->check_later;
	for (size_t i = 0; i < Q2SI_LANES; i++) {
		struct q2si_http_lane *own = &store->lanes[i];

		if (own->lane->piece && own->lane->later && own->lane->later <= now)
			send_lane(own);
		else if (!own->lane->piece)
			load_lane(own);
		if (own->lane->piece && own->lane->later && own->lane->later < until)
			until = own->lane->later;
		if (own->lane->piece)
			q2si_plan_resume(&store->plan, own->lane);
	}
	return until > now ? (int)((until - now + 999) / 1000) : 0;
}

static void *
fetch(void *opaque)
{
	struct q2si_http_store *store = opaque;
	int running;

	(void)pthread_mutex_lock(&store->lock);
	while (!store->closing) {
		const int wait = dispatch(store);

		(void)pthread_mutex_unlock(&store->lock);
		resume_lanes(store);
		(void)q2si_curl.multi_poll(store->multi, NULL, 0, wait, NULL);
		(void)q2si_curl.multi_perform(store->multi, &running);
		(void)pthread_mutex_lock(&store->lock);
		collect(store);
	}
	(void)pthread_mutex_unlock(&store->lock);
	return NULL;
}

/* Signals are for the program's threads. */
static int
start_thread(struct q2si_http_store *store)
{
	sigset_t all, old;
	int error;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&store->thread, NULL, fetch, store);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return error;
}

static enum q2s_err
open_requests(struct q2si_http_store *store, struct q2s_diag *diag)
{
	store->checking.take = take_none;
	Q2SI_TRY(q2si_request_open(&store->checking, store->http, diag));
	for (size_t i = 0; i < Q2SI_LANES; i++) {
		struct q2si_http_lane *own = &store->lanes[i];

		own->store = store;
		own->lane = &store->plan.lanes[i];
		own->request = i == 0 ? &store->http->first : &own->own;
		own->request->take = take;
		own->request->opaque = own;
		if (i > 0)
			Q2SI_TRY(q2si_request_open(own->request, store->http, diag));
	}
	return Q2S_OK;
}

void
q2si_fetch_close(struct q2si_http_store *store)
{
	for (size_t i = 0; i < Q2SI_LANES; i++) {
		struct q2si_request *const request = &store->lanes[i].own;

		if (request->easy)
			(void)q2si_curl.multi_remove_handle(store->multi, request->easy);
		q2si_request_close(request);
	}
	if (store->checking.easy)
		(void)q2si_curl.multi_remove_handle(store->multi, store->checking.easy);
	q2si_request_close(&store->checking);
}

enum q2s_err
q2si_fetch_start(struct q2si_http_store *store, struct q2s_diag *diag)
{
	enum q2s_err err = open_requests(store, diag);
	const int error = err == Q2S_OK ? start_thread(store) : 0;

	if (error)
		err = q2si_fail_errno(diag, error, "HTTP", Q2S_NOWHERE, "no thread can be started");
	store->running = err == Q2S_OK;
	if (err != Q2S_OK)
		q2si_fetch_close(store);
	return err;
}
