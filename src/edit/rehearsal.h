/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A store for --dry-run: it shows a file as it would be after changes, keeps these in memory, and
 * prints each of them. The file is only read.
 */
#ifndef EDIT_REHEARSAL_H
#define EDIT_REHEARSAL_H

#include <q2s/store.h>

/** Bytes that were changed. */
struct rehearsal_sum {
	uint64_t written, zeroed, discarded;
};

/** What is said of each change. */
enum rehearsal_lines {
	REHEARSAL_PLAIN,
	REHEARSAL_LABEL, /* the lines begin with the file's name, as there are several */
	REHEARSAL_SILENT,
};

/**
 * A rehearsal of changes to @file; a reference is taken. The lines go to stdout: "write 4096 at
 * 0x50000", "flush".
 *
 * @lines  which lines are printed
 * @sum    what is done is added there; must outlive the store. Or NULL
 */
enum q2s_err rehearsal_of(struct q2s_store *file, enum rehearsal_lines lines, struct rehearsal_sum *sum,
			  struct q2s_store **out, struct q2s_diag *diag);
/** As rehearsal_of() with a label, for struct open_request. */
enum q2s_err rehearsal_wrap(struct q2s_store *file, struct q2s_store **out,
			    struct q2s_diag *diag);
/** The same without lines. */
enum q2s_err rehearsal_wrap_silent(struct q2s_store *file, struct q2s_store **out,
				   struct q2s_diag *diag);

/** Print what it comes to: "FILE: 8192 bytes to write, 0 to zero, 65536 to give back". */
void rehearsal_sum_print(const char *file, const struct rehearsal_sum *sum);

#endif
