/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The names of files that an image refers to. */
#include "common/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool
name_is_plain(const char *name)
{
	return name[strcspn(name, ":/")] != ':';
}

/* Bytes of @path up to and with its last slash. */
static size_t
folder_len(const char *path)
{
	const char *const slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) + 1 : 0;
}

char *
name_beside(const char *image, const char *name)
{
	char *out;

	if (name[0] == '/')
		return strdup(name);
	if (asprintf(&out, "%.*s%s", (int)folder_len(image), image, name) < 0)
		return NULL;
	return out;
}

static bool
stat_folder(const char *path, struct stat *out)
{
	const size_t len = folder_len(path);
	char *const folder = len > 0 ? strndup(path, len) : strdup(".");
	const bool found = folder && stat(folder, out) == 0;

	free(folder);
	return found;
}

static bool
is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool
name_is_same_file(const char *a, const char *b)
{
	struct stat at_a, at_b;
	const bool has_a = stat(a, &at_a) == 0, has_b = stat(b, &at_b) == 0;

	if (has_a || has_b)
		return has_a && has_b && is_same(&at_a, &at_b);
	return strcmp(a + folder_len(a), b + folder_len(b)) == 0 && stat_folder(a, &at_a) &&
	       stat_folder(b, &at_b) && is_same(&at_a, &at_b);
}

bool
name_is_here(const char *path)
{
	struct stat folder, here;

	return stat_folder(path, &folder) && stat(".", &here) == 0 && is_same(&folder, &here);
}
