/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All structures of an image, also of a damaged one, in the order in which they lead to each other:
 * what lies where, who refers to it, and what is wrong with it. Beside that walk, its parts:
 * tables, records and header extensions, one by one.
 */
#ifndef Q2S_WALK_H
#define Q2S_WALK_H

#include <q2s/image.h>

Q2S_BEGIN_DECLS

/* ---- structures -------------------------------------------------------------------------- */

enum q2s_structure_kind {
	Q2S_STRUCTURE_HEADER, /* cluster 0: header, extensions, backing file name */
	Q2S_STRUCTURE_REFCOUNT_TABLE,
	Q2S_STRUCTURE_REFCOUNT_BLOCK,
	Q2S_STRUCTURE_L1,
	Q2S_STRUCTURE_L2,
	Q2S_STRUCTURE_SNAPSHOT_TABLE,
	Q2S_STRUCTURE_SNAPSHOT_L1, /* where that of a snapshot is a kind by itself: not in a walk */
	Q2S_STRUCTURE_BITMAP_DIRECTORY,
	Q2S_STRUCTURE_BITMAP_TABLE,
	Q2S_STRUCTURE_BITMAP_DATA,
	Q2S_STRUCTURE_CRYPTO,
};

/** The format's term: "refcount block". Static storage. */
const char *q2s_structure_name(enum q2s_structure_kind kind);

/**
 * One structure in the file.
 *
 * @len      bytes; what is left of the last cluster is padding
 * @owner    L1, L2: 0 of the active L1 table, else the number of the snapshot record, plus 1;
 *           bitmaps: the number of the bitmap
 * @index    refcount block, L2, bitmap data: the entry that leads here
 * @entries  of a table
 * @fresh    so many of them lie in the file, and in no cluster of an earlier table of the kind
 * @disk_entries  L1: so many show the guest disk, those behind hold the VM state
 * @again    an earlier entry leads here, too
 * @fault    what is wrong with where it lies; NULL where nothing is
 */
struct q2s_structure {
	enum q2s_structure_kind kind;
	q2s_host at;
	uint64_t len;
	uint32_t owner;
	uint64_t index;
	uint64_t entries;
	uint64_t fresh;
	uint64_t disk_entries;
	bool again;
	const struct q2s_diag *fault;
};

/**
 * One entry of a table that is not all zeros.
 *
 * @raw      its bytes, valid during the call
 * @known    it could be decoded, perhaps against a rule that reading does not need
 * @fault    the first rule that it breaks, or that it points past the end of the file; else NULL
 * @has_to   it leads to a cluster, or of a compressed cluster to a byte: @to
 * @guest    L1, L2: the first guest byte that it maps, also of VM state
 * @copied, @ones, @l2  as decoded: L1 and L2; bitmap table; L2
 */
struct q2s_table_entry {
	uint64_t index;
	q2s_host at;
	const uint8_t *raw;
	bool known;
	const struct q2s_diag *fault;
	bool has_to;
	q2s_host to;
	uint64_t guest;
	bool copied;
	bool ones;
	struct q2s_l2_entry l2;
};

#define Q2S_WALK_KIND(kind) (1u << (kind))

/**
 * What to visit, and who is told. Start from Q2S_WALK_OPTIONS_INIT: all, but for the two functions.
 *
 * @size       sizeof(struct q2s_walk_options)
 * @kinds      Q2S_WALK_KIND() of those that are told; 0: all. What leads to them is read all the
 *             same
 * @guest, @guest_end  L1 and L2: only entries for these guest bytes; @guest_end 0: no limit
 * @all        also what is empty, and what was visited already (@again), without its entries
 * @structure  or NULL
 * @entry      of the structure that was told last; or NULL: then tables of entries are read only
 *             for what they lead to
 * Each stops the walk when it does not return Q2S_OK.
 */
struct q2s_walk_options {
	size_t size;
	unsigned kinds;
	uint64_t guest;
	uint64_t guest_end;
	bool all;
	enum q2s_err (*structure)(void *opaque, const struct q2s_structure *it,
				  struct q2s_diag *diag);
	enum q2s_err (*entry)(void *opaque, const struct q2s_structure *in,
			      const struct q2s_table_entry *it, struct q2s_diag *diag);
	void *opaque;
};
#define Q2S_WALK_OPTIONS_INIT { .size = sizeof(struct q2s_walk_options) }

/**
 * Visit the structures of @image, which has a geometry. What several entries lead to, such as an L2
 * table that a snapshot shares with the active L1 table, is visited for the first of them, so the
 * work is bounded by what is in the file. What is malformed leads nowhere.
 *
 * Returns Q2S_OK, what a function returned, Q2S_E_USAGE (@options->size), Q2S_E_LIMIT (more
 * structures than can be remembered), Q2S_E_NOMEM, or that the file cannot be read.
 */
enum q2s_err q2s_walk(const struct q2s_image *image, const struct q2s_walk_options *options,
		      struct q2s_diag *diag);

/* ---- where a walk has been --------------------------------------------------------------- */

/** More than this is refused: the set then has 32 MiB. */
#define Q2S_SEEN_MAX (3u << 20)

/** A set of host offsets, for each kind of structure by itself. Start with zeros. */
struct q2s_seen {
	uint64_t *keys;
	size_t count;
	size_t room;
};

/** Free what it owns; a zeroed one is fine. */
void q2s_seen_free(struct q2s_seen *seen);

/**
 * Add a cluster.
 *
 * @at     its host offset, a multiple of 512
 * @kind   0 .. 510: what is looked for there
 * @again  receives whether it was in the set before
 *
 * Returns Q2S_OK, Q2S_E_LIMIT (more than Q2S_SEEN_MAX), Q2S_E_NOMEM.
 */
enum q2s_err q2s_seen_add(struct q2s_seen *seen, q2s_host at, unsigned kind, bool *again,
			  struct q2s_diag *diag);

/* ---- tables ------------------------------------------------------------------------------ */

/** Entries of a table are read in pieces of so many bytes. */
#define Q2S_TABLE_PIECE 65536u

/**
 * A table of fixed-size entries. Zero-initialised by q2s_table_open(); owns one buffer.
 *
 * @at, @count, @entry_size  what it is
 * @buf                      entries from @first on, @held of them
 */
struct q2s_table {
	struct q2s_store *file;
	q2s_host at;
	uint64_t count;
	uint32_t entry_size;
	uint8_t *buf;
	uint64_t first;
	uint64_t held;
};

/**
 * @what  for messages
 * Fails with Q2S_E_TRUNCATED when the table starts past the end of the file, Q2S_E_NOMEM.
 */
enum q2s_err q2s_table_open(struct q2s_store *file, q2s_host at, uint64_t count,
			    uint32_t entry_size, const char *what, struct q2s_table *out,
			    struct q2s_diag *diag);
void q2s_table_close(struct q2s_table *table); /* a zeroed one is fine */

/**
 * The refcount table of @image, as long as the header says, within the format's limit. Fails as
 * q2s_table_open() does.
 */
enum q2s_err q2s_table_open_refcounts(const struct q2s_image *image, struct q2s_table *out,
				      struct q2s_diag *diag);

/** Where entry @index lies. */
q2s_host q2s_table_at(const struct q2s_table *table, uint64_t index);

/**
 * The bytes of entry @index < count, valid until the next call; zeros past the end of the file.
 * Fastest in ascending order. Fails as reading does.
 */
enum q2s_err q2s_table_get(struct q2s_table *table, uint64_t index, const uint8_t **raw,
			   struct q2s_diag *diag);

/**
 * The first entry from @*index on that is not all zeros: its bytes, as q2s_table_get(). At the end
 * of the table @*index is the count. Fails likewise.
 */
enum q2s_err q2s_table_next(struct q2s_table *table, uint64_t *index, const uint8_t **raw,
			    struct q2s_diag *diag);

/* ---- records ----------------------------------------------------------------------------- */

/**
 * A walk over records of different lengths: the snapshot table, or the bitmap directory.
 * Zero-initialised by its begin function.
 *
 * @at     of the next record
 * @left   records that are still to come
 * @room   bytes that the table may still take
 * @fixed  bytes of the part that every record has
 * @buf    one record, with @cap bytes of room
 */
struct q2s_records {
	const struct q2s_image *image;
	q2s_host at;
	uint32_t left;
	uint64_t room;
	size_t fixed;
	uint8_t *buf;
	size_t cap;
};

/**
 * What a walk came across.
 *
 * @at, @bytes  the record, with its padding; @bytes is 0 when its length is not known
 * @raw         its bytes, valid until the next step
 * @fault       err is not Q2S_OK: the record is malformed, and the decoded value is not there
 */
struct q2s_stored_record {
	q2s_host at;
	size_t bytes;
	const uint8_t *raw;
	struct q2s_diag fault;
};

/** Start at the first record; a count beyond the format's limit is cut to it. */
struct q2s_records q2s_records_snapshots(const struct q2s_image *image);
struct q2s_records q2s_records_bitmaps(const struct q2s_image *image,
				       const struct q2s_ext_bitmaps *bitmaps);

/**
 * The next record. False at the end: behind the last record, or behind one whose length is not
 * known. @err is set when reading fails.
 */
bool q2s_records_next_snapshot(struct q2s_records *records, struct q2s_stored_record *record,
			       struct q2s_snapshot *out, enum q2s_err *err, struct q2s_diag *diag);
bool q2s_records_next_bitmap(struct q2s_records *records, struct q2s_stored_record *record,
			     struct q2s_bitmap *out, enum q2s_err *err, struct q2s_diag *diag);

void q2s_records_end(struct q2s_records *records);

/* ---- header extensions ------------------------------------------------------------------- */

/**
 * A walk over the header extensions of one image.
 *
 * @head, @size  cluster 0
 * @pos          where the next record starts, or where the records end
 */
struct q2s_extensions {
	const uint8_t *head;
	size_t size;
	q2s_host end;
	uint64_t pos;
};

/** Start at header_length. @header need not be legal: what lies outside of cluster 0 is left out. */
struct q2s_extensions q2s_extensions_begin(const struct q2s_header *header, const uint8_t *head,
					   size_t size);
struct q2s_extensions q2s_image_extensions(const struct q2s_image *image);

/**
 * The next record. False at the end (behind the end record, where there is one) or, with @fault
 * filled, at a record that is malformed.
 */
bool q2s_extensions_next(struct q2s_extensions *walk, struct q2s_ext *out,
			 struct q2s_diag *fault);

/**
 * Decode the first record of that type. False: there is none, or it is malformed, which @fault then
 * says.
 */
bool q2s_image_find_bitmaps(const struct q2s_image *image, struct q2s_ext_bitmaps *out,
			    struct q2s_diag *fault);
bool q2s_image_find_crypto(const struct q2s_image *image, struct q2s_ext_crypto *out,
			   struct q2s_diag *fault);

Q2S_END_DECLS
#endif
