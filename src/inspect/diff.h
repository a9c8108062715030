/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of `diff`: what changed between two states of one image, and the guest operations that
 * explain it. Each part finds changes and hands them on as items of a section; they are printed
 * at once for people, or collected as JSON. A section shows a bounded number of items and counts
 * the others, so that memory does not depend on the images.
 */
#ifndef INSPECT_DIFF_H
#define INSPECT_DIFF_H

#include <stdio.h>

#include <jansson.h>

#include "inspect/hex.h"
#include "inspect/subject.h"

/** Changed clusters are kept in memory: of more than these only the number is known (48 MiB). */
#define DIFF_CLUSTERS_MAX (1u << 20)

/** Entries of tables that may be looked at once more: tables can be shared a million times. */
#define DIFF_WORK (1ull << 28)

#define DIFF_ITEMS 1000u /* of each section, unless --max says another number */

/** What a cluster is part of, beside enum q2s_structure_kind. */
#define DIFF_NOTHING (-1)
#define DIFF_DATA (-2)
#define DIFF_COMPRESSED (-3)

/**
 * Where items go: to @out for people, into @root for scripts, or into @lines for the page of
 * `report`: of each section the title, and of each item the text for people and the offsets.
 *
 * @limit        items of a section
 * @items, @all  so many were shown, of so many in the section
 * @any          there was an item in some section
 */
struct diff_out {
	FILE *out;
	json_t *root;
	json_t *lines;
	uint64_t limit;
	const char *key;
	const char *title;
	uint64_t items;
	uint64_t all;
	bool any;
};

/** A section of items begins. @key for scripts, @title for people, who see it if it has items. */
void diff_section(struct diff_out *out, const char *key, const char *title);

/** One item: @object, taken over, for scripts; the text for people. */
void diff_item(struct diff_out *out, json_t *object, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

void diff_section_end(struct diff_out *out);

/**
 * A host cluster whose bytes changed, which are [@first, @last] of it.
 *
 * @before, @after        what it is part of in each state: enum q2s_structure_kind or DIFF_*
 * @from_before, @from_after  guest data: the guest offset of the cluster; L2 table: its L1 entry
 */
struct diff_cluster {
	uint64_t number;
	uint32_t first;
	uint32_t last;
	int before;
	int after;
	uint64_t from_before;
	uint64_t from_after;
};

/** What happened to a range of the guest disk, as far as its entries and bytes tell. */
enum diff_op {
	OP_NONE,
	OP_WRITE,      /* what had no cluster has one */
	OP_FILL,       /* in space that was there: a new subcluster, or preallocated */
	OP_IN_PLACE,   /* the same cluster, other bytes */
	OP_COPY,       /* another cluster holds it now, as the old one was shared */
	OP_MOVE,       /* another cluster holds it now, and the old one was not shared */
	OP_COMPRESS,   /* stored compressed */
	OP_UNCOMPRESS, /* no longer compressed */
	OP_ZERO,       /* reads as zero, the cluster stays */
	OP_DISCARD,    /* reads as zero, the cluster is given back */
	OP_ZERO_PLAIN, /* reads as zero, and there never was a cluster */
	OP_UNALLOCATE, /* reads from the backing file */
	OP_PREALLOCATE,
	OP_DAMAGE,
	OP_COUNT
};

/** One guest operation. @first > @last: no byte that reads differently. */
struct diff_operation {
	enum diff_op op;
	uint64_t guest;
	uint64_t len;
	bool known; /* the bytes of both states were compared */
	uint64_t first;
	uint64_t last;
};

/** A line about the image as a whole that explains changes: a resize, a snapshot. */
#define DIFF_EVENTS 64u
struct diff_event {
	const char *id;
	char *text;
};

/**
 * One comparison.
 *
 * @no_data     do not look at the clusters of guest data
 * @same_entries, @same_counts  L2 entries, or refcounts, of both have the same size, so that they
 *              can be compared
 * @replaced    what the guest sees was replaced as a whole (a snapshot was applied): its ranges
 * explain nothing
 * @changed     sorted by number; @changed_all counts also what is not kept
 * @operations  the first out.limit of them; @operation is still growing
 * @cut         tables are shared so often that not all was looked at
 */
struct diff {
	const struct subject *before, *after;
	struct diff_out out;
	bool no_data;
	bool same_entries;
	bool same_counts;
	bool replaced;
	struct diff_cluster *changed;
	size_t changed_count, changed_cap;
	uint64_t changed_all;
	struct diff_operation *operations;
	size_t operations_count, operations_cap;
	uint64_t operations_all;
	struct diff_operation operation;
	struct diff_event events[DIFF_EVENTS];
	size_t event_count;
	uint64_t events_all;
	uint64_t work;
	bool cut;
	uint8_t *bytes[2];
};

/** Note an event; @text with the words of an image escaped. */
void diff_event(struct diff *diff, const char *id, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * May the tables at @a and @b (0: none) of @entries be looked at? Where one of them was not yet,
 * yes; again only as long as there is work left.
 */
enum q2s_err diff_may_visit(struct diff *diff, struct q2s_seen *seen, q2s_host a, q2s_host b,
			    uint64_t entries, bool *may, struct q2s_diag *diag);

/** diff_bytes.c: find the changed clusters. */
enum q2s_err diff_contents(struct diff *diff, struct q2s_diag *diag);
/** The changed cluster @number, or NULL. */
struct diff_cluster *diff_changed(const struct diff *diff, uint64_t number);
/** Show them, with what they are part of. */
enum q2s_err diff_show_clusters(struct diff *diff, struct q2s_diag *diag);
/**
 * Which of @len guest bytes differ, that lie at @a and @b of the two files (Q2S_NOWHERE: they are
 * zeros)? False: none. Else [@first, @last].
 */
enum q2s_err diff_range(struct diff *diff, q2s_host a, q2s_host b, uint32_t len, bool *differ,
			uint32_t *first, uint32_t *last, struct q2s_diag *diag);

/** diff_header.c: fields, extensions, backing file, snapshots, bitmaps. */
enum q2s_err diff_header(struct diff *diff, struct q2s_diag *diag);

/** diff_tables.c: entries of the active L1 table, and of the L2 tables that it leads to. */
enum q2s_err diff_tables(struct diff *diff, struct q2s_diag *diag);

/** diff_refcounts.c */
enum q2s_err diff_refcounts(struct diff *diff, struct q2s_diag *diag);

/** A pair of L2 entries of one guest cluster. @ok: it could be decoded. */
struct diff_pair {
	uint64_t guest;
	struct q2s_l2_entry before, after;
	bool before_ok, after_ok;
};

/** diff_guest.c: which operation made of one L2 entry the other, subcluster by subcluster. */
enum q2s_err diff_guest(struct diff *diff, const struct diff_pair *pair, struct q2s_diag *diag);
/** The last operation is complete. */
enum q2s_err diff_guest_end(struct diff *diff, struct q2s_diag *diag);
void diff_show_operations(struct diff *diff);

/** All of it, in the order in which one reads it. @diff is zeroed but for what its user chooses. */
enum q2s_err diff_run(struct diff *diff, const struct subject *before, const struct subject *after,
		      struct q2s_diag *diag);
void diff_free(struct diff *diff);

#endif
