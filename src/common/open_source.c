/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/open_source.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/remote.h"

/* Of a pipe, all; of a file that standard input is redirected from, the file itself. */
static enum q2s_err
open_fd(int fd, const char *name, struct q2s_store **out, struct q2s_diag *diag)
{
	const struct q2s_stream stream = { .fd = fd, .name = name };
	struct stat st;
	enum q2s_err err;
	int copy;

	if (fstat(fd, &st) != 0)
		return fault_errno(diag, "stream", "cannot be read");
	if (isatty(fd))
		return fault(diag, Q2S_E_USAGE, "stream", "is a terminal; redirect it from an image");
	if (!(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) || lseek(fd, 0, SEEK_CUR) != 0)
		return q2s_store_from_stream(&stream, out, diag);
	copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (copy < 0)
		return fault_errno(diag, "stream", "cannot be used");
	err = q2s_store_from_fd(copy, name, out, diag);
	if (err != Q2S_OK)
		close(copy);
	return err;
}

enum q2s_err
open_source(const char *name, struct q2s_store **out, struct q2s_diag *diag)
{
	struct q2s_http_options http;

	if (strcmp(name, "-") == 0)
		return open_fd(STDIN_FILENO, "standard input", out, diag);
	remote_options(&http);
	return q2s_store_open_any(name, &http, out, diag);
}
