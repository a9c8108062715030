/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 1: the qcow2 format. Geometry, and the codec of every on-disk structure.
 *
 * Everything here is pure: it reads and writes buffers, does no I/O, allocates nothing and prints
 * nothing. On-disk integers are big-endian; decoded values are in the machine's order. A decoded
 * value is always legal: what breaks a rule is refused, with its own error code. Every decoder
 * takes the host offset of the bytes, which is only copied into the diagnostic.
 *
 * Source of the rules: QEMU's docs/interop/qcow2.rst, and QEMU's behaviour where that is silent.
 */
#ifndef Q2S_FORMAT_H
#define Q2S_FORMAT_H

#include <q2s/base.h>

Q2S_BEGIN_DECLS

/* ---- facts: each number once ------------------------------------------------------------- */

#define Q2S_MAGIC 0x514649fbu /* "QFI\xfb" */

#define Q2S_CLUSTER_BITS_MIN 9
#define Q2S_CLUSTER_BITS_MAX 21
#define Q2S_CLUSTER_BITS_MIN_EXTENDED 14
#define Q2S_CLUSTER_BITS_DEFAULT 16
#define Q2S_REFCOUNT_ORDER_MAX 6
#define Q2S_REFCOUNT_ORDER_DEFAULT 4
#define Q2S_SUBCLUSTERS 32u /* in a cluster with extended L2 */
#define Q2S_SECTOR 512u

#define Q2S_HEADER_V2_SIZE 72u
#define Q2S_HEADER_V3_MIN 104u
#define Q2S_HEADER_V3_SIZE 112u /* what we write */

#define Q2S_L1_ENTRY_SIZE 8u
#define Q2S_L2_ENTRY_SIZE 8u   /* standard */
#define Q2S_L2X_ENTRY_SIZE 16u /* extended */
#define Q2S_REFTABLE_ENTRY_SIZE 8u
#define Q2S_BITMAP_TABLE_ENTRY_SIZE 8u
#define Q2S_FEATURE_NAME_SIZE 48u
#define Q2S_EXT_HEAD_SIZE 8u

/* QEMU's limits (block/qcow2.h); an image beyond them is never written. */
#define Q2S_L1_MAX_BYTES (32u << 20)        /* QCOW_MAX_L1_SIZE */
#define Q2S_REFTABLE_MAX_BYTES (8u << 20)   /* QCOW_MAX_REFTABLE_SIZE */
#define Q2S_SNAPSHOTS_MAX 65536u            /* QCOW_MAX_SNAPSHOTS */
#define Q2S_SNAPSHOT_TABLE_MAX_BYTES (64u << 20)
#define Q2S_SNAPSHOT_EXTRA_MAX 1024u
#define Q2S_BACKING_NAME_MAX 1023u
#define Q2S_FORMAT_NAME_MAX 15u
#define Q2S_BITMAPS_MAX 65535u
#define Q2S_BITMAP_NAME_MAX 1023u
#define Q2S_BITMAP_DIRECTORY_MAX_BYTES (1024ull * 65535)
#define Q2S_BITMAP_TABLE_MAX_ENTRIES (1u << 27)
#define Q2S_BITMAP_MAX_BYTES (512ull << 20)
#define Q2S_BITMAP_GRANULARITY_BITS_MIN 9
#define Q2S_BITMAP_GRANULARITY_BITS_MAX 31
#define Q2S_HOST_OFFSET_LIMIT (1ull << 56)  /* first offset that an entry cannot hold */
#define Q2S_SIZE_LIMIT (1ull << 63)         /* first virtual size that QEMU refuses */

/* Feature bits. */
#define Q2S_INCOMPAT_DIRTY (1ull << 0)
#define Q2S_INCOMPAT_CORRUPT (1ull << 1)
#define Q2S_INCOMPAT_DATA_FILE (1ull << 2)
#define Q2S_INCOMPAT_COMPRESSION (1ull << 3)
#define Q2S_INCOMPAT_EXTENDED_L2 (1ull << 4)
#define Q2S_INCOMPAT_KNOWN 0x1full
#define Q2S_COMPAT_LAZY_REFCOUNTS (1ull << 0)
#define Q2S_AUTOCLEAR_BITMAPS (1ull << 0)
#define Q2S_AUTOCLEAR_DATA_FILE_RAW (1ull << 1)
/* Private to q2s, not registered with the format: the mark (struct q2s_mark) is valid. */
#define Q2S_AUTOCLEAR_MARK (1ull << 48)
#define Q2S_AUTOCLEAR_KNOWN \
	(Q2S_AUTOCLEAR_BITMAPS | Q2S_AUTOCLEAR_DATA_FILE_RAW | Q2S_AUTOCLEAR_MARK)

/* Header extension types. */
#define Q2S_EXT_END 0x00000000u
#define Q2S_EXT_BACKING_FORMAT 0xe2792acau
#define Q2S_EXT_FEATURE_NAMES 0x6803f857u
#define Q2S_EXT_BITMAPS 0x23852875u
#define Q2S_EXT_CRYPTO 0x0537be77u
#define Q2S_EXT_DATA_FILE 0x44415441u
#define Q2S_EXT_MARK 0x7132736du /* "q2sm", private to q2s */

/* Bits of table entries. */
#define Q2S_ENTRY_COPIED (1ull << 63)
#define Q2S_ENTRY_COMPRESSED (1ull << 62)
#define Q2S_ENTRY_ZERO (1ull << 0)
#define Q2S_ENTRY_HOST_MASK 0x00fffffffffffe00ull

enum q2s_crypt_method { Q2S_CRYPT_NONE = 0, Q2S_CRYPT_AES = 1, Q2S_CRYPT_LUKS = 2 };
enum q2s_compression_type { Q2S_COMPRESSION_ZLIB = 0, Q2S_COMPRESSION_ZSTD = 1 };

/* ---- geometry ---------------------------------------------------------------------------- */

/**
 * The numbers that follow from version, cluster size, kind of L2, refcount width and virtual
 * size. Filled by q2s_geom_init() alone; a filled one is legal and within QEMU's limits.
 *
 * A standard image is one with a single subcluster per cluster: code that thinks in subclusters
 * needs no second case.
 *
 * @version           2 or 3
 * @cluster_bits      log2 of @cluster_size, 9..21
 * @cluster_size      bytes
 * @extended          128-bit L2 entries with subcluster bitmaps
 * @data_file         guest data lies in an external data file
 * @sub_count         subclusters per cluster: 1 or 32
 * @sub_mask          one bit per subcluster, all set: 1 or 0xffffffff
 * @sub_bits          log2 of @sub_size
 * @sub_size          bytes
 * @l2_entry_size     bytes: 8 or 16
 * @l2_bits           log2 of @l2_entries
 * @l2_entries        entries per L2 table
 * @l2_span           guest bytes that one L2 table maps
 * @refcount_order    0..6
 * @refcount_bits     1..64
 * @refcount_max      the largest count that fits
 * @block_bits        log2 of @block_entries
 * @block_entries     counts per refcount block
 * @size              guest bytes, a multiple of 512 below 2^63
 * @clusters          guest clusters, the last may be partial
 * @l1_entries        L1 entries needed for @size
 */
struct q2s_geom {
	uint32_t version;
	uint32_t cluster_bits;
	uint32_t cluster_size;
	bool extended;
	bool data_file;
	uint32_t sub_count;
	uint32_t sub_mask;
	uint32_t sub_bits;
	uint32_t sub_size;
	uint32_t l2_entry_size;
	uint32_t l2_bits;
	uint32_t l2_entries;
	uint64_t l2_span;
	uint32_t refcount_order;
	uint32_t refcount_bits;
	uint64_t refcount_max;
	uint32_t block_bits;
	uint32_t block_entries;
	uint64_t size;
	uint64_t clusters;
	uint64_t l1_entries;
};

/** What q2s_geom_init() derives everything from. */
struct q2s_geom_params {
	uint32_t version;
	uint32_t cluster_bits;
	uint32_t refcount_order;
	bool extended;
	bool data_file;
	uint64_t size;
};

/**
 * Derive a geometry.
 *
 * @params  @size is rounded up to a multiple of 512, as qemu-img create does
 * @out     written on success only
 *
 * Returns Q2S_OK, or
 *   Q2S_E_UNSUPPORTED  version other than 2 or 3
 *   Q2S_E_USAGE        cluster_bits or refcount_order out of range
 *   Q2S_E_CONFLICT     extended L2, data file or a width other than 16 bits in version 2;
 *                      extended L2 with clusters under 16 KiB
 *   Q2S_E_LIMIT        @size of 2^63 or more, or an L1 table over 32 MiB
 */
enum q2s_err q2s_geom_init(const struct q2s_geom_params *params, struct q2s_geom *out,
			   struct q2s_diag *diag);

/** The same geometry for a disk of @size bytes. Fails as q2s_geom_init() does. */
enum q2s_err q2s_geom_resize(const struct q2s_geom *geom, uint64_t size, struct q2s_geom *out,
			     struct q2s_diag *diag);

/** The largest disk that such an image can show, in bytes; @geom's own size plays no part. */
uint64_t q2s_geom_size_max(const struct q2s_geom *geom);

/** Index of the L1 entry that covers @guest. */
static inline uint64_t
q2s_l1_index(const struct q2s_geom *geom, q2s_guest guest)
{
	return guest.v >> geom->cluster_bits >> geom->l2_bits;
}

/** Index within its L2 table of the entry that covers @guest. */
static inline uint32_t
q2s_l2_index(const struct q2s_geom *geom, q2s_guest guest)
{
	return (uint32_t)(guest.v >> geom->cluster_bits) & (geom->l2_entries - 1);
}

/** Byte offset of @guest within its cluster. */
static inline uint32_t
q2s_in_cluster(const struct q2s_geom *geom, q2s_guest guest)
{
	return (uint32_t)guest.v & (geom->cluster_size - 1);
}

/** Index of the subcluster of @guest within its cluster; 0 in standard images. */
static inline uint32_t
q2s_sub_index(const struct q2s_geom *geom, q2s_guest guest)
{
	return q2s_in_cluster(geom, guest) >> geom->sub_bits;
}

/** How many refcount blocks and table clusters describe @n other clusters and themselves. */
struct q2s_refcount_size {
	uint64_t blocks;
	uint64_t table_clusters; /* never 0 */
};

/**
 * Solve the fixed point of the refcount structures, which count themselves.
 *
 * @others  host clusters that are neither refcount block nor refcount table
 *
 * Returns Q2S_OK; Q2S_E_LIMIT when the table would exceed Q2S_REFTABLE_MAX_BYTES or the file
 * would exceed Q2S_HOST_OFFSET_LIMIT.
 */
enum q2s_err q2s_refcount_size_solve(const struct q2s_geom *geom, uint64_t others,
				     struct q2s_refcount_size *out, struct q2s_diag *diag);

/* ---- header ------------------------------------------------------------------------------ */

/**
 * The fixed part of the header, both versions. In version 2 the fields from
 * @incompatible_features on have the values that version 2 implies (order 4, length 72).
 */
struct q2s_header {
	uint32_t version;
	q2s_host backing_file_offset; /* 0: no backing file */
	uint32_t backing_file_size;   /* bytes of the name */
	uint32_t cluster_bits;
	uint64_t size; /* guest bytes, as stored */
	uint32_t crypt_method;
	uint32_t l1_size; /* entries */
	q2s_host l1_table_offset;
	q2s_host refcount_table_offset;
	uint32_t refcount_table_clusters;
	uint32_t nb_snapshots;
	q2s_host snapshots_offset;
	uint64_t incompatible_features;
	uint64_t compatible_features;
	uint64_t autoclear_features;
	uint32_t refcount_order;
	uint32_t header_length;
	uint8_t compression_type;
};

/**
 * Decode and validate the fixed header: every rule that can be judged from these bytes alone and
 * whose breach makes the guest data unreadable or the file dangerous to open.
 *
 * What only hurts refcounts, snapshots or bitmaps is left to q2s_header_check_tables(), so that a
 * reader may deliver the data of such an image.
 *
 * @buf   the first @len bytes of the file; bytes behind the end of a short file count as zero,
 *        but at least 72 (version 2) or 104 (version 3) must be there
 * @out   written on success only
 *
 * Returns Q2S_OK, or
 *   Q2S_E_SHORT        the file is shorter than its header
 *   Q2S_E_MAGIC        not qcow2
 *   Q2S_E_UNSUPPORTED  version, crypt_method, compression type, or unknown incompatible bit
 *                      (@diag->value: the unknown bits)
 *   Q2S_E_LIMIT        size of 2^63 or more, L1 over 32 MiB
 *   Q2S_E_HEADER       any other field out of range or contradicting another
 *   Q2S_E_OFFSET       L1 table misaligned, or 0 with l1_size and size not 0
 */
enum q2s_err q2s_header_decode(const uint8_t *buf, size_t len, struct q2s_header *out,
			       struct q2s_diag *diag);

/**
 * The fields alone, without the judgement of q2s_header_decode(), for those who show or judge a bad
 * header themselves; for version 2 the values that it implies. Pure.
 *
 * @raw  Q2S_HEADER_V3_SIZE bytes
 */
void q2s_header_as_stored(const uint8_t *raw, struct q2s_header *out);

/**
 * Check the fields that locate the refcount table and the snapshot table: alignment, limits, not
 * empty. Pure.
 *
 * Returns Q2S_OK, Q2S_E_OFFSET, Q2S_E_LIMIT, or Q2S_E_REFCOUNT (a table of 0 clusters).
 */
enum q2s_err q2s_header_check_tables(const struct q2s_header *header, struct q2s_diag *diag);

/**
 * Encode the fixed header: 72 bytes for version 2, @header->header_length (104..cluster size, a
 * multiple of 8) for version 3; padding is zero.
 *
 * @cap  bytes at @buf; Q2S_E_USAGE when the header does not fit
 * Everything that q2s_header_decode() would refuse is refused here with the same code.
 */
enum q2s_err q2s_header_encode(const struct q2s_header *header, uint8_t *buf, size_t cap,
			       struct q2s_diag *diag);

/** The geometry of a decoded header, @size rounded down to 512. Fails as q2s_geom_init() does. */
enum q2s_err q2s_header_geom(const struct q2s_header *header, struct q2s_geom *out,
			     struct q2s_diag *diag);

/** The name of a feature bit: @kind 0 incompatible, 1 compatible, 2 autoclear. NULL if unknown. */
const char *q2s_feature_name(unsigned kind, unsigned bit);

/* ---- header extensions ------------------------------------------------------------------- */

/** One header extension record; @data points into the buffer that was decoded. */
struct q2s_ext {
	uint32_t type;
	uint32_t len; /* bytes of @data, without padding */
	q2s_host at;  /* of the record's head */
	const uint8_t *data;
};

/** What a type of header extension is called. NULL if unknown. */
const char *q2s_ext_name(uint32_t type);

/** Where the extension area of @header ends: the backing file name, or the end of cluster 0. */
q2s_host q2s_ext_area_end(const struct q2s_header *header);

/**
 * Step through the extension records.
 *
 * @buf   cluster 0, @len bytes from offset 0 (at least up to the area's end, or the file's end)
 * @end   q2s_ext_area_end()
 * @pos   in: offset of the record (start with header_length); out: of the next one
 * @out   the record; type Q2S_EXT_END when the area ends, with or without an end record
 *
 * Returns Q2S_OK or Q2S_E_EXTENSION (a record that crosses the area's end).
 */
enum q2s_err q2s_ext_next(const uint8_t *buf, size_t len, q2s_host end, uint64_t *pos,
			  struct q2s_ext *out, struct q2s_diag *diag);

/**
 * Append one record, padded with zeros to 8 bytes, at *@pos and advance it.
 *
 * Returns Q2S_OK, or Q2S_E_LIMIT when it does not fit below @cap.
 */
enum q2s_err q2s_ext_encode(uint32_t type, const void *data, uint32_t len, uint8_t *buf,
			    size_t cap, uint64_t *pos, struct q2s_diag *diag);

/** One item of the feature name table. @name is NUL-terminated, at most 46 bytes of text. */
struct q2s_feature_item {
	uint8_t kind;
	uint8_t bit;
	char name[47];
};

/** Decode item @index of a feature name table; Q2S_E_EXTENSION for a kind or bit out of range. */
enum q2s_err q2s_feature_item_decode(const struct q2s_ext *ext, uint32_t index,
				     struct q2s_feature_item *out, struct q2s_diag *diag);
/** Write one item, Q2S_FEATURE_NAME_SIZE bytes. */
void q2s_feature_item_encode(const struct q2s_feature_item *item, uint8_t *raw);

/**
 * What an image itself calls a feature bit: finds it in the image's feature name table. Meant for a
 * header that q2s_header_decode() refuses because of that very bit and of nothing else.
 *
 * @buf  cluster 0 of the image, or as much of it as there is, @len bytes
 * @out  written on success only; the name is the image's, not to be trusted
 *
 * Returns whether the table names the bit.
 */
bool q2s_feature_find(const uint8_t *buf, size_t len, unsigned kind, unsigned bit,
		      struct q2s_feature_item *out);

/** The bitmaps extension. */
struct q2s_ext_bitmaps {
	uint32_t count;
	uint64_t directory_size;
	q2s_host directory_offset;
};
#define Q2S_EXT_BITMAPS_SIZE 24u

/** Q2S_E_BITMAP: wrong length, reserved field set, count or size out of range; Q2S_E_OFFSET. */
enum q2s_err q2s_ext_bitmaps_decode(const struct q2s_geom *geom, const struct q2s_ext *ext,
				    struct q2s_ext_bitmaps *out, struct q2s_diag *diag);
/** Write Q2S_EXT_BITMAPS_SIZE bytes. */
void q2s_ext_bitmaps_encode(const struct q2s_ext_bitmaps *in, uint8_t *raw);

/** The full disk encryption header pointer. */
struct q2s_ext_crypto {
	q2s_host offset;
	uint64_t length;
};
#define Q2S_EXT_CRYPTO_SIZE 16u

/** Q2S_E_CRYPTO: wrong length or range; Q2S_E_OFFSET: not cluster-aligned. */
enum q2s_err q2s_ext_crypto_decode(const struct q2s_geom *geom, const struct q2s_ext *ext,
				   struct q2s_ext_crypto *out, struct q2s_diag *diag);
/** Write Q2S_EXT_CRYPTO_SIZE bytes. */
void q2s_ext_crypto_encode(const struct q2s_ext_crypto *in, uint8_t *raw);

/** What a layer is known by. All zero: none. */
struct q2s_id {
	uint8_t bytes[16];
};
#define Q2S_ID_TEXT 37u /* bytes of a UUID and a NUL */

bool q2s_id_is_none(const struct q2s_id *id);
bool q2s_id_equal(const struct q2s_id *a, const struct q2s_id *b);
/** Write @id as a UUID in lower case, Q2S_ID_TEXT bytes; returns @text. */
char *q2s_id_text(const struct q2s_id *id, char *text);
/** 32 hexadecimal digits in either case, or a UUID. False for anything else, and for all zeros. */
bool q2s_id_parse(const char *text, struct q2s_id *out);

/**
 * The mark of a layer: which one it is, and of which one it holds the changes. Its extension and
 * the autoclear bit Q2S_AUTOCLEAR_MARK are private to q2s. Other writers keep the extension and
 * clear the bit, so that a mark without the bit is that of a layer as it once was.
 *
 * @id      never none
 * @parent  none: there is no parent, or it is not known which one; never equal to @id
 */
struct q2s_mark {
	struct q2s_id id;
	struct q2s_id parent;
};
#define Q2S_EXT_MARK_SIZE 32u

/** Q2S_E_EXTENSION: wrong length, no id, or a layer that is its own parent. */
enum q2s_err q2s_ext_mark_decode(const struct q2s_ext *ext, struct q2s_mark *out,
				 struct q2s_diag *diag);
/** Write Q2S_EXT_MARK_SIZE bytes. */
void q2s_ext_mark_encode(const struct q2s_mark *in, uint8_t *raw);

/* ---- L1 ---------------------------------------------------------------------------------- */

/** One L1 entry. @l2.v == 0: the whole range is unallocated. */
struct q2s_l1_entry {
	q2s_host l2;
	bool copied;
};

/**
 * Decode 8 bytes. Q2S_E_RESERVED; Q2S_E_OFFSET: L2 table not cluster-aligned. COPIED without an
 * L2 table is tolerated (and dropped).
 */
enum q2s_err q2s_l1_decode(const struct q2s_geom *geom, const uint8_t *raw, q2s_host at,
			   struct q2s_l1_entry *out, struct q2s_diag *diag);
/**
 * Where the L2 table of an L1 entry lies, read as leniently as QEMU does: reserved bits are passed
 * over. False for an empty entry and for an offset that cannot be.
 */
bool q2s_l1_target(const struct q2s_geom *geom, const uint8_t *raw, q2s_host *out);
/** Encode 8 bytes; refuses what q2s_l1_decode() refuses; Q2S_E_COPIED: without an L2 table. */
enum q2s_err q2s_l1_encode(const struct q2s_geom *geom, const struct q2s_l1_entry *in,
			   uint8_t *raw, struct q2s_diag *diag);

/* ---- L2, standard and extended ----------------------------------------------------------- */

/** How a subcluster (in a standard image: the cluster) reads. */
enum q2s_state {
	Q2S_ABSENT, /* from the backing file, or zero without one */
	Q2S_ZERO,
	Q2S_DATA,
};

/**
 * One L2 entry of either kind. A standard entry is one with a single subcluster: its bit 0 of
 * @alloc or @zero tells what an extended entry tells for 32.
 *
 * @compressed  a compressed descriptor: only @comp_at and @comp_bytes count
 * @copied      the host cluster's refcount is exactly 1
 * @has_host    a host cluster is owned (also where nothing reads from it)
 * @host        its offset, cluster-aligned; may be 0 with @has_host in a data-file image only
 * @alloc       bit s: subcluster s reads from host + s * sub_size
 * @zero        bit s: subcluster s reads as zero; disjoint from @alloc
 * @comp_at     first byte of the compressed stream, no alignment
 * @comp_bytes  bytes available to the decoder, up to the end of a 512-byte sector
 */
struct q2s_l2_entry {
	bool compressed;
	bool copied;
	bool has_host;
	q2s_host host;
	uint32_t alloc;
	uint32_t zero;
	q2s_host comp_at;
	uint32_t comp_bytes;
};

/**
 * Decode one L2 entry of @geom's kind: geom->l2_entry_size bytes.
 *
 * Returns Q2S_OK, or
 *   Q2S_E_RESERVED    a bit that must be zero is set (bit 0 of an extended descriptor included)
 *   Q2S_E_OFFSET      host offset not cluster-aligned
 *   Q2S_E_COPIED      COPIED on a compressed entry
 *   Q2S_E_ZERO_FLAG   the zero flag in a version 2 image
 *   Q2S_E_SUBCLUSTER  subcluster both allocated and zero, or allocated without a host cluster
 *   Q2S_E_COMPRESSED  compressed with a data file, with a bitmap, or past 2^56
 * COPIED on an entry without host cluster is tolerated (and dropped), as QEMU does. In an image
 * with a data file, host offset 0 with COPIED is a host cluster, and 0 without COPIED is none.
 */
enum q2s_err q2s_l2_decode(const struct q2s_geom *geom, const uint8_t *raw, q2s_host at,
			   struct q2s_l2_entry *out, struct q2s_diag *diag);

/**
 * Decode what a reader can still use: as q2s_l2_decode(), but breaches that QEMU ignores while
 * reading and that leave no doubt about the guest's bytes (reserved bits, COPIED on a compressed
 * entry, a bitmap on a compressed entry, bit 0 of an extended descriptor) are passed over. Fails
 * with the other codes of that function.
 */
enum q2s_err q2s_l2_decode_lenient(const struct q2s_geom *geom, const uint8_t *raw, q2s_host at,
				   struct q2s_l2_entry *out, struct q2s_diag *diag);

/**
 * Encode geom->l2_entry_size bytes; refuses what q2s_l2_decode() refuses, with the same code, and
 * fields that the entry cannot hold.
 *
 * A compressed entry stores whole sectors only: @in->comp_bytes may be the exact length of the
 * stream or already end on a sector; decoding gives the latter, q2s_comp_sectors() its sectors.
 * Fails with those codes, and Q2S_E_OFFSET or Q2S_E_COMPRESSED for such fields.
 */
enum q2s_err q2s_l2_encode(const struct q2s_geom *geom, const struct q2s_l2_entry *in,
			   uint8_t *raw, struct q2s_diag *diag);

/**
 * Encode @count entries that differ only in their host cluster: entry i is @in with the host
 * offset advanced by i clusters. For entries without a host cluster they are all equal. Not for
 * compressed entries (Q2S_E_USAGE); else refuses what q2s_l2_encode() refuses.
 *
 * @raw  @count * geom->l2_entry_size bytes
 */
enum q2s_err q2s_l2_encode_run(const struct q2s_geom *geom, const struct q2s_l2_entry *in,
			       uint32_t count, uint8_t *raw, struct q2s_diag *diag);

/** How subcluster @sub (0 in a standard image) of a plain entry reads. Not for compressed ones. */
static inline enum q2s_state
q2s_l2_state(const struct q2s_l2_entry *entry, uint32_t sub)
{
	if (entry->alloc >> sub & 1)
		return Q2S_DATA;
	return entry->zero >> sub & 1 ? Q2S_ZERO : Q2S_ABSENT;
}

/** Number of low bits of a compressed descriptor that hold the host offset: 70 - cluster_bits. */
static inline uint32_t
q2s_comp_offset_bits(const struct q2s_geom *geom)
{
	return 70 - geom->cluster_bits;
}

/** Host bytes that a compressed cluster of @len bytes at @at occupies in whole 512-byte sectors. */
struct q2s_comp_range {
	q2s_host first; /* sector-aligned */
	uint64_t bytes; /* a multiple of 512 */
};
struct q2s_comp_range q2s_comp_sectors(q2s_host at, uint64_t len);

/* ---- refcounts --------------------------------------------------------------------------- */

/**
 * One refcount table entry: the block's offset, 0 for "all counts are zero".
 *
 * Q2S_E_RESERVED: bits 0..8. Q2S_E_OFFSET: not cluster-aligned, or beyond 2^56 (this table has no
 * flags, so that a COPIED bit in it is part of an offset).
 */
enum q2s_err q2s_reftable_decode(const struct q2s_geom *geom, const uint8_t *raw, q2s_host at,
				 q2s_host *block, struct q2s_diag *diag);
/** The way back; fails likewise (Q2S_E_OFFSET). */
enum q2s_err q2s_reftable_encode(const struct q2s_geom *geom, q2s_host block, uint8_t *raw,
				 struct q2s_diag *diag);

/** Count @index, under geom->block_entries, of a refcount block (one cluster at @block). */
uint64_t q2s_refcount_get(const struct q2s_geom *geom, const uint8_t *block, uint32_t index);
/** Set a count; Q2S_E_REFCOUNT when @count exceeds geom->refcount_max, Q2S_E_USAGE past the end. */
enum q2s_err q2s_refcount_set(const struct q2s_geom *geom, uint8_t *block, uint32_t index,
			      uint64_t count, struct q2s_diag *diag);
/** Set @n counts from @index on to the same value: whole bytes at a time. Fails as the above. */
enum q2s_err q2s_refcount_fill(const struct q2s_geom *geom, uint8_t *block, uint32_t index,
			       uint32_t n, uint64_t count, struct q2s_diag *diag);

/* ---- snapshots --------------------------------------------------------------------------- */

/** One snapshot record. @id and @name point into the decoded buffer; arbitrary bytes, no NUL. */
struct q2s_snapshot {
	q2s_host l1_offset;
	uint32_t l1_entries;
	const uint8_t *id;
	uint16_t id_len;
	const uint8_t *name;
	uint16_t name_len;
	uint32_t date_sec;
	uint32_t date_nsec;
	uint64_t vm_clock_nsec;
	uint64_t vm_state_size; /* the 64-bit value where it is there */
	bool has_disk_size;
	uint64_t disk_size; /* guest bytes at the time of the snapshot, when @has_disk_size */
	bool has_icount;
	uint64_t icount;
	uint32_t extra_size; /* bytes of extra data as stored */
	const uint8_t *extra;
};
#define Q2S_SNAPSHOT_FIXED_SIZE 40u

/**
 * Decode the record at @buf.
 *
 * @len   bytes available from the record to the end of the table's buffer
 * @used  always written. Bytes of the record with its padding to 8, which may lie past @len: the
 *        last record of a file needs none. With Q2S_E_SHORT the bytes needed to get further.
 *        Where a value is refused it is right too, so that a checker can go on behind the record;
 *        only where the length itself is refused (Q2S_E_SNAPSHOT) is it the fixed part.
 *
 * Returns Q2S_OK, Q2S_E_SHORT (@len too small: read more, *@used says how much is needed),
 * Q2S_E_SNAPSHOT (extra data over 1024; under 16 in version 3), Q2S_E_OFFSET (L1 table), or
 * Q2S_E_LIMIT (L1 over 32 MiB, disk size of 2^63 or more).
 */
enum q2s_err q2s_snapshot_decode(const struct q2s_geom *geom, const uint8_t *buf, size_t len,
				 q2s_host at, struct q2s_snapshot *out, size_t *used,
				 struct q2s_diag *diag);
/**
 * As q2s_snapshot_decode(), to learn what the record refers to: takes less than 16
 * bytes of extra data in version 3, and any disk size. Fails as that one for all else.
 */
enum q2s_err q2s_snapshot_decode_lenient(const struct q2s_geom *geom, const uint8_t *buf,
					 size_t len, q2s_host at, struct q2s_snapshot *out,
					 size_t *used, struct q2s_diag *diag);
/**
 * Encode with 24 bytes of extra data (@extra is not written) and padding. Without a disk size it is
 * geom->size. Q2S_E_LIMIT: @cap; else as q2s_snapshot_decode().
 */
enum q2s_err q2s_snapshot_encode(const struct q2s_geom *geom, const struct q2s_snapshot *in,
				 uint8_t *buf, size_t cap, size_t *used, struct q2s_diag *diag);

/* ---- persistent bitmaps ------------------------------------------------------------------ */

#define Q2S_BITMAP_IN_USE (1u << 0)
#define Q2S_BITMAP_AUTO (1u << 1)
#define Q2S_BITMAP_EXTRA_COMPATIBLE (1u << 2)

/** One bitmap directory record. @name points into the decoded buffer. */
struct q2s_bitmap {
	q2s_host table_offset;
	uint32_t table_entries;
	uint32_t flags;
	uint8_t type; /* 1: dirty tracking */
	uint8_t granularity_bits;
	const uint8_t *name;
	uint16_t name_len;
	uint32_t extra_size;
	const uint8_t *extra;
};
#define Q2S_BITMAP_FIXED_SIZE 24u

/**
 * As q2s_snapshot_decode(); Q2S_E_BITMAP for every breach of the rules of QEMU's check_dir_entry(),
 * for a table that does not match the disk's size (unless the bitmap is in use), and for extra data
 * without Q2S_BITMAP_EXTRA_COMPATIBLE, which no program may ignore.
 */
enum q2s_err q2s_bitmap_decode(const struct q2s_geom *geom, const uint8_t *buf, size_t len,
			       q2s_host at, struct q2s_bitmap *out, size_t *used,
			       struct q2s_diag *diag);
/** Encode with extra data, if any, and padding; Q2S_E_LIMIT: @cap; else as q2s_bitmap_decode(). */
enum q2s_err q2s_bitmap_encode(const struct q2s_geom *geom, const struct q2s_bitmap *in,
			       uint8_t *buf, size_t cap, size_t *used, struct q2s_diag *diag);

/**
 * One bitmap table entry: a cluster, or all zeros, or all ones.
 *
 * Q2S_E_RESERVED; Q2S_E_OFFSET: not cluster-aligned; Q2S_E_BITMAP: all ones and a cluster.
 */
struct q2s_bitmap_table_entry {
	q2s_host cluster; /* 0: none */
	bool ones;        /* only without a cluster */
};
/** Q2S_E_RESERVED, Q2S_E_OFFSET or Q2S_E_BITMAP, as said above. */
enum q2s_err q2s_bitmap_table_decode(const struct q2s_geom *geom, const uint8_t *raw, q2s_host at,
				     struct q2s_bitmap_table_entry *out, struct q2s_diag *diag);
/** The way back; fails likewise (Q2S_E_OFFSET, Q2S_E_BITMAP). */
enum q2s_err q2s_bitmap_table_encode(const struct q2s_geom *geom,
				     const struct q2s_bitmap_table_entry *in, uint8_t *raw,
				     struct q2s_diag *diag);

/* ---- LUKS -------------------------------------------------------------------------------- */

#define Q2S_LUKS_SIZE 592u      /* the header without the key material */
#define Q2S_LUKS_SLOTS 8u
#define Q2S_LUKS_SLOT_SIZE 48u
#define Q2S_LUKS_NAME_SIZE 32u
#define Q2S_LUKS_UUID_SIZE 40u
#define Q2S_LUKS_SALT_SIZE 32u
#define Q2S_LUKS_DIGEST_SIZE 20u
#define Q2S_LUKS_STRIPES 4000u  /* that every writer uses, and QEMU insists on */
#define Q2S_LUKS_KEY_MAX 64u    /* bytes of the longest master key: two of AES-256 */

/** One key slot. @key_offset is in bytes from the LUKS header, a multiple of 512. */
struct q2s_luks_slot {
	bool active;
	uint32_t iterations;
	uint32_t stripes;
	uint64_t key_offset;
	uint8_t salt[Q2S_LUKS_SALT_SIZE];
};

/**
 * The header of an encrypted image (LUKS On-Disk Format Specification 1.2.3, version 1). Names
 * hold whatever the image holds, with a NUL behind it.
 *
 * @cipher_name     "aes"
 * @cipher_mode     mode and IV generator, "xts-plain64"
 * @key_bytes       of the master key; an XTS key is two keys
 * @payload_offset  bytes; of no use inside a qcow2 file, whose clusters lie where its tables say
 */
struct q2s_luks {
	char cipher_name[Q2S_LUKS_NAME_SIZE + 1];
	char cipher_mode[Q2S_LUKS_NAME_SIZE + 1];
	char hash[Q2S_LUKS_NAME_SIZE + 1];
	char uuid[Q2S_LUKS_UUID_SIZE + 1];
	uint32_t key_bytes;
	uint64_t payload_offset;
	uint8_t master_digest[Q2S_LUKS_DIGEST_SIZE];
	uint8_t master_salt[Q2S_LUKS_SALT_SIZE];
	uint32_t master_iterations;
	struct q2s_luks_slot slots[Q2S_LUKS_SLOTS];
};

/**
 * Decode Q2S_LUKS_SIZE bytes.
 *
 * Returns Q2S_OK; Q2S_E_CRYPTO for a wrong magic or key slot state, Q2S_E_UNSUPPORTED for another
 * version than 1. What a header may say and still open nothing is for q2s_luks_check().
 */
enum q2s_err q2s_luks_decode(const uint8_t *raw, q2s_host at, struct q2s_luks *out,
			     struct q2s_diag *diag);
/** Encode Q2S_LUKS_SIZE bytes. Q2S_E_OFFSET: an offset is no multiple of 512, or does not fit. */
enum q2s_err q2s_luks_encode(const struct q2s_luks *in, uint8_t *raw, struct q2s_diag *diag);

/**
 * Can the key slots be tried? The rules are QEMU's, for the slots that are active.
 *
 * @length  bytes of the LUKS header with its key material, as the encryption extension says
 * Returns Q2S_OK, or Q2S_E_CRYPTO: no key bytes or more than Q2S_LUKS_KEY_MAX, no iterations,
 * other stripes than 4000, key material over the header, behind @length or behind the payload's
 * offset.
 */
enum q2s_err q2s_luks_check(const struct q2s_luks *luks, q2s_host at, uint64_t length,
			    struct q2s_diag *diag);

/**
 * What QEMU calls cipher, mode and IV generator.
 *
 * @alg     "aes-256": the name with the bits of one key
 * @mode    "xts"
 * @ivgen   "plain64"
 * @ivhash  of "essiv:sha256": "sha256"; empty for others
 */
struct q2s_luks_words {
	char alg[Q2S_LUKS_NAME_SIZE + 13];
	char mode[Q2S_LUKS_NAME_SIZE + 1];
	char ivgen[Q2S_LUKS_NAME_SIZE + 1];
	char ivhash[Q2S_LUKS_NAME_SIZE + 1];
};
void q2s_luks_words(const struct q2s_luks *luks, struct q2s_luks_words *out);

Q2S_END_DECLS
#endif
