/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files without a name. */
#include "io/nameless.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/diag.h"

const char *
q2si_nameless_folder(void)
{
	const char *folder = getenv("TMPDIR");

	return folder && *folder ? folder : "/tmp";
}

/* Not every file system has files without a name; a name that is gone at once serves as well. */
static int
open_nameless(const char *folder)
{
	Q2SI_AUTO_FREE char *name = NULL;
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || asprintf(&name, "%s/q2s-spool-XXXXXX", folder) < 0)
		return fd;
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		(void)unlink(name);
	return fd;
}

enum q2s_err
q2si_nameless_open(const char *folder, int *fd, struct q2s_diag *diag)
{
	if (!folder)
		folder = q2si_nameless_folder();
	*fd = open_nameless(folder);
	if (*fd >= 0)
		return Q2S_OK;
	return q2si_in_file(diag,
			    q2si_fail_errno(diag, errno, "spool", Q2S_NOWHERE,
					    "a temporary file cannot be made here"),
			    folder);
}
