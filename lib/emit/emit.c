/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can be asked for: an image by a plan, or the disk itself. */
#include "base/arith.h"
#include "base/diag.h"
#include "base/options.h"
#include "emit/emission.h"

/* Fill in where the range ends, and check it. @what has @length bytes. */
static enum q2s_err
resolve(struct q2s_emit_options *options, const char *what, uint64_t length,
	struct q2s_diag *diag)
{
	if (options->until == Q2S_TO_END)
		options->until = length;
	if (options->until <= length && options->from <= options->until)
		return Q2S_OK;
	return q2si_fail(diag, Q2S_E_USAGE, "range", Q2S_NOWHERE, options->until,
			 "the %s has 0x%llx bytes", what, (unsigned long long)length);
}

enum q2s_err
q2s_emit(const struct q2s_plan *plan, struct q2s_disk *disk, struct q2s_sink *sink,
	 const struct q2s_emit_options *options, struct q2s_diag *diag)
{
	struct q2si_emission emission = {
		.plan = plan,
		.disk = disk,
		.sink = sink,
		.options = Q2S_EMIT_OPTIONS_INIT,
	};

	Q2SI_TRY(q2si_options_copy(&emission.options, options, diag));
	Q2SI_TRY(resolve(&emission.options, "image", q2s_plan_layout(plan)->length, diag));
	if (!q2s_plan_spec(plan)->luks.data != !emission.options.crypt)
		return q2si_fail_at(diag, Q2S_E_USAGE, "plan", Q2S_NOWHERE,
				    "a LUKS header and a way to encrypt go together");
	return q2si_emission_run(&emission, diag);
}

enum q2s_err
q2s_emit_raw(struct q2s_disk *disk, struct q2s_sink *sink, const struct q2s_emit_options *options,
	     struct q2s_diag *diag)
{
	struct q2si_emission emission = {
		.disk = disk,
		.sink = sink,
		.options = Q2S_EMIT_OPTIONS_INIT,
	};

	Q2SI_TRY(q2si_options_copy(&emission.options, options, diag));
	if (emission.options.raw_size == 0)
		emission.options.raw_size = q2si_round_up(q2s_disk_size(disk), Q2S_SECTOR);
	if (emission.options.raw_size < q2s_disk_size(disk))
		return q2si_fail(diag, Q2S_E_USAGE, "size", Q2S_NOWHERE, emission.options.raw_size,
				 "the disk has 0x%llx bytes",
				 (unsigned long long)q2s_disk_size(disk));
	Q2SI_TRY(resolve(&emission.options, "raw image", emission.options.raw_size, diag));
	return q2si_emission_run(&emission, diag);
}
