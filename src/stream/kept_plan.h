/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --save-plan and --plan: a plan that outlives the process which made it. */
#ifndef STREAM_KEPT_PLAN_H
#define STREAM_KEPT_PLAN_H

#include "stream/target.h"

/** Refuse a @path for the plan that is needed for something else, before anything takes long. */
enum q2s_err kept_plan_check(const struct target *target, const char *path, struct q2s_diag *diag);

/** Write target->plan to @path, complete or not at all. */
enum q2s_err kept_plan_save(const struct target *target, const char *path, struct q2s_diag *diag);

/** Is what the wanted range is made of still what the plan that was loaded was made for? */
enum q2s_err kept_plan_verify(const struct target *target, struct q2s_diag *diag);

/** Fill in what the plan in @path says, after finding that it is for this source and build. */
enum q2s_err kept_plan_load(struct target *target, const char *path, struct q2s_diag *diag);

#endif
