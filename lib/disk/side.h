/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One of two disks that are held against each other: what it says of the place being looked at. */
#ifndef Q2SI_DISK_SIDE_H
#define Q2SI_DISK_SIDE_H

#include "disk/disk.h"

/**
 * A disk that goes on for ever, with nothing behind its end: they need not be of the same size.
 *
 * @extent  begins at the place that was covered last, and ends at @end
 */
struct q2si_side {
	struct q2s_disk *disk;
	struct q2s_cursor *cursor;
	struct q2s_extent extent;
	uint64_t end;
};

/** Close it in any case. */
enum q2s_err q2si_side_open(struct q2si_side *side, struct q2s_disk *disk, struct q2s_diag *diag);
void q2si_side_close(struct q2si_side *side);

/** Let side->extent begin at guest offset @at. */
enum q2s_err q2si_side_cover(struct q2si_side *side, uint64_t at, struct q2s_diag *diag);

/**
 * Both cover the same place: do they say by themselves that they show the same there? Either
 * nothing on both sides, or the same place of the same file.
 */
bool q2si_surely_same(const struct q2si_side *a, const struct q2si_side *b);

#endif
