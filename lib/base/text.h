/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A line of text in a caller's buffer: always terminated, cut when full, safe for a terminal. */
#ifndef Q2SI_BASE_TEXT_H
#define Q2SI_BASE_TEXT_H

#include <stddef.h>

/** @used bytes of @size are taken; the NUL behind them is not counted. */
struct q2si_text {
	char *buf;
	size_t size;
	size_t used;
};

/** Start an empty text; nothing is ever written when @size is 0. */
struct q2si_text q2si_text_init(char *buf, size_t size);

/** Append text of our own, printf-like. */
void q2si_text_add(struct q2si_text *text, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * Append text that may hold bytes of an image: control characters (C0, DEL and C1) and what is
 * not UTF-8 become \xNN, byte by byte. An escape or a character is never cut in half.
 */
void q2si_text_add_escaped(struct q2si_text *text, const char *bytes);

#endif
