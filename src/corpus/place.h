/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of the spec language: structures of the image as host offsets, and fields in them. */
#ifndef CORPUS_PLACE_H
#define CORPUS_PLACE_H

#include "model.h"

/**
 * Some bits of a big-endian number of @bytes bytes at host offset @at; or refcount @index of the
 * block at @block, which begins in the byte at @at.
 */
struct field {
	uint64_t at;
	unsigned bytes;
	uint64_t mask;
	unsigned shift;
	bool is_refcount;
	uint64_t block;
	uint32_t index;
};

/** NAME[I][J].FIELD; @count: how many indices there are. */
struct path {
	char name[32];
	uint64_t index[2];
	unsigned count;
	char field[32];
};

/** Parse a path; *@text is moved behind it. */
enum q2s_err path_parse(struct model *model, const char **text, struct path *out);

/** Index @which, 0 or 1, of a path, which has to be there and below @limit. */
enum q2s_err path_index(struct model *model, const struct path *path, unsigned which,
			uint64_t limit, uint64_t *out);

/** The host offset of the structure that a path's name and first index stand for. */
enum q2s_err path_offset(struct model *model, const struct path *path, uint64_t *out);

/** Parse a structure's name, such as l2[0]; *@text is moved behind it. */
enum q2s_err place_offset(struct model *model, const char **text, uint64_t *out);

/** Parse a field's name, such as l2[0][3].copied; *@text is moved behind it. */
enum q2s_err place_field(struct model *model, const char **text, struct field *out);

#endif
