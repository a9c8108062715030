/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --salvage: telling what could not be read. */
#ifndef STREAM_SALVAGE_H
#define STREAM_SALVAGE_H

#include "stream/options.h"

/** The exit code of an output in which something is missing. */
#define SALVAGE_INCOMPLETE 2

/** Do the options fit each other? False with a usage message. */
bool salvage_check(const struct stream_options *options);

/** May the map be written where it is to go? As other_output_check(). */
enum q2s_err salvage_check_map(const struct stream_options *options, struct q2s_diag *diag);

/**
 * The output is complete: write the map, or print the ranges on standard error where there is none.
 *
 * @disk  made by q2s_disk_salvage()
 * Returns an exit code: 0 if nothing is missing.
 */
int salvage_tell(const struct stream_options *options, struct q2s_disk *disk);

#endif
