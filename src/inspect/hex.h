/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of `hex`: the order of the file, what fills the gaps, and how bytes are shown. */
#ifndef INSPECT_HEX_H
#define INSPECT_HEX_H

#include <stdio.h>

#include "common/json.h"
#include "inspect/spans.h"

/** Structures are sorted by their place, in memory: more than this is refused (40 MiB). */
#define HEX_STRUCTURES_MAX (1u << 20)

/** All metadata of an image in the order of the file. */
struct structure_list {
	struct q2s_structure *list;
	size_t count;
	size_t cap;
};

/** Collect and sort; Q2S_E_LIMIT for more than HEX_STRUCTURES_MAX. */
enum q2s_err structure_list_fill(const struct subject *subject, struct structure_list *out,
			      struct q2s_diag *diag);
void structure_list_free(struct structure_list *list); /* a zeroed one is fine */

/**
 * Which clusters hold guest data: a bit each, for one window of the file at a time, so that memory
 * does not depend on the image.
 */
struct used_map {
	const struct subject *subject;
	uint8_t *bits;
	uint64_t first; /* cluster of bit 0 */
	bool loaded;
};

enum q2s_err used_map_open(const struct subject *subject, struct used_map *out,
			   struct q2s_diag *diag);
void used_map_close(struct used_map *map);

/** Is @cluster guest data? And up to which cluster, at most @end, is the answer the same? */
enum q2s_err used_map_run(struct used_map *map, uint64_t cluster, uint64_t end, bool *used,
			  uint64_t *run_end, struct q2s_diag *diag);

/** Output in progress. */
struct hex_printer {
	const struct subject *subject;
	FILE *out;
	bool json;
	struct jstream stream;
};

void hex_begin(struct hex_printer *printer);
/** Returns 0 or, when something could not be written, -1. */
int hex_end(struct hex_printer *printer);

/** A heading for people: a structure starts. */
void hex_title(struct hex_printer *printer, const struct q2s_structure *it);

/** Show a span with its bytes, folded where they repeat. @structure: what it is part of. */
enum q2s_err hex_span(struct hex_printer *printer, const char *structure, const struct span *span,
		      struct q2s_diag *diag);

/** A stretch whose bytes are not shown: guest data, or what belongs to nothing. */
void hex_stretch(struct hex_printer *printer, const char *structure, uint64_t at, uint64_t len,
		 const char *text);

#endif
