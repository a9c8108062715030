/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How `repair` says what was done, and what is left: as `qemu-img check -r` does. */
#ifndef EDIT_REPAIR_REPORT_H
#define EDIT_REPAIR_REPORT_H

#include <q2s/repair.h>

/** As `qemu-img check`; 1 when the image could not be checked. */
int repair_exit_code(const struct q2s_check_result *result);

/** Write a plan to @path: a new file, unless @force. */
enum q2s_err repair_write_plan(const struct q2s_repair *repair, const char *path, bool force,
			       struct q2s_diag *diag);

/** A line for each step. */
void repair_print_steps(const struct q2s_repair *repair);

/** What a plan will do, and what it leaves. */
void repair_print_plan(const struct q2s_repair *repair, const struct q2s_repair_result *result);

/**
 * What was done, and what the image is now.
 *
 * @fixed    NULL: of a saved plan nobody knows the numbers
 * @applied  the saved plan, or NULL
 */
void repair_print_result(const struct q2s_repair_result *fixed, const struct q2s_repair *applied,
			 const struct q2s_check_result *now);

/** The same with the keys of `qemu-img check --output=json`. Returns 0, or -1: out of memory. */
int repair_print_json(const char *name, const struct q2s_repair_result *fixed,
		      const struct q2s_repair *applied, const struct q2s_check_result *now);

#endif
