/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "error.h"

#include <q2s/image.h>

#include <errno.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define ERROR_LINE 1024

int
error_number(const struct q2s_diag *diag)
{
	if (diag->sys_errno)
		return diag->sys_errno;
	switch (diag->err) {
	case Q2S_E_NOMEM:
		return ENOMEM;
	case Q2S_E_USAGE:
		return EINVAL;
	case Q2S_E_UNSUPPORTED:
		return EOPNOTSUPP;
	default: /* what lies in the image is wrong, or changed: the disk has a bad sector */
		return EIO;
	}
}

/* The parameter that would let the image refer to the file. */
static const char *
cure(const struct q2s_diag *diag)
{
	if (diag->err != Q2S_E_POLICY)
		return "";
	return diag->follow == Q2S_FOLLOW_BESIDE ? "; follow=beside would allow it" :
	       diag->follow == Q2S_FOLLOW_ANY	 ? "; follow=any would allow it" :
						   "";
}

int
error_report(const char *file, const struct q2s_diag *diag)
{
	char line[ERROR_LINE];

	q2s_diag_format(diag, line, sizeof(line));
	nbdkit_error("%s: %s%s", diag->file[0] ? diag->file : file, line, cure(diag));
	nbdkit_set_error(error_number(diag));
	return -1;
}
