/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream/options_values.h"

#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/size.h"
#include "common/tool.h"
#include "common/words.h"

#define THREADS_MAX 1024

/* The index of @arg among @words (which end with NULL); -1 with a message when it is not there. */
static int
choose(const char *option, const char *arg, const char *const *words)
{
	for (int i = 0; words[i]; i++) {
		if (strcmp(arg, words[i]) == 0)
			return i;
	}
	char known[WORDS_LIST], hint[WORDS_HINT];

	(void)tool_usage_error("--%s: unknown value '%s'; known: %s%s", option, arg,
			       words_list(words, known), words_hint(arg, words, hint));
	return -1;
}

bool
value_output_format(struct stream_options *options, const char *arg)
{
	static const char *const words[] = { "qcow2", "raw", NULL };
	const int choice = choose("output-format", arg, words);

	options->raw_output = choice == 1;
	return choice >= 0;
}

bool
value_output(struct stream_options *options, const char *arg)
{
	static const char *const words[] = { "human", "json", NULL };
	const int choice = choose("output", arg, words);

	options->json = choice == 1;
	return choice >= 0;
}

bool
value_follow(struct stream_options *options, const char *arg)
{
	static const char *const words[] = { "none", "beside", "any", NULL };
	static const enum q2s_follow policies[] = { Q2S_FOLLOW_NONE, Q2S_FOLLOW_BESIDE,
						    Q2S_FOLLOW_ANY };
	const int choice = choose("follow", arg, words);

	if (choice >= 0)
		options->follow = policies[choice];
	return choice >= 0;
}

bool
value_base_missing(struct stream_options *options, const char *arg)
{
	static const char *const words[] = { "error", "zero", NULL };
	const int choice = choose("base-missing", arg, words);

	options->base_missing = choice == 1;
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
value_bitmap_granularity(struct stream_options *options, const char *arg)
{
	struct q2s_diag diag = { 0 };

	if (bitmap_granularity_parse("--bitmap-granularity", "", arg,
				     &options->bitmap_granularity_bits, &diag) == Q2S_OK)
		return true;
	(void)tool_usage_fail(&diag);
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
	char hint[WORDS_HINT];

	(void)tool_usage_error("--compress: '%s' is not zlib or zstd, with or without :LEVEL%s",
			       arg, words_hint(arg, compress_words, hint));
	return false;
}

/* What others call a type of compression, or a level alone. */
static bool
looks_like_compress(const char *arg)
{
	static const char *const others[] = { "bz2",  "bzip2",   "deflate", "gz",  "gzip",
					      "lz4",  "lzma",    "lzo",     "none", "pigz",
					      "snappy", "xz",    "zip",     "zst", NULL };
	const size_t digits = strspn(arg, "0123456789");
	char type[8] = "";

	if (digits > 0 && digits <= 2 && arg[digits] == '\0')
		return true;
	for (size_t i = 0; others[i]; i++) {
		const size_t len = strlen(others[i]);

		if (strncmp(arg, others[i], len) == 0 && (arg[len] == '\0' || arg[len] == ':'))
			return true;
	}
	if (strcspn(arg, ":") < sizeof(type))
		memcpy(type, arg, strcspn(arg, ":"));
	return words_nearest(type, compress_words) != NULL;
}

bool
value_check_compress(const char *word, int count, char *const *names)
{
	int at = 0;

	while (at < count && names[at] != word)
		at++;
	if (!word || at == count || strcmp(word, "-") == 0)
		return true;
	if (count <= 2 && (!words_no_file(word) ||
			   ((at > 0 || strchr(word, ':')) && !looks_like_compress(word))))
		return true;
	return bad_compress(word);
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

/* "snapshot.id=1", "snapshot.name=A" or the name itself. */
static const char *
snapshot_word(const char *arg)
{
	static const char *const leads[] = { "snapshot.id=", "snapshot.name=" };

	for (size_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++) {
		if (strncmp(arg, leads[i], strlen(leads[i])) == 0)
			return arg + strlen(leads[i]);
	}
	return arg;
}

bool
value_of_convert(struct stream_options *options, int letter, const char *arg)
{
	switch (letter) {
	case 'l':
		options->snapshot = snapshot_word(arg);
		return true;
	case 'q':
		options->progress = PROGRESS_QUIET;
		return true;
	case 'S':
		options->store_all = strspn(arg, "0") == strlen(arg);
		return true;
	case 'n':
		options->outlet.flags |= OUTPUT_IN_PLACE;
		return options->into_existing = true;
	case 't':
	case 'T':
	case 'W':
	case 'C':
		return true; /* caches, order and copying by the server are not for the user to choose */
	default:
		return false;
	}
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
