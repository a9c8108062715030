/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The records of the snapshot table and of the bitmap directory, one by one, also damaged ones. */
#ifndef INSPECT_RECORDS_H
#define INSPECT_RECORDS_H

#include "inspect/subject.h"

/**
 * A walk over records of different lengths. Zero-initialised by its begin function.
 *
 * @at     of the next record
 * @left   records that are still to come
 * @room   bytes that the table may still take
 * @fixed  bytes of the part that every record has
 * @buf    one record, with @cap bytes of room
 */
struct record_walk {
	const struct subject *subject;
	q2s_host at;
	uint32_t left;
	uint64_t room;
	size_t fixed;
	uint8_t *buf;
	size_t cap;
};

/**
 * What a walk came across.
 *
 * @at, @bytes  the record, with its padding; @bytes is 0 when its length is not known
 * @raw         its bytes, valid until the next step
 * @fault       err is not Q2S_OK: the record is malformed, and the decoded value is not there
 */
struct record {
	q2s_host at;
	size_t bytes;
	const uint8_t *raw;
	struct q2s_diag fault;
};

/** Start at the first record; a count beyond the format's limit is cut to it. */
struct record_walk snapshot_walk_begin(const struct subject *subject);
struct record_walk bitmap_walk_begin(const struct subject *subject,
				     const struct q2s_ext_bitmaps *bitmaps);

/**
 * The next record. False at the end: behind the last record, or behind one whose length is not
 * known. @err is set when reading fails.
 */
bool snapshot_walk_next(struct record_walk *walk, struct record *record, struct q2s_snapshot *out,
			enum q2s_err *err, struct q2s_diag *diag);
bool bitmap_walk_next(struct record_walk *walk, struct record *record, struct q2s_bitmap *out,
		      enum q2s_err *err, struct q2s_diag *diag);

void record_walk_end(struct record_walk *walk);

#endif
