/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --mark: the id of the new layer, and that of its parent. */
#ifndef STREAM_MARK_H
#define STREAM_MARK_H

#include "stream/base.h"
#include "stream/options.h"

/** Parse the argument of --mark, which may be NULL, or of --mark-parent. False with a usage message. */
bool mark_parse_id(struct stream_options *options, const char *arg);
bool mark_parse_parent(struct stream_options *options, const char *arg);

/** Do the options go together? Reports what is wrong. */
bool mark_check(const struct stream_options *options);

/**
 * The mark that the options ask for; none without --mark. An id that is not given is random.
 *
 * @base  opened, or NULL. The parent is what its mark says; a mark that is not valid is worth a
 *        warning and no parent
 * Q2S_E_CONFLICT: the mark of BASE says something else than the options, or it is not valid though
 * it has the id that --mark-parent names; or a difference names no parent in any way.
 */
enum q2s_err mark_make(const struct stream_options *options, const struct base *base,
		       struct q2s_mark *out, struct q2s_diag *diag);

#endif
