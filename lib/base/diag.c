/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Diagnostics: filled once, by the check that failed; turned into one line for people. */
#include "base/diag.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* May @diag take a failure? The first one wins: it is nearest to the cause. */
static bool
is_open(const struct q2s_diag *diag)
{
	return diag && diag->err == Q2S_OK;
}

static void __attribute__((format(printf, 5, 0)))
record(struct q2s_diag *diag, enum q2s_err err, const char *what, q2s_host at, const char *fmt,
       va_list args)
{
	diag->err = err;
	diag->sys_errno = 0;
	diag->has_value = false;
	diag->follow = 0;
	diag->value = 0;
	diag->at = at;
	snprintf(diag->what, sizeof(diag->what), "%s", what);
	vsnprintf(diag->text, sizeof(diag->text), fmt, args);
}

enum q2s_err
q2si_fail(struct q2s_diag *diag, enum q2s_err err, const char *what, q2s_host at, uint64_t value,
	  const char *fmt, ...)
{
	va_list args;

	if (!is_open(diag))
		return err;
	va_start(args, fmt);
	record(diag, err, what, at, fmt, args);
	va_end(args);
	diag->has_value = true;
	diag->value = value;
	return err;
}

enum q2s_err
q2si_fail_at(struct q2s_diag *diag, enum q2s_err err, const char *what, q2s_host at,
	     const char *fmt, ...)
{
	va_list args;

	if (!is_open(diag))
		return err;
	va_start(args, fmt);
	record(diag, err, what, at, fmt, args);
	va_end(args);
	return err;
}

enum q2s_err
q2si_fail_policy(struct q2s_diag *diag, unsigned follow, const char *what, q2s_host at,
		 const char *fmt, ...)
{
	va_list args;

	if (!is_open(diag))
		return Q2S_E_POLICY;
	va_start(args, fmt);
	record(diag, Q2S_E_POLICY, what, at, fmt, args);
	va_end(args);
	diag->follow = (uint8_t)follow;
	return Q2S_E_POLICY;
}

enum q2s_err
q2si_fail_errno(struct q2s_diag *diag, int error, const char *what, q2s_host at, const char *fmt,
		...)
{
	const enum q2s_err err = error == ENOMEM ? Q2S_E_NOMEM : Q2S_E_IO;
	va_list args;

	if (!is_open(diag))
		return err;
	va_start(args, fmt);
	record(diag, err, what, at, fmt, args);
	va_end(args);
	diag->sys_errno = error;
	return err;
}

enum q2s_err
q2si_fail_nomem(struct q2s_diag *diag, const char *what)
{
	return q2si_fail_at(diag, Q2S_E_NOMEM, what, Q2S_NOWHERE, "out of memory");
}

enum q2s_err
q2si_in_file(struct q2s_diag *diag, enum q2s_err err, const char *file)
{
	if (err != Q2S_OK && diag && diag->file[0] == '\0')
		snprintf(diag->file, sizeof(diag->file), "%s", file);
	return err;
}

void
q2s_diag_format(const struct q2s_diag *diag, char *buf, size_t size)
{
	struct q2si_text line = q2si_text_init(buf, size);
	char reason[128];

	q2si_text_add_escaped(&line, diag->what);
	if (diag->what[0] && diag->at.v != Q2S_NOWHERE.v)
		q2si_text_add(&line, " at host offset 0x%" PRIx64, diag->at.v);
	if (diag->what[0])
		q2si_text_add(&line, ": ");
	q2si_text_add_escaped(&line, diag->text[0] ? diag->text : q2s_err_name(diag->err));
	if (diag->has_value)
		q2si_text_add(&line, " (found 0x%" PRIx64 ")", diag->value);
	if (diag->sys_errno != 0)
		q2si_text_add(&line, ": %s", strerror_r(diag->sys_errno, reason, sizeof(reason)));
}
