/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files on servers in a build without libcurl: it says so. */
#include <q2s/http.h>

#include "base/diag.h"

enum q2s_err
q2s_http_open(const char *url, const struct q2s_http_options *options, struct q2s_http **out,
	      struct q2s_diag *diag)
{
	(void)url, (void)options, (void)out;
	return q2si_fail_at(diag, Q2S_E_MISSING, "HTTP", Q2S_NOWHERE, "this build has no libcurl");
}

void
q2s_http_close(struct q2s_http *http)
{
	(void)http;
}

bool
q2s_http_has_ranges(const struct q2s_http *http)
{
	(void)http;
	return false;
}

enum q2s_err
q2s_http_store(struct q2s_http *http, struct q2s_store **out, struct q2s_diag *diag)
{
	(void)http, (void)out;
	return q2si_fail_at(diag, Q2S_E_MISSING, "HTTP", Q2S_NOWHERE, "this build has no libcurl");
}

void
q2s_http_stream(struct q2s_http *http, struct q2s_stream *out)
{
	(void)http;
	*out = (struct q2s_stream){ .fd = -1 };
}
