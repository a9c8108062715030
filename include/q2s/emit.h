/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Floor 6: moves the pieces of a plan, or a whole disk, into a sink. */
#ifndef Q2S_EMIT_H
#define Q2S_EMIT_H

#include <q2s/crypt.h>
#include <q2s/plan.h>

Q2S_BEGIN_DECLS

/* ---- compression ------------------------------------------------------------------------- */

/**
 * How clusters are compressed.
 *
 * @type   enum q2s_compression_type, as in the image's header
 * @level  when @has_level: zlib 1..9, zstd as its library says. Without one: a fast deflate
 *         library if there is one, else zlib at 6; zstd at 3
 */
struct q2s_compression {
	uint8_t type;
	bool has_level;
	int level;
};

/** Q2S_E_UNSUPPORTED for an unknown type, Q2S_E_USAGE for a level that it does not have. */
enum q2s_err q2s_compression_check(const struct q2s_compression *how, struct q2s_diag *diag);

/**
 * The library that compresses this way, with its version: "ISA-L 2.30.0", "zlib 1.2.13". The same
 * one gives the same bytes. Static storage.
 */
const char *q2s_encoder_name(const struct q2s_compression *how);

/**
 * How to compress an allocation. Start from Q2S_COMPRESS_OPTIONS_INIT.
 *
 * @size      sizeof(struct q2s_compress_options)
 * @how       zero: zlib, as the fastest library does it
 * @threads   0: one per processor; the bytes do not depend on it
 * @spool     keeps the streams for q2s_emit(), in the order of the disk; NULL: only their lengths
 *            are found out, and they are compressed again when they are written
 * @wanted    which guest clusters to compress, asked from several threads; NULL: all with data
 * @opaque    for @wanted
 * @observer  or NULL
 */
struct q2s_compress_options {
	size_t size;
	struct q2s_compression how;
	unsigned threads;
	struct q2s_spool *spool;
	bool (*wanted)(void *opaque, uint64_t cluster);
	void *opaque;
	const struct q2s_observer *observer;
};
#define Q2S_COMPRESS_OPTIONS_INIT { .size = sizeof(struct q2s_compress_options) }

/**
 * Compress each cluster of @disk that @plain gives data. A cluster that does not shrink stays as
 * it is; one that does holds all of the disk's content at its place.
 *
 * @plain    what q2s_scan() found; stays the caller's, and cannot be added to any more
 * @options  NULL: as Q2S_COMPRESS_OPTIONS_INIT
 * @out      the allocation with compressed clusters
 *
 * Returns Q2S_OK, Q2S_E_USAGE (@options->size, or something is compressed already), what
 * q2s_compression_check() reports, Q2S_E_CANCELLED, Q2S_E_NOMEM, or what reading and the spool
 * report.
 */
enum q2s_err q2s_compress(struct q2s_disk *disk, struct q2s_alloc *plain,
			  const struct q2s_compress_options *options, struct q2s_alloc **out,
			  struct q2s_diag *diag);

/* ---- output ------------------------------------------------------------------------------ */

/** The end of an image, whatever its length. */
#define Q2S_TO_END UINT64_MAX

/**
 * What to write, and how. Start from Q2S_EMIT_OPTIONS_INIT: all of it.
 *
 * @size          sizeof(struct q2s_emit_options)
 * @from, @until  only these bytes of the image, in offsets of the image; @until may be Q2S_TO_END
 * @raw_size      bytes of the image that q2s_emit_raw() writes, at least the disk's; what lies
 *                behind its end is zero. 0: the disk's, rounded up to 512
 * @spool         holds the compressed streams, or NULL
 * @how           how to compress again what no spool holds; NULL when nothing is compressed
 * @threads       for what has to be made: decoded, encrypted, compressed again, or read into memory
 *                as the sink cannot take it from its file; 0: one per processor
 * @crypt         how guest data is encrypted, for a plan with a LUKS header; else NULL. @from and
 *                @until are then multiples of 512
 * @observer      or NULL; sees Q2S_PHASE_WRITE
 */
struct q2s_emit_options {
	size_t size;
	uint64_t from;
	uint64_t until;
	uint64_t raw_size;
	struct q2s_spool *spool;
	const struct q2s_compression *how;
	unsigned threads;
	const struct q2s_crypt *crypt;
	const struct q2s_observer *observer;
};
#define Q2S_EMIT_OPTIONS_INIT { .size = sizeof(struct q2s_emit_options), .until = Q2S_TO_END }

/**
 * Write the image that @plan describes, with the guest data of @disk, into @sink. @disk may be
 * NULL where the range holds nothing but metadata.
 *
 * The caller commits the sink. Before returning Q2S_OK it is verified that the bytes taken are as
 * many as planned, and that the source did not change since it was opened (Q2S_E_CHANGED).
 *
 * @options  NULL: as Q2S_EMIT_OPTIONS_INIT
 *
 * Returns Q2S_OK, Q2S_E_USAGE (@options->size, a range that leaves the image, or a LUKS header
 * without @crypt), Q2S_E_CHANGED, Q2S_E_PLAN, Q2S_E_CANCELLED, Q2S_E_NOMEM, or what reading, the
 * spool and the sink report.
 */
enum q2s_err q2s_emit(const struct q2s_plan *plan, struct q2s_disk *disk, struct q2s_sink *sink,
		      const struct q2s_emit_options *options, struct q2s_diag *diag);

/**
 * Write a raw disk that comes through a pipe as an image, while it comes: nothing waits, in memory
 * or in a file. As it is not known yet how much is to come, data lies before the tables, so the
 * bytes are others than those of q2s_emit() for the same disk.
 *
 * @spec      what the image shall be, with @data_first and without a data file; the size of its
 *            geometry plays no part
 * @sink      can seek (q2s_sink_can_seek()), and has taken nothing yet; the caller commits it
 *
 * Returns Q2S_OK; what reading the stream and writing can return; Q2S_E_LIMIT for a disk that is
 * larger than the cluster size allows; Q2S_E_USAGE.
 */
enum q2s_err q2s_emit_stream(const struct q2s_stream *stream, const struct q2s_spec *spec,
			     struct q2s_sink *sink, struct q2s_diag *diag);

/**
 * The same as a raw image. Any sink will do.
 *
 * @size  bytes of the image; 0: as many as come, rounded up to 512. More than @size are Q2S_E_LIMIT
 */
enum q2s_err q2s_emit_stream_raw(const struct q2s_stream *stream, uint64_t size,
				 struct q2s_sink *sink, struct q2s_diag *diag);

/**
 * Write the guest content of @disk as a raw image. Fails as q2s_emit() does; Q2S_E_USAGE too for
 * an @options->raw_size that is less than the disk's.
 */
enum q2s_err q2s_emit_raw(struct q2s_disk *disk, struct q2s_sink *sink,
			  const struct q2s_emit_options *options, struct q2s_diag *diag);

Q2S_END_DECLS
#endif
