/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options that all verbs of q2s-edit have in common. */
#ifndef EDIT_OPTIONS_H
#define EDIT_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>

#include <q2s/image.h>

#include "common/key_files.h"
#include "common/progress.h"

/* Results of getopt_long(); a verb's own options that have no letter start at OPTION_OWN. */
enum {
	OPTION_DRY_RUN = 256,
	OPTION_FOLLOW,
	OPTION_KEY_FILE,
	OPTION_IMAGE_OPTS,
	OPTION_OBJECT,
	OPTION_VERSION,
	OPTION_OWN,
};

/* The letters that every verb has. */
#define OPTIONS_COMMON_LETTERS "f:hq"

/* What every verb's table of long options ends with. */
#define OPTIONS_COMMON                                                \
	{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },             \
		{ "follow", required_argument, NULL, OPTION_FOLLOW }, \
		{ "key-file", required_argument, NULL, OPTION_KEY_FILE }, \
		{ "quiet", no_argument, NULL, 'q' },                  \
		{ "format", required_argument, NULL, 'f' },           \
		{ "image-opts", no_argument, NULL, OPTION_IMAGE_OPTS }, \
		{ "object", required_argument, NULL, OPTION_OBJECT }, \
		{ "help", no_argument, NULL, 'h' },                   \
		{ "version", no_argument, NULL, OPTION_VERSION },     \
	{                                                             \
		NULL, 0, NULL, 0                                      \
	}

/* The lines of --help for them. */
#define OPTIONS_COMMON_HELP                                                                       \
	"  -f, --format=qcow2             what FILE is\n"                                          \
	"      --dry-run                  show what would be done to FILE, and do nothing\n"       \
	"      --follow=none|beside|any   which other files the image may make us open: none\n"    \
	"                                 (default), those in its own folder or below it, any\n"   \
	"      --key-file=[LAYER=]FILE    all of FILE is the passphrase of the image; or of the image\n" \
	"                                 LAYER below it, where that has another\n"               \
	"  -q, --quiet                    print nothing when all is well\n"                        \
	"  -h, --help\n"                                                                          \
	"      --version\n"

/** What the user chose. Zero-initialise; options_free() in the end. */
struct options {
	bool dry_run;
	bool quiet;
	bool force_share; /* lock no layer that is read */
	enum q2s_follow follow;
	struct key_files keys;
};

/** Nothing to report yet: go on. */
#define OPTIONS_GO_ON (-1)

/**
 * Take what getopt_long() returned as @got, if it is one of ours.
 *
 * @longs  what getopt_long() was given
 * @help  the verb's text for --help
 * Returns OPTIONS_GO_ON, or the exit code with which the verb ends at once.
 */
int options_take(struct options *options, int got, char *const *argv, const struct option *longs,
		 const char *help);
void options_free(struct options *options);

/*
 * What several verbs take besides. Each returns OPTIONS_GO_ON or an exit code, as options_take().
 *
 * @mode  of --progress=MODE; NULL, as with -p: a bar
 */
int options_take_progress(const char *mode, enum progress_mode *out);
/** A cache mode of QEMU, checked: the order of writes here is safe without one. */
int options_take_cache(int letter, const char *word);
/** The operands behind the options are one FILE. */
int options_one_file(int argc, char **argv, const char **out);

#endif
