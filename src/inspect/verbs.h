/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs of q2s-inspect: each is a small program of its own behind one name. */
#ifndef INSPECT_VERBS_H
#define INSPECT_VERBS_H

/**
 * One verb.
 *
 * @main  as a main(): argv[0] is the verb, the rest its own options and operands; returns the
 *        exit code, with stdout flushed
 * @help  what it shows, in one line
 */
struct verb {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *help;
};

int info_main(int argc, char **argv);
int map_main(int argc, char **argv);
int dump_main(int argc, char **argv);
int check_main(int argc, char **argv);
int explain_main(int argc, char **argv);
int hex_main(int argc, char **argv);
int safety_main(int argc, char **argv);
int report_main(int argc, char **argv);
int diff_main(int argc, char **argv);
int quiz_main(int argc, char **argv);
int bitmap_main(int argc, char **argv);

#endif
