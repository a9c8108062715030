/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manifest of a corpus: a line of JSON for each image. doc/corpus explains the keys. */
#ifndef CREATE_MANIFEST_H
#define CREATE_MANIFEST_H

#include <stdio.h>

#include "specimen/specimen.h"

/**
 * Describe a legal image that a command made.
 *
 * @kind  what it has in common with others
 * @argv  the command, ended by NULL
 * @size  of the virtual disk, in bytes
 */
enum q2s_err manifest_command(FILE *out, const char *file, const char *kind, char *const *argv,
			      uint64_t size, struct q2s_diag *diag);

/** Describe an image that was made from a spec, as what the spec expects of it. */
enum q2s_err manifest_specimen(FILE *out, const char *file, const struct specimen_spec *spec,
			       const struct specimen_facts *facts, struct q2s_diag *diag);

#endif
