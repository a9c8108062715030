/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sink on a path whose temporary name is removed even when a signal ends the tool. */
#include "common/output.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fault.h"

enum q2s_err output_open(struct output *output, const char *path, unsigned flags, uint64_t length,
			 struct q2s_diag *diag)
{
	const enum q2s_err err = q2s_sink_open(path, flags, length, &output->sink, diag);
	const char *const temp = err == Q2S_OK ? q2s_sink_temp_path(output->sink) : NULL;

	if (!temp)
		return err;
	output->temp = strdup(temp);
	if (!output->temp || !cleanup_add_path(output->temp)) {
		output_abort(output);
		return fault_nomem(diag, "output");
	}
	return Q2S_OK;
}

/* The sink is gone, and with it the temporary name: a later file may bear it. */
static void forget(struct output *output)
{
	cleanup_drop_path(output->temp);
	free(output->temp);
	*output = (struct output){ 0 };
}

enum q2s_err output_commit(struct output *output, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	if (output->sink)
		err = q2s_sink_commit(output->sink, diag);
	forget(output);
	return err;
}

void output_abort(struct output *output)
{
	q2s_sink_abort(output->sink);
	forget(output);
}
