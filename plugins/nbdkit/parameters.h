/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `nbdkit q2s KEY=VALUE...` says. */
#ifndef NBDKIT_Q2S_PARAMETERS_H
#define NBDKIT_Q2S_PARAMETERS_H

#include <q2s/image.h>

#include "common/key_files.h"

/**
 * @file      absolute, as nbdkit changes its folder when it goes to the background; NULL: none yet
 * @snapshot  ID or name of an internal snapshot; NULL: the active layer
 * @cache     bytes of metadata cache of the image and of all that lies below; 0: the default
 * @direct    past the host's page cache
 */
struct parameters {
	char *file;
	char *snapshot;
	enum q2s_follow follow;
	struct key_files keys;
	size_t cache;
	bool direct;
};

extern const char parameters_help[];

/** Take one KEY=VALUE. Returns 0, or -1 after nbdkit_error(). */
int parameters_take(struct parameters *parameters, const char *key, const char *value);

/** Is all there that has to be? As parameters_take(). */
int parameters_complete(const struct parameters *parameters);

void parameters_free(struct parameters *parameters);

#endif
