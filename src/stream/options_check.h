/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which options of q2s-stream go together. */
#ifndef STREAM_OPTIONS_CHECK_H
#define STREAM_OPTIONS_CHECK_H

#include "stream/options.h"

/**
 * Judge options that are right one by one.
 *
 * @image_options_given  by -o
 * False after a usage message.
 */
bool stream_options_check(const struct stream_options *options, bool image_options_given);

#endif
