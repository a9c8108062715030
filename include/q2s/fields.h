/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fields of each structure of the format, by name: where they lie, how long they are, what they
 * mean. The library decodes by the same table.
 */
#ifndef Q2S_FIELDS_H
#define Q2S_FIELDS_H

#include <q2s/base.h>

Q2S_BEGIN_DECLS

/** Structures that are made of fields. */
enum q2s_record {
	Q2S_RECORD_HEADER,
	Q2S_RECORD_EXTENSION,   /* the head of a header extension */
	Q2S_RECORD_EXT_BITMAPS, /* the data of the bitmaps extension */
	Q2S_RECORD_EXT_CRYPTO,  /* the data of the encryption extension */
	Q2S_RECORD_SNAPSHOT,    /* of the snapshot table, with the known extra data */
	Q2S_RECORD_BITMAP,      /* of the bitmap directory */
	Q2S_RECORD_LUKS,        /* the LUKS header up to its key slots */
	Q2S_RECORD_LUKS_SLOT,
};

/** How a value reads best. */
enum q2s_field_kind {
	Q2S_FIELD_COUNT,  /* decimal */
	Q2S_FIELD_BYTES,  /* a length */
	Q2S_FIELD_OFFSET, /* hexadecimal */
	Q2S_FIELD_MASK,   /* bits */
	Q2S_FIELD_STRING, /* no number: text, a salt, a digest */
};

/**
 * One field.
 *
 * @name     as the format's document has it, lower case with underscores
 * @at       byte offset within the structure
 * @size     bytes; those of a number, 1, 2, 4 or 8, are big-endian
 * @meaning  for people
 */
struct q2s_field {
	const char *name;
	uint32_t at;
	uint32_t size;
	enum q2s_field_kind kind;
	const char *meaning;
};

/** The fields of @record, by ascending offset; static storage. */
const struct q2s_field *q2s_fields(enum q2s_record record, size_t *count);

/** The field of that name, or NULL. */
const struct q2s_field *q2s_field_find(enum q2s_record record, const char *name);

/** The number in @field; @raw is the start of its structure. */
uint64_t q2s_field_get(const struct q2s_field *field, const uint8_t *raw);

Q2S_END_DECLS
#endif
