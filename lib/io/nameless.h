/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that have no name, so that nothing is left behind however the process ends. */
#ifndef Q2SI_IO_NAMELESS_H
#define Q2SI_IO_NAMELESS_H

#include <q2s/base.h>

/**
 * Create an empty file without a name, open for reading and writing.
 *
 * @folder  where it takes its space; NULL: TMPDIR, or /tmp
 * @fd      the caller's on success
 * Returns Q2S_OK, or Q2S_E_IO, which names the folder.
 */
enum q2s_err q2si_nameless_open(const char *folder, int *fd, struct q2s_diag *diag);

/** The folder that NULL stands for; not to be freed. */
const char *q2si_nameless_folder(void);

#endif
