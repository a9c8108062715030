/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a diagnostic of libq2s to what nbdkit logs, and to the error that the client sees. */
#ifndef NBDKIT_Q2S_ERROR_H
#define NBDKIT_Q2S_ERROR_H

#include <q2s/base.h>

/**
 * Log "FILE: MESSAGE" with nbdkit_error(), and give the client the errno that fits.
 *
 * @file  for a diagnostic that names none
 * Returns -1, for a callback to return.
 */
int error_report(const char *file, const struct q2s_diag *diag);

/** The errno that a client gets for @diag: what the system said, else by the class of the error. */
int error_number(const struct q2s_diag *diag);

#endif
