/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small things that every text of ours shows in the same way. */
#include "inspect/show.h"

#include <inttypes.h>
#include <string.h>

#include "common/escape.h"

const char *
show_hex(uint64_t value, char buf[SHOW_HEX])
{
	snprintf(buf, SHOW_HEX, "0x%" PRIx64, value);
	return buf;
}

void
show_quoted(FILE *out, struct q2s_bytes bytes)
{
	fputc('"', out);
	escape_print(out, bytes.data, bytes.len);
	fputc('"', out);
}

void
show_name(FILE *out, const char *name)
{
	escape_print(out, name, strlen(name));
}

const char *
show_plural(uint64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

/* ---- what numbers of the header stand for ------------------------------------------------ */

const char *
extension_name(uint32_t type)
{
	const char *const name = q2s_ext_name(type);

	return name ? name : "unknown";
}

const char *
crypt_name(uint32_t method)
{
	switch (method) {
	case Q2S_CRYPT_NONE:
		return "none";
	case Q2S_CRYPT_AES:
		return "AES";
	case Q2S_CRYPT_LUKS:
		return "LUKS";
	default:
		return "unknown";
	}
}

const char *
compression_name(uint8_t type)
{
	switch (type) {
	case Q2S_COMPRESSION_ZLIB:
		return "zlib";
	case Q2S_COMPRESSION_ZSTD:
		return "zstd";
	default:
		return "unknown";
	}
}

const char *
show_l2_kind(const struct q2s_geom *geom, const struct q2s_l2_entry *entry)
{
	if (entry->compressed)
		return "compressed";
	if (entry->alloc == geom->sub_mask)
		return "data";
	if (entry->zero == geom->sub_mask)
		return "zero";
	return entry->alloc | entry->zero ? "mixed" : "unallocated";
}

size_t
header_fields(const struct q2s_field **out, uint32_t length)
{
	size_t count;

	*out = q2s_fields(Q2S_RECORD_HEADER, &count);
	while (count && (*out)[count - 1].at + (*out)[count - 1].size > length)
		count--;
	return count;
}

bool
field_is_hex(const struct q2s_field *field)
{
	return field->kind == Q2S_FIELD_OFFSET || field->kind == Q2S_FIELD_MASK;
}
