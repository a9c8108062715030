/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The first request, which tells what the server can do; and reading without ranges. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/options.h"
#include "io/http.h"
#include "io/http_plan.h"
#include "io/http_url.h"

#define NAME_MAX_LEN 1024u

/* ---- options ----------------------------------------------------------------------------- */

/* A token and a colon; a line end inside would add headers of somebody else's. */
static bool
is_header(const char *line)
{
	const size_t name = strcspn(line, ":");

	for (size_t i = 0; i < name; i++)
		if (!isgraph((unsigned char)line[i]))
			return false;
	for (const char *c = line; *c; c++)
		if (iscntrl((unsigned char)*c) && *c != '\t')
			return false;
	return name > 0 && line[name] == ':';
}

static enum q2s_err
take_headers(struct q2s_http *http, const char *const *lines, size_t count, struct q2s_diag *diag)
{
	http->lines = calloc(count + 1, sizeof(*http->lines));
	if (!http->lines)
		return q2si_fail_nomem(diag, "HTTP headers");
	for (; http->line_count < count; http->line_count++) {
		const char *const line = lines[http->line_count];

		if (!is_header(line)) /* it may hold a secret, so it is not shown */
			return q2si_fail(diag, Q2S_E_USAGE, "header", Q2S_NOWHERE,
					 http->line_count + 1,
					 "not a line of the kind Name: value");
		http->lines[http->line_count] = strdup(line);
		if (!http->lines[http->line_count] ||
		    q2si_http_add_header(&http->headers, line) != Q2S_OK)
			return q2si_fail_nomem(diag, "HTTP headers");
	}
	if (q2si_http_add_header(&http->headers, "Accept-Encoding: identity") != Q2S_OK ||
	    q2si_http_add_header(&http->others, "Accept-Encoding: identity") != Q2S_OK)
		return q2si_fail_nomem(diag, "HTTP headers");
	return Q2S_OK;
}

static enum q2s_err
fill(struct q2s_http *http, const char *url, const struct q2s_http_options *given,
     struct q2s_diag *diag)
{
	struct q2s_http_options options = Q2S_HTTP_OPTIONS_INIT;
	char name[NAME_MAX_LEN];

	Q2SI_TRY(q2si_options_copy(&options, given, diag));
	q2s_http_name(url, name, sizeof(name));
	http->name = strdup(name);
	http->url = strndup(url, strcspn(url, "#"));
	http->head = malloc(Q2SI_HTTP_HEAD);
	if (!http->url || !http->name || !http->head)
		return q2si_fail_nomem(diag, "HTTP");
	if (!q2s_http_is_url(url))
		return q2si_fail_at(diag, Q2S_E_USAGE, "URL", Q2S_NOWHERE,
				    "begins with neither http:// nor https://");
	if (q2si_http_has_user(url))
		return q2si_fail_at(diag, Q2S_E_USAGE, "URL", Q2S_NOWHERE,
				    "holds a user or a password, which all users of this machine can "
				    "see; a header can carry them");
	Q2SI_TRY(q2si_curl_start(diag));
	if (options.cacert && !(http->cacert = strdup(options.cacert)))
		return q2si_fail_nomem(diag, "HTTP");
	Q2SI_TRY(take_headers(http, options.headers, options.header_count, diag));
	http->multi = q2si_curl.multi_init();
	return http->multi ? Q2S_OK : q2si_fail_nomem(diag, "HTTP");
}

void
q2s_http_close(struct q2s_http *http)
{
	if (!http)
		return;
	if (http->multi && http->first.easy)
		(void)q2si_curl.multi_remove_handle(http->multi, http->first.easy);
	q2si_request_close(&http->first);
	if (http->multi)
		(void)q2si_curl.multi_cleanup(http->multi);
	if (http->headers)
		q2si_curl.slist_free_all(http->headers);
	if (http->others)
		q2si_curl.slist_free_all(http->others);
	for (size_t i = 0; i < http->line_count; i++) {
		explicit_bzero(http->lines[i], strlen(http->lines[i]));
		free(http->lines[i]);
	}
	free(http->lines);
	free(http->head);
	free(http->cacert);
	free(http->here);
	free(http->name);
	free(http->url);
	free(http);
}

/* ---- the first request ------------------------------------------------------------------- */

/* What comes first goes to http->head; when that is full, the rest has to wait. */
static size_t
take(void *opaque, const char *bytes, size_t len)
{
	struct q2s_http *http = opaque;

	if (len > Q2SI_HTTP_HEAD - http->head_len) {
		if (http->ranges && !http->whole)
			return 0; /* more than asked for */
		http->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	memcpy(http->head + http->head_len, bytes, len);
	http->head_len += len;
	return len;
}

static enum q2s_err
multi_failed(const struct q2s_http *http, CURLMcode code, struct q2s_diag *diag)
{
	return q2si_http_fail(http,
			      q2si_fail_at(diag, Q2S_E_IO, "HTTP", Q2S_NOWHERE, "%s",
					   q2si_curl.multi_strerror(code)),
			      diag);
}

/* Move bytes, or wait for some. */
static enum q2s_err
step(struct q2s_http *http, struct q2s_diag *diag)
{
	CURLMcode got = CURLM_OK;
	CURLMsg *message;
	int running, left;

	got = q2si_curl.multi_perform(http->multi, &running);
	while ((message = q2si_curl.multi_info_read(http->multi, &left)))
		if (message->msg == CURLMSG_DONE) {
			http->code = message->data.result;
			http->ended = true;
		}
	if (got == CURLM_OK && !http->ended && !http->paused &&
	    (http->ranges || http->head_len == 0))
		got = q2si_curl.multi_poll(http->multi, NULL, 0, 1000, NULL);
	return got == CURLM_OK ? Q2S_OK : multi_failed(http, got, diag);
}

static void
sleep_for(unsigned milliseconds)
{
	struct timespec left = { .tv_sec = (time_t)(milliseconds / 1000),
				 .tv_nsec = (long)(milliseconds % 1000) * 1000000 };

	while (nanosleep(&left, &left) != 0)
		;
}

static enum q2s_err
start(struct q2s_http *http, uint64_t from, uint64_t until, struct q2s_diag *diag)
{
	CURLMcode got;

	http->ended = http->paused = false;
	Q2SI_TRY(q2si_request_begin(&http->first, from, until, diag));
	got = q2si_curl.multi_add_handle(http->multi, http->first.easy);
	return got == CURLM_OK ? Q2S_OK : multi_failed(http, got, diag);
}

static enum q2s_err
request_failure(struct q2s_http *http, struct q2s_diag *diag)
{
	if (diag && diag->err == Q2S_OK)
		*diag = http->first.failure;
	return q2si_http_fail(http, http->first.failure.err, diag);
}

/* Is more on its way than has to be waited for here? */
static bool
flows(const struct q2s_http *http)
{
	return http->known && (!http->ranges || http->whole) && http->head_len > 0;
}

static bool
has_head(const struct q2s_http *http)
{
	return http->known && http->ranges &&
	       http->head_len >= q2si_min(http->size, Q2SI_HTTP_HEAD);
}

/* What the next request can use of what came. Without ranges it begins anew. */
static void
forget(struct q2s_http *http)
{
	if (http->ranges)
		return;
	http->known = false;
	http->head_len = 0;
}

/* Until the head is there, or, of a stream, something. */
static enum q2s_err
look(struct q2s_http *http, struct q2s_diag *diag)
{
	for (unsigned pause = 0; !has_head(http); sleep_for(pause), forget(http)) {
		const size_t before = http->head_len;
		enum q2si_http_next next;

		Q2SI_TRY(start(http, http->head_len,
			       http->whole ? Q2SI_REQUEST_MAX : Q2SI_HTTP_HEAD, diag));
		while (!http->ended && !flows(http))
			Q2SI_TRY(step(http, diag));
		if (!http->ended)
			return Q2S_OK; /* and it goes on */
		(void)q2si_curl.multi_remove_handle(http->multi, http->first.easy);
		next = q2si_request_end(&http->first, http->code, http->head_len > before, &pause);
		if (next == Q2SI_HTTP_DONE)
			return Q2S_OK;
		if (next == Q2SI_HTTP_FAILED)
			return request_failure(http, diag);
	}
	return Q2S_OK;
}

static enum q2s_err
check_head(struct q2s_http *http, struct q2s_diag *diag)
{
	if (!http->ranges || !http->ended || has_head(http))
		return Q2S_OK;
	return q2si_http_fail(http,
			      q2si_fail(diag, Q2S_E_SHORT, "server", (q2s_host){ 0 },
					http->head_len, "sends fewer bytes than it said"),
			      diag);
}

enum q2s_err
q2s_http_open(const char *url, const struct q2s_http_options *options, struct q2s_http **out,
	      struct q2s_diag *diag)
{
	struct q2s_http *http = calloc(1, sizeof(*http));
	enum q2s_err err;

	if (!http)
		return q2si_fail_nomem(diag, "HTTP");
	http->first.take = take;
	http->first.opaque = http;
	http->whole = options && options->whole;
	err = fill(http, url, options, diag);
	if (err == Q2S_OK)
		err = q2si_request_open(&http->first, http, diag);
	if (err == Q2S_OK)
		err = look(http, diag);
	if (err == Q2S_OK)
		err = check_head(http, diag);
	if (err == Q2S_OK) {
		*out = http;
		return Q2S_OK;
	}
	if (http->name)
		(void)q2si_http_fail(http, err, diag);
	q2s_http_close(http);
	return err;
}

bool
q2s_http_has_ranges(const struct q2s_http *http)
{
	return http->ranges;
}

/* ---- the stream -------------------------------------------------------------------------- */

/* Bytes that came and were not read; at the end of the stream none. */
static enum q2s_err
refill(struct q2s_http *http, struct q2s_diag *diag)
{
	unsigned pause;

	http->head_at = http->head_len = 0;
	while (http->head_len == 0 && !http->ended) {
		if (http->paused) {
			http->paused = false;
			(void)q2si_curl.easy_pause(http->first.easy, CURLPAUSE_CONT);
			continue;
		}
		Q2SI_TRY(step(http, diag));
	}
	if (http->head_len > 0 || http->code == CURLE_OK)
		return Q2S_OK;
	/* There is no second time: the server would begin from the start. */
	http->first.failures = Q2SI_HTTP_FAILURES;
	(void)q2si_request_end(&http->first, http->code, false, &pause);
	return request_failure(http, diag);
}

static enum q2s_err
read_stream(void *self, void *buf, size_t len, size_t *got, struct q2s_diag *diag)
{
	struct q2s_http *http = self;

	if (http->head_at == http->head_len)
		Q2SI_TRY(refill(http, diag));
	*got = q2si_min_size(len, http->head_len - http->head_at);
	memcpy(buf, http->head + http->head_at, *got);
	http->head_at += *got;
	return Q2S_OK;
}

void
q2s_http_stream(struct q2s_http *http, struct q2s_stream *out)
{
	out->fd = -1;
	out->name = http->name;
	out->head = NULL;
	out->head_len = 0;
	out->has_size = http->has_size;
	out->size = http->size;
	out->read = read_stream;
	out->self = http;
}
