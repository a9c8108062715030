/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --bitmap NAME[:GRANULARITY]: new, empty bitmaps of a new image. */
#ifndef COMMON_BITMAP_OPTIONS_H
#define COMMON_BITMAP_OPTIONS_H

#include <q2s/plan.h>

/** In the order of the command line; zero-initialise. The names are borrowed. A granularity of 0 bits
 * stands for the default. */
struct bitmap_options {
	struct q2s_spec_bitmap *list;
	size_t count;
};

/**
 * One more. What follows the last colon is the granularity, so a name with a colon needs it.
 * Q2S_E_USAGE, Q2S_E_NOMEM.
 */
enum q2s_err bitmap_options_add(struct bitmap_options *options, const char *arg,
				struct q2s_diag *diag);
void bitmap_options_free(struct bitmap_options *options);

/**
 * A granularity, as the power of two that it has to be.
 *
 * @hint  added to the message about what is no size, or ""
 * Q2S_E_USAGE, which names @option.
 */
enum q2s_err bitmap_granularity_parse(const char *option, const char *hint, const char *text,
				      uint32_t *bits, struct q2s_diag *diag);

/** QEMU's default: as a cluster, but from 4 KiB to 64 KiB. */
uint32_t bitmap_default_granularity(const struct q2s_geom *geom);

#endif
