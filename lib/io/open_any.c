/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A name of something to read: a file, a pipe, or a file on a server. */
#include <q2s/http.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/diag.h"

/* Without ranges it is a stream like a pipe. */
static enum q2s_err
open_url(const char *url, const struct q2s_http_options *options, struct q2s_store **out,
	 struct q2s_diag *diag)
{
	struct q2s_stream stream = { 0 };
	struct q2s_http *http;
	enum q2s_err err;

	Q2SI_TRY(q2s_http_open(url, options, &http, diag));
	if (q2s_http_has_ranges(http)) {
		err = q2s_http_store(http, out, diag);
		if (err != Q2S_OK)
			q2s_http_close(http);
		return err;
	}
	q2s_http_stream(http, &stream);
	err = q2s_store_from_stream(&stream, out, diag);
	q2s_http_close(http);
	return err;
}

static enum q2s_err
open_fifo(const char *path, struct q2s_store **out, struct q2s_diag *diag)
{
	const struct q2s_stream stream = { .fd = open(path, O_RDONLY | O_CLOEXEC), .name = path };
	enum q2s_err err;

	if (stream.fd < 0)
		return q2si_fail_errno(diag, errno, "stream", Q2S_NOWHERE,
				       "cannot be opened for reading");
	err = q2s_store_from_stream(&stream, out, diag);
	close(stream.fd);
	return err;
}

enum q2s_err
q2s_store_open_any(const char *name, const struct q2s_http_options *http, struct q2s_store **out,
		   struct q2s_diag *diag)
{
	struct stat st;
	const bool there = stat(name, &st) == 0;

	if (!there && q2s_http_is_url(name))
		return open_url(name, http, out, diag);
	return there && S_ISFIFO(st.st_mode) ? open_fifo(name, out, diag) :
					       q2s_store_open(name, out, diag);
}
