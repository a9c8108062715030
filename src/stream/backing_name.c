/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/backing_name.h"

#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fault.h"
#include "stream/path.h"

/* The folder of @path, absolute and without symbolic links. */
static enum q2s_err
real_folder(const char *path, const char *what, char **out, struct q2s_diag *diag)
{
	char *const copy = strdup(path);
	enum q2s_err err = Q2S_OK;

	if (!copy)
		return fault_nomem(diag, what);
	*out = realpath(dirname(copy), NULL);
	if (!*out)
		err = fault_errno(diag, what, "its folder cannot be found");
	free(copy);
	return fault_in(diag, err, path);
}

/* "FOLDER/NAME", where FOLDER may be "/". */
static char *
join(const char *folder, const char *name)
{
	const bool root = strcmp(folder, "/") == 0;
	char *out;

	return asprintf(&out, "%s/%s", root ? "" : folder, name) < 0 ? NULL : out;
}

/* How much of two absolute folders is the same, in whole parts. */
static size_t
common_length(const char *a, const char *b)
{
	size_t common = 0, i = 0;

	for (;; i++) {
		const bool end_a = a[i] == '/' || a[i] == '\0', end_b = b[i] == '/' || b[i] == '\0';

		if (end_a && end_b)
			common = i;
		if (a[i] != b[i] || a[i] == '\0')
			return common;
	}
}

/* The way from folder @from to @name in folder @to; both are absolute, without links. */
static char *
relative(const char *from, const char *to, const char *name)
{
	const size_t common = common_length(strcmp(from, "/") == 0 ? "" : from,
					    strcmp(to, "/") == 0 ? "" : to);
	const char *up = from + common, *down = to + common;
	size_t ups = 0;
	char *out, *at;

	for (; *up; up++)
		ups += up[0] == '/' && up[1] != '\0';
	while (*down == '/')
		down++;
	out = malloc(3 * ups + strlen(down) + strlen(name) + 2);
	if (!out)
		return NULL;
	for (at = out; ups > 0; ups--)
		at = stpcpy(at, "../");
	if (*down)
		at = stpcpy(stpcpy(at, down), "/");
	(void)stpcpy(at, name);
	return out;
}

/* A colon before any slash would make QEMU take the name for a protocol. */
static char *
guard_colon(char *name)
{
	char *guarded = name;

	if (name && name[strcspn(name, ":/")] == ':') {
		guarded = join(".", name);
		free(name);
	}
	return guarded;
}

/* What @dest is, as far as it matters for the name. */
enum place { PLACE_FOLDER, PLACE_DOUBTFUL, PLACE_UNKNOWN };

static enum place
place_of(const char *dest)
{
	struct stat st;

	if (!dest)
		return PLACE_UNKNOWN;
	if (lstat(dest, &st) != 0 || S_ISREG(st.st_mode))
		return PLACE_FOLDER;
	if (S_ISBLK(st.st_mode))
		return PLACE_DOUBTFUL;
	if (S_ISLNK(st.st_mode) && (stat(dest, &st) != 0 || S_ISREG(st.st_mode) ||
				    S_ISBLK(st.st_mode)))
		return PLACE_DOUBTFUL;
	return PLACE_UNKNOWN;
}

static enum q2s_err
from_folder(const char *base, const char *dest, bool doubtful, char **out, struct q2s_diag *diag)
{
	char *from = NULL, *to = NULL;
	enum q2s_err err = real_folder(dest, "output", &from, diag);

	if (err == Q2S_OK)
		err = real_folder(base, "base", &to, diag);
	if (err == Q2S_OK)
		*out = doubtful ? join(to, path_last_part(base)) :
				  guard_colon(relative(from, to, path_last_part(base)));
	free(from);
	free(to);
	return err;
}

enum q2s_err
backing_name_find(const char *base, const char *dest, char **out, struct q2s_diag *diag)
{
	const enum place place = place_of(dest);
	enum q2s_err err = Q2S_OK;

	*out = NULL;
	if (base[0] == '/')
		*out = strdup(base);
	else if (place == PLACE_UNKNOWN)
		*out = guard_colon(strdup(base));
	else
		err = from_folder(base, dest, place == PLACE_DOUBTFUL, out, diag);
	if (err == Q2S_OK && !*out)
		err = fault_nomem(diag, "backing file name");
	return err;
}
