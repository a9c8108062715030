/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --changed: where a source itself says what changed. */
#ifndef STREAM_CHANGED_H
#define STREAM_CHANGED_H

#include "stream/options.h"

/**
 * What says where to look. Zero-initialise.
 *
 * @map     NULL: nothing, all of the disk is looked at
 * @remote  it comes from a server
 */
struct changed {
	struct q2s_disk *map;
	bool remote;
};

/** Does --changed go with the other options? Reports what is wrong. */
bool changed_check(const struct stream_options *options);

/** The metadata context that the NBD server of the source is asked for, or NULL; free() it. */
enum q2s_err changed_context(const struct stream_options *options, char **out,
			     struct q2s_diag *diag);

/**
 * Open what --changed names, of @disk, which is the source. With auto, a bitmap that is not there
 * or cannot be trusted leaves @map NULL, which is said on stderr.
 */
enum q2s_err changed_open(const struct stream_options *options, struct q2s_disk *disk,
			  struct changed *out, struct q2s_diag *diag);
void changed_close(struct changed *changed);

#endif
