/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Filling the library's diagnostic from the tools' own checks. */
#include "common/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 5, 0))) static void
fill(struct q2s_diag *diag, enum q2s_err err, int error, const char *what, const char *fmt,
     va_list args)
{
	if (!diag || diag->err != Q2S_OK)
		return;
	diag->err = err;
	diag->sys_errno = error;
	diag->has_value = false;
	diag->at = Q2S_NOWHERE;
	snprintf(diag->what, sizeof(diag->what), "%s", what);
	vsnprintf(diag->text, sizeof(diag->text), fmt, args);
}

enum q2s_err
fault(struct q2s_diag *diag, enum q2s_err err, const char *what, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fill(diag, err, 0, what, fmt, args);
	va_end(args);
	return err;
}

enum q2s_err
fault_errno(struct q2s_diag *diag, const char *what, const char *fmt, ...)
{
	const int error = errno;
	const enum q2s_err err = error == ENOMEM ? Q2S_E_NOMEM : Q2S_E_IO;
	va_list args;

	va_start(args, fmt);
	fill(diag, err, error, what, fmt, args);
	va_end(args);
	return err;
}

enum q2s_err
fault_in(struct q2s_diag *diag, enum q2s_err err, const char *file)
{
	if (err != Q2S_OK && diag && diag->file[0] == '\0')
		snprintf(diag->file, sizeof(diag->file), "%s", file);
	return err;
}

enum q2s_err
fault_nomem(struct q2s_diag *diag, const char *what)
{
	return fault(diag, Q2S_E_NOMEM, what, "out of memory");
}
