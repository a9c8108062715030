/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is written beside DEST: a plan, a map. */
#ifndef STREAM_OTHER_OUTPUT_H
#define STREAM_OTHER_OUTPUT_H

#include <q2s/base.h>

/**
 * May @path be written, which is neither DEST by any name nor a file that is read?
 *
 * @dest    NULL: standard output
 * @option  that named @path, for messages
 * Q2S_E_CONFLICT (diag->file names it), Q2S_E_NOMEM.
 */
enum q2s_err other_output_check(const char *path, const char *dest, const char *option,
				struct q2s_diag *diag);

#endif
