/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words of a command line that may be mistyped. */
#include "common/words.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define WORD_MAX 31u /* longer ones are not compared */
#define NEAR 2u

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* How many letters have to be inserted, left out, changed, or swapped with their neighbour. */
static unsigned
distance(const char *a, const char *b)
{
	const size_t rows = strlen(a), columns = strlen(b);
	unsigned d[WORD_MAX + 1][WORD_MAX + 1];

	if (rows > WORD_MAX || columns > WORD_MAX)
		return WORD_MAX;
	for (size_t i = 0; i <= rows; i++) {
		for (size_t j = 0; j <= columns; j++) {
			if (i == 0 || j == 0) {
				d[i][j] = (unsigned)(i + j);
				continue;
			}
			d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1,
					d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[rows][columns];
}

const char *
words_nearest(const char *word, const char *const *known)
{
	const char *found = NULL;
	unsigned best = NEAR + 1;

	for (; *known; known++) {
		const unsigned far = distance(word, *known);

		if (far < best && 2 * far < strlen(*known)) {
			best = far;
			found = *known;
		}
	}
	return found;
}

const char *
words_hint(const char *word, const char *const *known, char buf[WORDS_HINT])
{
	const char *const nearest = words_nearest(word, known);

	buf[0] = '\0';
	if (nearest)
		(void)snprintf(buf, WORDS_HINT, "; did you mean '%s'?", nearest);
	return buf;
}

const char *
words_list(const char *const *known, char buf[WORDS_LIST])
{
	size_t used = 0;

	buf[0] = '\0';
	for (; *known && used + strlen(*known) + 3 <= WORDS_LIST; known++)
		used += (size_t)snprintf(buf + used, WORDS_LIST - used, "%s%s", used ? ", " : "",
					 *known);
	return buf;
}

const char *
words_qemu_verb(const char *word)
{
	static const char *const verbs[][2] = {
		{ "amend", "qemu-img amend" },
		{ "bench", "qemu-img bench" },
		{ "bitmap", "qemu-img bitmap" },
		{ "check", "q2s-inspect check FILE" },
		{ "commit", "qemu-img commit" },
		{ "compare", "q2s-stream --compare A B" },
		{ "convert", "q2s-stream SOURCE DEST" },
		{ "create", "q2s-create FILE SIZE" },
		{ "dd", "q2s-stream SOURCE DEST" },
		{ "info", "q2s-inspect info FILE" },
		{ "map", "q2s-inspect map FILE" },
		{ "measure", "q2s-stream --measure SOURCE" },
		{ "rebase", "qemu-img rebase" },
		{ "resize", "qemu-img resize" },
		{ "snapshot", "q2s-inspect info FILE (it lists them), or qemu-img snapshot" },
	};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(word, verbs[i][0]) == 0)
			return verbs[i][1];
	}
	return NULL;
}

bool
words_no_file(const char *name)
{
	struct stat st;

	return lstat(name, &st) != 0 && (errno == ENOENT || errno == ENOTDIR);
}
