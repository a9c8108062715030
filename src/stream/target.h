/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the disk to what shall be written: a planned qcow2 image, or the raw content. */
#ifndef STREAM_TARGET_H
#define STREAM_TARGET_H

#include <q2s/builder.h>

#include "common/encryption.h"
#include "stream/base.h"
#include "stream/new_bitmaps.h"
#include "stream/changed.h"
#include "stream/options.h"

/**
 * What will be written. @base holds nothing without --diff. Of the output [@from, @until) is
 * wanted.
 *
 * @plan         of --plan, else NULL
 * @compression  how clusters are compressed, if @compressed; with --plan, what that says
 */
struct target {
	const struct stream_options *options;
	struct q2s_disk *disk; /* borrowed */
	struct base base;
	struct changed changed;       /* where to look */
	struct bitmaps bitmaps;       /* of the new image */
	struct encryption encryption; /* of the new image */
	struct q2s_plan *plan;
	bool compressed;
	struct q2s_compression compression;
	struct q2s_builder *builder;
	struct q2s_measure measure;
	uint64_t from, until;
	struct q2s_digest digest; /* after target_write(), if it was asked for */
};

/** Look at the disk and plan the output; nothing is written. Free with target_free(). */
enum q2s_err target_plan(const struct stream_options *options, struct q2s_disk *disk,
			 struct target *out, struct q2s_diag *diag);
void target_free(struct target *target);

/** Print what --measure shows. Returns an exit code. */
int target_print_measure(const struct target *target, bool json);

/** Write the range that is wanted to DEST or standard output, complete or not at all as far as that can be. */
enum q2s_err target_write(struct target *target, struct q2s_diag *diag);

#endif
