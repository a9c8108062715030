/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A store that shows a file as it would be after changes, which it keeps in memory. What is planned
 * is tried on it, so that whoever reads an image can be asked what he thinks of the result.
 */
#ifndef Q2SI_EDIT_DRAFT_H
#define Q2SI_EDIT_DRAFT_H

#include <q2s/store.h>

/** @file is only read; a reference is taken. Q2S_E_NOMEM. */
enum q2s_err q2si_draft_open(struct q2s_store *file, struct q2s_store **out,
			     struct q2s_diag *diag);

#endif
