/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/http_url.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <q2s/http.h>

#define HTTP "http://"
#define HTTPS "https://"

bool
q2s_http_is_url(const char *name)
{
	return strncasecmp(name, HTTP, strlen(HTTP)) == 0 || q2si_http_is_secure(name);
}

bool
q2si_http_is_secure(const char *url)
{
	return strncasecmp(url, HTTPS, strlen(HTTPS)) == 0;
}

/* Where the server's name begins. */
static size_t
scheme_len(const char *url)
{
	const char *const colon = strstr(url, "://");

	return colon ? (size_t)(colon - url) + 3 : 0;
}

size_t
q2si_http_origin(const char *url)
{
	const size_t scheme = scheme_len(url);

	/* libcurl takes a backslash for a slash nowhere, but others do */
	return scheme + strcspn(url + scheme, "/?#\\");
}

bool
q2si_http_same_origin(const char *a, const char *b)
{
	const size_t len = q2si_http_origin(a);

	return len == q2si_http_origin(b) && strncasecmp(a, b, len) == 0;
}

/* The last @ before the path, or NULL. */
static const char *
user_end(const char *url)
{
	return memrchr(url, '@', q2si_http_origin(url));
}

bool
q2si_http_has_user(const char *url)
{
	return user_end(url) != NULL;
}

void
q2s_http_name(const char *url, char *buf, size_t size)
{
	const char *const at = user_end(url);
	const char *const host = at ? at + 1 : url + scheme_len(url);
	const size_t len = strcspn(host, "?#");

	(void)snprintf(buf, size, "%.*s%.*s%s", (int)scheme_len(url), url, (int)len, host,
		       host[len] == '?' ? "?..." : "");
}

/* Unreserved characters of RFC 3986, and the slash. */
static bool
is_plain(unsigned char c)
{
	return isalnum(c) || (c != '\0' && strchr("-._~/", c));
}

char *
q2si_http_beside(const char *url, const char *path)
{
	const size_t origin = q2si_http_origin(url);
	const size_t whole = origin + strcspn(url + origin, "?#");
	const char *const slash = memrchr(url + origin, '/', whole - origin);
	const size_t folder = slash ? (size_t)(slash - url) : origin;
	char *const out = malloc(folder + 1 + 3 * strlen(path) + 1);
	char *to;

	if (!out)
		return NULL;
	memcpy(out, url, folder);
	to = out + folder;
	*to++ = '/';
	for (; *path; path++)
		if (is_plain((unsigned char)*path))
			*to++ = *path;
		else
			to += sprintf(to, "%%%02X", (unsigned char)*path);
	*to = '\0';
	return out;
}
