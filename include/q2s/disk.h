/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 4: a disk is guest-visible content. It has a size, says what is at an offset and how far
 * that holds, and reads bytes. It knows nothing of what is made of it.
 */
#ifndef Q2S_DISK_H
#define Q2S_DISK_H

#include <q2s/chain.h>
#include <q2s/http.h>

Q2S_BEGIN_DECLS

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
	struct q2s_store *file;
	uint64_t at;
	bool once;
};

/** Exact size in guest bytes; need not be a multiple of anything. */
uint64_t q2s_disk_size(const struct q2s_disk *disk);
const char *q2s_disk_name(const struct q2s_disk *disk);
/**
 * Counted: q2s_disk_ref() adds an owner, and each owner closes the disk once; the last one ends it.
 * NULL is fine for closing; cursors must be closed before.
 */
struct q2s_disk *q2s_disk_ref(struct q2s_disk *disk);
void q2s_disk_close(struct q2s_disk *disk);

/**
 * The files that hold the content: number @index of them, the disk's own; NULL behind the last. A
 * disk that lies in no file (synthetic, or on a server) has none.
 */
struct q2s_store *q2s_disk_file(const struct q2s_disk *disk, size_t index);

/**
 * Number @index of the image files whose end is missing, the disk's own; NULL behind the last. Such
 * a file ends within a cluster of data that was asked for, and the rest of it reads as zero, as in
 * QEMU. What was not asked for yet is not known. A disk made of others has none; ask those.
 */
struct q2s_store *q2s_disk_cut(const struct q2s_disk *disk, size_t index);

/** Did the content stay what it was since opening? Q2S_E_CHANGED names what changed. */
enum q2s_err q2s_disk_verify(struct q2s_disk *disk, struct q2s_diag *diag);

/** Does any of its content lie in this file (the same device and inode)? */
bool q2s_disk_uses(const struct q2s_disk *disk, const struct q2s_store_ident *file);

/** Q2S_E_NOMEM; of a disk on a server also what connecting reports. */
enum q2s_err q2s_cursor_open(struct q2s_disk *disk, struct q2s_cursor **out,
			     struct q2s_diag *diag);
void q2s_cursor_close(struct q2s_cursor *cursor); /* NULL is fine */

/**
 * What is at @guest, for at most @max bytes. @guest is below the disk's size, @max not 0
 * (Q2S_E_USAGE otherwise). Fails with what is wrong in the tables of an image, or what reading them
 * reports.
 */
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

/** A raw disk in a regular file or block device; takes a reference on @file. Q2S_E_NOMEM. */
enum q2s_err q2s_disk_raw(struct q2s_store *file, struct q2s_disk **out, struct q2s_diag *diag);

/** An empty disk of @size bytes: all of it absent. Q2S_E_NOMEM. */
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

/** Bytes of metadata cache when the options leave it at 0. */
#define Q2S_DISK_CACHE_DEFAULT (16u << 20)

/**
 * The passphrase of one layer of a chain, @key_len bytes; copied if kept.
 *
 * @file  of the image, of which device and inode count
 */
struct q2s_layer_key {
	struct q2s_store_ident file;
	const uint8_t *key;
	size_t key_len;
};

/**
 * How a qcow2 source is opened. Start from Q2S_DISK_QCOW2_OPTIONS_INIT: active layer, no other
 * file.
 * @size is sizeof(struct q2s_disk_qcow2_options).
 */
struct q2s_disk_qcow2_options {
	size_t size;
	enum q2s_follow follow;
	bool force_share; /* as struct q2s_chain_options has it */
	const char *snapshot; /* ID or name of an internal snapshot, or NULL */
	bool below;           /* not the image, but what lies below it: the disk of its backing file */
	const uint8_t *key;   /* passphrase of each encrypted layer, or NULL; copied if kept */
	size_t key_len;
	const struct q2s_layer_key *layer_keys; /* layers whose passphrase is another one than @key */
	size_t layer_key_count;
	/* not NULL: what a backing file that is not there held reads as zero, and this says which */
	struct q2s_diag *missing;
	/*
	 * Bytes of memory for slices of the tables of all layers, which all cursors share; it is
	 * taken as they are read. 0: Q2S_DISK_CACHE_DEFAULT
	 */
	size_t cache;
};
#define Q2S_DISK_QCOW2_OPTIONS_INIT { .size = sizeof(struct q2s_disk_qcow2_options) }

/**
 * The guest content of a qcow2 image with all the layers below it, as far as the policy lets them
 * be opened. Takes a reference on @file.
 *
 * The layers are those of q2s_chain_open(), which says how they are found and locked.
 *
 * An encrypted image's sectors are decrypted when they are read. Compressed clusters of such an
 * image are not encrypted, as in QEMU.
 *
 * @options  NULL: as Q2S_DISK_QCOW2_OPTIONS_INIT
 *
 * Returns Q2S_OK, Q2S_E_KEY (encrypted, without a key) or what q2s_crypt_open() reports,
 * Q2S_E_USAGE (no such snapshot, @options->size), Q2S_E_CONFLICT (by their marks, struct q2s_mark,
 * the layers do not belong together), or what q2s_chain_open() reports.
 */
enum q2s_err q2s_disk_qcow2(struct q2s_store *file, const struct q2s_disk_qcow2_options *options,
			    struct q2s_disk **out, struct q2s_diag *diag);

/**
 * The guest content of layers that the caller names, whatever backing files their headers name;
 * those are not opened. All are qcow2 images, but for the first one with @raw_bottom. Takes
 * references.
 *
 * @files    from the bottom up, 1 to Q2S_CHAIN_MAX of them, each locked as q2s_chain_open() does
 * @options  as for q2s_disk_qcow2(), without @snapshot and @below; the policy is for external data
 *           files
 *
 * Returns what q2s_disk_qcow2() does, Q2S_E_USAGE (no layer, or a snapshot or @below), or
 * Q2S_E_CONFLICT when the layers cannot belong together: the lowest one has a backing file, so that
 * one is missing, one is of a larger disk than the one above it, or their marks say so.
 */
enum q2s_err q2s_disk_layers(struct q2s_store *const *files, size_t count, bool raw_bottom,
			     const struct q2s_disk_qcow2_options *options, struct q2s_disk **out,
			     struct q2s_diag *diag);

/**
 * The content of some layers of @chain: @count of them from number @first on. What they leave to
 * layers below them is Q2S_ABSENT, and reads as zero. A reference to @chain is taken.
 *
 * @options  as for q2s_disk_qcow2(), without @snapshot and @below; only the key counts
 *
 * Returns what q2s_disk_qcow2() does, or Q2S_E_USAGE (there are no such layers).
 */
enum q2s_err q2s_disk_part(struct q2s_chain *chain, size_t first, size_t count,
			   const struct q2s_disk_qcow2_options *options, struct q2s_disk **out,
			   struct q2s_diag *diag);

/**
 * A raw disk that comes through a pipe: the whole stream is read at opening, and what is not zero
 * waits in memory, up to @budget bytes, then in a file without a name in @stream->folder. The map
 * of what is where costs little beside that, whatever the size of the disk.
 *
 * Fails with what reading or the spool report, or when the stream breaks its promise of a size.
 */
enum q2s_err q2s_disk_spool(const struct q2s_stream *stream, uint64_t budget,
			    struct q2s_disk **out, struct q2s_diag *diag);

/* ---- whatever it is ---------------------------------------------------------------------- */

/**
 * How q2s_disk_open() opens. Start from Q2S_DISK_OPEN_OPTIONS_INIT.
 *
 * @size    sizeof(struct q2s_disk_open_options)
 * @format  "qcow2" or "raw"; NULL: qcow2 if it begins like one, else raw, but for what begins as
 *          another container (q2s_container_probe()), which is refused. A guest that owns a raw
 *          disk decides how it begins: who knows the format should name it
 * @qcow2   the layers of an image: which files it may refer to, passphrases, a snapshot; of a raw
 *          disk only @force_share counts. NULL: as Q2S_DISK_QCOW2_OPTIONS_INIT, no other file is
 *          opened
 * @http    how a server is asked; or NULL
 */
struct q2s_disk_open_options {
	size_t size;
	const char *format;
	const struct q2s_disk_qcow2_options *qcow2;
	const struct q2s_http_options *http;
};
#define Q2S_DISK_OPEN_OPTIONS_INIT { .size = sizeof(struct q2s_disk_open_options) }

/**
 * Open @name as a disk, by the rules of the tools: a file or block device, a FIFO, the URL of a
 * file on a server (q2s_store_open_any()), or an NBD URI. What is opened is locked as QEMU locks
 * what it reads.
 *
 * @options  NULL: as Q2S_DISK_OPEN_OPTIONS_INIT
 *
 * Returns Q2S_OK, Q2S_E_USAGE (@options->size; a snapshot of what is not qcow2), Q2S_E_UNSUPPORTED
 * (another format), or what q2s_store_open_any(), q2s_disk_raw(), q2s_disk_qcow2() and
 * q2s_disk_nbd() report.
 */
enum q2s_err q2s_disk_open(const char *name, const struct q2s_disk_open_options *options,
			   struct q2s_disk **out, struct q2s_diag *diag);

/**
 * The same for a store, to which a reference is taken; @options->http does not count. Fails
 * likewise.
 */
enum q2s_err q2s_disk_open_store(struct q2s_store *store,
				 const struct q2s_disk_open_options *options,
				 struct q2s_disk **out, struct q2s_diag *diag);

/* ---- disks on NBD servers ------------------------------------------------------------------ */

/** Would q2s_disk_nbd() take @name for a URI? Pure; says nothing of whether it works. */
bool q2s_nbd_is_uri(const char *name);

/**
 * Where an NBD disk is. Start from Q2S_DISK_NBD_OPTIONS_INIT, then set @uri or @sockets.
 *
 * @size          sizeof(struct q2s_disk_nbd_options)
 * @uri           nbd://, nbds://, nbd+unix://, nbds+unix://, nbd+vsock:// or nbds+vsock://; it
 *                may name files with TLS keys
 * @sockets       @socket_count connections on which the server, which serves its default export
 *                on all of them, waits for the handshake; taken over, also on failure
 * @context       a metadata context whose bit 0 says what changed, such as
 *                "qemu:dirty-bitmap:NAME", or NULL: see q2s_disk_nbd_changes(). A server that does
 *                not offer it is no failure yet
 * @name          for messages; NULL: the URI
 * @watched       a local file that the server reads, or NULL: the disk's file, which
 *                q2s_disk_verify() looks at; a reference is taken
 */
struct q2s_disk_nbd_options {
	size_t size;
	const char *uri;
	const int *sockets;
	size_t socket_count;
	const char *context;
	const char *name;
	struct q2s_store *watched;
};
#define Q2S_DISK_NBD_OPTIONS_INIT { .size = sizeof(struct q2s_disk_nbd_options) }

/**
 * The content of an NBD export. Where the server tells what is allocated, holes and zeros are not
 * read. Cursors have connections of their own where the server promises that these agree, up to
 * a fixed number; else they share one. Each cursor keeps several requests in flight, in up to
 * 4 MiB of memory.
 *
 * Returns Q2S_OK, Q2S_E_USAGE (neither @uri nor @sockets, or @options->size; the sockets stay the
 * caller's then), Q2S_E_IO with the reason that libnbd gives, Q2S_E_MISSING in a build without
 * libnbd or when libnbd, which is loaded here, cannot be, Q2S_E_NOMEM.
 */
enum q2s_err q2s_disk_nbd(const struct q2s_disk_nbd_options *options, struct q2s_disk **out,
			  struct q2s_diag *diag);

/**
 * The metadata context that @disk was opened with as a map: its extents are Q2S_DATA where bit 0 is
 * set, else Q2S_ABSENT. It cannot be read (Q2S_E_UNSUPPORTED). @disk must outlive it.
 *
 * Returns Q2S_OK, Q2S_E_CONFLICT (@disk is no NBD disk, or was opened without a context),
 * Q2S_E_USAGE (the server does not offer it), Q2S_E_NOMEM.
 */
enum q2s_err q2s_disk_nbd_changes(struct q2s_disk *disk, struct q2s_disk **out,
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
 * say that they are the same: nothing on both sides, or the same place of the same file. Nothing is
 * read behind the units that a question is about.
 *
 * @source  its size is at most @size; both disks stay the caller's and must outlive this one
 * @unit    power of two from 512: one state holds for all of a unit (a cluster or subcluster of
 *          the image that is made), so a unit that differs anywhere is data as a whole
 *
 * Verifying it verifies both. Q2S_E_USAGE for a wrong @size or @unit.
 */
enum q2s_err q2s_disk_diff(struct q2s_disk *source, struct q2s_disk *base, uint64_t size,
			   uint32_t unit, struct q2s_disk **out, struct q2s_diag *diag);

/** What was found out elsewhere about a stretch of a disk. */
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

/* ---- what can be read of a damaged disk -------------------------------------------------- */

/**
 * @inner wherever it can be read, and zeros elsewhere; it remembers where that was. A place is
 *        given
 * up when reading fails for a reason that is about this place: an I/O error of the medium, or
 * damage of an image. What was given up once is not tried again. All other failures stay failures.
 *
 * No extent names a file, as every byte has to be read here to be sure of it.
 *
 * @inner  taken over on success; no cursor is open
 */
enum q2s_err q2s_disk_salvage(struct q2s_disk *inner, struct q2s_disk **out, struct q2s_diag *diag);

enum q2s_salvage_state {
	Q2S_SALVAGE_SURE,        /* no failure was met: what was read is what @inner shows */
	Q2S_SALVAGE_ZERO_FILLED, /* there is data, of which it is known where it lies; zeros instead */
	Q2S_SALVAGE_LOST,        /* the tables are damaged: what was there is not known; zeros */
};

/** A stretch of a salvaged disk. */
struct q2s_salvaged {
	uint64_t len;
	enum q2s_salvage_state state;
};

/**
 * What became of the bytes at @guest, and how far that holds, by what was read so far.
 *
 * @disk  made by q2s_disk_salvage(); from any thread
 * Q2S_E_USAGE for another kind of disk, or behind its end.
 */
enum q2s_err q2s_salvage_look(struct q2s_disk *disk, q2s_guest guest, struct q2s_salvaged *out,
			      struct q2s_diag *diag);

/* ---- only what changed ------------------------------------------------------------------- */

/**
 * The persistent bitmap @name of the qcow2 image in @file as a map: its extents are Q2S_DATA where
 * the bitmap is dirty, else Q2S_ABSENT. It cannot be read (Q2S_E_UNSUPPORTED). Takes a reference
 * on @file; opens no other. Fails as q2s_image_open() and q2s_bitmap_reader_open() do.
 */
enum q2s_err q2s_disk_bitmap(struct q2s_store *file, struct q2s_bytes name, struct q2s_disk **out,
			     struct q2s_diag *diag);

/**
 * How to look at what changed. Start from Q2S_CHANGED_OPTIONS_INIT.
 *
 * @size            sizeof(struct q2s_changed_options)
 * @unit            power of two from 512: a unit of which the map calls anything dirty is dirty as
 *                  a whole (a cluster or subcluster of the image that is made)
 * @counts          guest bytes from the start for which the map counts; behind them all is dirty,
 *                  as of a disk that became larger. UINT64_MAX: everywhere
 * @absent_is_same  what the disk calls absent stays so, as it is a difference (q2s_disk_diff());
 *                  without it, what is dirty and absent is zero
 */
struct q2s_changed_options {
	size_t size;
	uint32_t unit;
	uint64_t counts;
	bool absent_is_same;
};
#define Q2S_CHANGED_OPTIONS_INIT                                                                   \
	{ .size = sizeof(struct q2s_changed_options), .unit = 512, .counts = UINT64_MAX }

/**
 * @inner where @map says that it changed: Q2S_ABSENT where the map is clean, which @inner is never
 * asked about; else what @inner says. Reading gives what @inner shows, everywhere.
 *
 * @map  what its extents call data is dirty, all else is clean; it is never read. Behind its end
 *       all is clean
 *
 * Both stay the caller's and must outlive this disk. Verifying it verifies both.
 *
 * @options  NULL: as Q2S_CHANGED_OPTIONS_INIT
 * Returns Q2S_OK, Q2S_E_USAGE (a wrong unit, @options->size), Q2S_E_NOMEM.
 */
enum q2s_err q2s_disk_changed(struct q2s_disk *inner, struct q2s_disk *map,
			      const struct q2s_changed_options *options, struct q2s_disk **out,
			      struct q2s_diag *diag);

Q2S_END_DECLS
#endif
