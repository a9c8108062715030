/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables of 64-bit words: L1 tables, the refcount table, bitmap tables. However many tables lie on
 * top of each other, each word of the file is visited once, with the number of tables it is in.
 */
#ifndef Q2SI_CHECK_WORDS_H
#define Q2SI_CHECK_WORDS_H

#include "checker.h"

/** A table of @words words at @at, which is a multiple of 8; it stands for @weight equal tables. */
struct q2si_words {
	uint64_t at;
	uint64_t words;
	uint64_t weight;
};

/**
 * Called for words that are not zero, in ascending order.
 *
 * @at      host offset of the word
 * @raw     its 8 bytes, as stored
 * @weight  number of tables that it belongs to
 */
typedef enum q2s_err (*q2si_word_visitor)(struct q2si_checker *ck, void *opaque, q2s_host at,
					  const uint8_t *raw, uint64_t weight);

/**
 * Visit the words of @count tables. What lies past the end of the file is zero, and so not visited;
 * what cannot be read is reported.
 *
 * @what  what the tables are, for that report
 *
 * Returns what a visitor returned that is not Q2S_OK, or Q2S_E_NOMEM.
 */
enum q2s_err q2si_visit_words(struct q2si_checker *ck, const struct q2si_words *tables,
			      size_t count, const char *what, q2si_word_visitor visit,
			      void *opaque);

#endif
