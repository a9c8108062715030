/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of file names. */
#ifndef STREAM_PATH_H
#define STREAM_PATH_H

#include <string.h>

/** What is behind the last slash; all of it without one. */
static inline const char *
path_last_part(const char *path)
{
	const char *const slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

#endif
