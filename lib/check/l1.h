/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the active L1 table and those of snapshots have in common. */
#ifndef Q2SI_CHECK_L1_H
#define Q2SI_CHECK_L1_H

#include "words.h"

/** The words of an L1 table of @entries entries at @at, as far as they are in the file. */
struct q2si_words q2si_l1_words(const struct q2si_checker *ck, uint64_t at, uint64_t entries,
				uint64_t weight);

/**
 * Judge one L1 entry. False when it leads to no L2 table, be it empty or, with a finding, wrong.
 *
 * @guest  the first guest byte that it maps; NULL in a table of a snapshot
 */
bool q2si_l1_entry(struct q2si_checker *ck, q2s_host at, const uint8_t *raw, const q2s_guest *guest,
		   struct q2s_l1_entry *out);

#endif
