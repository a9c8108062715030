/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options that verbs have in common. */
#include "inspect/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/remote.h"
#include "common/size.h"
#include "common/tool.h"

int
options_take_output(void *options, const char *word)
{
	struct options *const out = options;

	out->json = strcmp(word, "json") == 0;
	if (out->json || strcmp(word, "human") == 0)
		return OPTIONS_GO_ON;
	return options_wrong_word("--output", word, "must be human or json");
}

static int
take_follow(void *options, const char *word)
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
			((struct options *)options)->follow = known[i].follow;
			return OPTIONS_GO_ON;
		}
	}
	return options_wrong_word("--follow", word, "must be none, beside or any");
}

int
options_take_format(void *options, const char *word)
{
	((struct options *)options)->format = word;
	if (strcmp(word, "raw") == 0 || strcmp(word, "qcow2") == 0)
		return OPTIONS_GO_ON;
	return options_wrong_word("--format", word, "must be raw or qcow2");
}

static int
take_header_file(void *options, const char *word)
{
	(void)options;
	return remote_take_headers(word) ? OPTIONS_GO_ON : TOOL_FAILED;
}

static int
take_cacert(void *options, const char *word)
{
	(void)options;
	return remote_take_cacert(word) ? OPTIONS_GO_ON : TOOL_FAILED;
}

static const struct option_row common[] = {
	{ .name = "output",
	  .arg = "human|json",
	  .help = "how to say it (default: human)",
	  .kind = OPTION_TAKE,
	  .take = options_take_output },
	{ .name = "force-share",
	  .letter = 'U',
	  .help = "also a file that another program may write to",
	  .kind = OPTION_FLAG,
	  .offset = offsetof(struct options, force_share) },
	{ .name = "header-file",
	  .arg = "FILE",
	  .help = "lines \"Name: value\" to send to HTTP servers",
	  .kind = OPTION_TAKE,
	  .take = take_header_file },
	{ .name = "cacert",
	  .arg = "FILE",
	  .help = "the certificates that HTTPS servers are judged by",
	  .kind = OPTION_TAKE,
	  .take = take_cacert },
	{ .name = "help", .letter = 'h', .kind = OPTION_HELP },
	{ .name = "version", .kind = OPTION_VERSION },
};
#define COMMON_COUNT (sizeof(common) / sizeof(common[0]))
const struct option_rows options_common = { common, COMMON_COUNT };
const struct option_rows options_source = { common + 1, COMMON_COUNT - 1 };
const struct option_rows options_end = { common + 4, COMMON_COUNT - 4 };

static const struct option_row follow[] = {
	{ .name = "format",
	  .letter = 'f',
	  .arg = "raw|qcow2",
	  .help = "what FILE is (default: qcow2 if it says so, else raw)",
	  .kind = OPTION_TAKE,
	  .take = options_take_format },
	{ .name = "follow",
	  .arg = "none|beside|any",
	  .help = "which other files the image may make us open: none\n"
		  "(default), those in its own folder or below it, any",
	  .kind = OPTION_TAKE,
	  .take = take_follow },
};
const struct option_rows options_follow = OPTION_ROWS(follow);

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
options_read(const struct option_table *table, int argc, char **argv, void *chosen, int count,
	     const char *names)
{
	const int status = options_parse(table, argc, argv, chosen);

	return status == OPTIONS_GO_ON ? options_operands(argc, argv, count, names) : status;
}

int
options_size(const char *name, const char *text, uint64_t *out)
{
	const char *const wrong = size_parse(text, out);

	return wrong ? options_wrong_word(name, text, wrong) : OPTIONS_GO_ON;
}
