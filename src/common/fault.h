/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Filling the library's diagnostic from the tools' own checks, so that one road reports both. */
#ifndef COMMON_FAULT_H
#define COMMON_FAULT_H

#include <q2s/base.h>

/**
 * Record a failure without a place; returns @err.
 *
 * @diag  may be NULL; one that is already filled keeps its first failure
 * @what  the option or structure that is wrong
 */
enum q2s_err fault(struct q2s_diag *diag, enum q2s_err err, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/** As fault() for a failed system call: Q2S_E_IO (Q2S_E_NOMEM for ENOMEM) with errno. */
enum q2s_err fault_errno(struct q2s_diag *diag, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** Name the file of a failure that does not name one yet; returns @err unchanged. */
enum q2s_err fault_in(struct q2s_diag *diag, enum q2s_err err, const char *file);

/** Out of memory. */
enum q2s_err fault_nomem(struct q2s_diag *diag, const char *what);

#endif
