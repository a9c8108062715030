/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A whole disk as a raw image. */
#include "base/arith.h"
#include "base/diag.h"
#include "emit/output.h"

enum q2s_err
q2s_emit_raw(struct q2s_disk *disk, struct q2s_sink *sink, const struct q2s_emit_options *options,
	     struct q2s_diag *diag)
{
	const uint64_t length = q2si_round_up(q2s_disk_size(disk), Q2S_SECTOR);
	const uint64_t from = options ? options->from : 0;
	const uint64_t until = options && options->until ? options->until : length;
	struct q2si_output output = {
		.disk = disk,
		.sink = sink,
		.observer = options ? options->observer : NULL,
	};
	enum q2s_err err;

	if (until > length || from > until)
		return q2si_fail(diag, Q2S_E_USAGE, "range", Q2S_NOWHERE, until,
				 "the raw image has 0x%llx bytes", (unsigned long long)length);
	output.total = until - from;
	err = q2si_output_open(&output, diag);
	if (err == Q2S_OK)
		err = q2si_output_guest(&output, (q2s_guest){ from }, output.total, diag);
	if (err == Q2S_OK)
		err = q2si_output_verify(&output, diag);
	q2si_output_close(&output);
	return err;
}
