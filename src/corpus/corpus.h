/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A folder of images, legal and illegal, of every kind: for those who test readers of the format. */
#ifndef CORPUS_CORPUS_H
#define CORPUS_CORPUS_H

#include <q2s/base.h>

/** The corpus as it is written in corpus/legal.corpus (see expand.h). */
extern const char corpus_text[];

/**
 * Make the folder @path with all images of the corpus and manifest.jsonl, one object an image. It
 * appears when all is complete; it must not exist, or be empty.
 *
 * @count  receives the number of images
 */
enum q2s_err corpus_create(const char *path, size_t *count, struct q2s_diag *diag);

/** Does the manifest have digests? */
bool corpus_has_digests(void);

#endif
