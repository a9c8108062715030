/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Floor 6: moves the pieces of a plan, or a whole disk, into a sink. */
#ifndef Q2S_EMIT_H
#define Q2S_EMIT_H

#include <q2s/plan.h>

#ifdef __cplusplus
extern "C" {
#endif

struct q2s_emit_options {
	const struct q2s_observer *observer; /* or NULL */
};

/**
 * Write the image that @plan describes, with the guest data of @disk, into @sink.
 *
 * The caller commits the sink. Before returning Q2S_OK it is verified that the bytes taken are as
 * many as planned, and that the source did not change since it was opened (Q2S_E_CHANGED).
 */
enum q2s_err q2s_emit(const struct q2s_plan *plan, struct q2s_disk *disk, struct q2s_sink *sink,
		      const struct q2s_emit_options *options, struct q2s_diag *diag);

/** Write the guest content of @disk as a raw image; its size rounded up to 512 bytes. */
enum q2s_err q2s_emit_raw(struct q2s_disk *disk, struct q2s_sink *sink,
			  const struct q2s_emit_options *options, struct q2s_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
