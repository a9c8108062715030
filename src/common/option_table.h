/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options of a command as one table: what is parsed, what --help shows, and so what shells
 * complete. Later words win over earlier ones.
 */
#ifndef COMMON_OPTION_TABLE_H
#define COMMON_OPTION_TABLE_H

#include <stddef.h>

/** How the word of an option is stored, at @offset of what the user chose. */
enum option_kind {
	OPTION_FLAG,   /* bool: set, and takes no word */
	OPTION_WORD,   /* const char *: as it is */
	OPTION_SIZE,   /* uint64_t: a size or an offset */
	OPTION_NUMBER, /* uint64_t: a plain number */
	OPTION_TAKE,   /* by @take */
	OPTION_HELP,   /* prints the usage and ends; shown with --version on one line */
	OPTION_VERSION,
};

/**
 * One option.
 *
 * @name    without the dashes
 * @letter  0 for none
 * @arg     the word that it needs, as --help shows it; NULL: none
 * @help    what it does, lines separated by newlines
 * @take    returns OPTIONS_GO_ON or an exit code; @word is NULL where it takes none
 */
struct option_row {
	const char *name;
	char letter;
	const char *arg;
	const char *help;
	enum option_kind kind;
	size_t offset;
	int (*take)(void *chosen, const char *word);
};

/** Rows that several commands share, a part of a command's table. */
struct option_rows {
	const struct option_row *rows;
	size_t count;
};
#define OPTION_ROWS(array) ((struct option_rows){ array, sizeof(array) / sizeof((array)[0]) })

/**
 * A command: its own rows first, then what it shares.
 *
 * @usage  what --help shows before the options
 * @tail   and behind them; NULL: nothing
 * @parts  the rows, in the order of --help; NULL behind the last
 */
#define OPTION_PARTS 3
struct option_table {
	const char *usage;
	const char *tail;
	const struct option_rows *parts[OPTION_PARTS];
};

/** Nothing to report yet: go on. */
#define OPTIONS_GO_ON (-1)

/**
 * Parse the options of @argv, whose first word is the command; operands are at optind then.
 *
 * @chosen  where the rows store
 * Returns OPTIONS_GO_ON, or the exit code with which the command ends at once.
 */
int options_parse(const struct option_table *table, int argc, char **argv, void *chosen);

/** Does the option @word ("--output", "-f"), one of @rows, need the next word? */
int options_takes_next(const struct option_rows *rows, const char *word);

/** A usage error about a word of the user's, which may hold anything. Returns TOOL_FAILED. */
int options_wrong_word(const char *option, const char *word, const char *rule);

#endif
