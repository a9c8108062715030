/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --layers: a source that is made of files which the user names, from the bottom up. */
#ifndef STREAM_LAYERS_H
#define STREAM_LAYERS_H

#include "stream/options.h"

/** Does --layers go with the other options? Reports what is wrong. */
bool layers_check(const struct stream_options *options);

/** Open them as one disk. Q2S_E_CONFLICT too when the output is one of their files. */
enum q2s_err layers_open(const struct stream_options *options, struct q2s_disk **out,
			 struct q2s_diag *diag);

#endif
