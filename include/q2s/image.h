/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 3: one qcow2 file, opened for reading and validated; its references as plain data; and
 * the mapping from guest to host of this one layer. The chain of layers, and the policy that
 * decides which files it may open, is at the end.
 */
#ifndef Q2S_IMAGE_H
#define Q2S_IMAGE_H

#include <q2s/format.h>
#include <q2s/io.h>

Q2S_BEGIN_DECLS

/* ---- one image --------------------------------------------------------------------------- */

/** An open qcow2 file: immutable after opening, so safe to share between threads. */
struct q2s_image;

/**
 * Open even if refcount, snapshot or bitmap fields are wrong in ways that hide no guest data, or
 * the L1 table lies past the end of the file, which q2s_map_open() then refuses.
 */
#define Q2S_IMAGE_DAMAGED (1u << 0)

/**
 * Open all that begins with the magic, so that what there is can be shown. Of an image that
 * Q2S_IMAGE_DAMAGED refuses q2s_image_fault() says why: its header is as stored, whether that is
 * legal or not, it names no other file, and all that needs a sound image fails with that fault.
 */
#define Q2S_IMAGE_TOLERANT (1u << 1)

/**
 * Open and validate: header, extensions, L1 bounds (and, without Q2S_IMAGE_DAMAGED, the table
 * fields that q2s_header_check_tables() judges). Opens no other file.
 *
 * @file  a reference is taken
 * An unknown incompatible feature (Q2S_E_UNSUPPORTED) is named by the image's own feature name
 * table.
 *
 * Returns Q2S_OK, Q2S_E_MAGIC, Q2S_E_UNSUPPORTED, Q2S_E_HEADER, Q2S_E_EXTENSION, Q2S_E_TRUNCATED,
 * Q2S_E_OFFSET, Q2S_E_LIMIT, Q2S_E_NOMEM, or what reading reports.
 */
enum q2s_err q2s_image_open(struct q2s_store *file, unsigned flags, struct q2s_image **out,
			    struct q2s_diag *diag);
void q2s_image_close(struct q2s_image *image); /* NULL is fine */

/** Does this file start with the qcow2 magic? False also when it cannot be read. */
bool q2s_image_probe(struct q2s_store *file);

const struct q2s_header *q2s_image_header(const struct q2s_image *image);
const struct q2s_geom *q2s_image_geom(const struct q2s_image *image);
struct q2s_store *q2s_image_file(const struct q2s_image *image);

/** Bytes that lie in the image: not NUL-terminated, may hold anything. @data is NULL for none. */
struct q2s_bytes {
	const uint8_t *data;
	size_t len;
};
struct q2s_bytes q2s_image_backing_name(const struct q2s_image *image);
struct q2s_bytes q2s_image_backing_format(const struct q2s_image *image);
struct q2s_bytes q2s_image_data_file_name(const struct q2s_image *image);
/** Cluster 0 as read (cluster_size bytes, zero-padded): header, extensions, backing name. */
const uint8_t *q2s_image_cluster0(const struct q2s_image *image);
/** Its bytes: fewer than a cluster only if there is no geometry. */
size_t q2s_image_cluster0_size(const struct q2s_image *image);

/** Why the image is refused that Q2S_IMAGE_TOLERANT let us open, or NULL. */
const struct q2s_diag *q2s_image_fault(const struct q2s_image *image);
/** Are the fields legal that give the geometry? Else q2s_image_geom() means nothing. */
bool q2s_image_has_geom(const struct q2s_image *image);
/** NULL when the image has none, or when it is not marked consistent. */
const struct q2s_ext_bitmaps *q2s_image_bitmaps(const struct q2s_image *image);
/** Has the image bitmaps that lost their autoclear bit, so that none of them can be trusted? */
bool q2s_image_has_stale_bitmaps(const struct q2s_image *image);
const struct q2s_ext_crypto *q2s_image_crypto(const struct q2s_image *image);
/**
 * The mark of this layer, or NULL; one that is malformed, or is not the only one, is none.
 *
 * @valid  no program that does not know marks has opened the image for writing since; otherwise it
 *         is that of a layer as it once was
 */
const struct q2s_mark *q2s_image_mark(const struct q2s_image *image, bool *valid);

/* ---- tables read whole (bounded by the format's limits) ---------------------------------- */

/** All snapshot records; the strings point into @buf. Free with q2s_snapshots_free(). */
struct q2s_snapshots {
	uint8_t *buf;
	size_t bytes; /* of the table */
	uint32_t count;
	struct q2s_snapshot *list;
	q2s_host *at; /* host offset of each record */
};
/** Q2S_E_SNAPSHOT, Q2S_E_TRUNCATED, Q2S_E_LIMIT, Q2S_E_NOMEM, or what reading reports. */
enum q2s_err q2s_image_snapshots(const struct q2s_image *image, struct q2s_snapshots *out,
				 struct q2s_diag *diag);
void q2s_snapshots_free(struct q2s_snapshots *snapshots);

/** All bitmap directory records; the names point into @buf. Free with q2s_bitmaps_free(). */
struct q2s_bitmaps {
	uint8_t *buf;
	size_t bytes;
	uint32_t count;
	struct q2s_bitmap *list;
	q2s_host *at;
};
/** Q2S_E_BITMAP, Q2S_E_TRUNCATED, Q2S_E_LIMIT, Q2S_E_NOMEM, or what reading reports. */
enum q2s_err q2s_image_bitmap_directory(const struct q2s_image *image, struct q2s_bitmaps *out,
					struct q2s_diag *diag);
void q2s_bitmaps_free(struct q2s_bitmaps *bitmaps);

/* ---- the content of a persistent bitmap -------------------------------------------------- */

/**
 * A persistent bitmap, open for reading. It holds a piece of the table and of the data, 36 KiB
 * whatever the image; not shared between threads.
 */
struct q2s_bitmap_reader;

/**
 * Open the bitmap of @image, which must outlive the reader, with this name, compared as bytes.
 *
 * Returns Q2S_OK, Q2S_E_USAGE (the image has no such bitmap), Q2S_E_BITMAP (it is in use, or all
 * of them lost their autoclear bit, so that what it says may be wrong; or a record is malformed),
 * Q2S_E_NOMEM, or what reading the directory reports.
 */
enum q2s_err q2s_bitmap_reader_open(const struct q2s_image *image, struct q2s_bytes name,
				    struct q2s_bitmap_reader **out, struct q2s_diag *diag);
void q2s_bitmap_reader_close(struct q2s_bitmap_reader *reader); /* NULL is fine */

/** Its record, without extra data; the name lives as long as the reader. */
const struct q2s_bitmap *q2s_bitmap_reader_record(const struct q2s_bitmap_reader *reader);

/** Guest bytes that a bitmap calls dirty, or clean. */
struct q2s_bitmap_run {
	uint64_t len;
	bool dirty;
};

/**
 * What the bitmap says of @guest, which is below the disk's size, and how far that holds: maximal
 * within @max bytes, not 0. It ends at a multiple of the granularity, at the end of the disk, or
 * at @max.
 *
 * Fails with Q2S_E_RESERVED, Q2S_E_OFFSET or Q2S_E_BITMAP for a wrong table entry, Q2S_E_TRUNCATED
 * for a table or data past the end of the file, or what reading reports.
 */
enum q2s_err q2s_bitmap_reader_run(struct q2s_bitmap_reader *reader, q2s_guest guest, uint64_t max,
				   struct q2s_bitmap_run *out, struct q2s_diag *diag);

/* ---- mapping of one layer ---------------------------------------------------------------- */

/**
 * A walker over the mapping of one L1 table, for going from front to back; who reads at random does
 * that through a disk, whose cursors share a cache of slices. Each thread has its own. Memory is
 * 64 KiB of L1 and one L2 table, whatever the image; from the first compressed cluster on, two
 * clusters more and a decoder (zstd, for a cluster whose frame asks for it: 128 MiB meanwhile).
 */
struct q2s_map;

/** Which L1 table to walk: the active one, or a snapshot's. */
struct q2s_l1_table {
	q2s_host at;
	uint32_t entries;
	uint64_t size; /* guest bytes that it shows */
};
struct q2s_l1_table q2s_image_active_l1(const struct q2s_image *image);

/** Q2S_E_TRUNCATED (the table is past the end of the file), Q2S_E_NOMEM. */
enum q2s_err q2s_map_open(struct q2s_image *image, const struct q2s_l1_table *l1,
			  struct q2s_map **out, struct q2s_diag *diag);
void q2s_map_close(struct q2s_map *map);

/**
 * A stretch of guest bytes that one layer maps in one way.
 *
 * @state       how it reads; Q2S_DATA with @compressed: through decompression
 * @has_host    a host range is behind it (for zero and absent stretches: space that is kept)
 * @host        of its first byte; contiguous over @len unless @compressed (then: of the stream)
 * @once        plain data, and by the COPIED flag of the active tables nothing else uses its bytes
 * @comp_bytes  bytes available to the decoder; a compressed run is within one cluster
 */
struct q2s_run {
	uint64_t len;
	enum q2s_state state;
	bool compressed;
	bool has_host;
	bool once;
	q2s_host host;
	uint32_t comp_bytes;
};

/**
 * The run that starts at @guest, which is below the table's size. Runs end at the latest at the
 * end of an L2 table (an empty stretch of L1: at the next entry that is not empty) and at @max
 * bytes; within that they are maximal.
 *
 * Fails with the code of what is wrong in the entries it had to decode (lenient, see
 * q2s_l2_decode_lenient()), Q2S_E_OFFSET or Q2S_E_TRUNCATED for a table or a cluster that lies
 * wholly past the end of the file.
 */
enum q2s_err q2s_map_run(struct q2s_map *map, q2s_guest guest, uint64_t max, struct q2s_run *out,
			 struct q2s_diag *diag);

/**
 * The raw L2 table behind L1 entry @index, in host byte order of the file (big-endian).
 *
 * @table  receives a pointer to cluster_size bytes, valid until the next call on @map; NULL when
 *         the L1 entry is empty
 * @entry  receives the decoded L1 entry
 * Fails as q2s_map_run() does.
 */
enum q2s_err q2s_map_l2_table(struct q2s_map *map, uint64_t index, struct q2s_l1_entry *entry,
			      const uint8_t **table, struct q2s_diag *diag);

/**
 * The smallest index >= @index whose L1 entry is not empty, or the number of entries. Fails as
 * reading does.
 */
enum q2s_err q2s_map_next_table(struct q2s_map *map, uint64_t index, uint64_t *out,
				struct q2s_diag *diag);

/**
 * Decompress the cluster of a compressed run.
 *
 * @out  cluster_size bytes
 * Q2S_E_DATA when the stream is not exactly one cluster; Q2S_E_TRUNCATED past the file's end.
 */
enum q2s_err q2s_map_decompress(struct q2s_map *map, const struct q2s_run *run, uint8_t *out,
				struct q2s_diag *diag);

/* ---- what is no disk --------------------------------------------------------------------- */

/**
 * A file format that holds a disk, or a file with one: its bytes are not the disk's.
 *
 * @name     for people: "VMDK", "gzip"
 * @format   the format as QEMU calls it, or NULL
 * @command  what prints what is in it, followed by the file, where it is no format of QEMU's
 */
struct q2s_container {
	const char *name;
	const char *format;
	const char *command;
};

/** As many bytes of a file's start as q2s_container_of_head() can make use of. */
#define Q2S_CONTAINER_HEAD 512

/** The container that begins with the @len bytes at @head, or NULL. Pure; static storage. */
const struct q2s_container *q2s_container_of_head(const void *head, size_t len);

/**
 * The container that @file is by its first bytes or, a VHD, by its last; NULL: none that is known.
 * qcow2 from version 2 on is none. A guest that owns a raw disk may make it look like one, so a
 * format that was named counts more.
 */
const struct q2s_container *q2s_container_probe(struct q2s_store *file);

/* ---- which other files may be opened ----------------------------------------------------- */

/** Which files an image may make us open, after symbolic links are resolved. */
enum q2s_follow {
	Q2S_FOLLOW_NONE,
	Q2S_FOLLOW_BESIDE, /* in the image's own folder, or below it */
	Q2S_FOLLOW_ANY,
};

/** The references that an image can hold. Each is read by its own rules, so a name is not enough. */
enum q2s_reference {
	Q2S_BACKING_FILE, /* a path, "file:PATH", or a json: name that denotes a local file */
	Q2S_DATA_FILE,    /* a path, whatever it looks like */
};

/**
 * The local file that the name of a backing file denotes for QEMU: a path, "file:PATH", or a json:
 * name. Opens nothing, and does not say from which folder a relative path is looked up.
 *
 * @out  the path, to be freed
 * Returns Q2S_OK, Q2S_E_UNSUPPORTED (a protocol, or no name of a local file), Q2S_E_NOMEM.
 */
enum q2s_err q2s_reference_path(const char *name, char **out, struct q2s_diag *diag);

/**
 * Open the file that @image refers to: the one place where a reference becomes a file.
 *
 * A relative path is looked up from the folder of @image's file, as named. Never a protocol; only
 * a regular file (or, with Q2S_FOLLOW_ANY, a block device). With Q2S_FOLLOW_BESIDE no symbolic
 * link leads out of the folder in which the image's file really lies, not even one that is put
 * there between the check and the opening.
 *
 * @format  for a json: name that says its driver: receives it ("qcow2", "raw"), else ""; may be
 *          NULL
 *
 * Returns Q2S_OK, Q2S_E_POLICY (diag->follow is the least policy that would allow it), Q2S_E_IO,
 * Q2S_E_UNSUPPORTED (no local file, or the image does not name one), Q2S_E_NOMEM.
 */
enum q2s_err q2s_reference_open(const struct q2s_image *image, enum q2s_reference reference,
				enum q2s_follow follow, struct q2s_store **out, char format[16],
				struct q2s_diag *diag);

Q2S_END_DECLS
#endif
