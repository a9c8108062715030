/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of the spec language: structures of the image as host offsets, and fields in them. */
#ifndef HOSTILE_PLACE_H
#define HOSTILE_PLACE_H

#include "model.h"

/**
 * Some bits of a big-endian number of @bytes bytes at host offset @at; or refcount @index of the
 * block there.
 */
struct field {
	uint64_t at;
	unsigned bytes;
	uint64_t mask;
	unsigned shift;
	bool is_refcount;
	uint32_t index;
};

/** Parse a structure's name, such as l2[0]; *@text is moved behind it. */
uint64_t place_offset(struct model *model, const char **text);

/** Parse a field's name, such as l2[0][3].copied; *@text is moved behind it. */
struct field place_field(struct model *model, const char **text);

#endif
