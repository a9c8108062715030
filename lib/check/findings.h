/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of all findings (findings.def) as an enum and an array. */
#ifndef Q2SI_CHECK_FINDINGS_H
#define Q2SI_CHECK_FINDINGS_H

#include <q2s/check.h>

enum q2si_finding_id {
#define FINDING(name, id, severity, structure, text) Q2SI_FOUND_##name,
#include "findings.def"
#undef FINDING
	Q2SI_FINDINGS
};

/** What is the same for each finding of one kind. */
struct q2si_finding_kind {
	const char *id;
	enum q2s_severity severity;
	const char *structure;
	const char *text;
};

extern const struct q2si_finding_kind q2si_finding_kinds[Q2SI_FINDINGS];

#endif
