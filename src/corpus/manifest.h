/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manifest of a corpus: a line of JSON for each image. doc/corpus explains the keys. */
#ifndef CORPUS_MANIFEST_H
#define CORPUS_MANIFEST_H

#include <stdio.h>

#include "corpus/test_image.h"

/**
 * Describe a legal image that a command made.
 *
 * @folder  where it lies
 * @file    its name there
 * @kind    what it has in common with others
 * @argv    the command, ended by NULL
 */
enum q2s_err manifest_command(FILE *out, const char *folder, const char *file, const char *kind,
			      char *const *argv, struct q2s_diag *diag);

/** Describe an image that was made from a spec, as what the spec expects of it. */
enum q2s_err manifest_test_image(FILE *out, const char *folder, const char *file,
				 const struct test_image_spec *spec,
				 const struct test_image_facts *facts, struct q2s_diag *diag);

#endif
