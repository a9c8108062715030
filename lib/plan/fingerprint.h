/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a disk's metadata tell of it, in few bytes: enough to refuse most sources that only have the
 * size and the date of the one that was planned for, before any data is read.
 */
#ifndef Q2SI_PLAN_FINGERPRINT_H
#define Q2SI_PLAN_FINGERPRINT_H

#include <q2s/disk.h>

/** The hash of where @disk has data, zeros and nothing; fails as the disk does. */
enum q2s_err q2si_fingerprint(struct q2s_disk *disk, uint64_t *out, struct q2s_diag *diag);

#endif
