/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs of q2s-edit: each is a small program of its own behind one name. */
#ifndef EDIT_VERBS_H
#define EDIT_VERBS_H

/**
 * One verb.
 *
 * @main  as a main(): argv[0] is the verb, the rest its own options and operands; returns the
 *        exit code, with stdout flushed
 * @help  what it does, in one line
 */
struct verb {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *help;
};

int bitmap_main(int argc, char **argv);
int commit_main(int argc, char **argv);
int compact_main(int argc, char **argv);
int rebase_main(int argc, char **argv);
int amend_main(int argc, char **argv);
int resize_main(int argc, char **argv);
int snapshot_main(int argc, char **argv);
int write_main(int argc, char **argv);
int repair_main(int argc, char **argv);
int salvage_main(int argc, char **argv);

#endif
