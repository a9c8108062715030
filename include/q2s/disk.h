/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 4: a disk is guest-visible content. It has a size, says what is at an offset and how far
 * that holds, and reads bytes. It knows nothing of what is made of it.
 */
#ifndef Q2S_DISK_H
#define Q2S_DISK_H

#include <q2s/image.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A source of guest content. Immutable while open; several threads may have cursors on it. */
struct q2s_disk;

/** One thread's place in a disk, with the caches that reading needs. Not shared. */
struct q2s_cursor;

/**
 * What a stretch of a disk is.
 *
 * @len    bytes, more than 0
 * @state  Q2S_ABSENT (falls through to whatever is below), Q2S_ZERO, Q2S_DATA (may still hold
 *         zeros). Without something below, absent reads as zero.
 * @file   not NULL: the bytes lie plainly in this file from @at on, so that a sink may copy them
 *         without reading; the reference stays the disk's
 * @once   nothing else on the disk lies in these bytes of @file, so who has them may forget them
 */
struct q2s_extent {
	uint64_t len;
	enum q2s_state state;
	struct q2s_file *file;
	uint64_t at;
	bool once;
};

/** Exact size in guest bytes; need not be a multiple of anything. */
uint64_t q2s_disk_size(const struct q2s_disk *disk);
const char *q2s_disk_name(const struct q2s_disk *disk);
void q2s_disk_close(struct q2s_disk *disk); /* NULL is fine; cursors must be closed before */

/**
 * The files that hold the content: number @index of them, the disk's own; NULL behind the last. A
 * disk that lies in no file (synthetic, or on a server) has none.
 */
struct q2s_file *q2s_disk_file(const struct q2s_disk *disk, size_t index);

/** Did the content stay what it was since opening? Q2S_E_CHANGED names what changed. */
enum q2s_err q2s_disk_verify(struct q2s_disk *disk, struct q2s_diag *diag);

/** Does any of its content lie in this file (the same device and inode)? */
bool q2s_disk_uses(const struct q2s_disk *disk, const struct q2s_file_ident *file);

enum q2s_err q2s_cursor_open(struct q2s_disk *disk, struct q2s_cursor **out,
			     struct q2s_diag *diag);
void q2s_cursor_close(struct q2s_cursor *cursor); /* NULL is fine */

/** What is at @guest, for at most @max bytes. @guest is below the disk's size, @max not 0. */
enum q2s_err q2s_cursor_extent(struct q2s_cursor *cursor, q2s_guest guest, uint64_t max,
			       struct q2s_extent *out, struct q2s_diag *diag);

/**
 * Read exactly @len bytes at @guest; bytes past the disk's end read as zero (an image's size is
 * rounded up to 512, a disk's need not be).
 *
 * Returns Q2S_OK, Q2S_E_CHANGED (the file became shorter), or what the layer below reports.
 */
enum q2s_err q2s_cursor_read(struct q2s_cursor *cursor, q2s_guest guest, void *buf, size_t len,
			     struct q2s_diag *diag);

/* ---- kinds of disks ---------------------------------------------------------------------- */

/** A raw disk in a regular file or block device; takes a reference on @file. */
enum q2s_err q2s_disk_raw(struct q2s_file *file, struct q2s_disk **out, struct q2s_diag *diag);

/** An empty disk of @size bytes: all of it absent. */
enum q2s_err q2s_disk_empty(uint64_t size, struct q2s_disk **out, struct q2s_diag *diag);

/**
 * One region of a synthetic disk.
 *
 * @half  with @seeded: 0, or bytes: only the first half of each such block of the disk is random
 *        and the rest is zero, so that a cluster of this size can be compressed
 */
struct q2s_pattern {
	q2s_guest start;
	uint64_t len;
	enum q2s_state state; /* what the extent says */
	bool seeded;          /* data: pseudo-random bytes from @seed; else every byte is @fill */
	uint64_t seed;
	uint8_t fill;
	uint32_t half;
};

/**
 * A synthetic disk: absent except for @regions, which are copied; sorted by start and disjoint
 * (Q2S_E_USAGE otherwise). Byte k of a seeded region depends on its seed and guest offset alone.
 */
enum q2s_err q2s_disk_pattern(uint64_t size, const struct q2s_pattern *regions, size_t count,
			      struct q2s_disk **out, struct q2s_diag *diag);

/** How a qcow2 source is opened. Zero-initialised: active layer, no other file. */
struct q2s_disk_qcow2_options {
	enum q2s_follow follow;
	const char *snapshot; /* ID or name of an internal snapshot, or NULL */
	const uint8_t *key;   /* passphrase of each encrypted layer, or NULL; copied if kept */
	size_t key_len;
};

/**
 * The guest content of a qcow2 image with all the layers below it, as far as the policy lets them
 * be opened. Takes a reference on @file.
 *
 * A backing file's format is the recorded one; a missing one means raw unless the qcow2 magic is
 * there, as for a file named without -f. What a backing file of such a guessed format refers to is
 * opened with Q2S_FOLLOW_ANY only: its bytes may be a guest's.
 *
 * An encrypted image's sectors are decrypted when they are read. Compressed clusters of such an
 * image are not encrypted, as in QEMU.
 *
 * Returns Q2S_OK, Q2S_E_POLICY (a file is needed that must not be opened), Q2S_E_KEY (encrypted,
 * without a key) or what q2s_crypt_open() reports, Q2S_E_USAGE (no such snapshot), Q2S_E_LIMIT
 * (more than 200 layers), Q2S_E_HEADER (a chain that is a loop), or what opening one of the files
 * reports.
 */
enum q2s_err q2s_disk_qcow2(struct q2s_file *file, const struct q2s_disk_qcow2_options *options,
			    struct q2s_disk **out, struct q2s_diag *diag);

/**
 * A raw disk that comes through a pipe: the whole stream is read at opening, and what is not zero
 * waits in memory, up to @budget bytes, then in a file without a name in @stream->folder. The map
 * of what is where costs little beside that, whatever the size of the disk.
 *
 * Fails with what reading or the spool report, or when the stream breaks its promise of a size.
 */
enum q2s_err q2s_disk_spool(const struct q2s_stream *stream, uint64_t budget,
			    struct q2s_disk **out, struct q2s_diag *diag);

/** Would q2s_disk_nbd() take @name for a URI? Pure; says nothing of whether it works. */
bool q2s_nbd_is_uri(const char *name);

/**
 * Where an NBD disk is. Zero-initialise, then set @uri or @sockets.
 *
 * @uri           nbd://, nbds://, nbd+unix://, nbds+unix://, nbd+vsock:// or nbds+vsock://; it
 *                may name files with TLS keys
 * @sockets       @socket_count connections on which the server, which serves its default export
 *                on all of them, waits for the handshake; taken over, also on failure
 * @name          for messages; NULL: the URI
 * @watched       a local file that the server reads, or NULL: the disk's file, which
 *                q2s_disk_verify() looks at; a reference is taken
 */
struct q2s_disk_nbd_options {
	const char *uri;
	const int *sockets;
	size_t socket_count;
	const char *name;
	struct q2s_file *watched;
};

/**
 * The content of an NBD export. Where the server tells what is allocated, holes and zeros are not
 * read. Cursors have connections of their own where the server promises that these agree, up to
 * a fixed number; else they share one. Each cursor keeps several requests in flight, in up to
 * 4 MiB of memory.
 *
 * Returns Q2S_OK, Q2S_E_IO with the reason that libnbd gives, Q2S_E_MISSING in a build without
 * libnbd or when libnbd, which is loaded here, cannot be, Q2S_E_NOMEM.
 */
enum q2s_err q2s_disk_nbd(const struct q2s_disk_nbd_options *options, struct q2s_disk **out,
			  struct q2s_diag *diag);

/** What q2s_disk_compare() found. @at: the first guest byte that differs, unless @same. */
struct q2s_comparison {
	bool same;
	q2s_guest at;
};

/**
 * Compare what two disks show. Where one is longer, its tail has to be zero to be the same; sizes
 * are the caller's to judge. Not read: what neither holds as data, and what both hold at the same
 * place of the same file.
 *
 * @observer  or NULL; sees Q2S_PHASE_COMPARE
 * Returns Q2S_OK, Q2S_E_CANCELLED, or what reading reports.
 */
enum q2s_err q2s_disk_compare(struct q2s_disk *a, struct q2s_disk *b,
			      const struct q2s_observer *observer, struct q2s_comparison *out,
			      struct q2s_diag *diag);

/* ---- disks made of others ---------------------------------------------------------------- */

/**
 * What has to be stored to show @source on top of @base: a disk of @size bytes, whose extents are
 * Q2S_ABSENT where both show the same, Q2S_ZERO where @source is zero and @base is not, and
 * Q2S_DATA elsewhere. Reading gives what @source shows, everywhere. Behind their ends both are
 * zero.
 *
 * The extents depend on the two contents alone. Both are read and compared, unless their metadata
 * say that they are the same: nothing on both sides, or the same place of the same file.
 *
 * @source  its size is at most @size; both disks stay the caller's and must outlive this one
 * @unit    power of two from 512: one state holds for all of a unit (a cluster or subcluster of
 *          the image that is made), so a unit that differs anywhere is data as a whole
 *
 * Verifying it verifies both. Q2S_E_USAGE for a wrong @size or @unit.
 */
enum q2s_err q2s_disk_diff(struct q2s_disk *source, struct q2s_disk *base, uint64_t size,
			   uint32_t unit, struct q2s_disk **out, struct q2s_diag *diag);

/** What somebody else found out about a stretch of a disk. */
struct q2s_hint {
	q2s_guest start;
	uint64_t len;
	enum q2s_state state;
};

/**
 * @inner as @hints tell it: what they call zero or absent is believed to be so, is never looked at
 * and reads as zero; what they call data is what @inner says it is.
 *
 * @inner  taken over on success
 * @hints  copied; sorted, without gaps or overlaps, from 0 to the disk's size (Q2S_E_USAGE
 *         otherwise)
 */
enum q2s_err q2s_disk_hinted(struct q2s_disk *inner, const struct q2s_hint *hints, size_t count,
			     struct q2s_disk **out, struct q2s_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
