/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The language in which a corpus of images is written (see corpus/legal.corpus). */
#ifndef CORPUS_EXPAND_H
#define CORPUS_EXPAND_H

#include <q2s/base.h>

/**
 * Who gets the images, one after the other.
 *
 * @kind   what images that differ in the values of variables alone have in common: the name
 *         without them
 * @words  of the command: the image's name without suffix, then its arguments; may be changed,
 *         but not kept
 */
typedef enum q2s_err expand_image(void *opaque, const char *kind, char **words, size_t count,
				  struct q2s_diag *diag);

/** Expand a corpus. Q2S_E_USAGE names the line that is wrong; else what @image returns. */
enum q2s_err expand(const char *text, expand_image *image, void *opaque, struct q2s_diag *diag);

#endif
