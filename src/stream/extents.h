/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --extents: what `qemu-img map --output=json` found out about SOURCE. */
#ifndef STREAM_EXTENTS_H
#define STREAM_EXTENTS_H

#include <q2s/disk.h>

/**
 * Replace *@disk by itself as the file at @path tells it (q2s_disk_hinted()): what that calls zero
 * is believed to be zero, the rest is data.
 *
 * The array must cover the disk from 0 to its size (or to that rounded up to 512, as QEMU counts)
 * in order, without gaps. An error names the index of the item that is wrong.
 */
enum q2s_err extents_apply(const char *path, struct q2s_disk **disk, struct q2s_diag *diag);

#endif
