/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 2: files on HTTP and HTTPS servers, to be read where they lie: as a store, by requests for
 * ranges, or, where the server has no ranges, as a stream.
 */
#ifndef Q2S_HTTP_H
#define Q2S_HTTP_H

#include <q2s/store.h>

Q2S_BEGIN_DECLS

/** A file on a server, of which the first bytes have been asked for. */
struct q2s_http;

/** Does @name begin with http:// or https://, in any case? Pure; says nothing of whether it works. */
bool q2s_http_is_url(const char *name);

/**
 * @url as messages show it, into @buf: without user and password, and "?..." for its query, which
 * may be a signature. At most @size bytes, NUL-terminated when @size > 0.
 */
void q2s_http_name(const char *url, char *buf, size_t size);

/**
 * How to ask. Start from Q2S_HTTP_OPTIONS_INIT. All is copied.
 *
 * @size     sizeof(struct q2s_http_options)
 * @headers  @header_count lines "Name: value", sent with each request to the server that the URL
 *           names, and to no other one; they are never part of a message
 * @cacert   a file of certificates, in PEM, that alone are trusted, instead of the system's; or
 *           NULL
 * @whole    all of it will be read, about in its order: then the first request is for more than the
 *           first bytes, which q2s_http_store() keeps a part of until it is read or others are
 *           asked for
 */
struct q2s_http_options {
	size_t size;
	const char *const *headers;
	size_t header_count;
	const char *cacert;
	bool whole;
};
#define Q2S_HTTP_OPTIONS_INIT { .size = sizeof(struct q2s_http_options) }

/**
 * Ask for the first bytes of @url. Redirections are followed, but not from HTTPS to HTTP. Bytes
 * that the server has compressed on its way are refused. What goes wrong in the network, and
 * servers that are busy (408, 429, 500, 502, 503, 504), are tried again, with growing pauses.
 *
 * @options  NULL: as Q2S_HTTP_OPTIONS_INIT
 *
 * Returns Q2S_OK, Q2S_E_USAGE (no such URL, one with a user or password, a header that is none,
 * @options->size), Q2S_E_IO with what the server or libcurl says, Q2S_E_UNSUPPORTED (an answer that
 * cannot be used), Q2S_E_MISSING in a build without libcurl or when it cannot be loaded,
 * Q2S_E_NOMEM.
 */
enum q2s_err q2s_http_open(const char *url, const struct q2s_http_options *options,
			   struct q2s_http **out, struct q2s_diag *diag);
void q2s_http_close(struct q2s_http *http); /* NULL is fine */

/** Does the server give ranges? Then q2s_http_store() works, else q2s_http_stream(). */
bool q2s_http_has_ranges(const struct q2s_http *http);

/**
 * The file as a store. Reads become requests, eight at a time at most, of up to 4 MiB, or of up to
 * 64 MiB where one connection brings more than memory holds before an answer begins; what
 * q2s_store_will_need() names is asked for before it is read, in the order of those calls, and
 * reading forward is noticed. Up to 40 MiB wait in memory, but for what readers wait for. What
 * fails is tried again from where it broke off.
 *
 * All answers must be of the same file: its size, and its ETag and Last-Modified as far as the
 * server gives them. Else reading, and q2s_store_verify(), which asks once more, fail with
 * Q2S_E_CHANGED.
 *
 * An image on a server that refers to other files by relative names finds them beside itself, on
 * its own server, as far as enum q2s_follow allows; never on this machine.
 *
 * @http  taken over on success
 * Returns Q2S_OK, Q2S_E_UNSUPPORTED (no ranges), Q2S_E_NOMEM.
 */
enum q2s_err q2s_http_store(struct q2s_http *http, struct q2s_store **out, struct q2s_diag *diag);

/**
 * The file as a stream: fills all of @out but its folder and observer. The size is promised if the
 * server has named it. Only where the server has no ranges.
 *
 * @http  stays the caller's, and must outlive the use of @out
 */
void q2s_http_stream(struct q2s_http *http, struct q2s_stream *out);

/**
 * Open @name for reading, whatever it is: a file or block device (q2s_store_open()); a FIFO, which
 * is read to its end first, as q2s_store_from_stream() does; or the URL of a file on a server,
 * unless a file has this name. A server without ranges is read to its end likewise.
 *
 * @http  how a server is asked; NULL: as Q2S_HTTP_OPTIONS_INIT
 * Fails as those functions, q2s_http_open() and q2s_http_store() do.
 */
enum q2s_err q2s_store_open_any(const char *name, const struct q2s_http_options *http,
				struct q2s_store **out, struct q2s_diag *diag);

/** Are the bytes of @store on a server, so that each read may cost a round trip? */
bool q2s_store_is_remote(const struct q2s_store *store);

Q2S_END_DECLS
#endif
