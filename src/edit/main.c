/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-edit: finds the verb and lets it do the work. */
#include <stdio.h>
#include <string.h>

#include "common/tool.h"
#include "common/words.h"
#include "edit/verbs.h"

static const struct verb verbs[] = {
	{ "amend", amend_main, "change the form of the image: version, widths, kind of L2 entries" },
	{ "bitmap", bitmap_main, "add, remove or change persistent bitmaps" },
	{ "commit", commit_main, "write what an overlay holds into its backing file" },
	{ "compact", compact_main, "give unused space back to the host" },
	{ "rebase", rebase_main, "give an overlay another backing file" },
	{ "repair", repair_main, "repair what q2s-inspect check finds, by a plan, with an undo" },
	{ "resize", resize_main, "make the guest disk longer or shorter" },
	{ "salvage", salvage_main, "find what nothing refers to, and where it belongs" },
	{ "snapshot", snapshot_main, "create, apply, delete or list internal snapshots" },
	{ "write", write_main, "write, zero or discard ranges of the guest disk" },
};
#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static int
help(void)
{
	printf("Usage: q2s-edit VERB [OPTIONS] FILE [ARGUMENT...]\n"
	       "Change a qcow2 image in place.\n\n");
	for (size_t i = 0; i < VERB_COUNT; i++)
		printf("  %-9s %s\n", verbs[i].name, verbs[i].help);
	printf("\n"
	       "      --dry-run      show what would be done to FILE, and do nothing (every verb)\n"
	       "  -h, --help         this text; behind a verb, its options\n"
	       "      --version      version, and what was built in\n\n"
	       "It may be interrupted at any time: FILE stays a consistent image, with leaked\n"
	       "clusters at worst. What it says is done is on the disk.\n");
	return tool_finish(0);
}

static int
unknown(const char *word)
{
	const char *known[VERB_COUNT + 1] = { NULL };
	char list[WORDS_LIST], hint[WORDS_HINT];

	for (size_t i = 0; i < VERB_COUNT; i++)
		known[i] = verbs[i].name;
	return tool_usage_error("unknown verb '%s': it is one of %s%s", word,
				words_list(known, list), words_hint(word, known, hint));
}

int
main(int argc, char **argv)
{
	tool_begin("q2s-edit");
	tool_options(TOOL_HAS_FOLLOW | TOOL_HAS_KEY_FILE);
	if (argc < 2)
		return tool_usage_error("a verb is missing");
	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].main(argc - 1, argv + 1);
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return help();
	if (strcmp(argv[1], "--version") == 0)
		return tool_version();
	return unknown(argv[1]);
}
