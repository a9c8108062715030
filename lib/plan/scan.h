/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looking at one stretch of a disk: which of its clusters need space in the new image. */
#ifndef Q2SI_PLAN_SCAN_H
#define Q2SI_PLAN_SCAN_H

#include <q2s/plan.h>

#include "plan/ahead.h"
#include "plan/runs.h"

/** What one thread needs to look: its own cursor and buffer. */
struct q2si_prober {
	const struct q2s_geom *geom;
	struct q2s_cursor *cursor;
	uint64_t size;       /* of the disk, as far as the image reaches */
	uint64_t end;        /* of what this thread is looking at now */
	bool trust_holes;
	bool keep_zeros;
	bool store_zeros; /* asked for, or all that version 2 can do */
	struct q2si_ahead ahead;
	struct q2s_extent extent; /* that covers @extent_at.. ; len 0: none yet */
	uint64_t extent_at;
	uint64_t window_at;  /* guest offset of the bytes in @buf */
	size_t window_len;
	uint8_t *buf;
	size_t buf_size;
};

/** @budget  of all probers; stays the caller's */
enum q2s_err q2si_prober_open(struct q2si_prober *prober, struct q2s_disk *disk,
			      const struct q2s_geom *geom, const struct q2s_scan_options *options,
			      struct q2si_ahead_budget *budget, struct q2s_diag *diag);
void q2si_prober_close(struct q2si_prober *prober);

/** Look at guest clusters [@first, @end) and append what they are to @runs. */
enum q2s_err q2si_probe(struct q2si_prober *prober, uint64_t first, uint64_t end,
			struct q2si_runs *runs, struct q2s_diag *diag);

/**
 * Skip what holds nothing: *@out is a guest offset >= @from, or the disk's size, and all before it
 * is absent (or zero, where zeros are not kept). Does not skip far where that takes long: a disk
 * may have to read to answer, and somebody waits for progress.
 */
enum q2s_err q2si_skip_empty(struct q2si_prober *prober, uint64_t from, uint64_t *out,
			     struct q2s_diag *diag);

#endif
