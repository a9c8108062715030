/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text that is safe on a terminal. Names come from images and command lines; a control sequence
 * in one must not reach the user's terminal.
 */
#ifndef COMMON_ESCAPE_H
#define COMMON_ESCAPE_H

#include <stddef.h>
#include <stdio.h>

/**
 * Replace each byte of a control character (C0, DEL, C1, line and paragraph separators, and those
 * that change the direction of writing) and each byte that is not UTF-8 by \xNN.
 *
 * @data  @len arbitrary bytes, NUL included
 * Returns a string to free, or NULL when memory is short.
 */
char *escape_bytes(const void *data, size_t len);

/** As escape_bytes() for a string. */
char *escape_text(const char *text);

/** Print escaped bytes. Failures stick to the stream. */
void escape_print(FILE *out, const void *data, size_t len);

#endif
