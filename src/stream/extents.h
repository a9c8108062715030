/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --extents, --base-extents: what another program found out about a disk. */
#ifndef STREAM_EXTENTS_H
#define STREAM_EXTENTS_H

#include <q2s/disk.h>

/**
 * Replace *@disk by itself as the file at @path tells it (q2s_disk_hinted()): what that calls zero
 * is believed to be zero, the rest is data.
 *
 * It is the JSON of `qemu-img map`, of `nbdinfo --map` or of `rbd diff`. The array must cover the
 * disk from 0 to its size (or to that rounded up to 512, as QEMU counts) in order, without gaps;
 * but what `rbd diff` leaves out is zero. An error names the index of the item that is wrong.
 *
 * @option  "--extents", for messages
 */
enum q2s_err extents_apply(const char *path, const char *option, struct q2s_disk **disk,
			   struct q2s_diag *diag);

#endif
