/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small things that every text of ours shows in the same way. */
#ifndef INSPECT_SHOW_H
#define INSPECT_SHOW_H

#include <stdio.h>

#include <q2s/image.h>

#define SHOW_HEX 20

/** "0x50000", for zero "0x0". Returns @buf. */
const char *show_hex(uint64_t value, char buf[SHOW_HEX]);

/** Bytes of an image in quotation marks, safe for a terminal. */
void show_quoted(FILE *out, struct q2s_bytes bytes);

/** As show_quoted() for a file name; without quotation marks. */
void show_name(FILE *out, const char *name);

/** "entry" or "entries", by @n. */
const char *show_plural(uint64_t n, const char *one, const char *many);

#endif
