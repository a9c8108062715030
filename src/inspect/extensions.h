/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Header extensions, taken apart for those who show them. */
#ifndef INSPECT_EXTENSIONS_H
#define INSPECT_EXTENSIONS_H

#include <jansson.h>
#include <q2s/format.h>

/**
 * A walk over the header extensions of one image.
 *
 * @head, @size  cluster 0
 * @pos          where the next record starts, or where the records end
 */
struct extension_walk {
	const uint8_t *head;
	size_t size;
	q2s_host end;
	uint64_t pos;
};

/** Start at header_length. @header need not be legal: what lies outside of cluster 0 is left out.
 */
struct extension_walk extension_walk_begin(const struct q2s_header *header, const uint8_t *head,
					   size_t size);

/**
 * The next record. False at the end (behind the end record, where there is one) or, with @fault
 * filled, at a record that is malformed.
 */
bool extension_walk_next(struct extension_walk *walk, struct q2s_ext *out, struct q2s_diag *fault);

/** What the record says, in words: a string to free, or NULL when out of memory. */
char *extension_text(const struct q2s_geom *geom, const struct q2s_ext *ext);

/** The record as an object: type, name, offset, length, and its content by kind. */
json_t *extension_json(const struct q2s_geom *geom, const struct q2s_ext *ext);

#endif
