/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/options_values.h"

#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/size.h"
#include "common/tool.h"

#define THREADS_MAX 1024

/* The index of @arg among @words (which end with NULL); -1 with a message when it is not there. */
static int
choose(const char *option, const char *arg, const char *const *words, const char *known)
{
	for (int i = 0; words[i]; i++) {
		if (strcmp(arg, words[i]) == 0)
			return i;
	}
	char *const shown = escape_text(arg);

	(void)tool_usage_error("--%s: unknown value '%s'; known: %s", option,
			       shown ? shown : "?", known);
	free(shown);
	return -1;
}

bool
value_output_format(struct stream_options *options, const char *arg)
{
	static const char *const words[] = { "qcow2", "raw", NULL };
	const int choice = choose("output-format", arg, words, "qcow2, raw");

	options->raw_output = choice == 1;
	return choice >= 0;
}

bool
value_output(struct stream_options *options, const char *arg)
{
	static const char *const words[] = { "human", "json", NULL };
	const int choice = choose("output", arg, words, "human, json");

	options->json = choice == 1;
	return choice >= 0;
}

bool
value_follow(struct stream_options *options, const char *arg)
{
	static const char *const words[] = { "none", "beside", "any", NULL };
	static const enum q2s_follow policies[] = { Q2S_FOLLOW_NONE, Q2S_FOLLOW_BESIDE,
						    Q2S_FOLLOW_ANY };
	const int choice = choose("follow", arg, words, "none, beside, any");

	if (choice >= 0)
		options->follow = policies[choice];
	return choice >= 0;
}

bool
value_size(struct stream_options *options, const char *arg)
{
	const char *const why = size_parse(arg, &options->size);

	options->has_size = true;
	if (!why)
		return true;
	(void)tool_usage_error("--size: %s", why);
	return false;
}

bool
value_threads(struct stream_options *options, const char *arg)
{
	uint64_t count;
	const char *const why = size_parse_number(arg, &count);

	if (!why && count >= 1 && count <= THREADS_MAX) {
		options->threads = (unsigned)count;
		return true;
	}
	(void)tool_usage_error("--threads: '%s': %s", arg, why ? why : "not from 1 to 1024");
	return false;
}

/* The index in @compress_words of the type that @arg begins with; -1 when there is none. */
static const char *const compress_words[] = { "zlib", "zstd", NULL };

static int
compress_type(const char *arg)
{
	const size_t len = strcspn(arg, ":");

	for (int i = 0; compress_words[i]; i++) {
		if (strlen(compress_words[i]) == len && strncmp(compress_words[i], arg, len) == 0)
			return i;
	}
	return -1;
}

bool
value_is_compress(const char *arg)
{
	return compress_type(arg) >= 0;
}

static bool
bad_compress(const char *arg)
{
	char *const shown = escape_text(arg);

	(void)tool_usage_error("--compress: '%s' is not zlib or zstd, with or without :LEVEL",
			       shown ? shown : "?");
	free(shown);
	return false;
}

bool
value_compress(struct stream_options *options, const char **type, const char *arg)
{
	const char *const colon = arg ? strchr(arg, ':') : NULL;
	const int found = arg ? compress_type(arg) : -1;
	char *end = NULL;

	options->compress = true;
	if (!arg)
		return true;
	if (found < 0)
		return bad_compress(arg);
	options->compression = (struct q2s_compression){ .type = (uint8_t)found };
	*type = compress_words[found];
	if (colon) {
		const long level = strtol(colon + 1, &end, 10);

		options->compression.has_level = true;
		options->compression.level = (int)level;
		if (end == colon + 1 || *end || level != options->compression.level)
			return bad_compress(arg);
	}
	return true;
}

bool
value_spool(struct stream_options *options, const char *arg)
{
	options->no_spool = strcmp(arg, "none") == 0;
	options->spool = options->no_spool ? NULL : arg;
	return true;
}

bool
value_progress(struct stream_options *options, const char *arg)
{
	if (progress_mode_parse(arg, &options->progress))
		return true;
	(void)tool_usage_error("--progress: unknown mode '%s'; known: bar, json, none", arg);
	return false;
}
