/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/guard.h"
#include "common/tool.h"
#include "common/url.h"

/* @lines point into @text. */
static struct {
	char *text;
	size_t len;
	const char **lines;
	size_t count;
	const char *cacert;
} remote;

bool
remote_is(const char *name)
{
	return q2s_http_is_url(name) && url_is(name);
}

const char *
remote_shown(const char *name)
{
	static char shown[Q2S_DIAG_FILE];

	if (!remote_is(name))
		return name;
	q2s_http_name(name, shown, sizeof(shown));
	return shown;
}

/* No stdio: its buffers are not wiped. */
static enum q2s_err
read_all(int fd, struct q2s_diag *diag)
{
	while (remote.len <= REMOTE_HEADERS_MAX) {
		const ssize_t n = read(fd, remote.text + remote.len,
				       REMOTE_HEADERS_MAX + 1 - remote.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_errno(diag, "header file", "reading failed");
		if (n == 0)
			break;
		remote.len += (size_t)n;
	}
	if (remote.len > REMOTE_HEADERS_MAX)
		return fault(diag, Q2S_E_LIMIT, "header file", "more than %u bytes",
			     REMOTE_HEADERS_MAX);
	if (memchr(remote.text, '\0', remote.len))
		return fault(diag, Q2S_E_USAGE, "header file", "holds a NUL, so it is no text");
	remote.text[remote.len] = '\0';
	return Q2S_OK;
}

static enum q2s_err
split(struct q2s_diag *diag)
{
	char *rest = remote.text, *line;
	size_t room = 1;

	for (const char *c = remote.text; *c; c++)
		room += *c == '\n';
	remote.lines = calloc(room, sizeof(*remote.lines));
	if (!remote.lines)
		return fault_nomem(diag, "header file");
	while ((line = strsep(&rest, "\n"))) {
		const size_t len = strlen(line);

		if (len > 0 && line[len - 1] == '\r')
			line[len - 1] = '\0';
		if (line[0])
			remote.lines[remote.count++] = line;
	}
	return Q2S_OK;
}

static enum q2s_err
take_headers(const char *path, struct q2s_diag *diag)
{
	enum q2s_err err;
	int fd;

	remote.text = malloc(REMOTE_HEADERS_MAX + 1);
	if (!remote.text)
		return fault_nomem(diag, "header file");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fault_errno(diag, "header file", "cannot be opened");
	err = read_all(fd, diag);
	close(fd);
	if (err == Q2S_OK)
		err = split(diag);
	return err == Q2S_OK ? guard_read_path(path, diag) : err;
}

bool
remote_take_headers(const char *path)
{
	const char *const cacert = remote.cacert;
	struct q2s_diag diag = { 0 };

	remote_reset();
	remote.cacert = cacert;
	if (take_headers(path, &diag) == Q2S_OK)
		return true;
	(void)tool_fail(path, &diag);
	return false;
}

bool
remote_take_cacert(const char *path)
{
	struct q2s_diag diag = { 0 };

	remote.cacert = path;
	if (access(path, R_OK) != 0)
		(void)fault_errno(&diag, "certificates", "cannot be read");
	else if (guard_read_path(path, &diag) == Q2S_OK)
		return true;
	(void)tool_fail(path, &diag);
	return false;
}

void
remote_options(struct q2s_http_options *out)
{
	*out = (struct q2s_http_options){
		.size = sizeof(*out),
		.headers = remote.lines,
		.header_count = remote.count,
		.cacert = remote.cacert,
	};
}

enum q2s_err
remote_open(const char *url, bool whole, struct q2s_http **out, struct q2s_diag *diag)
{
	struct q2s_http_options options;

	remote_options(&options);
	options.whole = whole;
	return q2s_http_open(url, &options, out, diag);
}

void
remote_reset(void)
{
	if (remote.text)
		explicit_bzero(remote.text, REMOTE_HEADERS_MAX + 1);
	free(remote.text);
	free(remote.lines);
	memset(&remote, 0, sizeof(remote));
}
