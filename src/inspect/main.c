/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-inspect: finds the verb and lets it do the work. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/tool.h"
#include "common/words.h"
#include "inspect/options.h"
#include "inspect/verbs.h"

#define OUTPUT_BUFFER 65536

static const struct verb verbs[] = {
	{ "info", info_main,
	  "size, features, references, snapshots, and where each structure lies" },
	{ "map", map_main, "which ranges of the guest disk hold what, and where" },
	{ "check", check_main, "are the structures sound, and do the refcounts add up?" },
	{ "dump", dump_main, "every structure of the image, decoded" },
	{ "explain", explain_main, "how one guest offset becomes host bytes, step by step" },
	{ "hex", hex_main, "the metadata byte by byte, each byte named" },
	{ "safety", safety_main, "may this file be handed to a hypervisor?" },
	{ "report", report_main, "the image drawn: one HTML file, to look at" },
	{ "bitmap", bitmap_main, "which persistent bitmaps there are, or what one calls dirty" },
	{ "diff", diff_main, "what changed between two states of one image, and why" },
	{ "quiz", quiz_main, "an extended L2 entry to decode by hand, and whether one was right" },
};
#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static int
help(void)
{
	printf("Usage: q2s-inspect [VERB] [OPTIONS] FILE\n"
	       "Look into a qcow2 image without changing it. Without VERB: info.\n\n");
	for (size_t i = 0; i < VERB_COUNT; i++)
		printf("  %-9s %s\n", verbs[i].name, verbs[i].help);
	printf("\n"
	       "      --output=human|json  how to say it (every verb)\n"
	       "      --help               this text; behind a verb, its options\n"
	       "      --version            version, and what was built in\n\n"
	       "No other file is opened unless --follow allows it (info, map, explain).\n");
	return tool_finish(0);
}

static const struct verb *
find(const char *word)
{
	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (strcmp(word, verbs[i].name) == 0)
			return &verbs[i];
	}
	return NULL;
}

/* Options may stand before the verb, as they may before FILE. */
static void
verb_first(int argc, char **argv)
{
	int at = 1;

	while (at < argc && argv[at][0] == '-' && argv[at][1])
		at += 1 + (options_takes_next(&options_common, argv[at]) ||
			   options_takes_next(&options_follow, argv[at]));
	if (at <= 1 || at >= argc || !find(argv[at]))
		return;
	char *const verb = argv[at];

	memmove(&argv[2], &argv[1], (size_t)(at - 1) * sizeof(*argv));
	argv[1] = verb;
}

/* Without a verb the word is a FILE. One that is not there, and looks like a verb, was meant as one. */
static bool
is_verb_meant(const char *word)
{
	return word[0] && !word[strspn(word, "abcdefghijklmnopqrstuvwxyz")] && words_no_file(word);
}

static int
unknown_verb(const char *word)
{
	const char *names[VERB_COUNT + 1] = { NULL };
	char known[WORDS_LIST], hint[WORDS_HINT];

	for (size_t i = 0; i < VERB_COUNT; i++)
		names[i] = verbs[i].name;
	if (words_qemu_verb(word))
		return tool_usage_error("'%s' is a verb of qemu-img, but none of q2s-inspect, "
					"which has %s; here it is %s",
					word, words_list(names, known), words_qemu_verb(word));
	return tool_usage_error("'%s' is neither a file nor a verb; the verbs are %s%s", word,
				words_list(names, known), words_hint(word, names, hint));
}

int
main(int argc, char **argv)
{
	tool_begin("q2s-inspect");
	tool_options(TOOL_HAS_FOLLOW | TOOL_HAS_FORCE_SHARE | TOOL_HAS_FORCE);
	if (!isatty(STDOUT_FILENO)) /* millions of short lines */
		setvbuf(stdout, NULL, _IOFBF, OUTPUT_BUFFER);
	if (argc < 2)
		return tool_usage_error("a verb or a file is missing");
	verb_first(argc, argv);
	if (find(argv[1]))
		return find(argv[1])->main(argc - 1, argv + 1);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return help();
	if (is_verb_meant(argv[1]))
		return unknown_verb(argv[1]);
	return info_main(argc, argv);
}
