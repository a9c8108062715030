/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/other_output.h"

#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fault.h"
#include "common/guard.h"
#include "stream/path.h"

static bool
same_inode(const char *path, const char *other)
{
	struct stat a, b;

	return stat(path, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* Are they the same name in the same folder, however that is spelled? */
static bool
same_place(const char *path, const char *other)
{
	char *const a = strdup(path), *const b = strdup(other);
	const bool same = a && b && strcmp(path_last_part(path), path_last_part(other)) == 0 &&
			  same_inode(dirname(a), dirname(b));

	free(a);
	free(b);
	return same;
}

/* Is @path another name of what @other names, which need not be there yet? */
static bool
is_file(const char *path, const char *other)
{
	return other && (strcmp(path, other) == 0 || same_inode(path, other) ||
			 same_place(path, other));
}

enum q2s_err
other_output_check(const char *path, const char *dest, const char *option, struct q2s_diag *diag)
{
	/* DEST need not be there yet, so its name counts as well. */
	if (is_file(path, dest))
		return fault_in(diag,
				fault(diag, Q2S_E_CONFLICT, option, "this is where the image goes"),
				path);
	return guard_output(path, option, diag);
}
