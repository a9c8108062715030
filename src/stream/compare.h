/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-stream --compare: do two disks show the same? */
#ifndef STREAM_COMPARE_H
#define STREAM_COMPARE_H

#include "stream/options.h"

/** The exit code of disks that differ. */
#define COMPARE_DIFFER 2

/** Compare, and print the result. Returns 0, COMPARE_DIFFER, or TOOL_FAILED after a message. */
int compare(const struct stream_options *options);

#endif
