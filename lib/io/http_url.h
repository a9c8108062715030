/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* URLs of HTTP servers as text. Pure. */
#ifndef Q2SI_IO_HTTP_URL_H
#define Q2SI_IO_HTTP_URL_H

#include <stdbool.h>
#include <stddef.h>

/** The length of scheme and server of @url, as far as the slash of the path: "https://host:8000". */
size_t q2si_http_origin(const char *url);
/** Is it the same server, spelled the same way? */
bool q2si_http_same_origin(const char *a, const char *b);
/** Does it name a user or a password? */
bool q2si_http_has_user(const char *url);
bool q2si_http_is_secure(const char *url);

/**
 * The URL of the file that a file at @url calls @path, which is relative: in its folder, without
 * the query. What is special in URLs is quoted, so that the name can mean nothing but a path. Owned
 * by the caller; NULL without memory.
 */
char *q2si_http_beside(const char *url, const char *path);

#endif
