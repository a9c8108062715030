/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What sinks around another sink have in common: it is theirs, and it does the real work. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/diag.h"
#include "io/sink.h"

static struct q2si_wrapper *
wrapper_of(struct q2s_sink *sink)
{
	return (struct q2si_wrapper *)sink;
}

enum q2s_err
q2si_wrapper_init(struct q2si_wrapper *wrapper, const struct q2si_sink_ops *ops,
		  struct q2s_sink *inner, struct q2s_diag *diag)
{
	char *const name = strdup(inner->name);

	if (!name)
		return q2si_fail_nomem(diag, "sink");
	wrapper->sink = (struct q2s_sink){
		.ops = ops,
		.name = name,
		.fd = inner->fd,
		.flags = inner->flags,
		.free_zeros = inner->free_zeros,
	};
	wrapper->inner = inner;
	return Q2S_OK;
}

enum q2s_err
q2si_wrapper_commit(struct q2s_sink *sink, struct q2s_diag *diag)
{
	return q2s_sink_commit(Q2SI_STEAL(wrapper_of(sink)->inner), diag);
}

void
q2si_wrapper_close(struct q2s_sink *sink)
{
	q2s_sink_abort(wrapper_of(sink)->inner);
}

const char *
q2si_wrapper_temp_path(const struct q2s_sink *sink)
{
	return q2s_sink_temp_path(((const struct q2si_wrapper *)sink)->inner);
}
