/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one interface behind every kind of disk: each kind embeds these structs first. */
#ifndef Q2SI_DISK_DISK_H
#define Q2SI_DISK_DISK_H

#include <q2s/disk.h>

#include <stdatomic.h>

/**
 * What a kind of disk does. The frame (disk.c) has checked the arguments: offsets are below the
 * size, ranges do not leave it, lengths are not 0.
 */
struct q2si_disk_ops {
	/** Allocate a cursor of this kind; the frame fills in its disk. */
	enum q2s_err (*cursor_open)(struct q2s_disk *disk, struct q2s_cursor **out,
				    struct q2s_diag *diag);
	void (*cursor_close)(struct q2s_cursor *cursor);
	/** See q2si_cursor_memory(). NULL: a trifle. */
	size_t (*cursor_memory)(const struct q2s_disk *disk);
	enum q2s_err (*extent)(struct q2s_cursor *cursor, q2s_guest guest, uint64_t max,
			       struct q2s_extent *out, struct q2s_diag *diag);
	enum q2s_err (*read)(struct q2s_cursor *cursor, q2s_guest guest, void *buf, size_t len,
			     struct q2s_diag *diag);
	/** See q2si_cursor_will_read(). NULL: nothing is gained by knowing. */
	bool (*will_read)(struct q2s_cursor *cursor, q2s_guest guest, size_t len);
	/** See q2s_disk_file(). NULL: it lies in no file. */
	struct q2s_store *(*file)(const struct q2s_disk *disk, size_t index);
	/** See q2si_disk_unit(). NULL: 64 KiB, for what has no tables. */
	uint32_t (*unit)(const struct q2s_disk *disk);
	/** From now on, before any cursor: what is missing at the end of a file is an error. NULL: never. */
	void (*be_strict)(struct q2s_disk *disk);
	/** See q2s_disk_cut(). NULL: none. */
	struct q2s_store *(*cut)(const struct q2s_disk *disk, size_t index);
	/** What it shows depends on more than what lies in its files. */
	bool hinted;
	/** Free everything, @disk included; the frame has freed the name. */
	void (*close)(struct q2s_disk *disk);
};

struct q2s_disk {
	const struct q2si_disk_ops *ops;
	char *name;
	uint64_t size;
	atomic_uint owners;
};

struct q2s_cursor {
	struct q2s_disk *disk;
};

/** Fill the common part; copies @name. */
enum q2s_err q2si_disk_init(struct q2s_disk *disk, const struct q2si_disk_ops *ops,
			    const char *name, uint64_t size, struct q2s_diag *diag);

/** Bytes of memory that a cursor of @disk takes at most, as far as that can be said. */
size_t q2si_cursor_memory(const struct q2s_disk *disk);

/**
 * All of this will be read soon, and what is announced after it later: where an answer takes long,
 * it is asked for now. False when that is not possible, or not for all of it: read first.
 */
bool q2si_cursor_will_read(struct q2s_cursor *cursor, q2s_guest guest, size_t len);

/** Bytes that fail together where a table that maps @disk is damaged: a power of two from 512. */
uint32_t q2si_disk_unit(const struct q2s_disk *disk);

/** Is @file the file of @ident, whatever state it is in? */
bool q2si_same_file(const struct q2s_store *file, const struct q2s_store_ident *ident);

#endif
