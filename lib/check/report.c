/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Findings: counted here, shown by the caller; and the reading of the file, which may itself fail.
 */
#include "checker.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "base/hash.h"
#include "base/zero.h"

const struct q2si_finding_kind q2si_finding_kinds[Q2SI_FINDINGS] = {
#define FINDING(name, id, severity, structure, text) \
	{ id, Q2S_SEVERITY_##severity, structure, text },
#include "findings.def"
#undef FINDING
};

const char *
q2s_severity_name(enum q2s_severity severity)
{
	static const char *const names[] = {
		[Q2S_SEVERITY_CORRUPTION] = "corruption",
		[Q2S_SEVERITY_LEAK] = "leak",
		[Q2S_SEVERITY_NOTE] = "note",
		[Q2S_SEVERITY_UNREADABLE] = "unreadable",
	};

	return names[severity];
}

static void
count_finding(struct q2s_check_result *result, enum q2s_severity severity, uint64_t times)
{
	switch (severity) {
	case Q2S_SEVERITY_CORRUPTION:
		result->corruptions += times;
		break;
	case Q2S_SEVERITY_LEAK:
		result->leaks++;
		break;
	case Q2S_SEVERITY_NOTE:
		result->notes++;
		break;
	case Q2S_SEVERITY_UNREADABLE:
		result->check_errors++;
		break;
	}
}

void
q2si_report_place(struct q2si_checker *ck, enum q2si_finding_id id, const struct q2si_place *place)
{
	const struct q2si_finding_kind *kind = &q2si_finding_kinds[id];
	char text[Q2S_DIAG_TEXT];
	struct q2s_finding finding = {
		.id = kind->id,
		.severity = kind->severity,
		.structure = kind->structure,
		.host = place->host,
		.has_guest = place->has_guest,
		.guest = place->guest,
		.has_values = place->has_values,
		.found = place->found,
		.expected = place->expected,
		.text = kind->text,
	};

	count_finding(&ck->result, kind->severity, place->repeated ? place->times : 1);
	ck->uncounted += place->repeated && place->times == 0;
	if (ck->hooks->found)
		ck->hooks->found(ck->hooks->opaque, id, place);
	if (!ck->options->finding)
		return;
	if (place->detail) {
		snprintf(text, sizeof(text), "%s: %s", kind->text, place->detail);
		finding.text = text;
	}
	ck->options->finding(ck->options->opaque, &finding);
}

uint8_t *
q2si_read_buffer(size_t size)
{
	return aligned_alloc(4096, q2si_round_up(size, 4096));
}

bool
q2si_past_end(const struct q2si_checker *ck, uint64_t at, uint64_t len)
{
	uint64_t end;

	if (!q2si_add(at, len, &end))
		return true;
	return end > ck->file_size && end - ck->file_size >= ck->geom->cluster_size;
}

/* Where the system cannot tell, all is data. */
bool
q2si_in_hole(struct q2si_checker *ck, uint64_t at, uint64_t len)
{
	struct q2s_stretch stretch;

	if (at >= ck->file_size)
		return true;
	if (q2s_store_stretch_on(ck->file, &ck->stretches, at, &stretch, NULL) != Q2S_OK)
		ck->stretches = (struct q2s_stretch_walk){ .start = at, .end = ck->file_size };
	return ck->stretches.hole && at + q2si_min(len, ck->file_size - at) <= ck->stretches.end;
}

bool
q2si_read(struct q2si_checker *ck, uint64_t at, void *buf, size_t len, const char *what)
{
	struct q2s_diag diag = { 0 };

	if (q2s_store_read_padded(ck->file, at, buf, len, NULL, &diag) == Q2S_OK)
		return true;
	q2si_report(ck, UNREADABLE, .host = { at }, .detail = what);
	return false;
}

void
q2si_digest_add(struct q2si_checker *ck, uint64_t at, const void *bytes, size_t len)
{
	if (ck->hooks->digest && !q2si_is_zero(bytes, len))
		*ck->hooks->digest += q2si_hash(bytes, len, at);
}
