/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Raw data from a pipe that can be written while it comes, so that nothing of it has to wait. */
#ifndef STREAM_ARRIVAL_H
#define STREAM_ARRIVAL_H

#include "stream/options.h"

/**
 * Do the options leave it open when SOURCE is read? They do not where the length has to be known
 * first, a part is wanted, or each byte must follow the last one; a qcow2 image needs a DEST that
 * can be written at any offset.
 */
bool arrival_fits(const struct stream_options *options);

/** Write @stream, of which nothing but its head was read. @digest as for outlet_open(). */
enum q2s_err arrival_write(const struct stream_options *options, const struct q2s_stream *stream,
			   struct q2s_digest *digest, struct q2s_diag *diag);

#endif
