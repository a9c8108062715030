/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fields of the fixed header, for those who show them: dump, hex, explain and info. */
#ifndef INSPECT_FIELDS_H
#define INSPECT_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** How a value reads best. */
enum field_kind { FIELD_COUNT, FIELD_BYTES, FIELD_OFFSET, FIELD_MASK };

/**
 * One field of the fixed header.
 *
 * @name     as the format's document has it
 * @at       byte offset
 * @size     bytes: 1, 4 or 8
 * @kind     how to show it
 * @meaning  for people who learn the format
 */
struct header_field {
	const char *name;
	uint32_t at;
	uint32_t size;
	enum field_kind kind;
	const char *meaning;
};

extern const struct header_field header_fields[];
extern const size_t header_field_count;

/** Is the field there, in a header of @length bytes? Version 2 has 72. */
bool header_field_present(const struct header_field *field, uint32_t length);

/** The stored value; @head is the start of the file, at least 112 bytes. */
uint64_t header_field_get(const struct header_field *field, const uint8_t *head);

/** The name of a header extension type, "unknown" where we know none. Static storage. */
const char *extension_name(uint32_t type);

/** "none", "AES", "LUKS", or "unknown". Static storage. */
const char *crypt_name(uint32_t method);

/** "zlib", "zstd", or "unknown": the words of `qemu-img info`. Static storage. */
const char *compression_name(uint8_t type);

#endif
