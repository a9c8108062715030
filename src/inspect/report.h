/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `report`: an image as two maps, gathered once and then written as one page.
 *
 * The host map says what each host cluster holds, the guest map how each guest cluster reads. Both
 * have a bounded number of cells, whatever the image: a cell counts the clusters that it stands
 * for, and keeps a few of them as samples.
 */
#ifndef INSPECT_REPORT_H
#define INSPECT_REPORT_H

#include <jansson.h>
#include <q2s/check.h>

#include "inspect/subject.h"

#define REPORT_CELLS 4096u /* of each map, at most */
#define REPORT_HOST_SAMPLES 4u /* of one cluster its owners, of several one of each kind */
#define REPORT_GUEST_SAMPLES 3u
#define REPORT_SAME_KIND 2u /* samples of one kind in a cell of the guest map */
#define REPORT_FINDINGS 200u
#define REPORT_CHANGES 400u  /* of each kind, since an earlier state */
#define REPORT_RECORDS 100u /* header extensions, snapshots, bitmaps: so many of each */
#define REPORT_NAME 256u    /* bytes of a name of one of them */
#define REPORT_TEXT 1024u   /* bytes of another text of the image */

/** What a host cluster holds; what is not known to be in use is free. */
enum host_kind {
	HOST_FREE,
	HOST_HEADER,
	HOST_REFTABLE,
	HOST_REFBLOCK,
	HOST_L1,
	HOST_L2,
	HOST_DATA,
	HOST_COMPRESSED,
	HOST_SNAPSHOT,      /* snapshot table, L1 and L2 tables of snapshots */
	HOST_SNAPSHOT_DATA, /* data that only snapshots show */
	HOST_BITMAP,
	HOST_CRYPTO,
	HOST_LEAKED, /* a refcount above 0, and no reference */
	HOST_PAST,   /* past the end of the file */
	HOST_KINDS
};

/** How a guest cluster reads. */
enum guest_kind {
	GUEST_UNALLOCATED,
	GUEST_UNALLOCATED_ALLOC, /* unallocated, but with a host cluster */
	GUEST_ZERO,
	GUEST_ZERO_ALLOC, /* zero, with a host cluster */
	GUEST_DATA,
	GUEST_COMPRESSED,
	GUEST_MIXED, /* its subclusters differ */
	GUEST_INVALID,
	GUEST_UNSEEN, /* the work was cut */
	GUEST_KINDS
};

/**
 * One host cluster of a cell.
 *
 * @guest   what it shows, or the start of what a table maps, when @has_guest
 * @counts  of a refcount block: the first host cluster that it counts, when @has_counts
 * @refcount  its own, when @has_refcount
 */
struct host_sample {
	q2s_host at;
	enum host_kind kind;
	bool has_guest, has_counts, has_refcount;
	q2s_guest guest;
	q2s_host counts;
	uint64_t refcount;
};

struct host_cell {
	uint64_t counts[HOST_KINDS];
	uint64_t findings;
	uint32_t samples;
	struct host_sample sample[REPORT_HOST_SAMPLES];
};

/**
 * The host file. Memory is a byte a granule, which is one cluster as long as the file has no more
 * than HOST_GRANULES of them.
 *
 * @kinds         enum host_kind of each granule
 * @granule_bits  log2 of its bytes
 * @cell_bits     log2 of the bytes of a cell
 * @cells         @count of them, and one more for what lies past the end of the file
 */
struct host_map {
	uint8_t *kinds;
	uint64_t granules;
	uint32_t granule_bits;
	uint32_t cell_bits;
	uint32_t count;
	struct host_cell *cells;
};
#define HOST_GRANULES (128u << 20)

/** One guest cluster of a cell, with its L2 entry. @at is the entry's host offset. */
struct guest_sample {
	uint64_t cluster;
	enum guest_kind kind;
	q2s_host at;
	uint64_t raw;
	uint64_t bitmap;
	enum q2s_err fault;
	struct q2s_l2_entry entry;
};

struct guest_cell {
	uint64_t counts[GUEST_KINDS];
	uint64_t findings;
	uint32_t samples;
	struct guest_sample sample[REPORT_GUEST_SAMPLES];
};

/** The guest disk; @cell_bits is log2 of the clusters of a cell. */
struct guest_map {
	uint32_t cell_bits;
	uint32_t count;
	struct guest_cell *cells;
};

/**
 * All that the page shows.
 *
 * @work       entries of tables that may still be looked at a second time: an image whose tables
 *             share clusters can ask for any amount of work
 * @cut        @work was used up
 * @trouble    the first structure that could not be read; @troubles counts them
 * @checked    q2s_check() was made, and @check is complete; else @check_fault says why not
 * @listed     the first REPORT_FINDINGS findings
 * @before     an earlier state to compare with, or NULL
 * @changes    what changed since then; NULL without @before
 * @changes_cut  there is more than could be looked at
 */
struct report {
	const struct subject *subject;
	const struct q2s_geom *geom;
	struct host_map host;
	struct guest_map guest;
	uint64_t work;
	bool cut;
	uint64_t troubles;
	struct q2s_diag trouble;
	bool checked;
	struct q2s_check_result check;
	struct q2s_diag check_fault;
	uint64_t findings;
	json_t *listed;
	const struct subject *before;
	json_t *changes;
	bool changes_cut;
};
#define REPORT_WORK (1ull << 28) /* a few seconds */

/* ---- maps: report_maps.c ----------------------------------------------------------------- */

/** Lay out both maps, empty: Q2S_OK or Q2S_E_NOMEM. */
enum q2s_err report_maps_open(struct report *report, struct q2s_diag *diag);
void report_maps_close(struct report *report);

/** What is known of the host cluster at @at: HOST_PAST beyond the file. */
enum host_kind report_host_kind(const struct report *report, q2s_host at);

/** Note that the host cluster at @at holds @kind; who came first stays. @guest may be NULL. */
void report_mark(struct report *report, q2s_host at, enum host_kind kind, const q2s_guest *guest);

/** As report_mark(), with all that is known of the cluster. */
void report_mark_sample(struct report *report, const struct host_sample *sample);

/** As report_mark() for all clusters of [@at, @at + @len), as far as they are in the file. */
void report_mark_range(struct report *report, q2s_host at, uint64_t len, enum host_kind kind);

/** Note one guest cluster that is not plainly unallocated. */
void report_guest(struct report *report, const struct guest_sample *sample);

/** Is the cluster at @at among the samples of its cell? Then this is its refcount. */
bool report_is_sample(const struct report *report, q2s_host at);
void report_refcount(struct report *report, q2s_host at, uint64_t refcount);

/** Count kinds into the host cells, once all is marked. */
void report_host_count(struct report *report);

/** Count a finding where it is. */
void report_place_finding(struct report *report, const struct q2s_finding *finding);

/** Take @n entries of work; false when so much is not left. */
bool report_work(struct report *report, uint64_t n);

/**
 * Does the cluster at @at lie in a hole of the file? It reads as zeros then, and need not be read:
 * a sparse file can have any number of them.
 */
bool report_is_hole(const struct report *report, q2s_host at);

/** Note that something could not be read. */
void report_trouble(struct report *report, const struct q2s_diag *fault);

/* ---- gathering --------------------------------------------------------------------------- */

/** report_meta.c: mark header, refcount structures, snapshot table, bitmaps, encryption header. */
void report_metadata(struct report *report);
/**
 * report_meta.c: read the refcounts: mark what has one and no owner, and note those of samples.
 * Comes last.
 */
void report_refcounts(struct report *report);
/** report_guest.c: mark the L1 and L2 tables and what they map; draw the guest map. */
void report_tables(struct report *report);

/* ---- the page ---------------------------------------------------------------------------- */

/** report_json.c: everything as one object. NULL when out of memory. */
json_t *report_json(const struct report *report);
/** report_json.c: digits, as a script's numbers do not hold 64 bits. NULL when out of memory. */
json_t *report_hex(uint64_t value);
/** report_json.c: what is wrong, in words; null when nothing is. NULL when out of memory. */
json_t *report_fault_json(const struct q2s_diag *fault);
/** report_header.c: what the header leads to: fields, features, extensions, names, records. */
void report_header_json(const struct subject *subject, json_t *all);
/** report_page.c: the page in memory, to free; NULL when out of memory. @data is taken over. */
char *report_page(json_t *data, size_t *len);

/** page/page.html with style and script, a line each, NULL behind the last; made by the build. */
extern const char *const report_html[];

#endif
