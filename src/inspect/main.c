/* SPDX-License-Identifier: GPL-2.0-or-later */
/* q2s-inspect: finds the verb and lets it do the work. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/tool.h"
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

int
main(int argc, char **argv)
{
	tool_begin("q2s-inspect");
	if (!isatty(STDOUT_FILENO)) /* millions of short lines */
		setvbuf(stdout, NULL, _IOFBF, OUTPUT_BUFFER);
	if (argc < 2)
		return tool_usage_error("a verb or a file is missing");
	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].main(argc - 1, argv + 1);
	}
	if (strcmp(argv[1], "--help") == 0)
		return help();
	return info_main(argc, argv);
}
