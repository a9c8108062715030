/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small things that every text of ours shows in the same way. */
#ifndef INSPECT_SHOW_H
#define INSPECT_SHOW_H

#include <stdio.h>

#include <q2s/fields.h>
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

/** The name of a header extension type, "unknown" where we know none. Static storage. */
const char *extension_name(uint32_t type);

/** "none", "AES", "LUKS", or "unknown". Static storage. */
const char *crypt_name(uint32_t method);

/** "zlib", "zstd", or "unknown": the words of `qemu-img info`. Static storage. */
const char *compression_name(uint8_t type);

/** What an L2 entry says as a whole: "data", "mixed" where its subclusters differ. */
const char *show_l2_kind(const struct q2s_geom *geom, const struct q2s_l2_entry *entry);

/** The fields of the fixed header, those that one of @length bytes has: version 2 has 72. */
size_t header_fields(const struct q2s_field **out, uint32_t length);

/** Is it best read in hexadecimal? */
bool field_is_hex(const struct q2s_field *field);

#endif
