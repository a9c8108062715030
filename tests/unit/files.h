/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A folder of its own for unit tests that need real files, and short ways to make and read them. */
#ifndef Q2S_TESTS_FILES_H
#define Q2S_TESTS_FILES_H

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static char files_folder[200];

/* The path of @name in the folder; good until the eighth call after this one. */
static inline const char *
path_of(const char *name)
{
	static char paths[8][512];
	static unsigned next;
	char *path = paths[next++ % 8];

	ck_assert_int_lt(snprintf(path, sizeof(paths[0]), "%s/%s", files_folder, name),
			 (int)sizeof(paths[0]));
	return path;
}

static inline void
put_file(const char *path, const void *bytes, size_t len)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

/* Append at most @cap bytes of the file to @buf; how many there are. */
static inline size_t
get_file(const char *path, void *buf, size_t cap)
{
	const int fd = open(path, O_RDONLY);
	size_t len = 0;
	ssize_t n;

	ck_assert_msg(fd >= 0, "%s is not there", path);
	while (len < cap && (n = read(fd, (char *)buf + len, cap - len)) > 0)
		len += (size_t)n;
	close(fd);
	return len;
}

static inline bool
file_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* How many names the folder holds. */
static inline unsigned
count_names(void)
{
	DIR *dir = opendir(files_folder);
	unsigned count = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2; /* . and .. */
}

/* Each test begins in an empty folder. */
static void
files_setup(void)
{
	const char *base = getenv("TMPDIR");

	snprintf(files_folder, sizeof(files_folder), "%.150s/q2s-unit-XXXXXX",
		 base && *base ? base : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(files_folder));
}

static int
files_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void
files_teardown(void)
{
	nftw(files_folder, files_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int
files_run(const char *name, const TTest *const *tests, size_t count)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, files_setup, files_teardown);
	return unit_run_case(name, tcase, tests, count);
}

#define FILES_MAIN(name, ...)                                                                     \
	int main(void)                                                                            \
	{                                                                                         \
		const TTest *const tests[] = { __VA_ARGS__ };                                     \
		return files_run(name, tests, COUNT(tests));                                      \
	}

#endif
