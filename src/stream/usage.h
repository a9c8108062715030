/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What q2s-stream --help prints. */
#ifndef STREAM_USAGE_H
#define STREAM_USAGE_H

/** Print it on standard output. Returns an exit code. */
int usage_print(void);

#endif
