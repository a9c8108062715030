/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Filling a diagnostic and returning its code in one expression, so that a check is one line. */
#ifndef Q2SI_BASE_DIAG_H
#define Q2SI_BASE_DIAG_H

#include <q2s/base.h>

/**
 * Record a failure with a place and a value; returns @err.
 *
 * @diag  may be NULL; one that is already filled keeps its first failure
 * @what  structure or field
 * @fmt   the broken rule, printf-like; untrusted bytes are escaped when the diagnostic is shown
 */
enum q2s_err q2si_fail(struct q2s_diag *diag, enum q2s_err err, const char *what, q2s_host at,
		       uint64_t value, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));

/** As q2si_fail() for a failure without a value; @at may be Q2S_NOWHERE. */
enum q2s_err q2si_fail_at(struct q2s_diag *diag, enum q2s_err err, const char *what, q2s_host at,
			  const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/** As q2si_fail_at() for a file that must not be opened; @follow is the least policy that allows it. */
enum q2s_err q2si_fail_policy(struct q2s_diag *diag, unsigned follow, const char *what, q2s_host at,
			      const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/** As q2si_fail_at() for a failed system call: Q2S_E_IO (Q2S_E_NOMEM for ENOMEM), with @error. */
enum q2s_err q2si_fail_errno(struct q2s_diag *diag, int error, const char *what, q2s_host at,
			     const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/** Out of memory while making @what. */
enum q2s_err q2si_fail_nomem(struct q2s_diag *diag, const char *what);

/** Name the file of a failure that does not name one yet; returns @err unchanged. */
enum q2s_err q2si_in_file(struct q2s_diag *diag, enum q2s_err err, const char *file);

/** Return from the calling function with the code of a call that failed. */
#define Q2SI_TRY(call)                                                                            \
	do {                                                                                      \
		const enum q2s_err q2si_try_ = (call);                                            \
		if (q2si_try_ != Q2S_OK)                                                          \
			return q2si_try_;                                                         \
	} while (0)

#endif
