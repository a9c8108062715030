/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floor 4: recount every reference of an image, compare with its refcounts, and judge every
 * structure on the way. Never writes.
 */
#ifndef Q2S_CHECK_H
#define Q2S_CHECK_H

#include <q2s/image.h>

Q2S_BEGIN_DECLS

enum q2s_severity {
	Q2S_SEVERITY_CORRUPTION, /* data or metadata is wrong, or will be after a write */
	Q2S_SEVERITY_LEAK,       /* space is lost */
	Q2S_SEVERITY_NOTE,       /* odd, but sound */
	Q2S_SEVERITY_UNREADABLE, /* a structure that could not be read: the check is not complete */
};

/** "corruption", "leak", "note" or "unreadable". Static storage. */
const char *q2s_severity_name(enum q2s_severity severity);

/**
 * One thing that is wrong.
 *
 * @id         stable, lower case with dashes; doc/findings lists them all
 * @structure  the format's term for where it is
 * @host       host offset of the structure (for counts: of the cluster), or Q2S_NOWHERE
 * @guest      guest offset that is affected, when @has_guest
 * @found, @expected  values, when @has_values
 * @text       one line for people
 */
struct q2s_finding {
	const char *id;
	enum q2s_severity severity;
	const char *structure;
	q2s_host host;
	bool has_guest;
	q2s_guest guest;
	bool has_values;
	uint64_t found;
	uint64_t expected;
	const char *text;
};

/**
 * How to check. Start from Q2S_CHECK_OPTIONS_INIT: structures and counts, no finding is reported.
 *
 * @size      sizeof(struct q2s_check_options)
 * @finding   called for each finding, in a stable order; the finding is valid during the call.
 *            NULL: count only
 * @opaque    handed to @finding
 * @observer  or NULL
 * @decode    also read all compressed data and try to decode it
 */
struct q2s_check_options {
	size_t size;
	void (*finding)(void *opaque, const struct q2s_finding *finding);
	void *opaque;
	const struct q2s_observer *observer;
	bool decode;
};
#define Q2S_CHECK_OPTIONS_INIT { .size = sizeof(struct q2s_check_options) }

/**
 * The counts of `qemu-img check`, and the number of notes. Leaks, notes and errors are a finding
 * each; one finding may be many corruptions, as qemu-img counts each use of a wrong cluster.
 */
struct q2s_check_result {
	uint64_t corruptions;
	uint64_t leaks; /* clusters */
	uint64_t notes;
	uint64_t check_errors; /* structures that could not be read */
	uint64_t image_end_offset;
	uint64_t total_clusters;
	uint64_t allocated_clusters;
	uint64_t fragmented_clusters;
	uint64_t compressed_clusters;
};

/**
 * Check one image, opened with Q2S_IMAGE_DAMAGED.
 *
 * Memory follows the host clusters that are in use, about a bit each, and is bounded; time follows
 * the metadata in the file. The counts are exact however many findings there are.
 *
 * @options  NULL: as Q2S_CHECK_OPTIONS_INIT
 * @out      on failure: what was counted until then
 *
 * Returns Q2S_OK when the check could be made, whatever it found; else why it could not:
 * Q2S_E_USAGE (@options->size), Q2S_E_LIMIT (the references need more memory than a checker takes),
 * Q2S_E_CANCELLED (the observer said so), Q2S_E_NOMEM.
 */
enum q2s_err q2s_check(struct q2s_image *image, const struct q2s_check_options *options,
		       struct q2s_check_result *out, struct q2s_diag *diag);

Q2S_END_DECLS
#endif
