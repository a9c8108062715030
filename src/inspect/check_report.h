/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How `check` says what it found: a line a finding, or JSON with the keys of `qemu-img check`. */
#ifndef INSPECT_CHECK_REPORT_H
#define INSPECT_CHECK_REPORT_H

#include <q2s/check.h>

#include "common/json.h"

/**
 * A report being printed. Findings go out as they come, so that memory does not grow with them.
 *
 * @name   of the file, as the user gave it
 * @max    findings to show; the rest is only counted, in @omitted
 * @quiet  show nothing at all
 */
struct check_report {
	FILE *out;
	const char *name;
	bool json;
	bool quiet;
	uint64_t max;
	uint64_t shown;
	uint64_t omitted;
	struct jstream stream;
};

/** A finding as JSON, wherever it appears; @number: how offsets and values are written. */
json_t *finding_json(const struct q2s_finding *finding, json_t *(*number)(uint64_t));

void check_report_begin(struct check_report *report);

/** For struct q2s_check_options; @opaque is the struct check_report. */
void check_report_finding(void *opaque, const struct q2s_finding *finding);

/**
 * The counts, and the end.
 *
 * @failure  NULL, or why the check could not be completed
 */
void check_report_end(struct check_report *report, const struct q2s_check_result *result,
		      const struct q2s_diag *failure);

#endif
