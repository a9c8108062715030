/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The write engine: what its files share.
 *
 * One lock (edit->lock) guards all of struct q2s_edit but for what is said below; it is never held
 * while guest data move. Functions here are called with the lock held, unless they say otherwise;
 * only those whose comment says so release it meanwhile.
 *
 * What happens to a guest write: under the lock it is planned (mapping.c, alloc.c) and its range is
 * entered in the list of active requests (active.c); its bytes are written without the lock
 * (transfer.c); then the mapping is installed under the lock. So whatever L2 slices hold, the data
 * behind it have been handed to the store. flush.c writes the slices in the order that keeps every
 * durable reference good.
 */
#ifndef Q2SI_EDIT_EDIT_H
#define Q2SI_EDIT_EDIT_H

#include <pthread.h>
#include <stdatomic.h>

#include <q2s/crypt.h>
#include <q2s/edit.h>

#include "edit/order.h"
#include "image/cache.h"
#include "image/decode.h"
#include "image/run.h"

#define Q2SI_BOUNCE (128u << 10) /* bytes of a thread's copy buffer */

/* ---- active requests: active.c ------------------------------------------------------------- */

/**
 * A request that works on guest bytes [@start, @end) without the lock. Requests whose ranges
 * overlap wait for each other if one of them is @exclusive.
 */
struct q2si_active {
	uint64_t start, end;
	bool exclusive;
	struct q2si_active *next, **link;
};

/** Would such a request have to wait? */
bool q2si_active_conflicts(const struct q2s_edit *edit, uint64_t start, uint64_t end,
			   bool exclusive);
/** Wait until something ends; releases the lock meanwhile. */
void q2si_active_wait(struct q2s_edit *edit);
void q2si_active_begin(struct q2s_edit *edit, struct q2si_active *active, uint64_t start,
		       uint64_t end, bool exclusive);
void q2si_active_end(struct q2s_edit *edit, struct q2si_active *active);

/* ---- host ranges of metadata: overlap.c ---------------------------------------------------- */

struct q2si_span {
	uint64_t start, end;
};

/** Sorted, disjoint, no two adjacent. */
struct q2si_spans {
	struct q2si_span *list;
	size_t count, room;
};

/** All metadata of the image as it was opened. */
enum q2s_err q2si_overlap_init(struct q2s_edit *edit, struct q2s_diag *diag);
enum q2s_err q2si_overlap_add(struct q2s_edit *edit, uint64_t at, uint64_t len,
			      struct q2s_diag *diag);
void q2si_overlap_remove(struct q2s_edit *edit, uint64_t at, uint64_t len);
/**
 * May guest data, or a new table, be written to this range of the image? If not, marks the image
 * corrupt and stops the edit: Q2S_E_OFFSET.
 */
enum q2s_err q2si_overlap_check(struct q2s_edit *edit, uint64_t at, uint64_t len, const char *what,
				struct q2s_diag *diag);

/* ---- what waits for a barrier: freed.c ----------------------------------------------------- */

enum q2si_freed_kind {
	Q2SI_FREED_REFERENCE, /* one reference to each cluster of [@host, @host + @len) */
	Q2SI_FREED_TABLE,     /* the same, of an L2 table */
	Q2SI_FREED_BYTES,     /* what guest range [@guest, @guest + @len) no longer shows */
};

struct q2si_freed {
	enum q2si_freed_kind kind;
	uint64_t host, len, guest;
};

/** @bytes: of all of them. */
struct q2si_freed_list {
	struct q2si_freed *list;
	size_t count, room;
	uint64_t bytes;
};

/** Note what the next flush is to give back. */
enum q2s_err q2si_freed_add(struct q2s_edit *edit, struct q2si_freed freed, struct q2s_diag *diag);
/**
 * Give back what nothing durable refers to any more: counts down, punches, and only then lets the
 * clusters be given out again. Releases the lock meanwhile. Empties @list; what fails is leaked.
 */
void q2si_freed_release(struct q2s_edit *edit, struct q2si_freed_list *list);

/* ---- flushing: flush.c --------------------------------------------------------------------- */

/** A store with writes that may not be durable yet. */
struct q2si_sync {
	struct q2s_store *store;
	atomic_uint_fast64_t written; /* writes that returned; may be raised without the lock */
	atomic_uint_fast64_t durable; /* the part of them that a flush of the store covered */
};

static inline void
q2si_wrote(struct q2si_sync *sync)
{
	atomic_fetch_add_explicit(&sync->written, 1, memory_order_release);
}

/** Is there anything that a barrier would make durable? */
static inline bool
q2si_is_pending(struct q2si_sync *sync)
{
	return atomic_load_explicit(&sync->written, memory_order_acquire) !=
	       atomic_load_explicit(&sync->durable, memory_order_acquire);
}

/**
 * Make durable what changed until now; several callers share one run. Releases the lock meanwhile.
 */
enum q2s_err q2si_flush(struct q2s_edit *edit, struct q2s_diag *diag);
/** Flush if so much has changed that the cache needs it. Releases the lock meanwhile. */
enum q2s_err q2si_flush_if_full(struct q2s_edit *edit, struct q2s_diag *diag);
/** Take the turn in which no flush runs (after those that do), and give it back. */
void q2si_flush_turn_take(struct q2s_edit *edit);
void q2si_flush_turn_give(struct q2s_edit *edit);
/** One flush within the turn; releases the lock meanwhile. */
enum q2s_err q2si_flush_run(struct q2s_edit *edit, struct q2s_diag *diag);
/** Flush one store, if anything was written to it; a failure stops the edit. Needs no lock. */
enum q2s_err q2si_barrier(struct q2s_edit *edit, struct q2si_sync *sync, struct q2s_diag *diag);

/* ---- a thread's means: worker.c ------------------------------------------------------------ */

/**
 * What one request needs while it moves data; kept for the next one.
 *
 * @bounce    Q2SI_BOUNCE bytes, or NULL
 * @inflated  a cluster, or NULL; holds what was compressed at @holds - 1, unless that is 0
 * @cursor    on the base, or NULL
 * @cipher    of an encrypted image, or NULL
 */
struct q2si_worker {
	uint8_t *bounce;
	uint8_t *inflated;
	uint64_t holds;
	struct q2s_cursor *cursor;
	struct q2s_cipher *cipher;
	struct q2si_decoder decoder;
	struct q2si_worker *next;
};

/** Neither needs the lock. */
enum q2s_err q2si_worker_take(struct q2s_edit *edit, struct q2si_worker **out,
			      struct q2s_diag *diag);
void q2si_worker_give(struct q2s_edit *edit, struct q2si_worker *worker);
void q2si_workers_free(struct q2s_edit *edit);

/* ---- persistent bitmaps: bitmap.c, bitmap_track.c -------------------------------------------- */

struct q2si_bitmaps;

/** Those of the image as it was opened; free them also after a failure. */
enum q2s_err q2si_tracking_load(struct q2s_edit *edit, struct q2s_diag *diag);
void q2si_tracking_free(struct q2s_edit *edit);
/** Have enabled ones marked as in use, before the first change of the guest's data. */
enum q2s_err q2si_tracking_begin(struct q2s_edit *edit, struct q2s_diag *diag);
/** [@at, @at + @len) of the guest is going to change. Releases the lock meanwhile. */
enum q2s_err q2si_tracking_mark(struct q2s_edit *edit, uint64_t at, uint64_t len,
			       struct q2s_diag *diag);
/** The same without the lock. */
enum q2s_err q2si_tracking_learn(struct q2s_edit *edit, uint64_t at, uint64_t len,
				struct q2s_diag *diag);
/** May metadata be changed, while the guest's data stay as they are? Else why not. */
enum q2s_err q2si_change_begin(struct q2s_edit *edit, struct q2s_diag *diag);
/** Store what they have learned, and take the marks off. Releases the lock meanwhile. */
enum q2s_err q2si_tracking_end(struct q2s_edit *edit, struct q2s_diag *diag);

/* ---- the edit ------------------------------------------------------------------------------ */

#define Q2SI_POOL 1024u /* runs of free clusters that are remembered */

/**
 * @sync      [0] the image, [1] the data file if it has one
 * @data      where guest data lie: one of these
 * @header    as it is in the file, also in @sector, its first 512 bytes
 * @prepared  the first change may be made: q2si_header_prepare()
 * @stopped   an error after which nothing is changed any more; @stop says which
 * @sync_failed  the flush of a store failed: whoever sees it stops the edit
 * @file_end  host clusters from here on were never written to, so they read as zero
 * @next      host cluster at which the search for free ones goes on
 * @pool      free clusters before @next
 * @need_grow an allocation failed because the refcount table is full: q2si_refcount_grow()
 * @freed     waits for the next flush
 * @turn      somebody flushes, or changes what a flush writes
 * @started   the number of the flush that will start next, and of the last one that is done
 */
struct q2s_edit {
	atomic_uint owners;
	struct q2s_image *image;
	struct q2s_geom geom;
	struct q2si_sync sync[2];
	struct q2si_sync *data;
	struct q2s_disk *base;
	uint64_t base_size;
	struct q2s_crypt *crypt;
	bool raw_data;
	unsigned flags;

	pthread_mutex_t lock;
	pthread_cond_t moved;
	struct q2si_cache cache;
	struct q2s_header header;
	uint8_t sector[Q2S_SECTOR];
	bool prepared;
	enum q2s_err stopped;
	struct q2s_diag stop;
	atomic_bool sync_failed;

	struct q2si_active *active;
	unsigned waiting;

	struct q2si_spans metadata;
	uint64_t file_end;
	uint64_t next;
	struct q2si_span pool[Q2SI_POOL]; /* in clusters */
	size_t pool_count;
	bool need_grow;
	struct q2si_freed_list freed;
	struct q2si_bitmaps *bitmaps; /* NULL: open for reading only */

	bool turn;
	uint64_t started, done;
	enum q2s_err done_err;
	struct q2s_diag done_diag;

	pthread_mutex_t workers_lock;
	struct q2si_worker *workers;
};

/** The store of the image itself. */
static inline struct q2si_sync *
q2si_meta(struct q2s_edit *edit)
{
	return &edit->sync[0];
}

static inline bool
q2si_has_data_file(const struct q2s_edit *edit)
{
	return edit->data != &edit->sync[0];
}

/** stop.c: refuse all further changes. Returns @err. */
enum q2s_err q2si_stop(struct q2s_edit *edit, enum q2s_err err, const struct q2s_diag *why);
/** Q2S_OK, or why nothing is changed any more. */
enum q2s_err q2si_stopped(struct q2s_edit *edit, struct q2s_diag *diag);
/** May the image be changed? Else why not. */
enum q2s_err q2si_may_change(struct q2s_edit *edit, struct q2s_diag *diag);
/** Is [@at, @at + @len) on the disk? Needs no lock. */
enum q2s_err q2si_on_disk(const struct q2s_edit *edit, q2s_guest at, uint64_t len,
			  struct q2s_diag *diag);

/* ---- header.c ------------------------------------------------------------------------------ */

/** What has to be durable before the first change. */
enum q2s_err q2si_header_prepare(struct q2s_edit *edit, struct q2s_diag *diag);
/** Set the corrupt bit (version 2 has none), as far as that can be done. */
void q2si_header_mark_corrupt(struct q2s_edit *edit);
/** One write of the header with another 64-bit @field: AT_L1_TABLE_OFFSET and the like. */
enum q2s_err q2si_header_set_offset(struct q2s_edit *edit, unsigned field, uint64_t at,
				    struct q2s_diag *diag);
/** Clear the dirty bit, durably: all else already is. */
enum q2s_err q2si_header_set_clean(struct q2s_edit *edit, struct q2s_diag *diag);
/** One write of the header that names another refcount table. */
enum q2s_err q2si_header_set_reftable(struct q2s_edit *edit, uint64_t at, uint32_t clusters,
				      struct q2s_diag *diag);
/** The image and its geometry are from now on what cluster 0 of the file says. */
enum q2s_err q2si_header_adopt(struct q2s_edit *edit, struct q2s_diag *diag);
/**
 * Have all durable that was written, then put @header in place by one write, and have that durable
 * too. Geometry and image are those of @header then; a failure stops the edit. Releases the lock
 * meanwhile.
 */
enum q2s_err q2si_header_switch(struct q2s_edit *edit, const struct q2s_header *header,
				struct q2s_diag *diag);

/**
 * What changes of cluster 0 behind the fixed header; all else there stays.
 *
 * @backing  @name and @format are the backing file's from now on (@name.len 0: it has none)
 * @bitmaps  not NULL: the extension, and its autoclear bit; with a count of 0 both go
 */
struct q2si_head_change {
	bool backing;
	struct q2s_bytes name, format;
	const struct q2s_ext_bitmaps *bitmaps;
};

/**
 * cluster0.c: make that change, durable when it returns. All that the new header refers to has to
 * be durable before. Q2S_E_LIMIT: it does not fit, and nothing changed.
 */
enum q2s_err q2si_header_change(struct q2s_edit *edit, const struct q2si_head_change *change,
				struct q2s_diag *diag);
/** Would it fit? Writes nothing. */
enum q2s_err q2si_header_room(struct q2s_edit *edit, const struct q2si_head_change *change,
			      struct q2s_diag *diag);

/* ---- dirty.c ------------------------------------------------------------------------------- */

/**
 * Make the refcounts of an image that is marked dirty what its tables say, and clear the mark.
 * Called when it is opened, without the lock. Q2S_E_UNSUPPORTED: more is wrong with it.
 */
enum q2s_err q2si_dirty_mend(struct q2s_edit *edit, struct q2s_diag *diag);

/* ---- refcount.c, grow.c -------------------------------------------------------------------- */

/** Pin the slice with the count of host cluster @cluster; *@out is NULL where no block is. */
enum q2s_err q2si_refcount_slice(struct q2s_edit *edit, uint64_t cluster, struct q2si_slice **out,
				 struct q2s_diag *diag);
enum q2s_err q2si_refcount_get(struct q2s_edit *edit, uint64_t cluster, uint64_t *out,
			       struct q2s_diag *diag);
/** Clusters [@cluster, *@until), not beyond @end, have the count *@count; more behind them may have it. */
enum q2s_err q2si_refcount_run(struct q2s_edit *edit, uint64_t cluster, uint64_t end, uint64_t *count,
			       uint64_t *until, struct q2s_diag *diag);
/** Give @clusters from @cluster on the count @count. For each there must be a block. */
enum q2s_err q2si_refcount_fill(struct q2s_edit *edit, uint64_t cluster, uint64_t clusters,
				uint64_t count, struct q2s_diag *diag);
/** The same for one. */
enum q2s_err q2si_refcount_set(struct q2s_edit *edit, uint64_t cluster, uint64_t count,
			       struct q2s_diag *diag);
/** Host clusters that the refcount table can describe. */
uint64_t q2si_refcount_covers(const struct q2s_edit *edit);
/** Make the block that describes @cluster, which is free, in @cluster itself. */
enum q2s_err q2si_refcount_block_make(struct q2s_edit *edit, uint64_t cluster,
				      struct q2s_diag *diag);
/** Make the block that describes @cluster at @at, which is free; its count is for others to set. */
enum q2s_err q2si_refcount_block_link(struct q2s_edit *edit, uint64_t cluster, uint64_t at,
				      struct q2s_diag *diag);
/** Make room in the refcount table. Releases the lock meanwhile. */
enum q2s_err q2si_refcount_grow(struct q2s_edit *edit, struct q2s_diag *diag);
/** Have a table that can describe at least @clusters. Releases the lock meanwhile. */
enum q2s_err q2si_refcount_grow_to(struct q2s_edit *edit, uint64_t clusters,
				   struct q2s_diag *diag);

/* ---- alloc.c ------------------------------------------------------------------------------- */

/** Contiguous host clusters. @fresh: they read as zero. */
struct q2si_run {
	uint64_t host;
	uint64_t clusters;
	bool fresh;
};

/**
 * Allocate up to @want (not 0) contiguous clusters, each with a count of 1. Sets edit->need_grow
 * when it fails for want of room in the refcount table.
 */
enum q2s_err q2si_alloc(struct q2s_edit *edit, uint64_t want, struct q2si_run *out,
			struct q2s_diag *diag);
/** Undo: nothing, durable or not, refers to these. */
void q2si_alloc_undo(struct q2s_edit *edit, uint64_t host, uint64_t clusters);
/** Their count is 0: let them be found. */
void q2si_alloc_offer(struct q2s_edit *edit, uint64_t host, uint64_t clusters);
/**
 * Zero all of a table's cluster, which gives it space on the host where the file system can do
 * that: when the disk becomes full what was written before can still be mapped.
 */
enum q2s_err q2si_table_reserve(struct q2s_edit *edit, uint64_t host, struct q2s_diag *diag);
/** One cluster for a table, which reads as zero, and counts as metadata. */
enum q2s_err q2si_alloc_table(struct q2s_edit *edit, uint64_t *host, struct q2s_diag *diag);

/* ---- area.c -------------------------------------------------------------------------------- */

/**
 * Contiguous clusters for a table of @bytes, at least one, each with a count of 1, that count as
 * metadata. What they hold is for the caller to write. Releases the lock meanwhile.
 */
enum q2s_err q2si_alloc_area(struct q2s_edit *edit, uint64_t bytes, uint64_t *host,
			     struct q2s_diag *diag);
/** Undo: nothing, durable or not, refers to it. */
void q2si_area_undo(struct q2s_edit *edit, uint64_t host, uint64_t bytes);
/** Note that nothing will refer to this table any more; of 0 bytes there is none. */
enum q2s_err q2si_area_free(struct q2s_edit *edit, uint64_t host, uint64_t bytes,
			    struct q2s_diag *diag);

/* ---- tree.c -------------------------------------------------------------------------------- */

/** An L1 table: the active one, or a snapshot's. */
struct q2si_l1 {
	uint64_t at;
	uint64_t entries;
};

static inline struct q2si_l1
q2si_active_l1(const struct q2s_edit *edit)
{
	return (struct q2si_l1){ edit->header.l1_table_offset.v, edit->header.l1_size };
}

enum q2s_err q2si_l1_read(struct q2s_edit *edit, const struct q2si_l1 *l1, uint64_t index,
			  struct q2s_l1_entry *out, struct q2s_diag *diag);

/** One reference to each cluster of [@at, @at + @len); @table: to an L2 table. */
struct q2si_reference {
	uint64_t at, len;
	bool table;
};
typedef enum q2s_err q2si_tree_fn(struct q2s_edit *edit, void *opaque,
				  const struct q2si_reference *reference, struct q2s_diag *diag);
/** Tell @fn of each reference, of what a table refers to before the table. */
enum q2s_err q2si_tree_each(struct q2s_edit *edit, const struct q2si_l1 *l1, q2si_tree_fn *fn,
			    void *opaque, struct q2s_diag *diag);
/** Can each count of the tree be one more? Else Q2S_E_LIMIT; Q2S_E_REFCOUNT when one is 0. */
enum q2s_err q2si_tree_may_rise(struct q2s_edit *edit, const struct q2si_l1 *l1,
				struct q2s_diag *diag);
/** Count one reference more for each of the tree, which may rise. Releases the lock meanwhile. */
enum q2s_err q2si_tree_raise(struct q2s_edit *edit, const struct q2si_l1 *l1,
			     struct q2s_diag *diag);
/** The tree is no more, durably: count one reference less for each. Releases the lock meanwhile. */
enum q2s_err q2si_tree_drop(struct q2s_edit *edit, const struct q2si_l1 *l1,
			    struct q2s_diag *diag);
/** The same for one L2 table that no L1 table refers to any more, once that is durable. */
enum q2s_err q2si_table_drop(struct q2s_edit *edit, uint64_t table, struct q2s_diag *diag);
/**
 * Make COPIED right in its L2 tables and, of the @active tree, in the L1 table. Releases the lock
 * meanwhile.
 */
enum q2s_err q2si_tree_mark(struct q2s_edit *edit, const struct q2si_l1 *l1, bool active,
			    struct q2s_diag *diag);

/* ---- snapshot.c ---------------------------------------------------------------------------- */

/** Have in all records the extra data that version 3 asks for. Releases the lock meanwhile. */
enum q2s_err q2si_snapshots_widen(struct q2s_edit *edit, struct q2s_diag *diag);

/* ---- whole.c: changes of the image as a whole ------------------------------------------------ */

/** Take the lock for such a change, if the image may be changed and nothing waits to be written. */
enum q2s_err q2si_whole_begin(struct q2s_edit *edit, struct q2s_diag *diag);
/** Give it back. Returns @err, or that of writing what is left to write. */
enum q2s_err q2si_whole_end(struct q2s_edit *edit, enum q2s_err err, struct q2s_diag *diag);
/**
 * Before much is given back at once: are the tables right, but for leaks and COPIED? A wrong entry
 * could name metadata or somebody else's data. Else Q2S_E_REFCOUNT, with the first finding, or why
 * it cannot be known.
 */
enum q2s_err q2si_sound(struct q2s_edit *edit, struct q2s_diag *diag);
/** Write all that waits, and give back what is freed by it. Releases the lock meanwhile. */
enum q2s_err q2si_settle(struct q2s_edit *edit, struct q2s_diag *diag);
/** Write a part of the image that no cache holds. */
enum q2s_err q2si_meta_write(struct q2s_edit *edit, uint64_t at, const void *buf, size_t len,
			     struct q2s_diag *diag);

/* ---- mapping.c ----------------------------------------------------------------------------- */

/**
 * What the tables say of one guest cluster.
 *
 * @table  there is an L2 table
 * @own    it is ours alone
 */
struct q2si_mapping {
	struct q2s_l2_entry entry;
	bool table;
	bool own;
};

enum q2s_err q2si_mapping_get(struct q2s_edit *edit, uint64_t cluster, struct q2si_mapping *out,
			      struct q2s_diag *diag);
/** The L2 table that the L1 entry at host @at, of any L1 table, refers to; 0: none. */
enum q2s_err q2si_l1_table(struct q2s_edit *edit, uint64_t at, uint64_t *table,
			  struct q2s_diag *diag);
/** Have an L2 table of our own for @cluster: a new one, or a copy of a shared one. */
enum q2s_err q2si_mapping_own(struct q2s_edit *edit, uint64_t cluster, struct q2s_diag *diag);
/** Install an entry; q2si_mapping_own() went before. Both words change in one sector. */
enum q2s_err q2si_mapping_set(struct q2s_edit *edit, uint64_t cluster,
			      const struct q2s_l2_entry *entry, struct q2s_diag *diag);
/**
 * Install @count entries within one L2 table, which is ours alone; the host clusters follow each
 * other from that of @first, the entry for guest cluster @cluster. What was mapped there before is
 * given up. @empty: nothing was, as the table is new and filled from front to back.
 */
enum q2s_err q2si_mapping_fill(struct q2s_edit *edit, uint64_t cluster, uint64_t count, bool empty,
			       const struct q2s_l2_entry *first, struct q2s_diag *diag);
/** Give up the L2 table for @cluster, if there is one, with all that it refers to. */
enum q2s_err q2si_mapping_unlink(struct q2s_edit *edit, uint64_t cluster, struct q2s_diag *diag);
/** Note that the host clusters of @entry lose one reference, or its bytes their meaning. */
enum q2s_err q2si_mapping_drop(struct q2s_edit *edit, uint64_t cluster,
			       const struct q2s_l2_entry *entry, struct q2s_diag *diag);
/** Bits of the subclusters that [@from, @to) of a cluster touches; @to > @from. */
static inline uint32_t
q2si_touched(const struct q2s_geom *geom, uint32_t from, uint32_t to)
{
	const uint32_t first = from >> geom->sub_bits, last = (to - 1) >> geom->sub_bits;

	return (uint32_t)((2ull << last) - (1ull << first));
}

/**
 * Guest bytes that are mapped in one way.
 *
 * @host        plain data: of the first byte, contiguous in the data store
 * @compressed  data in a compressed cluster, @entry
 */
struct q2si_extent {
	uint64_t len;
	enum q2s_state state;
	bool compressed;
	uint64_t host;
	struct q2s_l2_entry entry;
};
/** The extent of this layer at @at, on the disk, for at most @max bytes. */
enum q2s_err q2si_mapping_extent(struct q2s_edit *edit, uint64_t at, uint64_t max,
				 struct q2si_extent *out, struct q2s_diag *diag);

/**
 * write.c: as q2s_edit_write(), of what the guest sees there already: bitmaps do not learn of it.
 * The range is on the disk.
 */
enum q2s_err q2si_write_same(struct q2s_edit *edit, uint64_t at, const void *buf, size_t len,
			     struct q2s_diag *diag);

/**
 * write.c: as q2s_edit_write() of what @from has at @from_at, by letting both files have the same
 * blocks: the first *@done bytes. Q2S_E_UNSUPPORTED: that cannot be done, and they have to be
 * written. Not with the lock.
 */
enum q2s_err q2si_write_clone(struct q2s_edit *edit, uint64_t at, struct q2s_store *from,
			      uint64_t from_at, uint64_t len, uint64_t *done,
			      struct q2s_diag *diag);

/* ---- moving layers: copy.c, trim.c ----------------------------------------------------------- */

/**
 * Write to the guest's [@at, @at + @len) what @cursor reads there, and, if they are in
 * @extent.file, share their blocks where that can be done. Not with the lock.
 *
 * @extent  of the cursor, at @at; at least @len
 * @buf     Q2SI_COPY_STEP bytes
 */
enum q2s_err q2si_copy(struct q2s_edit *edit, struct q2s_cursor *cursor, uint64_t at,
		       const struct q2s_extent *extent, uint64_t len, uint8_t *buf,
		       struct q2s_diag *diag);
#define Q2SI_COPY_STEP (1u << 20)
/**
 * The sharing alone: the first *@done bytes have what lies in @extent.file, the rest has to be
 * written. Not with the lock.
 */
enum q2s_err q2si_share(struct q2s_edit *edit, uint64_t at, const struct q2s_extent *extent,
			uint64_t len, uint64_t *done, struct q2s_diag *diag);

/** Cut off what lies behind the last cluster that is in use. All has been flushed. */
enum q2s_err q2si_trim_end(struct q2s_edit *edit, struct q2s_diag *diag);

/* ---- transfer.c: none of these needs the lock ---------------------------------------------- */

/** Read plain data. @guest: where the first byte is seen, for AES. */
enum q2s_err q2si_data_read(struct q2s_edit *edit, struct q2si_worker *worker, uint64_t guest,
			    uint64_t host, void *buf, size_t len, struct q2s_diag *diag);
/** Write plain data. Of an encrypted image: whole sectors, encrypted in @buf itself. */
enum q2s_err q2si_data_write(struct q2s_edit *edit, struct q2si_worker *worker, uint64_t guest,
			     uint64_t host, void *buf, size_t len, struct q2s_diag *diag);
/** Read what lies below; zeros behind its end. */
enum q2s_err q2si_base_read(struct q2s_edit *edit, struct q2si_worker *worker, uint64_t guest,
			    void *buf, size_t len, struct q2s_diag *diag);
/** Read a part of a compressed cluster. */
enum q2s_err q2si_inflated_read(struct q2s_edit *edit, struct q2si_worker *worker,
				const struct q2s_l2_entry *entry, uint32_t from, void *buf,
				size_t len, struct q2s_diag *diag);
/** What [@at, @at + @len), within one cluster, showed with this mapping; zeros behind the disk. */
enum q2s_err q2si_old_read(struct q2s_edit *edit, struct q2si_worker *worker,
			   const struct q2s_l2_entry *entry, uint64_t at, uint8_t *buf, size_t len,
			   struct q2s_diag *diag);

#endif
