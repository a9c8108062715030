/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reader's side: which pieces are needed, soon or now, and which may go. */
#include "io/http_store.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/hash.h"
#include "io/http_url.h"
#include "io/store.h"

/* What is read without a plan is asked for in no less than this. */
#define LEAST (64u << 10)
/* Reading forward: how far ahead. */
#define WINDOW_MIN (128u << 10)
#define WINDOW_MAX (4u << 20)
/* More than this is not remembered. */
#define QUEUE_MAX 4096u
/* The device number of all that lies on servers; no device has it. */
#define NO_DEVICE UINT64_C(0xfffffffe68747470)

static enum q2s_err
wake(struct q2si_http_store *store, struct q2s_diag *diag)
{
	if (!store->running)
		return q2si_fetch_start(store, diag);
	(void)q2si_curl.multi_wakeup(store->multi);
	return Q2S_OK;
}

/* ---- reading forward --------------------------------------------------------------------- */

static struct q2si_forward *
forward_find(struct q2si_http_store *store, uint64_t at)
{
	struct q2si_forward *oldest = &store->forwards[0];

	for (size_t i = 0; i < Q2SI_FORWARDS; i++) {
		struct q2si_forward *forward = &store->forwards[i];

		if (forward->used && at >= forward->next && at - forward->next <= LEAST)
			return forward;
		if (forward->used < oldest->used)
			oldest = forward;
	}
	*oldest = (struct q2si_forward){ .next = at };
	return oldest;
}

/* Nobody said that [@at, @end) would be read: ask for more of it where it goes on. */
static enum q2s_err
read_ahead(struct q2si_http_store *store, uint64_t at, uint64_t end, struct q2s_diag *diag)
{
	struct q2si_forward *forward = forward_find(store, at);
	const bool goes_on = forward->used;

	forward->used = store->plan.clock;
	forward->next = end;
	if (!goes_on)
		return Q2S_OK;
	if (forward->ahead > end && forward->ahead - end > forward->window / 2)
		return Q2S_OK;
	forward->window = forward->window ? (uint32_t)q2si_min(2 * forward->window, WINDOW_MAX) :
					    WINDOW_MIN;
	at = q2si_max(forward->ahead, end);
	forward->ahead = q2si_min(end + forward->window, store->http->size);
	return q2si_plan_want(&store->plan, at, forward->ahead, false, diag);
}

/* ---- reading ----------------------------------------------------------------------------- */

/* Have all of [@at, @end) asked for, and what is likely to follow. */
static enum q2s_err
ask(struct q2si_http_store *store, uint64_t at, uint64_t end, struct q2s_diag *diag)
{
	const uint64_t size = store->http->size;
	struct q2si_fetched **link;
	const struct q2si_fetched *piece = q2si_plan_find(&store->plan, at, &link);
	const size_t queued = store->plan.queued;

	if (!piece)
		Q2SI_TRY(q2si_plan_want(&store->plan, at, q2si_min(q2si_max(end, at + LEAST), size),
					false, diag));
	else if (piece->end < end)
		Q2SI_TRY(q2si_plan_want(&store->plan, piece->end, end, false, diag));
	if (!piece || !(piece->planned || piece->guess))
		Q2SI_TRY(read_ahead(store, at, end, diag));
	return store->plan.queued > queued ? wake(store, diag) : Q2S_OK;
}

/* Wait until the bytes of @piece before @end are there, or cannot be had. */
static void
wait_for(struct q2si_http_store *store, struct q2si_fetched *piece, uint64_t end)
{
	while (piece->state != Q2SI_LOST && store->drift.err == Q2S_OK && piece->filled < end) {
		if (!piece->wanted) {
			piece->wanted = true;
			if (piece->state <= Q2SI_ASKED || store->plan.paused > 0)
				(void)q2si_curl.multi_wakeup(store->multi);
		}
		(void)pthread_cond_wait(&store->came, &store->lock);
	}
}

static enum q2s_err
lost(const struct q2s_diag *failure, struct q2s_diag *diag)
{
	if (diag && diag->err == Q2S_OK)
		*diag = *failure;
	return failure->err;
}

/* Copy what the piece that holds @at has of [@at, @end), without the lock. */
static enum q2s_err
read_piece(struct q2si_http_store *store, uint64_t at, uint64_t end, uint8_t *buf, size_t *got,
	   struct q2s_diag *diag)
{
	struct q2si_fetched **link, *piece = q2si_plan_find(&store->plan, at, &link);
	enum q2s_err err = Q2S_OK;

	*got = 0;
	if (!piece) /* it went, to make room */
		return ask(store, at, end, diag);
	end = q2si_min(end, piece->end);
	piece->readers++;
	piece->used = store->plan.clock;
	wait_for(store, piece, end);
	if (store->drift.err != Q2S_OK) {
		err = lost(&store->drift, diag);
	} else if (piece->state == Q2SI_LOST) {
		err = lost(piece->failure, diag);
	} else {
		*got = end - at;
		(void)pthread_mutex_unlock(&store->lock);
		memcpy(buf, piece->bytes + (at - piece->start), *got);
		(void)pthread_mutex_lock(&store->lock);
		q2si_plan_read(&store->plan, piece, *got);
		if (store->plan.paused > 0)
			(void)q2si_curl.multi_wakeup(store->multi);
	}
	piece->readers--;
	/* another try, by the next reader, may succeed */
	if (piece->state == Q2SI_LOST && piece->readers == 0)
		q2si_plan_drop(&store->plan, piece);
	return err;
}

static enum q2s_err
http_read(void *self, uint64_t at, void *buf, size_t len, size_t *got, struct q2s_diag *diag)
{
	struct q2si_http_store *store = self;
	const uint64_t end = q2si_min(at + len, store->http->size);
	enum q2s_err err = Q2S_OK;
	uint8_t *to = buf;

	*got = 0;
	if (at >= end)
		return Q2S_OK;
	(void)pthread_mutex_lock(&store->lock);
	store->plan.clock++;
	err = ask(store, at, end, diag);
	while (err == Q2S_OK && at < end) {
		size_t n;

		err = read_piece(store, at, end, to, &n, diag);
		to += n;
		at += n;
	}
	(void)pthread_mutex_unlock(&store->lock);
	*got = (size_t)(to - (uint8_t *)buf);
	return err;
}

static void
will_read(struct q2si_http_store *store, uint64_t at, uint64_t len, bool planned)
{
	const uint64_t size = store->http->size;
	const uint64_t end = at < size ? at + q2si_min(len, size - at) : at;
	struct q2s_diag diag = { 0 };

	(void)pthread_mutex_lock(&store->lock);
	const size_t queued = store->plan.queued;

	/* whoever reads it will find out what is wrong */
	if (queued < QUEUE_MAX &&
	    q2si_plan_want(&store->plan, at, end, planned, &diag) == Q2S_OK &&
	    (store->plan.queued > queued || store->plan.paused > 0))
		(void)wake(store, &diag);
	(void)pthread_mutex_unlock(&store->lock);
}

static void
http_will_need(void *self, uint64_t at, uint64_t len)
{
	will_read(self, at, len, true);
}

static void
http_will_look(void *self, uint64_t at, uint64_t len)
{
	will_read(self, at, len, false);
}

/* ---- what it is -------------------------------------------------------------------------- */

static uint64_t
http_length(void *self)
{
	return ((const struct q2si_http_store *)self)->http->size;
}

static int64_t
etag_number(const char *etag)
{
	return (int64_t)(q2si_hash(etag, strlen(etag), 0) >> 1);
}

/* The same URL without its query, which may be a signature, is the same file. */
static void
http_ident(void *self, struct q2s_store_ident *out)
{
	const struct q2s_http *http = ((const struct q2si_http_store *)self)->http;
	const time_t modified = http->modified[0] ? q2si_curl.getdate(http->modified, NULL) : -1;

	*out = (struct q2s_store_ident){
		.dev = NO_DEVICE,
		.ino = q2si_hash(http->url, strcspn(http->url, "?"), 0),
		.size = http->size,
		.mtime_sec = modified > 0 ? modified : 0,
		.ctime_sec = http->etag[0] ? etag_number(http->etag) : 0,
	};
}

/* An answer that takes long may have begun before a change and ended behind it: ask once more. */
static enum q2s_err
check(struct q2si_http_store *store, struct q2s_diag *diag)
{
	while (store->check != Q2SI_CHECK_NONE)
		(void)pthread_cond_wait(&store->came, &store->lock);
	store->check = Q2SI_CHECK_WANTED;
	store->checked = (struct q2s_diag){ 0 };
	(void)q2si_curl.multi_wakeup(store->multi);
	while (store->check != Q2SI_CHECK_NONE)
		(void)pthread_cond_wait(&store->came, &store->lock);
	return store->checked.err == Q2S_OK ? Q2S_OK : lost(&store->checked, diag);
}

static enum q2s_err
http_verify(void *self, struct q2s_diag *diag)
{
	struct q2si_http_store *store = self;
	enum q2s_err err = Q2S_OK;

	(void)pthread_mutex_lock(&store->lock);
	if (store->drift.err != Q2S_OK)
		err = lost(&store->drift, diag);
	else if (store->running)
		err = check(store, diag);
	(void)pthread_mutex_unlock(&store->lock);
	return err;
}

static enum q2s_err
http_beside(void *self, const char *path, struct q2s_store **out, struct q2s_diag *diag)
{
	const struct q2si_http_store *store = self;
	Q2SI_AUTO_FREE char *url = q2si_http_beside(store->http->url, path);
	struct q2s_http *http;
	enum q2s_err err;

	if (!url)
		return q2si_fail_nomem(diag, "URL");
	Q2SI_TRY(q2s_http_open(url, &store->options, &http, diag));
	if (!q2s_http_has_ranges(http))
		err = q2si_http_fail(http,
				     q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "server", Q2S_NOWHERE,
						  "gives no ranges of this file, so it can only be "
						  "read from front to back"),
				     diag);
	else
		err = q2s_http_store(http, out, diag);
	if (err != Q2S_OK)
		q2s_http_close(http);
	return err;
}

/* ---- opening and closing ----------------------------------------------------------------- */

static void
http_free(struct q2si_http_store *store)
{
	q2si_plan_free(&store->plan);
	(void)pthread_cond_destroy(&store->came);
	(void)pthread_mutex_destroy(&store->lock);
	free(store);
}

static void
http_close(void *self)
{
	struct q2si_http_store *store = self;

	(void)pthread_mutex_lock(&store->lock);
	store->closing = true;
	const bool running = store->running;

	if (running)
		(void)q2si_curl.multi_wakeup(store->multi);
	(void)pthread_mutex_unlock(&store->lock);
	if (running) {
		(void)pthread_join(store->thread, NULL);
		q2si_fetch_close(store);
	}
	q2s_http_close(store->http);
	http_free(store);
}

static const struct q2s_store_ops http_ops = {
	.size = sizeof(http_ops),
	.read = http_read,
	.length = http_length,
	.close = http_close,
	.ident = http_ident,
	.verify = http_verify,
	.will_need = http_will_need,
};

static struct q2si_http_store *
http_new(void)
{
	struct q2si_http_store *store = calloc(1, sizeof(*store));

	if (!store)
		return NULL;
	if (pthread_mutex_init(&store->lock, NULL) != 0) {
		free(store);
		return NULL;
	}
	if (pthread_cond_init(&store->came, NULL) != 0) {
		(void)pthread_mutex_destroy(&store->lock);
		free(store);
		return NULL;
	}
	q2si_plan_init(&store->plan);
	return store;
}

/* The head is the first piece; what follows it may be on its way. */
static enum q2s_err
put_head(struct q2si_http_store *store, struct q2s_http *http, struct q2s_diag *diag)
{
	const uint64_t until = q2si_min(http->first.until, http->size);
	const uint64_t len = http->head_len;

	if (len > 0)
		Q2SI_TRY(q2si_plan_head(&store->plan, &http->head, len, diag));
	store->plan.delay = q2si_request_delay(&http->first);
	if (!http->ended && until > len)
		return q2si_plan_guess(&store->plan, len, until, q2si_now(), diag);
	(void)q2si_curl.multi_remove_handle(http->multi, http->first.easy);
	return Q2S_OK;
}

enum q2s_err
q2s_http_store(struct q2s_http *http, struct q2s_store **out, struct q2s_diag *diag)
{
	struct q2si_http_store *store;
	enum q2s_err err;

	if (!http->ranges)
		return q2si_fail_at(diag, Q2S_E_UNSUPPORTED, "server", Q2S_NOWHERE,
				    "gives no ranges");
	store = http_new();
	if (!store)
		return q2si_fail_nomem(diag, "HTTP");
	store->options = (struct q2s_http_options){ .size = sizeof(store->options),
						    .headers = (const char *const *)http->lines,
						    .header_count = http->line_count,
						    .cacert = http->cacert };
	err = q2s_store_new(&http_ops, store, http->name, out, diag);
	if (err == Q2S_OK) {
		store->http = http;
		store->multi = http->multi;
		err = put_head(store, http, diag);
		if (err == Q2S_OK && store->plan.paused > 0)
			err = q2si_fetch_start(store, diag);
		if (err == Q2S_OK) {
			(*out)->beside = http_beside;
			(*out)->will_look = http_will_look;
			return Q2S_OK;
		}
		(*out)->ops.close = NULL;
		q2s_store_unref(*out);
	}
	http_free(store);
	return err;
}
