/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests and answers. All answers have to be about the same file, in the same state; nobody but
 * the server that the user named sees the user's headers.
 */
#include "io/http.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/arith.h"
#include "base/diag.h"
#include "io/http_url.h"

#define HOPS_MAX 10u
#define PAUSE_MIN 100u   /* milliseconds, doubled each time */
#define PAUSE_MAX 30000u /* that a server may ask for */
#define CONNECT_SECONDS 30L
#define SILENT_SECONDS 60L
#define SWALLOW_MAX 65536u /* of an error's text, so that the connection can be used again */
#define BUFFER_SIZE (256L << 10)

enum q2s_err
q2si_http_fail(const struct q2s_http *http, enum q2s_err err, struct q2s_diag *diag)
{
	return q2si_in_file(diag, err, http->name);
}

enum q2s_err
q2si_http_add_header(struct curl_slist **list, const char *line)
{
	struct curl_slist *const grown = q2si_curl.slist_append(*list, line);

	if (!grown)
		return Q2S_E_NOMEM;
	*list = grown;
	return Q2S_OK;
}

/* ---- headers of an answer ---------------------------------------------------------------- */

/* The value of header @name in @line, without white space around it; NULL: another header. */
static const char *
header_value(const char *line, size_t len, const char *name, size_t *value_len)
{
	const size_t name_len = strlen(name);

	if (len <= name_len || strncasecmp(line, name, name_len) != 0 || line[name_len] != ':')
		return NULL;
	line += name_len + 1;
	len -= name_len + 1;
	while (len > 0 && (*line == ' ' || *line == '\t'))
		line++, len--;
	while (len > 0 && strchr(" \t\r\n", line[len - 1]))
		len--;
	*value_len = len;
	return line;
}

static void
keep(char *to, size_t size, const char *value, size_t len)
{
	(void)snprintf(to, size, "%.*s", (int)q2si_min(len, size - 1), value);
}

/* "bytes FIRST-LAST/TOTAL", where TOTAL may be *, and FIRST-LAST too. */
static void
parse_range(struct q2si_request *request, const char *value, size_t len)
{
	char text[96];
	uint64_t last;
	int at = 0;

	keep(text, sizeof(text), value, len);
	if (sscanf(text, "bytes %" SCNu64 "-%" SCNu64 "/%n", &request->first, &last, &at) == 2 &&
	    at > 0 && last < INT64_MAX && request->first <= last) {
		request->has_range = true;
		request->end = last + 1;
	} else if (strncmp(text, "bytes */", 8) == 0) {
		at = 8;
	}
	request->has_total = at > 0 && sscanf(text + at, "%" SCNu64, &request->total) == 1;
}

/* Another answer begins: after "100 Continue", or to the next try. */
static void
parse_status(struct q2si_request *request, const char *line, size_t len)
{
	const char *at = memchr(line, ' ', len);
	size_t rest;

	request->has_range = request->has_total = request->encoded = false;
	request->etag[0] = request->modified[0] = request->reason[0] = '\0';
	if (!at || (size_t)(at - line) + 5 > len)
		return;
	at += 5; /* " 404 " */
	rest = len - (size_t)(at - line);
	while (rest > 0 && strchr(" \r\n", at[rest - 1]))
		rest--;
	keep(request->reason, sizeof(request->reason), at, rest);
}

static size_t
on_header(char *line, size_t size, size_t count, void *opaque)
{
	struct q2si_request *request = opaque;
	const size_t len = size * count;
	const char *value;
	size_t n;

	if (len >= 5 && strncasecmp(line, "HTTP/", 5) == 0)
		parse_status(request, line, len);
	else if ((value = header_value(line, len, "Content-Range", &n)))
		parse_range(request, value, n);
	else if ((value = header_value(line, len, "ETag", &n)))
		keep(request->etag, sizeof(request->etag), value, n);
	else if ((value = header_value(line, len, "Last-Modified", &n)))
		keep(request->modified, sizeof(request->modified), value, n);
	else if ((value = header_value(line, len, "Content-Encoding", &n)))
		request->encoded = n > 0 && !(n == 8 && strncasecmp(value, "identity", 8) == 0);
	return len;
}

/* ---- judging an answer ------------------------------------------------------------------- */

static void
changed(struct q2si_request *request, const char *what)
{
	(void)q2si_fail_at(&request->failure, Q2S_E_CHANGED, "source", Q2S_NOWHERE,
			   "its %s changed while it was read", what);
}

/* Answers need not tell; those that do have to agree. */
static bool
differ(const char *a, const char *b)
{
	return a[0] && b[0] && strcmp(a, b) != 0;
}

/* What says that it is another file than the one that was opened. */
static void
compare(struct q2si_request *request)
{
	const struct q2s_http *http = request->http;

	if (request->has_total && request->total != http->size)
		(void)q2si_fail(&request->failure, Q2S_E_CHANGED, "source", Q2S_NOWHERE,
				request->total,
				"its size changed while it was read; it was 0x%" PRIx64 " bytes",
				http->size);
	else if (differ(request->etag, http->etag))
		changed(request, "ETag");
	else if (differ(request->modified, http->modified))
		changed(request, "modification time");
}

/* A strong ETag makes the server watch too: of what has changed it sends all, with the status 200. */
static void
watch(struct q2si_request *request)
{
	struct q2s_http *http = request->http;
	char line[Q2SI_HTTP_ETAG + 16];

	if (http->etag[0] != '"')
		return;
	(void)snprintf(line, sizeof(line), "If-Range: %s", http->etag);
	if (q2si_http_add_header(&http->headers, line) != Q2S_OK ||
	    q2si_http_add_header(&http->others, line) != Q2S_OK)
		(void)q2si_fail_nomem(&request->failure, "HTTP request");
}

/* The first answer decides what the others have to be. */
static void
learn(struct q2si_request *request)
{
	struct q2s_http *http = request->http;
	curl_off_t length = -1;

	http->known = true;
	http->ranges = request->status == 206 || request->status == 416;
	memcpy(http->etag, request->etag, sizeof(http->etag));
	memcpy(http->modified, request->modified, sizeof(http->modified));
	http->has_size = http->ranges;
	http->size = request->total;
	if (http->ranges) {
		watch(request);
		return;
	}
	(void)q2si_curl.easy_getinfo(request->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	http->has_size = length >= 0;
	http->size = length >= 0 ? (uint64_t)length : 0;
}

/* 206: the range that was asked for, as far as there is a file. */
static void
judge_range(struct q2si_request *request)
{
	const struct q2s_http *http = request->http;

	if (!request->has_range || !request->has_total || request->total > INT64_MAX) {
		(void)q2si_fail_at(&request->failure, Q2S_E_UNSUPPORTED, "Content-Range",
				   (q2s_host){ request->from },
				   "the server does not say which bytes of how many it sends");
		return;
	}
	if (http->known)
		compare(request);
	if (request->first != request->from ||
	    request->end != q2si_min(request->until, request->total))
		(void)q2si_fail(&request->failure, Q2S_E_UNSUPPORTED, "Content-Range",
				(q2s_host){ request->from }, request->first,
				"the server sends other bytes than those asked for");
}

/* 200: all of the file. Nothing but a first answer may be that. */
static void
judge_whole(struct q2si_request *request)
{
	if (!request->http->known)
		return;
	compare(request);
	(void)q2si_fail_at(&request->failure, Q2S_E_CHANGED, "source", (q2s_host){ request->from },
			   "the server sends all of it instead of a range, as it does when it has "
			   "changed");
}

static void
judge(struct q2si_request *request)
{
	struct q2s_http *http = request->http;

	request->looked = true;
	(void)q2si_curl.easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &request->status);
	if (request->status == 416 && http->known)
		(void)q2si_fail_at(&request->failure, Q2S_E_CHANGED, "source",
				   (q2s_host){ request->from },
				   "the server says (416) that it ends before these bytes, which it "
				   "did not before");
	if (request->status == 412)
		changed(request, "ETag");
	if (request->status != 200 && request->status != 206 &&
	    !(request->status == 416 && request->has_total && request->total == 0))
		return;
	if (request->encoded)
		(void)q2si_fail_at(&request->failure, Q2S_E_UNSUPPORTED, "Content-Encoding",
				   Q2S_NOWHERE,
				   "the server compresses what it sends, so that offsets mean nothing");
	else if (request->status == 206)
		judge_range(request);
	else if (request->status == 200)
		judge_whole(request);
	if (!http->known && request->failure.err == Q2S_OK)
		learn(request);
}

static bool
is_useful(const struct q2si_request *request)
{
	return request->failure.err == Q2S_OK &&
	       (request->status == 200 || request->status == 206);
}

static size_t
on_body(char *bytes, size_t size, size_t count, void *opaque)
{
	struct q2si_request *request = opaque;
	const size_t len = size * count;

	if (!request->looked)
		judge(request);
	if (is_useful(request))
		return request->take(request->opaque, bytes, len);
	request->swallowed += len;
	return request->status >= 300 && request->swallowed <= SWALLOW_MAX ? len : 0;
}

/* ---- asking ------------------------------------------------------------------------------ */

enum q2s_err
q2si_request_open(struct q2si_request *request, struct q2s_http *http, struct q2s_diag *diag)
{
	request->http = http;
	request->easy = q2si_curl.easy_init();
	return request->easy ? Q2S_OK : q2si_fail_nomem(diag, "HTTP request");
}

void
q2si_request_close(struct q2si_request *request)
{
	if (request->easy)
		q2si_curl.easy_cleanup(request->easy);
	request->easy = NULL;
}

#define SET(option, value) (code = code ? code : q2si_curl.easy_setopt(easy, (option), (value)))

static CURLcode
set_up(struct q2si_request *request, const char *range)
{
	struct q2s_http *http = request->http;
	CURL *const easy = request->easy;
	const char *const url = http->here ? http->here : http->url;
	CURLcode code = CURLE_OK;

	SET(CURLOPT_URL, url);
	SET(CURLOPT_RANGE, range);
	SET(CURLOPT_HTTPHEADER,
	    q2si_http_same_origin(url, http->url) ? http->headers : http->others);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1); /* connections that do not share */
	SET(CURLOPT_FOLLOWLOCATION, 0L); /* done here, to keep headers and scheme in sight */
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
	SET(CURLOPT_LOW_SPEED_TIME, SILENT_SECONDS);
	SET(CURLOPT_BUFFERSIZE, BUFFER_SIZE);
	SET(CURLOPT_USERAGENT, "q2s/" PACKAGE_VERSION);
	SET(CURLOPT_ERRORBUFFER, request->error);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, request);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, request);
	SET(CURLOPT_PRIVATE, (void *)request);
	if (http->cacert)
		SET(CURLOPT_CAINFO, http->cacert);
	return code;
}

enum q2s_err
q2si_request_begin(struct q2si_request *request, uint64_t from, uint64_t until,
		   struct q2s_diag *diag)
{
	char range[64];
	CURLcode code;

	request->from = from;
	request->until = until;
	request->move = request->http->moves;
	request->looked = false;
	request->status = 0;
	request->swallowed = 0;
	request->error[0] = '\0';
	(void)snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, from, until - 1);
	code = set_up(request, range);
	if (code == CURLE_OK)
		return Q2S_OK;
	return q2si_http_fail(request->http,
			      q2si_fail_at(diag, Q2S_E_IO, "HTTP request", Q2S_NOWHERE, "%s",
					   q2si_curl.easy_strerror(code)),
			      diag);
}

/* ---- the end of a request ---------------------------------------------------------------- */

static enum q2si_http_next
failed(struct q2si_request *request, enum q2s_err err, const char *text)
{
	(void)q2si_fail_at(&request->failure, err, "server", Q2S_NOWHERE, "%s", text);
	return Q2SI_HTTP_FAILED;
}

static enum q2si_http_next
failed_with_status(struct q2si_request *request)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "answers %ld%s%s", request->status,
		       request->reason[0] ? " " : "", request->reason);
	return failed(request, Q2S_E_IO, text);
}

/* Once more, after a pause, unless it was too often. */
static bool
may_try_again(struct q2si_request *request, unsigned *pause)
{
	curl_off_t asked = 0;

	if (++request->failures >= Q2SI_HTTP_FAILURES)
		return false;
	(void)q2si_curl.easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &asked);
	*pause = PAUSE_MIN << (request->failures - 1);
	if (asked > 0)
		*pause = (unsigned)q2si_min((uint64_t)asked * 1000, PAUSE_MAX);
	return true;
}

/* Takes over @to. */
static enum q2si_http_next
move(struct q2s_http *http, char *to, unsigned *pause)
{
	free(http->here);
	http->here = to;
	http->moves++;
	*pause = 0;
	return Q2SI_HTTP_AGAIN;
}

/* Did another request find out meanwhile where to go on? */
static bool
is_late(const struct q2si_request *request, unsigned *pause)
{
	*pause = 0;
	return request->move != request->http->moves;
}

/* The server names another place. */
static enum q2si_http_next
redirect(struct q2si_request *request, unsigned *pause)
{
	struct q2s_http *http = request->http;
	const char *const now = http->here ? http->here : http->url;
	char *to = NULL;

	if (is_late(request, pause))
		return Q2SI_HTTP_AGAIN;
	(void)q2si_curl.easy_getinfo(request->easy, CURLINFO_REDIRECT_URL, &to);
	if (!to)
		return failed_with_status(request);
	if (!q2s_http_is_url(to) || q2si_http_has_user(to))
		return failed(request, Q2S_E_UNSUPPORTED, "redirects to what is no plain HTTP URL");
	if (q2si_http_is_secure(now) && !q2si_http_is_secure(to))
		return failed(request, Q2S_E_UNSUPPORTED, "redirects from HTTPS to HTTP");
	if (++http->hops > HOPS_MAX)
		return failed(request, Q2S_E_LIMIT, "redirects too often");
	to = strdup(to);
	return to ? move(http, to, pause) : failed(request, Q2S_E_NOMEM, "out of memory");
}

/* A place that somebody was redirected to may be good for some minutes only. */
static enum q2si_http_next
ask_the_first_again(struct q2si_request *request, unsigned *pause)
{
	struct q2s_http *http = request->http;

	if (is_late(request, pause))
		return Q2SI_HTTP_AGAIN;
	if (!http->known || ++request->failures >= Q2SI_HTTP_FAILURES)
		return failed_with_status(request);
	return http->here ? move(http, NULL, pause) : failed_with_status(request);
}

static enum q2si_http_next
by_status(struct q2si_request *request, unsigned *pause)
{
	switch (request->status) {
	case 200:
	case 206:
		request->http->hops = 0;
		return Q2SI_HTTP_DONE;
	case 301:
	case 302:
	case 303:
	case 307:
	case 308:
		return redirect(request, pause);
	case 401:
	case 403:
	case 404:
	case 410:
		return ask_the_first_again(request, pause);
	case 416:
		/* a file without bytes has no range either */
		return request->has_total && request->total == 0 ? Q2SI_HTTP_DONE :
								    failed_with_status(request);
	case 408:
	case 429:
	case 500:
	case 502:
	case 503:
	case 504:
		return may_try_again(request, pause) ? Q2SI_HTTP_AGAIN :
						       failed_with_status(request);
	default:
		return failed_with_status(request);
	}
}

/* What may be better next time. A name or a port that never worked is rather a wrong one. */
static bool
is_passing(const struct q2s_http *http, CURLcode code)
{
	switch (code) {
	case CURLE_PARTIAL_FILE:
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_OPERATION_TIMEDOUT:
		return true;
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_SSL_CONNECT_ERROR:
		return http->known;
	default:
		return false;
	}
}

enum q2si_http_next
q2si_request_end(struct q2si_request *request, CURLcode code, bool progress, unsigned *pause)
{
	if (progress)
		request->failures = 0;
	/* an answer without a body was not looked at yet */
	if (code == CURLE_OK && !request->looked)
		judge(request);
	if (request->failure.err != Q2S_OK)
		return Q2SI_HTTP_FAILED;
	if (code == CURLE_OK || request->status >= 300)
		return by_status(request, pause);
	if (is_passing(request->http, code) && may_try_again(request, pause))
		return Q2SI_HTTP_AGAIN;
	if (code == CURLE_WRITE_ERROR)
		return failed(request, Q2S_E_IO, "sends more bytes than it said");
	return failed(request, Q2S_E_IO,
		      request->error[0] ? request->error : q2si_curl.easy_strerror(code));
}

/* ---- time -------------------------------------------------------------------------------- */

int64_t
q2si_request_delay(const struct q2si_request *request)
{
	curl_off_t sent = 0, first = 0;

	(void)q2si_curl.easy_getinfo(request->easy, CURLINFO_PRETRANSFER_TIME_T, &sent);
	(void)q2si_curl.easy_getinfo(request->easy, CURLINFO_STARTTRANSFER_TIME_T, &first);
	return sent > 0 && first > sent ? first - sent : -1;
}

int64_t
q2si_now(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}
