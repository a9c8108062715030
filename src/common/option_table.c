/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parsing and --help from one table. */
#include "common/option_table.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/size.h"
#include "common/tool.h"

#define OPTIONS_MAX 48
#define HELP_COLUMN 27 /* characters of an option, before what it does */

/* Results of getopt_long() for options without a letter: this, plus their number. */
#define FIRST_RESULT 256

int
options_wrong_word(const char *option, const char *word, const char *rule)
{
	char *const shown = escape_text(word);

	tool_usage_error("%s '%s': %s", option, shown ? shown : "?", rule);
	free(shown);
	return TOOL_FAILED;
}

/* ---- help -------------------------------------------------------------------------------- */

static void
print_row(const struct option_row *row)
{
	char name[80];
	const char *line = row->help;

	if (row->kind == OPTION_VERSION)
		return;
	if (row->kind == OPTION_HELP) {
		puts("      --help, --version");
		return;
	}
	snprintf(name, sizeof(name), "--%s%s%s", row->name, row->arg ? "=" : "",
		 row->arg ? row->arg : "");
	if (row->letter)
		printf("  -%c, ", row->letter);
	else
		fputs("      ", stdout);
	for (;; line++) {
		const size_t len = strcspn(line, "\n");

		printf("%-*s%.*s\n", line == row->help ? HELP_COLUMN : HELP_COLUMN + 6,
		       line == row->help ? name : "", (int)len, line);
		line += len;
		if (!*line)
			return;
	}
}

static int
print_help(const struct option_table *table)
{
	fputs(table->usage, stdout);
	for (size_t p = 0; p < OPTION_PARTS && table->parts[p]; p++) {
		for (size_t i = 0; i < table->parts[p]->count; i++)
			print_row(&table->parts[p]->rows[i]);
	}
	if (table->tail)
		fputs(table->tail, stdout);
	return tool_finish(0);
}

/* ---- parsing ----------------------------------------------------------------------------- */

/* The table as getopt_long() wants it. */
struct getopt_form {
	const struct option_row *rows[OPTIONS_MAX];
	struct option longs[OPTIONS_MAX + 1];
	char shorts[2 * OPTIONS_MAX + 3];
	size_t count;
};

static void
add_row(struct getopt_form *form, const struct option_row *row)
{
	const size_t len = strlen(form->shorts);

	if (form->count == OPTIONS_MAX)
		abort(); /* a table of ours is too long */
	if (row->letter)
		snprintf(form->shorts + len, sizeof(form->shorts) - len, "%c%s", row->letter,
			 row->arg ? ":" : "");
	form->rows[form->count] = row;
	form->longs[form->count] =
		(struct option){ row->name, row->arg ? required_argument : no_argument, NULL,
				 FIRST_RESULT + (int)form->count };
	form->count++;
}

static const struct option_row *
row_of(const struct getopt_form *form, int got)
{
	for (size_t i = 0; i < form->count; i++) {
		if (got == FIRST_RESULT + (int)i || (got && got == form->rows[i]->letter))
			return form->rows[i];
	}
	return NULL;
}

static int
take_size(const struct option_row *row, uint64_t *out, const char *word)
{
	const char *const wrong = row->kind == OPTION_SIZE ? size_parse(word, out)
							   : size_parse_number(word, out);
	char option[40];

	snprintf(option, sizeof(option), "--%s", row->name);
	return wrong ? options_wrong_word(option, word, wrong) : OPTIONS_GO_ON;
}

static int
take(const struct option_table *table, const struct option_row *row, void *chosen,
     const char *word)
{
	char *const at = (char *)chosen + row->offset;

	switch (row->kind) {
	case OPTION_FLAG:
		*(bool *)at = true;
		return OPTIONS_GO_ON;
	case OPTION_WORD:
		*(const char **)at = word;
		return OPTIONS_GO_ON;
	case OPTION_SIZE:
	case OPTION_NUMBER:
		return take_size(row, (uint64_t *)at, word);
	case OPTION_TAKE:
		return row->take(chosen, word);
	case OPTION_HELP:
		return print_help(table);
	case OPTION_VERSION:
		return tool_version();
	}
	return TOOL_FAILED;
}

int
options_parse(const struct option_table *table, int argc, char **argv, void *chosen)
{
	struct getopt_form form = { .shorts = ":" };
	int got, status = OPTIONS_GO_ON;

	for (size_t p = 0; p < OPTION_PARTS && table->parts[p]; p++) {
		for (size_t i = 0; i < table->parts[p]->count; i++)
			add_row(&form, &table->parts[p]->rows[i]);
	}
	while (status == OPTIONS_GO_ON &&
	       (got = getopt_long(argc, argv, form.shorts, form.longs, NULL)) != -1) {
		const struct option_row *const row = row_of(&form, got);

		status = row ? take(table, row, chosen, optarg)
			     : tool_option_error(argv, got, form.longs);
	}
	return status;
}

int
options_takes_next(const struct option_rows *rows, const char *word)
{
	for (size_t i = 0; i < rows->count; i++) {
		const struct option_row *const row = &rows->rows[i];

		if (row->arg && word[0] == '-' &&
		    ((word[1] == '-' && strcmp(word + 2, row->name) == 0) ||
		     (row->letter && word[1] == row->letter && !word[2])))
			return 1;
	}
	return 0;
}
