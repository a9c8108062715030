/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every verb does round its work: open the image, or rehearse, close it, and report. */
#ifndef EDIT_WORK_H
#define EDIT_WORK_H

#include <q2s/edit.h>

#include "edit/options.h"

/**
 * The work of one verb on one image.
 *
 * @file     the image
 * @flags    Q2S_EDIT_*
 * @try      do it in memory first: it has several parts, and what is refused is refused before any
 *           of them is written
 * @usage    Q2S_E_USAGE without a file is about words of the command line, not about @file
 * @edit     the work; what it did is flushed afterwards
 * @report   says what came of it, with the image closed, unless nothing is to be said; NULL: it is
 *           done
 */
struct work {
	const char *file;
	const struct options *options;
	unsigned flags;
	bool try;
	bool usage;
	enum q2s_err (*edit)(struct q2s_edit *edit, void *opaque, struct q2s_diag *diag);
	void (*report)(void *opaque);
	void *opaque;
};

/** Do it. Returns the exit code, with stdout flushed. */
int work_do(const struct work *work);

#endif
