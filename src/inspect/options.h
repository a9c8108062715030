/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options that verbs have in common, and the one operand that each takes. */
#ifndef INSPECT_OPTIONS_H
#define INSPECT_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>

#include <q2s/image.h>

/* Results of getopt_long(); a verb's own options that have no letter start at OPTION_OWN. */
enum {
	OPTION_OUTPUT = 256,
	OPTION_FOLLOW,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_OWN,
};

/* What every verb's table of long options ends with. */
#define OPTIONS_COMMON                                            \
	{ "output", required_argument, NULL, OPTION_OUTPUT },     \
		{ "help", no_argument, NULL, OPTION_HELP },       \
		{ "version", no_argument, NULL, OPTION_VERSION }, \
	{                                                         \
		NULL, 0, NULL, 0                                  \
	}

/* For the verbs that may look at other files. */
#define OPTIONS_FOLLOW                                        \
	{ "follow", required_argument, NULL, OPTION_FOLLOW }, \
	{                                                     \
		"format", required_argument, NULL, 'f'        \
	}

/* The lines of --help for them. */
#define OPTIONS_COMMON_HELP                                                 \
	"      --output=human|json        how to say it (default: human)\n" \
	"      --help, --version\n"
#define OPTIONS_FOLLOW_HELP                                                                        \
	"  -f, --format=raw|qcow2         what FILE is (default: qcow2 if it says so, else raw)\n" \
	"      --follow=none|beside|any   which other files the image may make us open: none\n"    \
	"                                 (default), those in its own folder or below it, any\n"

/** What the user chose. @format is NULL, "raw" or "qcow2". */
struct options {
	bool json;
	enum q2s_follow follow;
	const char *format;
};

/** Nothing to report yet: go on. */
#define OPTIONS_GO_ON (-1)

/**
 * Take what getopt_long() returned as @got, if it is one of ours.
 *
 * @help  the verb's text for --help
 * Returns OPTIONS_GO_ON, or the exit code with which the verb ends at once.
 */
int options_take(struct options *options, int got, char *const *argv, const char *help);

/**
 * The operands behind the options: exactly @count, else a usage error.
 *
 * @names  what the operands are, for messages: "FILE"
 * Returns OPTIONS_GO_ON or an exit code.
 */
int options_operands(int argc, char *const *argv, int count, const char *names);

/** A size or offset given to option @name. Returns OPTIONS_GO_ON or an exit code. */
int options_size(const char *name, const char *text, uint64_t *out);

#endif
