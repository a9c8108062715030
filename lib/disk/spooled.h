/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The spooled disk with its inner measure in the open, so that a test need not feed gigabytes. */
#ifndef Q2SI_DISK_SPOOLED_H
#define Q2SI_DISK_SPOOLED_H

#include <q2s/disk.h>

/**
 * As q2s_disk_spool().
 *
 * @runs_per_step  each time that the map has so many more runs, a gap must be twice as long to
 *                 end one
 */
enum q2s_err q2si_disk_spool(const struct q2s_stream *stream, uint64_t budget,
			     size_t runs_per_step, struct q2s_disk **out, struct q2s_diag *diag);

#endif
