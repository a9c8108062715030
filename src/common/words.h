/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words of a command line that may be mistyped: which known word was meant. */
#ifndef COMMON_WORDS_H
#define COMMON_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/**
 * The known word that @word most resembles: at most two letters inserted, left out, changed or
 * swapped, and fewer than half of the letters.
 *
 * @known  ends with NULL
 * Returns one of @known, or NULL.
 */
const char *words_nearest(const char *word, const char *const *known);

#define WORDS_HINT 64

/** "; did you mean 'NEAREST'?", or "" when nothing is near. Returns @buf. */
const char *words_hint(const char *word, const char *const *known, char buf[WORDS_HINT]);

#define WORDS_LIST 256

/** The known words, separated by ", ", as many as fit. Returns @buf. */
const char *words_list(const char *const *known, char buf[WORDS_LIST]);

/**
 * What does the job of a verb of qemu-img? For people who replace the name of the program alone.
 *
 * Returns the command, such as "q2s-inspect info FILE"; NULL when @word is no verb of qemu-img.
 */
const char *words_qemu_verb(const char *word);

/** Is @name free, that is, no file has it? */
bool words_no_file(const char *name);

#endif
