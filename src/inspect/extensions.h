/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Header extensions, taken apart for those who show them. */
#ifndef INSPECT_EXTENSIONS_H
#define INSPECT_EXTENSIONS_H

#include <stdio.h>

#include <jansson.h>
#include <q2s/walk.h>

/**
 * What the record says, in words: a string to free, or NULL when out of memory.
 *
 * @header  has the bits without which what some say is worth nothing
 */
char *extension_text(const struct q2s_header *header, const struct q2s_geom *geom,
		     const struct q2s_ext *ext);

/** The record as an object: type, name, offset, length, and its content by kind. */
json_t *extension_json(const struct q2s_header *header, const struct q2s_geom *geom,
		       const struct q2s_ext *ext);

/** What @mark says, in words. */
void mark_text(FILE *out, const struct q2s_mark *mark, bool valid);
/** The ids of @mark, and whether it is valid, as members of @node. */
void mark_set(json_t *node, const struct q2s_mark *mark, bool valid);

#endif
