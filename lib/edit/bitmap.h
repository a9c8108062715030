/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Persistent bitmaps of an image that is changed: their records, and what enabled ones have to
 * learn of guest writes. Functions here are called with the lock.
 *
 * Before the first write of the guest each enabled bitmap is durably marked "in use". The bits of
 * what was written are kept in pages, which closing merges into the bitmap's clusters, in place;
 * the mark is taken off last. So a crash leaves the mark, and nobody trusts the bitmap.
 */
#ifndef Q2SI_EDIT_BITMAP_H
#define Q2SI_EDIT_BITMAP_H

#include "edit/edit.h"

/** Bits [@number, @number + 1) * 8 * the size of a page: all that are set have to be merged. */
struct q2si_page {
	uint64_t number;
	uint8_t *bits;
};

struct q2si_pages {
	struct q2si_page *list; /* by number */
	size_t count, room;
};

/**
 * @record  as in the file, but for the mark of one that is @tracked; points into @own
 * @at      of the record in the file
 * @tracked enabled, and was not in use when the image was opened
 * @lost    what it should know could not be stored: the mark stays
 */
struct q2si_bitmap {
	struct q2s_bitmap record;
	uint8_t *own;
	q2s_host at;
	bool tracked;
	bool lost;
	struct q2si_pages pages;
};

/**
 * @directory, @directory_size  where the records lie; 0: there are none
 * @in_use   those that are tracked are marked in the file
 * @pages    of all bitmaps
 * @busy     somebody stores pages
 */
struct q2si_bitmaps {
	struct q2si_bitmap *list;
	uint32_t count;
	uint64_t directory, directory_size;
	bool in_use;
	size_t pages;
	bool busy;
};

/* ---- bitmap.c: records and space ------------------------------------------------------------- */

struct q2si_bitmap *q2si_bitmap_find(struct q2s_edit *edit, struct q2s_bytes name);

/** Write the flags of one record in place: 4 bytes, which no sector's edge divides. */
enum q2s_err q2si_bitmap_flags_write(struct q2s_edit *edit, const struct q2si_bitmap *bitmap,
				     uint32_t flags, struct q2s_diag *diag);

/** Read or write metadata that no cache holds. */
enum q2s_err q2si_plain_read(struct q2s_edit *edit, uint64_t at, void *buf, size_t len,
			     struct q2s_diag *diag);
enum q2s_err q2si_plain_write(struct q2s_edit *edit, uint64_t at, const void *buf, size_t len,
			      struct q2s_diag *diag);

/**
 * Allocate @clusters contiguous clusters of metadata. Releases the lock meanwhile, if the refcount
 * table must grow. Q2S_E_LIMIT: so many cannot lie together.
 */
enum q2s_err q2si_alloc_contiguous(struct q2s_edit *edit, uint64_t clusters, uint64_t *host,
				   struct q2s_diag *diag);

/** Clusters that lose a reference once something is durable: collect, then hand them to the next flush. */
enum q2s_err q2si_later_add(struct q2s_edit *edit, struct q2si_freed_list *later, uint64_t host,
			    uint64_t len, enum q2si_freed_kind kind, struct q2s_diag *diag);
void q2si_later_release(struct q2s_edit *edit, struct q2si_freed_list *later);

/** Q2S_E_LIMIT: a table of so many entries cannot lie together. */
enum q2s_err q2si_bitmap_table_fits(const struct q2s_edit *edit, uint32_t entries,
				    struct q2s_diag *diag);

/* ---- bitmap_directory.c: new tables, and a new directory ------------------------------------- */

/** Bytes of the table of a bitmap. */
static inline uint64_t
q2si_bitmap_table_bytes(const struct q2s_bitmap *record)
{
	return (uint64_t)record->table_entries * Q2S_BITMAP_TABLE_ENTRY_SIZE;
}

/** A new table of the length in @record, all of it clean or @raw. */
enum q2s_err q2si_bitmap_table_make(struct q2s_edit *edit, const struct q2s_bitmap *record,
				    const uint8_t *raw, uint64_t *host, struct q2s_diag *diag);
/** The table itself loses a reference; what it refers to does not. */
enum q2s_err q2si_bitmap_table_drop(struct q2s_edit *edit, const struct q2si_bitmap *bitmap,
				    struct q2si_freed_list *later, struct q2s_diag *diag);

/** The table and what it refers to lose a reference. */
enum q2s_err q2si_bitmap_drop(struct q2s_edit *edit, const struct q2si_bitmap *bitmap,
			      struct q2si_freed_list *later, struct q2s_diag *diag);

/** Write the records of the list to new clusters, and note where each lies. Nothing refers to them yet. */
enum q2s_err q2si_bitmap_directory_write(struct q2s_edit *edit, struct q2s_ext_bitmaps *out,
					 struct q2s_diag *diag);
/**
 * Have the header refer to that directory, after all that was written before is durable; then the
 * old one and @later are given back. After a failure nobody knows which one is there: stop.
 */
enum q2s_err q2si_bitmap_directory_switch(struct q2s_edit *edit, const struct q2s_ext_bitmaps *ext,
					  struct q2si_freed_list *later, struct q2s_diag *diag);
/**
 * Both: the records of the list become those of the image; what the old ones had is in @later,
 * which is freed. After a failure nobody knows what the list stands for: the edit stops.
 */
enum q2s_err q2si_bitmaps_switch(struct q2s_edit *edit, struct q2si_freed_list *later,
				 struct q2s_diag *diag);

/* ---- bitmap_track.c -------------------------------------------------------------------------- */

/** Entry @index of the bitmap's table. */
enum q2s_err q2si_bitmap_entry(struct q2s_edit *edit, const struct q2si_bitmap *bitmap,
			       uint64_t index, struct q2s_bitmap_table_entry *out,
			       struct q2s_diag *diag);

/**
 * Merge a cluster of bits into what a table entry says.
 *
 * @bits      a cluster; on return all that is dirty now
 * @in_place  a cluster that is the bitmap's alone may be changed
 * @entry     in and out
 * @later     gets a cluster that the entry no longer refers to
 * Releases the lock meanwhile, if the refcount table must grow.
 */
enum q2s_err q2si_bitmap_merge(struct q2s_edit *edit, uint8_t *bits, bool in_place,
			       struct q2s_bitmap_table_entry *entry,
			       struct q2si_freed_list *later, struct q2s_diag *diag);

/** Set bits [@first, @end) of @bits. */
void q2si_dirty_set(uint8_t *bits, uint64_t first, uint64_t end);

void q2si_pages_free(struct q2si_pages *pages);

/* ---- bitmap_resize.c ------------------------------------------------------------------------- */

/**
 * A change of the disk's size. Zero-initialise.
 *
 * @size       of the disk before
 * @was        the list as it is in the file: all are marked as in use
 * @directory  the new one, without the marks
 * @later      what the old tables have and the new ones have not
 * @done       the header refers to the new directory
 */
struct q2si_bitmaps_resize {
	uint64_t size;
	struct q2si_bitmap *was;
	struct q2s_ext_bitmaps directory;
	struct q2si_freed_list later;
	bool done;
};

/** Can all of them have that size? Q2S_E_BITMAP: one is marked as in use; Q2S_E_LIMIT. */
enum q2s_err q2si_bitmaps_resize_check(const struct q2s_edit *edit, uint64_t size,
				       struct q2s_diag *diag);
/** Mark all as in use, durably; from now on they learn nothing. Releases the lock meanwhile. */
enum q2s_err q2si_bitmaps_resize_begin(struct q2s_edit *edit, struct q2si_bitmaps_resize *resize,
				       struct q2s_diag *diag);
/** Write tables for the size in @edit->geom, and a directory. Releases the lock meanwhile. */
enum q2s_err q2si_bitmaps_resize_fit(struct q2s_edit *edit, struct q2si_bitmaps_resize *resize,
				     struct q2s_diag *diag);
/** The size in the header is durable: put these in place. */
enum q2s_err q2si_bitmaps_resize_switch(struct q2s_edit *edit, struct q2si_bitmaps_resize *resize,
					struct q2s_diag *diag);
/**
 * After success or failure, also of q2si_bitmaps_resize_begin(). What was not done is undone if the
 * size is the old one; else the marks stay, and such bitmaps can only be removed. New clusters are
 * leaked then.
 */
void q2si_bitmaps_resize_end(struct q2s_edit *edit, struct q2si_bitmaps_resize *resize);

#endif
