/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening what is only looked at: a file, or what comes through a pipe. */
#ifndef COMMON_OPEN_SOURCE_H
#define COMMON_OPEN_SOURCE_H

#include <q2s/io.h>

/**
 * As q2s_store_open(); but "-" is standard input, and a pipe, also one that has a name, is read to
 * its end into a file without a name.
 */
enum q2s_err open_source(const char *name, struct q2s_store **out, struct q2s_diag *diag);

#endif
