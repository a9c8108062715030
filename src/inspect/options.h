/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options that verbs have in common, and the one operand that each takes. */
#ifndef INSPECT_OPTIONS_H
#define INSPECT_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>

#include <q2s/image.h>

#include "common/option_table.h"

/** What the user chose. @format is NULL, "raw" or "qcow2". */
struct options {
	bool json;
	bool force_share;
	enum q2s_follow follow;
	const char *format;
};

/*
 * Rows for what is chosen in struct options, which is the first member of what a verb's own rows
 * store into: those of every verb; the same without --output; --help and --version alone; and for
 * the verbs that may look at other files.
 */
extern const struct option_rows options_common, options_source, options_end, options_follow;

/** For a row --format, or --output with a help of its own; @options: struct options. */
int options_take_format(void *options, const char *word);
int options_take_output(void *options, const char *word);

/**
 * The operands behind the options: exactly @count, else a usage error.
 *
 * @names  what the operands are, for messages: "FILE"
 * Returns OPTIONS_GO_ON or an exit code.
 */
int options_operands(int argc, char *const *argv, int count, const char *names);

/** As options_parse(), and then options_operands(). */
int options_read(const struct option_table *table, int argc, char **argv, void *chosen, int count,
		 const char *names);

/** A size or offset given to option @name. Returns OPTIONS_GO_ON or an exit code. */
int options_size(const char *name, const char *text, uint64_t *out);

#endif
