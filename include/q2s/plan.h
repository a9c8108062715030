/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 5: the plan of a new image. A specification says what it shall be, an allocation says
 * which guest clusters hold what; from the two follow the place of every structure and cluster,
 * and so the exact length, before the first byte is written.
 */
#ifndef Q2S_PLAN_H
#define Q2S_PLAN_H

#include <q2s/disk.h>

Q2S_BEGIN_DECLS

/* ---- bitmaps ----------------------------------------------------------------------------- */

/**
 * What a bitmap says: a bit for each granule of a disk, dirty or clean. Counted: q2s_bits_ref()
 * adds an owner, q2s_bits_unref() drops one. Memory follows what is neither all clean nor all
 * dirty.
 */
struct q2s_bits;

/**
 * A bitmap that is clean everywhere.
 *
 * @size              of the disk in bytes
 * @granularity_bits  9 to 31: a granule has 1 << this bytes
 * Returns Q2S_OK, Q2S_E_USAGE (granularity), Q2S_E_LIMIT (over 512 MiB, which is the most that the
 * format holds), Q2S_E_NOMEM.
 */
enum q2s_err q2s_bits_new(uint64_t size, uint32_t granularity_bits, struct q2s_bits **out,
			  struct q2s_diag *diag);
struct q2s_bits *q2s_bits_ref(struct q2s_bits *bits);
void q2s_bits_unref(struct q2s_bits *bits); /* NULL is fine */

/** Make all granules dirty that [@start, @start + @len) touches, as far as they are on the disk.
 * Q2S_E_OVERFLOW, Q2S_E_NOMEM. Not for a bitmap that is in a plan. */
enum q2s_err q2s_bits_set(struct q2s_bits *bits, q2s_guest start, uint64_t len,
			  struct q2s_diag *diag);

/**
 * What the extents of @map call data is dirty: of a bitmap (q2s_disk_bitmap()), or of any disk.
 * Fails as q2s_bits_new() does, or as the disk.
 *
 * @size  of the new disk; behind the end of @map all is clean
 */
enum q2s_err q2s_bits_from_map(struct q2s_disk *map, uint64_t size, uint32_t granularity_bits,
			       struct q2s_bits **out, struct q2s_diag *diag);

/**
 * A persistent bitmap of a new image.
 *
 * @name     1 to 1023 bytes, which may be any
 * @enabled  it records what is written from now on
 * @bits     NULL: all clean; else for the size of the disk, with the same granularity. The plan
 *           takes a reference
 */
struct q2s_spec_bitmap {
	struct q2s_bytes name;
	uint32_t granularity_bits;
	bool enabled;
	struct q2s_bits *bits;
};

/* ---- what the image shall be ------------------------------------------------------------- */

/**
 * What a new image shall be, apart from its content. Strings are borrowed until q2s_plan_new()
 * has copied them; a NULL @data means none. Geometry says version, cluster size, refcount width,
 * kind of L2, virtual size, and whether guest data lies in an external data file. The array of
 * @bitmaps is borrowed likewise.
 *
 * @luks  the LUKS header with its key material, as q2s_luks_create() makes it; without one the
 *        image is not encrypted
 */
struct q2s_spec {
	struct q2s_geom geom;
	uint8_t compression_type; /* enum q2s_compression_type */
	bool lazy_refcounts;
	bool data_file_raw; /* the data file alone is a valid raw image */
	bool data_first;    /* data before the tables, but for a short L1 table */
	bool difference;    /* what it leaves out is elsewhere, though it may name no backing file */
	struct q2s_bytes backing_name;
	struct q2s_bytes backing_format;
	struct q2s_bytes data_file_name;
	struct q2s_bytes luks;
	const struct q2s_spec_bitmap *bitmaps;
	size_t bitmap_count;
	struct q2s_mark mark; /* of the layer; without an id the image is not marked */
};

/**
 * What QEMU makes unless told otherwise: version 3, clusters of 64 KiB, refcounts of 16 bits, zlib.
 *
 * @size  of the disk; rounded up to 512
 * Fails as q2s_geom_init() does.
 */
enum q2s_err q2s_spec_init(struct q2s_spec *spec, uint64_t size, struct q2s_diag *diag);

/**
 * Would QEMU accept such an image? Checks what geometry does not: features that need version 3,
 * data-file rules, the rules of bitmaps, and whether the names fit into cluster 0.
 *
 * Returns Q2S_OK, Q2S_E_CONFLICT, Q2S_E_USAGE, Q2S_E_LIMIT, Q2S_E_NOMEM.
 */
enum q2s_err q2s_spec_check(const struct q2s_spec *spec, struct q2s_diag *diag);

/* ---- what each guest cluster is ---------------------------------------------------------- */

/**
 * What one guest cluster is in the new image.
 *
 * @host   it owns a host cluster (with neither bit set: kept space that reads as absent)
 * @alloc  bit s: subcluster s has data (needs @host); bit 0 alone in a standard image
 * @zero   bit s: subcluster s reads as zero; disjoint from @alloc
 * @comp_bytes  not 0: compressed into this many bytes; then nothing else is set
 * @back  not 0: it shares what the guest cluster so many before it has; then nothing else is set
 *
 * All clear: unallocated.
 */
struct q2s_slot {
	bool host;
	uint32_t alloc;
	uint32_t zero;
	uint32_t comp_bytes;
	uint64_t back;
};

/**
 * The slots of all guest clusters, in guest order, stored as runs: memory follows the number of
 * changes, not the size of the disk.
 */
struct q2s_alloc;

/** Q2S_E_NOMEM. */
enum q2s_err q2s_alloc_new(const struct q2s_geom *geom, struct q2s_alloc **out,
			   struct q2s_diag *diag);
void q2s_alloc_free(struct q2s_alloc *alloc); /* NULL is fine */

/** Append @count clusters with the same slot. Q2S_E_USAGE past the end of the disk, or for an
 * illegal slot. What is not appended by the end is unallocated. */
enum q2s_err q2s_alloc_add(struct q2s_alloc *alloc, const struct q2s_slot *slot, uint64_t count,
			   struct q2s_diag *diag);

/**
 * What a cluster of a preallocated image is, as long as nothing is written to it. A standard entry
 * can only say that it has data (of a hole in the file, so zeros); an extended one keeps the space
 * and lets the backing file show through. Where the data file alone is the disk, all of it must be
 * seen. In an encrypted image a hole is noise for the guest, so there the entry says that it reads
 * as zero.
 */
struct q2s_slot q2s_spec_space(const struct q2s_spec *spec);

/**
 * Give each guest cluster a host cluster of its own, so that a program that writes to the image
 * later has to allocate nothing: one that has none becomes @space, or goes on to read as zero.
 *
 * @plain  stays the caller's, and cannot be added to any more
 * @space  has a host cluster
 *
 * Returns Q2S_OK, Q2S_E_USAGE (@space has no host cluster, or is illegal; or something is
 * compressed or shared), Q2S_E_NOMEM.
 */
enum q2s_err q2s_alloc_fill(struct q2s_alloc *plain, const struct q2s_slot *space,
			    struct q2s_alloc **out, struct q2s_diag *diag);

/**
 * How to look at a disk. Start from Q2S_SCAN_OPTIONS_INIT.
 *
 * @size         sizeof(struct q2s_scan_options)
 * @threads      0: one per processor
 * @trust_holes  data is data: do not read to look for zeros
 * @keep_zeros   zero and absent differ, as there is a backing file below
 * @store_zeros  with @keep_zeros: zeros are data, as some reader knows no zero clusters
 * @read_again   all data will be: have it in the cache, as far as there is memory
 * @observer     or NULL; sees Q2S_PHASE_SCAN
 */
struct q2s_scan_options {
	size_t size;
	unsigned threads;
	bool trust_holes;
	bool keep_zeros;
	bool store_zeros;
	bool read_again;
	const struct q2s_observer *observer;
};
#define Q2S_SCAN_OPTIONS_INIT { .size = sizeof(struct q2s_scan_options) }

/**
 * Look at a whole disk and say which subclusters of the new image need space. The result does not
 * depend on the number of threads. What lies behind the end of the image is not looked at.
 *
 * @options  NULL: as Q2S_SCAN_OPTIONS_INIT
 * Returns Q2S_OK, Q2S_E_USAGE (@options->size), Q2S_E_CANCELLED, Q2S_E_NOMEM, or what reading
 * reports.
 */
enum q2s_err q2s_scan(struct q2s_disk *disk, const struct q2s_geom *geom,
		      const struct q2s_scan_options *options, struct q2s_alloc **out,
		      struct q2s_diag *diag);

/**
 * A cluster has at most this many references, or as many as a refcount can say. An internal
 * snapshot doubles them, which 16 bits shall still hold.
 */
#define Q2S_SHARERS_MAX 32767u

/** Different clusters that q2s_share() remembers unless told otherwise: 256 GiB of 64 KiB each. */
#define Q2S_CANDIDATES_MAX (1u << 22)

/**
 * How to look for clusters that are the same. Start from Q2S_SHARE_OPTIONS_INIT.
 *
 * @size        sizeof(struct q2s_share_options)
 * @threads     0: one per processor; the result does not depend on it
 * @candidates  different clusters to remember, 0: Q2S_CANDIDATES_MAX. They cost 32 bytes each, and
 *              32 more if they are shared. Those that come when so many are known are not shared,
 *              unless they are the same as one of these
 * @observer    or NULL; sees Q2S_PHASE_SHARE
 */
struct q2s_share_options {
	size_t size;
	unsigned threads;
	uint32_t candidates;
	const struct q2s_observer *observer;
};
#define Q2S_SHARE_OPTIONS_INIT { .size = sizeof(struct q2s_share_options) }

/**
 * Let clusters of data that are the same share one host cluster: same bytes, and in an extended
 * image the same bitmaps. All data is read, and what a hash calls the same is read again and
 * compared. Compress afterwards.
 *
 * @plain    what q2s_scan() found; stays the caller's, and cannot be added to any more
 * @options  NULL: as Q2S_SHARE_OPTIONS_INIT
 * @out      the allocation with shared clusters
 *
 * Returns Q2S_OK, Q2S_E_CONFLICT when such images cannot share (a data file, or refcounts of one
 * bit), Q2S_E_USAGE when something is compressed or shared already, or for @options->size,
 * Q2S_E_CANCELLED, or what reading reports.
 */
enum q2s_err q2s_share(struct q2s_disk *disk, struct q2s_alloc *plain,
		       const struct q2s_share_options *options, struct q2s_alloc **out,
		       struct q2s_diag *diag);

/* ---- the plan ---------------------------------------------------------------------------- */

/** An immutable value: equal inputs give equal plans on every machine. */
struct q2s_plan;

/**
 * Where the parts of the new image lie, in the order of the file (with @data_first the data comes
 * before the refcount table, and the L1 table, where it fits into 64 KiB or a cluster that are
 * reserved for it, before the data). Offsets and lengths in bytes.
 */
struct q2s_layout {
	q2s_host refcount_table;
	uint64_t refcount_table_clusters;
	q2s_host refcount_blocks;
	uint64_t refcount_block_count;
	q2s_host luks;
	uint64_t luks_clusters;
	q2s_host l1;
	uint64_t l1_clusters;
	q2s_host bitmaps; /* their tables and data, then the directory */
	uint64_t bitmap_clusters;
	q2s_host bitmap_directory;
	uint64_t bitmap_directory_bytes;
	q2s_host l2;
	uint64_t l2_tables;
	q2s_host data;
	uint64_t data_clusters;
	uint64_t length;
};

/**
 * Plan the image.
 *
 * @alloc  taken over on success
 * Fails as q2s_spec_check() does, or with Q2S_E_LIMIT for tables that QEMU would refuse.
 */
enum q2s_err q2s_plan_new(const struct q2s_spec *spec, struct q2s_alloc *alloc,
			  struct q2s_plan **out, struct q2s_diag *diag);
void q2s_plan_free(struct q2s_plan *plan); /* NULL is fine */

const struct q2s_spec *q2s_plan_spec(const struct q2s_plan *plan);
const struct q2s_layout *q2s_plan_layout(const struct q2s_plan *plan);

/**
 * What `qemu-img measure` calls required, fully-allocated and bitmaps, for this plan's data. The
 * bytes for bitmaps are no part of the first two, and are those of bitmaps that are stored in full.
 * Host clusters that q2s_alloc_fill() added are holes, and not required, as long as the plan is not
 * a loaded one.
 */
struct q2s_measure {
	uint64_t required;
	uint64_t fully_allocated;
	uint64_t bitmaps;
	uint64_t length; /* exactly what the emitter writes */
};
/** Returns Q2S_OK: any plan can be measured. */
enum q2s_err q2s_plan_measure(const struct q2s_plan *plan, struct q2s_measure *out,
			      struct q2s_diag *diag);

/* ---- plans that are kept ----------------------------------------------------------------- */

/**
 * What a kept plan knows beside the plan itself. Zero-initialise.
 *
 * @compressed  clusters are compressed: @type, @has_level and @level say how
 * @encoder     the library and its version that made the lengths; NUL-terminated. Another one
 *              may make other bytes
 * @view        what of its files the source shows, in the caller's words, such as the name of a
 *              snapshot; NUL-terminated. The files alone do not tell
 */
struct q2s_plan_note {
	bool compressed;
	uint8_t type;
	bool has_level;
	int32_t level;
	char encoder[64];
	char view[128];
};

/**
 * How the content of the source is read for a plan that is kept. Start from Q2S_PLAN_LOOK_INIT.
 *
 * @size          sizeof(struct q2s_plan_look)
 * @from, @until  q2s_plan_verify(): which bytes of the output are wanted; behind its end there is
 *                nothing
 * @threads       0: one per processor
 * @scope         q2s_plan_save(): where an extent of this disk is absent, the plan does not depend
 *                on the source, which is not read there, nor later; NULL: it depends on all of it
 * @observer      or NULL; sees Q2S_PHASE_VERIFY
 */
struct q2s_plan_look {
	size_t size;
	uint64_t from;
	uint64_t until;
	unsigned threads;
	struct q2s_disk *scope;
	const struct q2s_observer *observer;
};
#define Q2S_PLAN_LOOK_INIT { .size = sizeof(struct q2s_plan_look), .until = UINT64_MAX }

/**
 * Write @plan to @sink, in the form that doc/plan-file describes: versioned, with a checksum. It
 * remembers what each file of @disk is and when it changed, and a digest of each 2 MiB that hold
 * data, which is read for it. The plan of an encrypted image is not
 * kept (Q2S_E_UNSUPPORTED), nor that of one whose data comes first (Q2S_E_USAGE). Q2S_E_CHANGED
 * when the disk is no longer what it was when it was opened.
 *
 * @look  NULL: as Q2S_PLAN_LOOK_INIT
 */
enum q2s_err q2s_plan_save(const struct q2s_plan *plan, const struct q2s_plan_note *note,
			   struct q2s_disk *disk, const struct q2s_plan_look *look,
			   struct q2s_sink *sink, struct q2s_diag *diag);

/**
 * Read a plan back, for the same content: @disk must have as many files as it had, with the same
 * sizes and modification times. The same file (by device and inode) must have the same change time
 * too, which proves that it was not written to. When one of them is another file, or has no times,
 * its data is left to q2s_plan_verify().
 *
 * Returns Q2S_OK, Q2S_E_CHANGED (the source is not what was planned for), Q2S_E_MAGIC (not a
 * plan), Q2S_E_UNSUPPORTED (another version), Q2S_E_DATA (damaged), or what the parts of it
 * break. Memory follows the file's size.
 */
enum q2s_err q2s_plan_load(struct q2s_store *file, struct q2s_disk *disk, struct q2s_plan **out,
			   struct q2s_plan_note *note, struct q2s_diag *diag);

/**
 * Before a range of the image is written by a plan that was loaded for @disk: is the data that it
 * is made of what it was? Reads it, unless times have proved it. All ranges of an image together
 * look at all data, also at what the image does not hold.
 *
 * @look  NULL: as Q2S_PLAN_LOOK_INIT
 * Returns Q2S_OK, Q2S_E_CHANGED, Q2S_E_CANCELLED, or what reading reports.
 */
enum q2s_err q2s_plan_verify(const struct q2s_plan *plan, struct q2s_disk *disk,
			     const struct q2s_plan_look *look, struct q2s_diag *diag);

/* ---- pieces ------------------------------------------------------------------------------ */

enum q2s_piece_kind {
	Q2S_PIECE_METADATA, /* q2s_pieces_metadata() makes the bytes */
	Q2S_PIECE_GUEST,    /* bytes of the disk */
	Q2S_PIECE_ZERO,     /* padding, and host space that is kept without data */
	Q2S_PIECE_STREAM,   /* a compressed cluster */
	Q2S_PIECE_END,
};

/**
 * One stretch of the output.
 *
 * @guest   where its bytes are on the disk; for a STREAM the cluster that it holds
 * @stream  STREAM: bytes of all compressed streams before this one, in the order of the disk
 * @skip    STREAM: bytes of this stream before the piece, when a walk began within it
 * @whole   STREAM: bytes of the whole stream
 */
struct q2s_piece {
	enum q2s_piece_kind kind;
	q2s_host at;
	uint64_t len;
	q2s_guest guest;
	uint64_t stream;
	uint32_t skip;
	uint32_t whole;
};

/** A walk over the pieces of a plan from any output offset on; one per thread. */
struct q2s_pieces;

/**
 * Begin at @start, which is at most the image's length (Q2S_E_USAGE).
 *
 * @joined  a cluster that has data is one GUEST piece, also where some of its subclusters have
 *          none. For output to which zeros cost as much as data. The bytes are the same if the disk
 *          is zero there, as it is for an image without a backing file
 */
enum q2s_err q2s_pieces_open(const struct q2s_plan *plan, q2s_host start, bool joined,
			     struct q2s_pieces **out, struct q2s_diag *diag);
void q2s_pieces_close(struct q2s_pieces *pieces);

/**
 * The next piece: maximal, starting where the last one ended. Q2S_PIECE_END at the end.
 * Returns Q2S_OK: nothing can go wrong with a plan.
 */
enum q2s_err q2s_pieces_next(struct q2s_pieces *pieces, struct q2s_piece *out,
			     struct q2s_diag *diag);

/** Make @len bytes of metadata at @at, within one METADATA piece (else
 * Q2S_E_USAGE); fastest in ascending order. */
enum q2s_err q2s_pieces_metadata(struct q2s_pieces *pieces, q2s_host at, void *buf, size_t len,
				 struct q2s_diag *diag);

Q2S_END_DECLS
#endif
