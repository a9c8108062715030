/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names and meanings of what the header holds. */
#include "inspect/fields.h"

#include <q2s/format.h>

#include "base/bytes.h"
#include "format/header.h"

const struct header_field header_fields[] = {
	{ "magic", AT_MAGIC, 4, FIELD_MASK, "\"QFI\" and 0xfb: a qcow2 image" },
	{ "version", AT_VERSION, 4, FIELD_COUNT, "2 (compat 0.10) or 3 (compat 1.1)" },
	{ "backing_file_offset", AT_BACKING_FILE_OFFSET, 8, FIELD_OFFSET,
	  "where the name of the backing file lies; 0: none" },
	{ "backing_file_size", AT_BACKING_FILE_SIZE, 4, FIELD_BYTES, "length of that name" },
	{ "cluster_bits", AT_CLUSTER_BITS, 4, FIELD_COUNT,
	  "a cluster has 1 << cluster_bits bytes" },
	{ "size", AT_SIZE, 8, FIELD_BYTES, "size of the guest disk" },
	{ "crypt_method", AT_CRYPT_METHOD, 4, FIELD_COUNT, "0 none, 1 AES, 2 LUKS" },
	{ "l1_size", AT_L1_SIZE, 4, FIELD_COUNT, "entries in the active L1 table" },
	{ "l1_table_offset", AT_L1_TABLE_OFFSET, 8, FIELD_OFFSET,
	  "where the active L1 table lies" },
	{ "refcount_table_offset", AT_REFCOUNT_TABLE_OFFSET, 8, FIELD_OFFSET,
	  "where the refcount table lies" },
	{ "refcount_table_clusters", AT_REFCOUNT_TABLE_CLUSTERS, 4, FIELD_COUNT,
	  "clusters of the refcount table" },
	{ "nb_snapshots", AT_NB_SNAPSHOTS, 4, FIELD_COUNT, "internal snapshots" },
	{ "snapshots_offset", AT_SNAPSHOTS_OFFSET, 8, FIELD_OFFSET,
	  "where the snapshot table lies" },
	{ "incompatible_features", AT_INCOMPATIBLE_FEATURES, 8, FIELD_MASK,
	  "an unknown bit here forbids opening the image" },
	{ "compatible_features", AT_COMPATIBLE_FEATURES, 8, FIELD_MASK,
	  "unknown bits here may be ignored" },
	{ "autoclear_features", AT_AUTOCLEAR_FEATURES, 8, FIELD_MASK,
	  "a writer clears the bits that it does not know" },
	{ "refcount_order", AT_REFCOUNT_ORDER, 4, FIELD_COUNT,
	  "a refcount has 1 << refcount_order bits" },
	{ "header_length", AT_HEADER_LENGTH, 4, FIELD_BYTES, "the header extensions start here" },
	{ "compression_type", AT_COMPRESSION_TYPE, 1, FIELD_COUNT,
	  "of compressed clusters: 0 zlib, 1 zstd" },
};
const size_t header_field_count = sizeof(header_fields) / sizeof(header_fields[0]);

bool
header_field_present(const struct header_field *field, uint32_t length)
{
	return field->at + field->size <= length;
}

uint64_t
header_field_get(const struct header_field *field, const uint8_t *head)
{
	const uint8_t *const raw = head + field->at;

	switch (field->size) {
	case 8:
		return q2si_get_be64(raw);
	case 4:
		return q2si_get_be32(raw);
	default:
		return *raw;
	}
}

const char *
extension_name(uint32_t type)
{
	switch (type) {
	case Q2S_EXT_END:
		return "end";
	case Q2S_EXT_BACKING_FORMAT:
		return "backing format";
	case Q2S_EXT_FEATURE_NAMES:
		return "feature name table";
	case Q2S_EXT_BITMAPS:
		return "bitmaps";
	case Q2S_EXT_CRYPTO:
		return "encryption header pointer";
	case Q2S_EXT_DATA_FILE:
		return "external data file name";
	default:
		return "unknown";
	}
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
