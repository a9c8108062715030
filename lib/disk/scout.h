/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ahead of whoever reads a disk in order: the data that comes next is announced, wherever it lies,
 * so that a server is asked for it before somebody waits. Does nothing for what lies on this
 * machine.
 */
#ifndef Q2SI_DISK_SCOUT_H
#define Q2SI_DISK_SCOUT_H

#include "disk/disk.h"

#define Q2SI_SCOUT_STEPS 2048u

/** Zero-initialise. @ends and @sizes: a ring of what was announced and not read yet. */
struct q2si_scout {
	struct q2s_cursor *cursor; /* NULL: nothing to do */
	uint64_t at;               /* guest bytes before it are announced */
	uint64_t ahead;            /* data bytes in the ring */
	uint64_t ends[Q2SI_SCOUT_STEPS];
	uint32_t sizes[Q2SI_SCOUT_STEPS];
	size_t first, count;
};

/** @disk must outlive it. */
enum q2s_err q2si_scout_open(struct q2si_scout *scout, struct q2s_disk *disk,
			     struct q2s_diag *diag);
void q2si_scout_close(struct q2si_scout *scout);

/**
 * The reader is about to read at @guest, and goes on in order. Never fails: whoever reads finds
 * out.
 *
 * @max  data bytes that will be read from there on, at most
 */
void q2si_scout_move(struct q2si_scout *scout, uint64_t guest, uint64_t max);

#endif
