/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One file on a server, and one request for some of its bytes: what the store and the stream share. */
#ifndef Q2SI_IO_HTTP_H
#define Q2SI_IO_HTTP_H

#include <q2s/http.h>

#include "io/curl_lib.h"

#define Q2SI_HTTP_ETAG 256u
#define Q2SI_HTTP_DATE 64u

/** So many failures in a row are too many. */
#define Q2SI_HTTP_FAILURES 6u

/** What is asked for first: usually the header, the L1 table and what else is at the start. */
#define Q2SI_HTTP_HEAD (256u << 10)

/**
 * A request, and what came back of it. One thread at a time.
 *
 * @from, @until  bytes that are asked for; @until 0: all
 * @take          gets each piece of the body of an answer that can be used; returns how much of it,
 *                CURL_WRITEFUNC_PAUSE, or anything else to give up
 * @failure       what is wrong with the answer, once its err is set
 * @failures      in a row
 * @move          http->moves when it began
 */
struct q2si_request {
	struct q2s_http *http;
	CURL *easy;
	uint64_t from, until;
	size_t (*take)(void *opaque, const char *bytes, size_t len);
	void *opaque;
	unsigned failures, move;
	char error[CURL_ERROR_SIZE];

	/* the answer */
	bool looked;
	long status;
	char reason[Q2SI_HTTP_DATE];
	bool has_range, has_total, encoded;
	uint64_t first, end, total;
	char etag[Q2SI_HTTP_ETAG];
	char modified[Q2SI_HTTP_DATE];
	size_t swallowed; /* of the body of an answer that is no use */
	struct q2s_diag failure;
};

/**
 * @url       as the user named it
 * @here      where redirections have led, or NULL; @moves: how often that has changed
 * @headers   what is sent to the user's server; @others: to any other
 * @known     the first answer has been seen, and what it says holds for all
 * @head      the first bytes; of a stream: what has come and was not read
 * @whole     ask at once for what follows the first bytes
 * @first     the first request, in @multi; it goes on behind @head in a stream, and if @whole
 */
struct q2s_http {
	char *url;
	char *name;
	char *here;
	unsigned hops, moves;
	char *cacert;
	char **lines;
	size_t line_count;
	struct curl_slist *headers, *others;

	bool whole, known, ranges, has_size;
	uint64_t size;
	char etag[Q2SI_HTTP_ETAG];
	char modified[Q2SI_HTTP_DATE];

	uint8_t *head;
	size_t head_len, head_at;
	CURLM *multi;
	struct q2si_request first;
	bool paused, ended;
	CURLcode code; /* with which it ended */
};

/** What to do after a request. */
enum q2si_http_next {
	Q2SI_HTTP_DONE,   /* the answer was one that can be used, and it is over */
	Q2SI_HTTP_AGAIN,  /* ask again, after a pause */
	Q2SI_HTTP_FAILED, /* see request->failure */
};

/** Have a handle for requests; closed with q2si_request_close(). */
enum q2s_err q2si_request_open(struct q2si_request *request, struct q2s_http *http,
			       struct q2s_diag *diag);
void q2si_request_close(struct q2si_request *request);

/** Set up request->easy to ask for [@from, @until). The caller adds it to a multi handle. */
enum q2s_err q2si_request_begin(struct q2si_request *request, uint64_t from, uint64_t until,
				struct q2s_diag *diag);
/**
 * The transfer ended with @code.
 *
 * @progress  bytes came that were no waste, so that the count of failures begins anew
 * @pause     receives milliseconds, with Q2SI_HTTP_AGAIN
 */
enum q2si_http_next q2si_request_end(struct q2si_request *request, CURLcode code, bool progress,
				     unsigned *pause);

/** How long its first byte took, in microseconds; -1: not known. */
int64_t q2si_request_delay(const struct q2si_request *request);

/** The time by a clock that nobody sets, in microseconds. */
int64_t q2si_now(void);

/** Append a header line to what is sent. Q2S_E_NOMEM. */
enum q2s_err q2si_http_add_header(struct curl_slist **list, const char *line);

/** The name for messages: @diag gets it. */
enum q2s_err q2si_http_fail(const struct q2s_http *http, enum q2s_err err, struct q2s_diag *diag);

#endif
