/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one table of fields: X(offset's name, name, offset, bytes, kind, meaning). Codecs take the
 * offsets from it (Q2SI_FIELD_AT), and q2s_fields() gives it to all who show fields.
 */
#ifndef Q2SI_FORMAT_FIELDS_H
#define Q2SI_FORMAT_FIELDS_H

/** An enumerator: the byte offset of a field. */
#define Q2SI_FIELD_AT(at_name, name, at, size, kind, meaning) at_name = (at),

/* clang-format off */
#define Q2SI_HEADER_FIELDS(X)                                                                      \
	X(AT_MAGIC, "magic", 0, 4, MASK, "\"QFI\" and 0xfb: a qcow2 image")                        \
	X(AT_VERSION, "version", 4, 4, COUNT, "2 (compat 0.10) or 3 (compat 1.1)")                 \
	X(AT_BACKING_FILE_OFFSET, "backing_file_offset", 8, 8, OFFSET,                             \
	  "where the name of the backing file lies; 0: none")                                      \
	X(AT_BACKING_FILE_SIZE, "backing_file_size", 16, 4, BYTES, "length of that name")          \
	X(AT_CLUSTER_BITS, "cluster_bits", 20, 4, COUNT, "a cluster has 1 << cluster_bits bytes")  \
	X(AT_SIZE, "size", 24, 8, BYTES, "size of the guest disk")                                 \
	X(AT_CRYPT_METHOD, "crypt_method", 32, 4, COUNT, "0 none, 1 AES, 2 LUKS")                  \
	X(AT_L1_SIZE, "l1_size", 36, 4, COUNT, "entries in the active L1 table")                   \
	X(AT_L1_TABLE_OFFSET, "l1_table_offset", 40, 8, OFFSET, "where the active L1 table lies")  \
	X(AT_REFCOUNT_TABLE_OFFSET, "refcount_table_offset", 48, 8, OFFSET,                        \
	  "where the refcount table lies")                                                         \
	X(AT_REFCOUNT_TABLE_CLUSTERS, "refcount_table_clusters", 56, 4, COUNT,                     \
	  "clusters of the refcount table")                                                        \
	X(AT_NB_SNAPSHOTS, "nb_snapshots", 60, 4, COUNT, "internal snapshots")                     \
	X(AT_SNAPSHOTS_OFFSET, "snapshots_offset", 64, 8, OFFSET, "where the snapshot table lies") \
	X(AT_INCOMPATIBLE_FEATURES, "incompatible_features", 72, 8, MASK,                          \
	  "an unknown bit here forbids opening the image")                                         \
	X(AT_COMPATIBLE_FEATURES, "compatible_features", 80, 8, MASK,                              \
	  "unknown bits here may be ignored")                                                      \
	X(AT_AUTOCLEAR_FEATURES, "autoclear_features", 88, 8, MASK,                                \
	  "a writer clears the bits that it does not know")                                        \
	X(AT_REFCOUNT_ORDER, "refcount_order", 96, 4, COUNT,                                       \
	  "a refcount has 1 << refcount_order bits")                                               \
	X(AT_HEADER_LENGTH, "header_length", 100, 4, BYTES, "the header extensions start here")    \
	X(AT_COMPRESSION_TYPE, "compression_type", 104, 1, COUNT,                                  \
	  "of compressed clusters: 0 zlib, 1 zstd")

#define Q2SI_EXTENSION_FIELDS(X)                              \
	X(AT_EXT_TYPE, "type", 0, 4, MASK, "extension type")  \
	X(AT_EXT_LENGTH, "length", 4, 4, BYTES, "extension length")

#define Q2SI_EXT_BITMAPS_FIELDS(X)                                                       \
	X(AT_BITMAPS_COUNT, "nb_bitmaps", 0, 4, COUNT, "count")                          \
	X(AT_BITMAPS_RESERVED, "reserved", 4, 4, MASK, "reserved")                       \
	X(AT_BITMAPS_SIZE, "directory_size", 8, 8, BYTES, "directory size")              \
	X(AT_BITMAPS_OFFSET, "directory_offset", 16, 8, OFFSET, "directory offset")

#define Q2SI_EXT_CRYPTO_FIELDS(X)                                                \
	X(AT_CRYPTO_OFFSET, "crypto_offset", 0, 8, OFFSET, "header offset")      \
	X(AT_CRYPTO_LENGTH, "crypto_length", 8, 8, BYTES, "header length")

#define Q2SI_SNAPSHOT_FIELDS(X)                                                          \
	X(AT_L1_OFFSET, "l1_table_offset", 0, 8, OFFSET, "L1 table offset")              \
	X(AT_L1_ENTRIES, "l1_size", 8, 4, COUNT, "L1 entries")                           \
	X(AT_ID_LEN, "id_size", 12, 2, BYTES, "ID length")                               \
	X(AT_NAME_LEN, "name_size", 14, 2, BYTES, "name length")                         \
	X(AT_DATE_SEC, "date_sec", 16, 4, COUNT, "date, s")                              \
	X(AT_DATE_NSEC, "date_nsec", 20, 4, COUNT, "date, ns")                           \
	X(AT_VM_CLOCK_NSEC, "vm_clock_nsec", 24, 8, COUNT, "VM clock, ns")               \
	X(AT_VM_STATE_SIZE, "vm_state_size", 32, 4, BYTES, "VM state size")              \
	X(AT_EXTRA_SIZE, "extra_size", 36, 4, BYTES, "extra data size")                  \
	X(AT_VM_STATE_SIZE_64, "vm_state_size_large", 40, 8, BYTES, "VM state size, 64 bits") \
	X(AT_DISK_SIZE, "disk_size", 48, 8, BYTES, "disk size")                          \
	X(AT_ICOUNT, "icount", 56, 8, COUNT, "icount")

#define Q2SI_BITMAP_FIELDS(X)                                                                \
	X(AT_TABLE_OFFSET, "table_offset", 0, 8, OFFSET, "table offset")                     \
	X(AT_TABLE_ENTRIES, "table_size", 8, 4, COUNT, "table entries")                      \
	X(AT_FLAGS, "flags", 12, 4, MASK, "flags")                                           \
	X(AT_TYPE, "type", 16, 1, COUNT, "type")                                             \
	X(AT_GRANULARITY_BITS, "granularity_bits", 17, 1, COUNT, "granularity bits")         \
	X(AT_NAME_LEN, "name_size", 18, 2, BYTES, "name length")                             \
	X(AT_EXTRA_SIZE, "extra_size", 20, 4, BYTES, "extra data size")

#define Q2SI_LUKS_FIELDS(X)                                                                      \
	X(AT_LUKS_MAGIC, "magic", 0, 6, STRING, "magic")                                         \
	X(AT_LUKS_VERSION, "version", 6, 2, COUNT, "version")                                    \
	X(AT_LUKS_CIPHER_NAME, "cipher_name", 8, 32, STRING, "cipher-name")                      \
	X(AT_LUKS_CIPHER_MODE, "cipher_mode", 40, 32, STRING, "cipher-mode")                     \
	X(AT_LUKS_HASH, "hash_spec", 72, 32, STRING, "hash-spec")                                \
	X(AT_LUKS_PAYLOAD, "payload_offset", 104, 4, COUNT, "payload-offset")                    \
	X(AT_LUKS_KEY_BYTES, "key_bytes", 108, 4, BYTES, "key-bytes")                            \
	X(AT_LUKS_MASTER_DIGEST, "mk_digest", 112, 20, STRING, "mk-digest")                      \
	X(AT_LUKS_MASTER_SALT, "mk_digest_salt", 132, 32, STRING, "mk-digest-salt")              \
	X(AT_LUKS_MASTER_ITERATIONS, "mk_digest_iter", 164, 4, COUNT, "mk-digest-iter")          \
	X(AT_LUKS_UUID, "uuid", 168, 40, STRING, "uuid")

#define Q2SI_LUKS_SLOT_FIELDS(X)                                                         \
	X(AT_SLOT_STATE, "active", 0, 4, MASK, "active")                                 \
	X(AT_SLOT_ITERATIONS, "iterations", 4, 4, COUNT, "iterations")                   \
	X(AT_SLOT_SALT, "salt", 8, 32, STRING, "salt")                                   \
	X(AT_SLOT_KEY, "key_material_offset", 40, 4, COUNT, "key-material-offset")       \
	X(AT_SLOT_STRIPES, "stripes", 44, 4, COUNT, "stripes")
/* clang-format on */

#endif
