/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 5: an existing image, open for change. Guest reads and writes at any byte, zeros, discards
 * and flushes, with the order of writes that keeps the image consistent at every moment: a crash
 * may leave clusters that nothing refers to (leaks), and nothing worse.
 */
#ifndef Q2S_EDIT_H
#define Q2S_EDIT_H

#include <q2s/disk.h>
#include <q2s/image.h>

Q2S_BEGIN_DECLS

/**
 * One image, open for change. Any number of threads may use it at the same time. What a write
 * returned from is what later reads see; writes to the same bytes at the same time leave either.
 * Counted: q2s_edit_ref() adds an owner, q2s_edit_unref() drops one.
 */
struct q2s_edit;

/** Change nothing: writes are refused (Q2S_E_USAGE), and the store need not be writable. */
#define Q2S_EDIT_READ_ONLY (1u << 0)
/** Give no space back to the host: freed clusters are reused, but no holes are punched. */
#define Q2S_EDIT_KEEP_SPACE (1u << 1)
/** Open an image that names a backing file without one: what is unallocated reads as zero. */
#define Q2S_EDIT_NO_BASE (1u << 2)
/**
 * Guest bytes are neither read nor written (Q2S_E_USAGE): so no base, no data file and no key is
 * needed, and enabled bitmaps stay true. For snapshots, and for what says that it can be done so.
 */
#define Q2S_EDIT_TABLES_ONLY (1u << 3)

/** Bytes of metadata cache when the options leave it at 0. */
#define Q2S_EDIT_CACHE_DEFAULT (16u << 20)

/**
 * How to open. Start from Q2S_EDIT_OPTIONS_INIT.
 *
 * @size   sizeof(struct q2s_edit_options)
 * @base   what lies below, or NULL; stays the caller's and must outlive the edit. Never written to.
 * @data   the external data file of an image that has one, else NULL; a reference is taken
 * @key    passphrase of an encrypted image, @key_len bytes, or NULL; not needed after opening
 * @cache  bytes of metadata cache; 0: Q2S_EDIT_CACHE_DEFAULT. Besides that each thread that copies
 *         or decompresses needs a buffer of up to two clusters and 128 KiB.
 * @flags  Q2S_EDIT_*
 */
struct q2s_edit_options {
	size_t size;
	struct q2s_disk *base;
	struct q2s_store *data;
	const uint8_t *key;
	size_t key_len;
	size_t cache;
	unsigned flags;
};
#define Q2S_EDIT_OPTIONS_INIT { .size = sizeof(struct q2s_edit_options) }

/**
 * Open an image for change.
 *
 * Nothing is written before the first change. That one clears the autoclear bits that this library
 * does not know. The compatible feature "lazy refcounts" is kept, but not made use of: refcounts
 * are always written before what needs them, so the image never becomes dirty. One that another
 * program left dirty is checked here, and, if nothing else is wrong with it, its refcounts are set
 * to what its tables say and the mark is cleared, as QEMU does; this takes as long as q2s_check(),
 * twice.
 *
 * @image    writable, unless Q2S_EDIT_READ_ONLY; a reference is taken. Locks are the caller's to
 *           take: two programs that change one image destroy it.
 * @options  NULL: as Q2S_EDIT_OPTIONS_INIT
 *
 * Returns Q2S_OK, or
 *   Q2S_E_USAGE        the store is not writable, @options->size is wrong, a data file is given for
 *                      an image without one
 *   Q2S_E_CONFLICT     the image names a backing file, and there is neither a base nor
 *                      Q2S_EDIT_NO_BASE; it has an external data file, which is not given
 *   Q2S_E_UNSUPPORTED  unknown incompatible features; the image is marked corrupt, or dirty and
 *                      more is wrong than its refcounts (neither matters with Q2S_EDIT_READ_ONLY)
 *   Q2S_E_KEY          encrypted, and the key is missing or wrong
 * or what q2s_image_open() and q2s_crypt_open() report.
 */
enum q2s_err q2s_edit_open(struct q2s_store *image, const struct q2s_edit_options *options,
			   struct q2s_edit **out, struct q2s_diag *diag);

/**
 * Flush, store enabled bitmaps, then give the reference back. After the last one has gone without
 * this call, what was not flushed is lost, as in a crash.
 *
 * Returns what q2s_edit_flush() returns; the reference is given back also on failure.
 */
enum q2s_err q2s_edit_close(struct q2s_edit *edit, struct q2s_diag *diag); /* NULL is fine */

struct q2s_edit *q2s_edit_ref(struct q2s_edit *edit);
void q2s_edit_unref(struct q2s_edit *edit); /* NULL is fine */

/** Guest bytes. */
uint64_t q2s_edit_size(const struct q2s_edit *edit);
/** Bytes in which zeros and discards work: a subcluster, in standard images a cluster. */
uint32_t q2s_edit_subcluster_size(const struct q2s_edit *edit);
/**
 * Do whole subclusters become zero by the tables alone? Not in a version 2 image over a base: it
 * cannot say that they are zero, so zeros are written.
 */
bool q2s_edit_has_fast_zeros(const struct q2s_edit *edit);
/** The image, and the store that holds guest data (the same one without an external data file). */
struct q2s_store *q2s_edit_store(const struct q2s_edit *edit);
struct q2s_store *q2s_edit_data_store(const struct q2s_edit *edit);

/**
 * What is at @at, for at most @max bytes; below the disk's size, @max not 0 (else Q2S_E_USAGE).
 * Q2S_ABSENT: neither the image nor its base holds anything. file, at and once of @out are unset.
 */
enum q2s_err q2s_edit_extent(struct q2s_edit *edit, q2s_guest at, uint64_t max,
			     struct q2s_extent *out, struct q2s_diag *diag);

/*
 * Each of the following fails with Q2S_E_USAGE for a range that is not on the disk, with what the
 * stores report, and with the code of whatever is wrong in the tables that it needs. After a failed
 * write, zero or discard any part of the range may hold old or new bytes; the image is consistent.
 * After a flush of a store failed it is unknown what is durable: all that follows is refused with
 * the same error. When metadata are found where guest data are to be written the image is marked
 * corrupt, and all further changes are refused (Q2S_E_OFFSET).
 */

/** Fails as said above. */
enum q2s_err q2s_edit_read(struct q2s_edit *edit, q2s_guest at, void *buf, size_t len,
			   struct q2s_diag *diag);

/** Fails as said above. */
enum q2s_err q2s_edit_write(struct q2s_edit *edit, q2s_guest at, const void *buf, size_t len,
			    struct q2s_diag *diag);

/** Let q2s_edit_zero() give back the space of the range. */
#define Q2S_EDIT_MAY_DISCARD (1u << 0)

/**
 * Make a range read as zero. Whole subclusters change only in the tables; the parts of subclusters
 * at both ends are written, unless they read as zero already.
 *
 * @flags  0 or Q2S_EDIT_MAY_DISCARD
 * Fails as said above.
 */
enum q2s_err q2s_edit_zero(struct q2s_edit *edit, q2s_guest at, uint64_t len, unsigned flags,
			   struct q2s_diag *diag);

/**
 * Give back the space of all whole subclusters in a range (the end of the disk counts as the end of
 * one): they read as zero then, also over a base. The rest of the range stays as it is. So does
 * what the format cannot say: a part of a compressed cluster, and in a version 2 image any cluster
 * over a base. Fails as said above.
 */
enum q2s_err q2s_edit_discard(struct q2s_edit *edit, q2s_guest at, uint64_t len,
			      struct q2s_diag *diag);

/** All writes, zeros and discards that returned before this call are durable when it returns. Fails
 * as said above. */
enum q2s_err q2s_edit_flush(struct q2s_edit *edit, struct q2s_diag *diag);

/* ---- layers ------------------------------------------------------------------------------ */

/**
 * Where layers are committed to. Zero-initialise, and set @size.
 *
 * @size      sizeof(struct q2s_commit)
 * @base      an image; or NULL
 * @raw       a raw disk, writable; or NULL. One of the two, which becomes as large as the layers'
 *            disk if it is smaller; an image as by q2s_edit_resize(), before anything else
 * @observer  or NULL; sees Q2S_PHASE_WRITE, in guest bytes
 * @rate      bytes of data a second that are copied, at most; 0: no limit
 */
struct q2s_commit {
	size_t size;
	struct q2s_edit *base;
	struct q2s_store *raw;
	const struct q2s_observer *observer;
	uint64_t rate;
};

/**
 * Make the base show what the layers above it show: what they leave to it (Q2S_ABSENT) stays, zeros
 * become zeros, and of data what differs is written, by subcluster. Where the file system can,
 * blocks are shared instead. All of it is durable when this returns; after a failure the base holds
 * a part of it, which the layers still hide.
 *
 * @upper  the layers: q2s_disk_part()
 *
 * Returns Q2S_OK, Q2S_E_USAGE (no base, or two), Q2S_E_CANCELLED, or what reading,
 * q2s_edit_resize() and q2s_edit_write() report.
 */
enum q2s_err q2s_commit_layers(struct q2s_disk *upper, const struct q2s_commit *commit,
			       struct q2s_diag *diag);

/**
 * Leave all of the disk to what lies below, and give all its space back; the file becomes shorter.
 * What snapshots refer to stays. Nobody may use the edit meanwhile. A crash leaves a part of it,
 * and leaks at worst. Fails as writing does, see q2s_edit_read().
 */
enum q2s_err q2s_edit_empty(struct q2s_edit *edit, struct q2s_diag *diag);

/**
 * Write into the image what its base says is no longer to be found below: the base, as it was
 * opened, is a difference (q2s_disk_diff()) of what is below now and what will be. Where the image
 * maps nothing, the base's Q2S_DATA and Q2S_ZERO become the image's own; Q2S_ABSENT stays. Durable
 * when this returns. Q2S_E_USAGE: it was opened without a base; Q2S_E_CANCELLED.
 *
 * @observer  or NULL; sees Q2S_PHASE_WRITE, in guest bytes
 */
enum q2s_err q2s_edit_fill(struct q2s_edit *edit, const struct q2s_observer *observer,
			   struct q2s_diag *diag);

/**
 * Record another backing file, in one write of the header, when all that was written is durable.
 *
 * @name    as it is to be recorded; empty: none
 * @format  "qcow2", "raw" or what else QEMU knows; empty: not recorded
 *
 * Returns Q2S_OK, Q2S_E_LIMIT (too long, or no room in the first cluster), Q2S_E_CONFLICT (the
 * image has a raw external data file), or what q2s_edit_flush() does.
 */
enum q2s_err q2s_edit_set_backing(struct q2s_edit *edit, struct q2s_bytes name,
				  struct q2s_bytes format, struct q2s_diag *diag);

/* ---- giving space back --------------------------------------------------------------------- */

/*
 * Both check the image first, and refuse one in which anything is wrong (Q2S_E_REFCOUNT); clusters
 * that have leaked are freed. Nobody may use the edit meanwhile. A crash leaves leaks at worst, and
 * the same call goes on.
 */

/**
 * Punch holes where nothing is in use: free clusters, and in clusters that no other has the
 * subclusters without data, space that is preallocated too. Nothing is moved.
 *
 * @observer  or NULL; sees Q2S_PHASE_CHECK
 * @won       bytes that were no hole
 * Q2S_E_REFCOUNT, Q2S_E_CANCELLED, and what q2s_check() and the stores report.
 */
enum q2s_err q2s_edit_punch(struct q2s_edit *edit, const struct q2s_observer *observer,
			    uint64_t *won, struct q2s_diag *diag);

/**
 * Move what lies at the end of the file to free clusters below, data and tables, and cut the file
 * off behind the last cluster in use. What must lie together (L1 and refcount tables, for instance)
 * stays where no free run is long enough, and so does an encryption header.
 *
 * @observer  or NULL; sees Q2S_PHASE_CHECK, then Q2S_PHASE_WRITE in clusters; it may stop this
 *            between rounds (Q2S_E_CANCELLED)
 */
enum q2s_err q2s_edit_shrink(struct q2s_edit *edit, const struct q2s_observer *observer,
			     struct q2s_diag *diag);

/* ---- persistent bitmaps ------------------------------------------------------------------ */

/*
 * Enabled bitmaps learn of each write, zero and discard: they are durably marked as in use before
 * the first one, and q2s_edit_close() stores them and takes the mark off. After a crash the mark
 * stays, and such a bitmap can only be removed, as with QEMU.
 *
 * The functions below are durable when they return. A crash leaves the old bitmaps or the new ones,
 * and leaks at worst. Nobody may write to the disk meanwhile. Names are compared as bytes. Each
 * returns Q2S_OK; Q2S_E_USAGE (there is no such bitmap); Q2S_E_BITMAP (it is marked as in use, or
 * its table is wrong); Q2S_E_LIMIT (no room in the header or for the table); or what
 * q2s_edit_write() does.
 */

/**
 * A new one, all clean.
 *
 * Fails also with Q2S_E_UNSUPPORTED (a version 2 image), Q2S_E_EXISTS, Q2S_E_USAGE (the name or the
 * granularity), Q2S_E_CONFLICT (a disk of no bytes), Q2S_E_LIMIT (it would take more than 512 MiB).
 */
enum q2s_err q2s_edit_bitmap_add(struct q2s_edit *edit, struct q2s_bytes name,
				 uint32_t granularity_bits, bool enabled, struct q2s_diag *diag);
/** Also one that is in use. Fails as said above. */
enum q2s_err q2s_edit_bitmap_remove(struct q2s_edit *edit, struct q2s_bytes name,
				    struct q2s_diag *diag);
/** All of them. Fails as said above. */
enum q2s_err q2s_edit_bitmap_remove_all(struct q2s_edit *edit, struct q2s_diag *diag);
/** All of it becomes clean. Fails as said above. */
enum q2s_err q2s_edit_bitmap_clear(struct q2s_edit *edit, struct q2s_bytes name,
				   struct q2s_diag *diag);
/** From now on it learns of writes, or stays as it is. Fails as said above. */
enum q2s_err q2s_edit_bitmap_enable(struct q2s_edit *edit, struct q2s_bytes name, bool enabled,
				    struct q2s_diag *diag);
/**
 * What @map calls dirty (Q2S_DATA: see q2s_disk_bitmap()) becomes dirty, too. Q2S_E_CONFLICT: it is
 * of a disk of another size.
 */
enum q2s_err q2s_edit_bitmap_merge(struct q2s_edit *edit, struct q2s_bytes name,
				   struct q2s_disk *map, struct q2s_diag *diag);
/* ---- the image as a whole ---------------------------------------------------------------- */

/*
 * None of the following may run beside another call for the same edit. All that was written before
 * is flushed first; what they did is durable when they return. A crash leaves the image as it was
 * before or as it is after, with leaked clusters at worst; or, in the midst of making or deleting a
 * snapshot, with COPIED flags that do not fit the refcounts, which cost a copy and nothing else. So
 * does a failure, after which the edit may refuse further changes.
 *
 * What gives back tables or clusters, or counts them anew, has the image checked first
 * (q2s/check.h): Q2S_E_REFCOUNT if more is wrong than leaks and COPIED flags, as a wrong entry
 * could name what belongs to others.
 */

/**
 * An internal snapshot to be made.
 *
 * @name      @name_len bytes, at most 255, without NUL; need not be unique, as in QEMU
 * @date_sec  since 1970, with @date_nsec below 10^9
 */
struct q2s_edit_snapshot {
	const void *name;
	size_t name_len;
	uint32_t date_sec;
	uint32_t date_nsec;
};

/**
 * Keep the disk as it is now as an internal snapshot. Its id is the largest one plus 1, as in QEMU;
 * there is no VM state, and the VM clock is 0.
 *
 * Returns Q2S_OK, or
 *   Q2S_E_USAGE        @snapshot's name or date is out of range
 *   Q2S_E_UNSUPPORTED  the image has an external data file
 *   Q2S_E_LIMIT        a refcount does not fit its width, which is seen before anything is written;
 *                      too many snapshots, too large a table of them
 *   Q2S_E_REFCOUNT     a cluster that is in use has no count
 * or what is wrong in the tables.
 */
enum q2s_err q2s_edit_snapshot_create(struct q2s_edit *edit,
				      const struct q2s_edit_snapshot *snapshot,
				      struct q2s_diag *diag);

/**
 * Show the disk as it was at a snapshot, with its size; what the disk shows now is lost, unless
 * another snapshot has it.
 *
 * @word  the snapshot's id, else its name, of @len bytes: the first one that fits
 *
 * Returns as q2s_edit_snapshot_create(), or
 *   Q2S_E_USAGE     there is no such snapshot
 *   Q2S_E_CONFLICT  the image has persistent bitmaps, which would no longer be true
 *   Q2S_E_UNSUPPORTED  another disk size, in a version 2 image
 *   Q2S_E_SNAPSHOT  its L1 table is too small for its disk
 */
enum q2s_err q2s_edit_snapshot_apply(struct q2s_edit *edit, const void *word, size_t len,
				     struct q2s_diag *diag);

/** Delete a snapshot: the first one with this name, else with this id. Returns as the above. */
enum q2s_err q2s_edit_snapshot_delete(struct q2s_edit *edit, const void *word, size_t len,
				      struct q2s_diag *diag);

/** What a disk that grows has in advance; the words are those of qemu-img resize. */
enum q2s_preallocation {
	Q2S_PREALLOCATION_OFF,
	Q2S_PREALLOCATION_METADATA, /* host clusters, without space */
	Q2S_PREALLOCATION_FALLOC,   /* their space too, as the file system can reserve it */
	Q2S_PREALLOCATION_FULL,     /* their space, by writing zeros */
};

/** Let the disk become smaller: what lies behind the new end is lost. */
#define Q2S_EDIT_SHRINK (1u << 0)

/**
 * Change the size of the disk. What is new reads as zero, whatever the base has there and whatever
 * lies behind the old end. A data file gets the same size. So do persistent bitmaps: what is new is
 * clean, and stays clean when it is preallocated. A crash meanwhile may leave them marked as in
 * use, and so does a failure after the size in the header has changed.
 *
 * @size   bytes, a multiple of 512, not 0
 * @flags  0 or Q2S_EDIT_SHRINK
 *
 * Returns Q2S_OK, or
 *   Q2S_E_USAGE        @size; preallocation of a disk that shrinks
 *   Q2S_E_CONFLICT     smaller, without Q2S_EDIT_SHRINK
 *   Q2S_E_UNSUPPORTED  a version 2 image with snapshots; preallocation in an encrypted version 2
 *                      image
 *   Q2S_E_BITMAP       a persistent bitmap is marked as in use
 *   Q2S_E_LIMIT        the L1 table would be over 32 MiB, or a bitmap over 512 MiB, or its table
 *                      cannot lie together; or @size is 2^63 or more
 * or what is wrong in the tables.
 */
enum q2s_err q2s_edit_resize(struct q2s_edit *edit, uint64_t size, unsigned flags,
			     enum q2s_preallocation how, struct q2s_diag *diag);

/** Write out what standard L2 entries cannot say, as data. */
#define Q2S_EDIT_MATERIALISE (1u << 0)

/** Who is told which guest ranges, of whole clusters, standard L2 entries cannot say. */
struct q2s_edit_blocked {
	void (*fn)(void *opaque, q2s_guest at, uint64_t len);
	void *opaque;
};

/**
 * Have extended L2 entries, with subclusters, or standard ones: new tables are written, and data
 * clusters stay where they are. Space without data in them, over a base, is given up by standard
 * entries, as these cannot say it.
 *
 * @flags    0 or Q2S_EDIT_MATERIALISE
 * @blocked  or NULL; told, in ascending order, if @on is false and Q2S_EDIT_MATERIALISE is not set
 *
 * Returns Q2S_OK (also when they are so already), or
 *   Q2S_E_CONFLICT  a version 2 image, or one with clusters under 16 KiB; with snapshots; a cluster
 *                   whose subclusters a standard entry cannot say (@diag->value: the first one)
 *   Q2S_E_LIMIT     the L1 table would be over 32 MiB
 *   Q2S_E_USAGE     standard ones, but the image is open with Q2S_EDIT_TABLES_ONLY
 * or what is wrong in the tables.
 */
enum q2s_err q2s_edit_set_extended_l2(struct q2s_edit *edit, bool on, unsigned flags,
				      const struct q2s_edit_blocked *blocked,
				      struct q2s_diag *diag);

/**
 * Have refcounts of another width, a power of two from 1 to 64.
 *
 * Returns Q2S_OK, or
 *   Q2S_E_USAGE     @bits
 *   Q2S_E_CONFLICT  not 16, in version 2
 *   Q2S_E_LIMIT     a count does not fit, which is seen before anything is written
 */
enum q2s_err q2s_edit_set_refcount_bits(struct q2s_edit *edit, uint64_t bits,
					struct q2s_diag *diag);

/** What is to be changed in the header: what has its flag set. Zero-initialise. */
struct q2s_edit_features {
	bool set_version, set_lazy_refcounts, set_data_file, set_data_file_raw;
	uint32_t version;
	bool lazy_refcounts;
	struct q2s_bytes data_file; /* of length 0: no name is recorded */
	bool data_file_raw;
};

/**
 * Change what only the header says: version 2 or 3, lazy refcounts, the recorded name of the data
 * file, and whether that is a valid raw image. Names are replaced so that no crash leaves half of
 * one. For version 2 zero clusters are unmapped, or written where a base would show.
 *
 * Returns Q2S_OK, or
 *   Q2S_E_USAGE     version other than 2 or 3; version 2, but the image is open with
 *                   Q2S_EDIT_TABLES_ONLY
 *   Q2S_E_CONFLICT  what version 2 cannot have: another width of refcounts than 16 bits, a data
 *                   file or another incompatible feature, bitmaps, snapshots of another size or
 *                   with zero clusters, lazy refcounts; a data file's name in an image without one;
 *                   a data file that becomes raw
 *   Q2S_E_LIMIT     the name does not fit into the first cluster, or into its first 512 bytes
 *                   beside what has to stay there
 */
enum q2s_err q2s_edit_set_features(struct q2s_edit *edit,
				   const struct q2s_edit_features *features,
				   struct q2s_diag *diag);

Q2S_END_DECLS
#endif
