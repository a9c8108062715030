/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One check under way, and its stages in the order in which they run.
 *
 * First the stored counts are loaded; then all metadata is counted and remembered, so that guest
 * data that lies on metadata is noticed; then each L2 table is read once, whatever refers to it;
 * at the end the two sets of counts are compared. A failure of a stage is one of the check (no
 * memory, cancelled); what is wrong with the image is reported and never fails a stage.
 */
#ifndef Q2SI_CHECK_CHECKER_H
#define Q2SI_CHECK_CHECKER_H

#include <q2s/check.h>

#include "counts.h"
#include "extents.h"
#include "findings.h"
#include "tables.h"

struct q2si_checker;
struct q2si_place;

/**
 * What somebody inside the library wants of a check besides its findings. Zero-initialised:
 * nothing.
 *
 * @no_refcounts  count as if the image had no refcount structures: what is counted then are the
 *                references of everything else, and all stored counts are 0
 * @digest        receives the digest of all metadata, or NULL: nobody wants it
 * @found         or NULL; called for each finding, with more than struct q2s_finding says
 * @settled       or NULL; called when all is counted and compared, while the counts are still there
 * @opaque        handed to both
 */
struct q2si_check_hooks {
	bool no_refcounts;
	uint64_t *digest;
	void (*found)(void *opaque, enum q2si_finding_id id, const struct q2si_place *place);
	enum q2s_err (*settled)(void *opaque, struct q2si_checker *ck);
	void *opaque;
};

/** As q2s_check(), with @hooks; what @settled returns that is not Q2S_OK ends it. */
enum q2s_err q2si_check(struct q2s_image *image, const struct q2s_check_options *options,
			const struct q2si_check_hooks *hooks, struct q2s_check_result *out,
			struct q2s_diag *diag);

/**
 * @file_size      bytes, when the check began
 * @file_clusters  host clusters that lie in the file at least in part
 * @stored         counts of the refcount blocks
 * @blocks         references of the refcount table to its blocks
 * @counted        references found
 * @compressed     not 0: holds compressed data
 * @metadata       where the image's structures lie
 * @tables         L2 tables, and how often each is referred to
 * @window         Q2SI_WINDOW bytes or one cluster, if that is more, to read into
 * @stretches      what is known about holes around the last place asked about
 * @expect_hole    the last L2 tables were empty, so that asking for holes may save reading
 * @told_*         a finding that is reported once an image
 * @uncounted      corruptions that qemu-img knows by their consequences, or not at all
 */
struct q2si_checker {
	struct q2s_image *image;
	const struct q2s_header *header;
	const struct q2s_geom *geom;
	struct q2s_store *file;
	uint64_t file_size;
	uint64_t file_clusters;
	const struct q2s_check_options *options;
	const struct q2si_check_hooks *hooks;
	struct q2s_check_result result;
	struct q2si_budget budget;
	struct q2si_counts stored;
	struct q2si_counts blocks;
	struct q2si_counts counted;
	struct q2si_counts compressed;
	struct q2si_extents metadata;
	struct q2si_tables tables;
	uint8_t *window;
	struct q2s_stretch_walk stretches;
	bool expect_hole;
	bool told_compressed_clear;
	uint64_t uncounted;
};

#define Q2SI_WINDOW (256u << 10)

/**
 * Where a finding is; what is not given is absent.
 *
 * @times  with @repeated: how often qemu-img counts this corruption. 0: if at all, it counts what
 *         follows from it, so it counts only where nothing else does; more than 1: once for each
 *         reference
 */
struct q2si_place {
	q2s_host host;
	bool has_guest;
	q2s_guest guest;
	bool has_values;
	uint64_t found;
	uint64_t expected;
	const char *detail; /* appended to the text */
	bool repeated;
	uint64_t times;
};

/** Count a finding and hand it to the caller. */
void q2si_report_place(struct q2si_checker *ck, enum q2si_finding_id id,
		       const struct q2si_place *place);
#define q2si_report(ck, name, ...) \
	q2si_report_place(ck, Q2SI_FOUND_##name, &(const struct q2si_place){ __VA_ARGS__ })
#define Q2SI_VALUES(f, e) .has_values = true, .found = (f), .expected = (e)
#define Q2SI_TIMES(n) .repeated = true, .times = (n)

/* ---- the file ---------------------------------------------------------------------------- */

/**
 * A buffer to read the file into, on a page boundary: copying from the page cache to anywhere else
 * was measured to be three times slower. Free with free(); NULL without memory.
 */
uint8_t *q2si_read_buffer(size_t size);

/** Does this range end a cluster or more past the end of the file, so that part of it is lost? */
bool q2si_past_end(const struct q2si_checker *ck, uint64_t at, uint64_t len);

/** Does [@at, @at + @len) lie in a hole of the file, and so reads as zero? */
bool q2si_in_hole(struct q2si_checker *ck, uint64_t at, uint64_t len);

/** Read with zeros for what lies past the end; false, and a finding, when that fails. */
bool q2si_read(struct q2si_checker *ck, uint64_t at, void *buf, size_t len, const char *what);

/**
 * Let the digest depend on @len bytes that are at @at. Zeros add nothing to it, so that it is the
 * same wherever a file has holes.
 */
void q2si_digest_add(struct q2si_checker *ck, uint64_t at, const void *bytes, size_t len);

/**
 * Count one structure of @len bytes at @at, not 0, and remember where it lies. Only what lies in
 * the file counts.
 *
 * @lost  the finding to report when q2si_past_end()
 */
enum q2s_err q2si_count_structure(struct q2si_checker *ck, enum q2s_structure_kind kind, uint64_t at,
				  uint64_t len, enum q2si_finding_id lost);

/* ---- the stages -------------------------------------------------------------------------- */

/** The stored count of any cluster, also of one past the end of the file. */
uint64_t q2si_stored_count(struct q2si_checker *ck, uint64_t cluster);

/** Judge the header and its extensions. */
void q2si_check_header(struct q2si_checker *ck);
/** Load the stored counts, and count the refcount table and its blocks. */
enum q2s_err q2si_load_refcounts(struct q2si_checker *ck);
/** Count the active L1 table and collect the L2 tables that it refers to. */
enum q2s_err q2si_check_active_l1(struct q2si_checker *ck);
/** Count the snapshot table and the L1 tables in it; collect their L2 tables. */
enum q2s_err q2si_check_snapshots(struct q2si_checker *ck);
/** Count everything that belongs to persistent bitmaps. */
enum q2s_err q2si_check_bitmaps(struct q2si_checker *ck);
/** Count the encryption header. */
enum q2s_err q2si_check_crypto(struct q2si_checker *ck);
/** Count the L2 tables, and report structures that share clusters. */
enum q2s_err q2si_check_overlaps(struct q2si_checker *ck);
/** Read each L2 table and count what it maps. */
enum q2s_err q2si_check_l2(struct q2si_checker *ck);
/** Compare stored and found counts. */
enum q2s_err q2si_compare_refcounts(struct q2si_checker *ck);

#endif
