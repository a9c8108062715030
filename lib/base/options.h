/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options from a caller that may have been compiled with an older header than this library. */
#ifndef Q2SI_BASE_OPTIONS_H
#define Q2SI_BASE_OPTIONS_H

#include <q2s/base.h>

/**
 * Copy @given over @mine, which holds the defaults. Both begin with a size_t, their size; the one
 * that is given may be smaller: what it does not have keeps its default.
 *
 * @given  NULL: the defaults
 * Returns Q2S_OK; Q2S_E_USAGE: no size at all, or more than is known here.
 */
enum q2s_err q2si_options_copy(void *mine, const void *given, struct q2s_diag *diag);

#endif
