/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files on HTTP servers: what the options of the command line say of all of them. For one thread.
 */
#ifndef COMMON_REMOTE_H
#define COMMON_REMOTE_H

#include <q2s/http.h>

/** The longest --header-file. */
#define REMOTE_HEADERS_MAX (64u << 10)

/** The lines of --help. */
#define REMOTE_HELP                                                                            \
	"      --header-file FILE   lines \"Name: value\" to send to HTTP servers, as for a token\n" \
	"      --cacert FILE        the certificates that HTTPS servers are judged by\n"

/** Is @name the URL of a file on an HTTP server? A local file of that name comes first. */
bool remote_is(const char *name);

/**
 * @name as it is shown: of a URL without what may be a secret (q2s_http_name()), in storage that
 *       the next
 * call uses again; else @name itself.
 */
const char *remote_shown(const char *name);

/**
 * --header-file: read the lines of @path, now, as it may be a pipe; empty ones are skipped. What
 * fails is reported. The file is guarded against being written to (guard.h), as is that of
 * remote_cacert().
 */
bool remote_take_headers(const char *path);
/** --cacert: borrowed. */
bool remote_take_cacert(const char *path);

/** What the options say; borrowed until the next of them is read. */
void remote_options(struct q2s_http_options *out);
/** Open @url as the options say; @whole: all of it will be read. Fails as q2s_http_open() does. */
enum q2s_err remote_open(const char *url, bool whole, struct q2s_http **out, struct q2s_diag *diag);

/** Wipe the headers, and begin anew: another run in the same process, or its end. */
void remote_reset(void);

#endif
