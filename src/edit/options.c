/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "edit/options.h"

#include <stdio.h>
#include <string.h>

#include "common/tool.h"
#include "common/words.h"

static int
take_follow(struct options *options, const char *word)
{
	static const char *const words[] = {
		[Q2S_FOLLOW_NONE] = "none", [Q2S_FOLLOW_BESIDE] = "beside", [Q2S_FOLLOW_ANY] = "any"
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(word, words[i]) == 0) {
			options->follow = (enum q2s_follow)i;
			return OPTIONS_GO_ON;
		}
	}
	return tool_usage_error("--follow '%s': must be none, beside or any", word);
}

static int
take_key_file(struct options *options, const char *path)
{
	struct q2s_diag diag = { 0 };

	if (key_files_add(&options->keys, path, &diag) != Q2S_OK)
		return tool_usage_fail(&diag);
	if (key_files_read(&options->keys, &diag) != Q2S_OK)
		return tool_fail(NULL, &diag);
	if (key_files_any(&options->keys)->path)
		tool_options(TOOL_HAS_FOLLOW);
	return OPTIONS_GO_ON;
}

static int
take_format(const char *format)
{
	if (strcmp(format, "qcow2") != 0)
		return tool_usage_error("--format '%s': only qcow2 can be changed", format);
	return OPTIONS_GO_ON;
}

int
options_take(struct options *options, int got, char *const *argv, const struct option *longs,
	     const char *help)
{
	switch (got) {
	case OPTION_DRY_RUN:
		options->dry_run = true;
		return OPTIONS_GO_ON;
	case OPTION_FOLLOW:
		return take_follow(options, optarg);
	case OPTION_KEY_FILE:
		return take_key_file(options, optarg);
	case 'q':
		options->quiet = true;
		return OPTIONS_GO_ON;
	case 'f':
		return take_format(optarg);
	case OPTION_IMAGE_OPTS:
		return tool_usage_error("--image-opts: FILE is the name of a file here; --follow and "
					"--key-file say what else is needed");
	case OPTION_OBJECT:
		return tool_usage_error("--object: a secret is given by --key-file here");
	case 'h':
		fputs(help, stdout);
		return tool_finish(0);
	case OPTION_VERSION:
		return tool_version();
	default:
		return tool_option_error(argv, got, longs);
	}
}

void
options_free(struct options *options)
{
	key_files_free(&options->keys);
}

int
options_take_progress(const char *mode, enum progress_mode *out)
{
	if (!progress_mode_parse(mode, out))
		return tool_usage_error("--progress '%s': must be bar, json or none", mode);
	return OPTIONS_GO_ON;
}

int
options_take_cache(int letter, const char *word)
{
	static const char *const words[] = { "none",	     "off",	   "writeback",
					     "writethrough", "directsync", "unsafe", NULL };
	char list[WORDS_LIST], hint[WORDS_HINT];

	for (size_t i = 0; words[i]; i++)
		if (strcmp(word, words[i]) == 0)
			return OPTIONS_GO_ON;
	return tool_usage_error("-%c '%s': it is one of %s%s", letter, word,
				words_list(words, list), words_hint(word, words, hint));
}

int
options_one_file(int argc, char **argv, const char **out)
{
	if (optind == argc)
		return tool_usage_error("FILE is missing");
	if (optind + 1 < argc)
		return tool_usage_error("'%s': one FILE only", argv[optind + 1]);
	*out = argv[optind];
	return OPTIONS_GO_ON;
}
