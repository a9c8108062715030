/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --save-plan and --plan: a plan that outlives the process which made it. */
#ifndef STREAM_KEPT_PLAN_H
#define STREAM_KEPT_PLAN_H

#include "stream/target.h"

/** Write the plan of target->builder to @path, complete or not at all. */
enum q2s_err kept_plan_save(const struct target *target, const char *path, struct q2s_diag *diag);

/** Load the plan in @path, after finding that it is for this source and build. */
enum q2s_err kept_plan_load(struct target *target, const char *path, struct q2s_diag *diag);

#endif
