/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of q2s-create. */
#ifndef CREATE_OPTIONS_H
#define CREATE_OPTIONS_H

#include "common/bitmap_options.h"
#include "common/image_options.h"
#include "common/spec.h"

/** What was asked for. SIZE and -b, -F are found in @image, as if they had come by -o. */
struct create_options {
	const char *file;
	const char *corpus; /* the folder for q2s-corpus, instead of an image, or NULL */
	struct image_options image;
	struct bitmap_options bitmaps;
	struct spec_list writes; /* -w and --write-file, in the order of the command line */
	const char *key_file; /* with the passphrase of an encrypted image, or NULL */
	bool unsafe; /* do not open the backing file */
	bool force;  /* replace what exists */
	bool quiet;
};

/** The work is to be done; any other value of options_parse() is the exit code. */
#define OPTIONS_GO (-1)

/**
 * Parse the command line. Prints help, version, option lists, and usage errors itself.
 *
 * Returns OPTIONS_GO or an exit code. @out needs options_free() in any case.
 */
int options_parse(struct create_options *out, int argc, char **argv);
void options_free(struct create_options *options);

#endif
