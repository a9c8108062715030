/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options that verbs have in common. */
#include "inspect/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/size.h"
#include "common/tool.h"

/* A usage error about a word of the user's, which may hold anything. */
static int
wrong_word(const char *option, const char *word, const char *rule)
{
	char *const shown = escape_text(word);

	tool_usage_error("%s '%s': %s", option, shown ? shown : "?", rule);
	free(shown);
	return TOOL_FAILED;
}

static int
take_output(struct options *options, const char *word)
{
	options->json = strcmp(word, "json") == 0;
	if (options->json || strcmp(word, "human") == 0)
		return OPTIONS_GO_ON;
	return wrong_word("--output", word, "must be human or json");
}

static int
take_follow(struct options *options, const char *word)
{
	static const struct {
		const char *word;
		enum q2s_follow follow;
	} known[] = {
		{ "none", Q2S_FOLLOW_NONE },
		{ "beside", Q2S_FOLLOW_BESIDE },
		{ "any", Q2S_FOLLOW_ANY },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(word, known[i].word) == 0) {
			options->follow = known[i].follow;
			return OPTIONS_GO_ON;
		}
	}
	return wrong_word("--follow", word, "must be none, beside or any");
}

static int
take_format(struct options *options, const char *word)
{
	options->format = word;
	if (strcmp(word, "raw") == 0 || strcmp(word, "qcow2") == 0)
		return OPTIONS_GO_ON;
	return wrong_word("--format", word, "must be raw or qcow2");
}

int
options_take(struct options *options, int got, char *const *argv, const char *help)
{
	switch (got) {
	case OPTION_OUTPUT:
		return take_output(options, optarg);
	case OPTION_FOLLOW:
		return take_follow(options, optarg);
	case 'f':
		return take_format(options, optarg);
	case OPTION_HELP:
		fputs(help, stdout);
		return tool_finish(0);
	case OPTION_VERSION:
		return tool_version();
	default:
		return tool_option_error(argv, got);
	}
}

int
options_operands(int argc, char *const *argv, int count, const char *names)
{
	char *shown;

	if (argc - optind == count)
		return OPTIONS_GO_ON;
	if (argc - optind < count)
		return tool_usage_error("%s is missing", names);
	shown = escape_text(argv[optind + count]);
	tool_usage_error("too many words: '%s'", shown ? shown : "?");
	free(shown);
	return TOOL_FAILED;
}

int
options_size(const char *name, const char *text, uint64_t *out)
{
	const char *const wrong = size_parse(text, out);

	return wrong ? wrong_word(name, text, wrong) : OPTIONS_GO_ON;
}
