/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 5: the plan of a new image. A specification says what it shall be, an allocation says
 * which guest clusters hold what; from the two follow the place of every structure and cluster,
 * and so the exact length, before the first byte is written.
 */
#ifndef Q2S_PLAN_H
#define Q2S_PLAN_H

#include <q2s/disk.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what the image shall be ------------------------------------------------------------- */

/**
 * What a new image shall be, apart from its content. Strings are borrowed until q2s_plan_new()
 * has copied them; a NULL @data means none. Geometry says version, cluster size, refcount width,
 * kind of L2, virtual size, and whether guest data lies in an external data file.
 *
 * @luks  the LUKS header with its key material, as q2s_luks_create() makes it; without one the
 *        image is not encrypted
 */
struct q2s_spec {
	struct q2s_geom geom;
	uint8_t compression_type; /* enum q2s_compression_type */
	bool lazy_refcounts;
	bool data_file_raw; /* the data file alone is a valid raw image */
	bool data_first;    /* data right behind the header, all tables behind the data */
	struct q2s_bytes backing_name;
	struct q2s_bytes backing_format;
	struct q2s_bytes data_file_name;
	struct q2s_bytes luks;
};

/**
 * Would QEMU accept such an image? Checks what geometry does not: features that need version 3,
 * data-file rules, and whether the names fit into cluster 0.
 *
 * Returns Q2S_OK, Q2S_E_CONFLICT, Q2S_E_USAGE, Q2S_E_LIMIT.
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

enum q2s_err q2s_alloc_new(const struct q2s_geom *geom, struct q2s_alloc **out,
			   struct q2s_diag *diag);
void q2s_alloc_free(struct q2s_alloc *alloc); /* NULL is fine */

/** Append @count clusters with the same slot. Q2S_E_USAGE past the end of the disk, or for an
 * illegal slot. What is not appended by the end is unallocated. */
enum q2s_err q2s_alloc_add(struct q2s_alloc *alloc, const struct q2s_slot *slot, uint64_t count,
			   struct q2s_diag *diag);

struct q2s_scan_options {
	unsigned threads;  /* 0: one per processor */
	bool trust_holes;  /* data is data: do not read to look for zeros */
	bool keep_zeros;   /* zero and absent differ, as there is a backing file below */
	bool read_again;   /* all data will be: have it in the cache, as far as there is memory */
	const struct q2s_observer *observer; /* or NULL */
};

/**
 * Look at a whole disk and say which subclusters of the new image need space. The result does not
 * depend on the number of threads. What lies behind the end of the image is not looked at.
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
 * @threads     0: one per processor; the result does not depend on it
 * @candidates  different clusters to remember, 0: Q2S_CANDIDATES_MAX. They cost 32 bytes each, and
 *              32 more if they are shared. Those that come when so many are known are not shared,
 *              unless they are the same as one of these
 * @observer    or NULL; sees Q2S_PHASE_SHARE
 */
struct q2s_share_options {
	unsigned threads;
	uint32_t candidates;
	const struct q2s_observer *observer;
};

/**
 * Let clusters of data that are the same share one host cluster: same bytes, and in an extended
 * image the same bitmaps. All data is read, and what a hash calls the same is read again and
 * compared. Compress afterwards.
 *
 * @plain  what q2s_scan() found; stays the caller's, and cannot be added to any more
 * @out    the allocation with shared clusters
 *
 * Returns Q2S_OK, Q2S_E_CONFLICT when such images cannot share (a data file, or refcounts of one
 * bit), Q2S_E_USAGE when something is compressed or shared already, Q2S_E_CANCELLED, or what
 * reading reports.
 */
enum q2s_err q2s_share(struct q2s_disk *disk, struct q2s_alloc *plain,
		       const struct q2s_share_options *options, struct q2s_alloc **out,
		       struct q2s_diag *diag);

/* ---- the plan ---------------------------------------------------------------------------- */

/** An immutable value: equal inputs give equal plans on every machine. */
struct q2s_plan;

/**
 * Where the parts of the new image lie, in the order of the file (with @data_first the data comes
 * before the refcount table). Offsets and lengths in bytes.
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

/** What `qemu-img measure` calls required and fully-allocated, for this plan's data. */
struct q2s_measure {
	uint64_t required;
	uint64_t fully_allocated;
	uint64_t length; /* exactly what the emitter writes */
};
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
 * How the content of the source is read for a plan that is kept.
 *
 * @from, @until  q2s_plan_verify(): which bytes of the output are wanted
 * @threads       0: one per processor
 * @observer      or NULL; sees Q2S_PHASE_VERIFY
 */
struct q2s_plan_look {
	uint64_t from;
	uint64_t until;
	unsigned threads;
	const struct q2s_observer *observer;
};

/**
 * Write @plan to @sink, in the form that doc/plan-file describes: versioned, with a checksum. It
 * remembers what each file of @disk is and when it changed, and a digest of each 2 MiB that hold
 * data, which is read for it. The plan of an encrypted image is not
 * kept (Q2S_E_UNSUPPORTED), nor that of one whose data comes first (Q2S_E_USAGE). Q2S_E_CHANGED
 * when the disk is no longer what it was when it was opened.
 */
enum q2s_err q2s_plan_save(const struct q2s_plan *plan, const struct q2s_plan_note *note,
			   struct q2s_disk *disk, const struct q2s_plan_look *look,
			   struct q2s_sink *sink, struct q2s_diag *diag);

/**
 * Read a plan back, for the same content: @disk must have as many files as it had, with the same
 * sizes and modification times. The same file (by device and inode) must have the same change time
 * too, which proves that nobody wrote to it. When one of them is another file, or has no times,
 * its data is left to q2s_plan_verify().
 *
 * Returns Q2S_OK, Q2S_E_CHANGED (the source is not what was planned for), Q2S_E_MAGIC (not a
 * plan), Q2S_E_UNSUPPORTED (another version), Q2S_E_DATA (damaged), or what the parts of it
 * break. Memory follows the file's size.
 */
enum q2s_err q2s_plan_load(struct q2s_file *file, struct q2s_disk *disk, struct q2s_plan **out,
			   struct q2s_plan_note *note, struct q2s_diag *diag);

/**
 * Before a range of the image is written by a plan that was loaded for @disk: is the data that it
 * is made of what it was? Reads it, unless times have proved it. All ranges of an image together
 * look at all data, also at what the image does not hold.
 *
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
 * @joined  a cluster that has data is one GUEST piece, also where some of its subclusters have none.
 *          For output to which zeros cost as much as data. The bytes are the same if the disk is
 *          zero there, as it is for an image without a backing file
 */
enum q2s_err q2s_pieces_open(const struct q2s_plan *plan, q2s_host start, bool joined,
			     struct q2s_pieces **out, struct q2s_diag *diag);
void q2s_pieces_close(struct q2s_pieces *pieces);

/** The next piece: maximal, starting where the last one ended. Q2S_PIECE_END at the end. */
enum q2s_err q2s_pieces_next(struct q2s_pieces *pieces, struct q2s_piece *out,
			     struct q2s_diag *diag);

/** Make @len bytes of metadata at @at, within one METADATA piece; fastest in ascending order. */
enum q2s_err q2s_pieces_metadata(struct q2s_pieces *pieces, q2s_host at, void *buf, size_t len,
				 struct q2s_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
