/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The language of SPECs, KIND@OFFSET+LENGTH[:ARG],... : regions of the guest disk. */
#ifndef COMMON_SPEC_H
#define COMMON_SPEC_H

#include <q2s/base.h>

enum region_kind {
	REGION_DATA,
	REGION_ZERO,
	REGION_DISCARD,    /* explicitly unallocated */
	REGION_ZERO_ALLOC, /* reads as zero, preallocated */
	REGION_COMPRESSED,
};

/**
 * A stretch of the guest disk. Offsets and lengths in bytes.
 *
 * @seeded, @seed, @fill  content of DATA and COMPRESSED, as in struct q2s_pattern
 * @text                  as it was written, for messages
 * @file, @line           where it was written, borrowed; NULL and 0: on the command line
 * @word                  how messages call the word of the command line
 */
struct region {
	uint64_t start;
	uint64_t len;
	enum region_kind kind;
	bool seeded;
	uint64_t seed;
	uint8_t fill;
	char *text;
	const char *file;
	unsigned line;
	const char *word;
};

/**
 * All regions in the order in which they were written; later ones win. Zero-initialise.
 *
 * @word  how messages call a word of the command line; static storage; NULL: "--write"
 */
struct spec_list {
	const char *word;
	struct region *items; /* each owns its @text */
	size_t count, room;
};

/** The words of `KIND@...`. */
const char *region_kind_name(enum region_kind kind);

/** Append the regions of one comma list. Q2S_E_USAGE names the region that is wrong. */
enum q2s_err spec_add(struct spec_list *list, const char *text, struct q2s_diag *diag);

/** Append a comma list a line; blank lines and what follows a # are ignored. Borrows @path. */
enum q2s_err spec_add_file(struct spec_list *list, const char *path, struct q2s_diag *diag);

void spec_free(struct spec_list *list);

/** Record that @region cannot be: USAGE or CONFLICT, with its text and line. Returns @err. */
enum q2s_err spec_fault(struct q2s_diag *diag, enum q2s_err err, const struct region *region,
			const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
