/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading a stream to its end, apart into zeros, which nobody has to keep, and the rest. */
#ifndef Q2SI_IO_DRAIN_H
#define Q2SI_IO_DRAIN_H

#include <q2s/io.h>

/** What is told apart: a stretch of zeros of this size, aligned to it, is never handed out. */
#define Q2SI_DRAIN_UNIT 4096u

/**
 * Takes the next stretch that is not zero: @len bytes at offset @at of the stream. Offsets ascend;
 * between two calls lie zeros, or nothing.
 */
typedef enum q2s_err q2si_drain_take(void *opaque, uint64_t at, const void *buf, size_t len,
				     struct q2s_diag *diag);

/**
 * Read all of @stream.
 *
 * @total  receives its length in bytes
 * Returns Q2S_OK, Q2S_E_IO, Q2S_E_SHORT or Q2S_E_LIMIT (not the size that was promised),
 * Q2S_E_CANCELLED, or what @take returns.
 */
enum q2s_err q2si_drain(const struct q2s_stream *stream, q2si_drain_take *take, void *opaque,
			uint64_t *total, struct q2s_diag *diag);

#endif
