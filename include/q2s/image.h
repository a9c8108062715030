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

#ifdef __cplusplus
extern "C" {
#endif

/* ---- one image --------------------------------------------------------------------------- */

/** An open qcow2 file: immutable after opening, so safe to share between threads. */
struct q2s_image;

/**
 * Open even if refcount, snapshot or bitmap fields are wrong in ways that hide no guest data, or
 * the L1 table lies past the end of the file, which q2s_map_open() then refuses.
 */
#define Q2S_IMAGE_DAMAGED (1u << 0)

/**
 * Open and validate: header, extensions, L1 bounds (and, without Q2S_IMAGE_DAMAGED, the table
 * fields that q2s_header_check_tables() judges). Opens no other file.
 *
 * @file  a reference is taken
 * An unknown incompatible feature is named by the image's own feature name table.
 */
enum q2s_err q2s_image_open(struct q2s_file *file, unsigned flags, struct q2s_image **out,
			    struct q2s_diag *diag);
void q2s_image_close(struct q2s_image *image); /* NULL is fine */

/** Does this file start with the qcow2 magic? False also when it cannot be read. */
bool q2s_image_probe(struct q2s_file *file);

const struct q2s_header *q2s_image_header(const struct q2s_image *image);
const struct q2s_geom *q2s_image_geom(const struct q2s_image *image);
struct q2s_file *q2s_image_file(const struct q2s_image *image);

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
/** NULL when the image has none, or when it is not marked consistent. */
const struct q2s_ext_bitmaps *q2s_image_bitmaps(const struct q2s_image *image);
const struct q2s_ext_crypto *q2s_image_crypto(const struct q2s_image *image);

/* ---- tables read whole (bounded by the format's limits) ---------------------------------- */

/** All snapshot records; the strings point into @buf. Free with q2s_snapshots_free(). */
struct q2s_snapshots {
	uint8_t *buf;
	size_t bytes; /* of the table */
	uint32_t count;
	struct q2s_snapshot *list;
	q2s_host *at; /* host offset of each record */
};
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
enum q2s_err q2s_image_bitmap_directory(const struct q2s_image *image, struct q2s_bitmaps *out,
					struct q2s_diag *diag);
void q2s_bitmaps_free(struct q2s_bitmaps *bitmaps);

/* ---- mapping of one layer ---------------------------------------------------------------- */

/**
 * A walker over the mapping of one L1 table. Owns its caches, so each thread has its own. Memory
 * is 64 KiB of L1 and one L2 table, whatever the image; from the first compressed cluster on, two
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
 */
enum q2s_err q2s_map_l2_table(struct q2s_map *map, uint64_t index, struct q2s_l1_entry *entry,
			      const uint8_t **table, struct q2s_diag *diag);

/** The smallest index >= @index whose L1 entry is not empty, or the number of entries. */
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
 * Returns Q2S_OK, Q2S_E_POLICY (the message says which --follow would allow it), Q2S_E_IO,
 * Q2S_E_UNSUPPORTED (no local file, or the image does not name one), Q2S_E_NOMEM.
 */
enum q2s_err q2s_reference_open(const struct q2s_image *image, enum q2s_reference reference,
				enum q2s_follow follow, struct q2s_file **out, char format[16],
				struct q2s_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
