/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of which no two may be alike: of bitmaps, and the IDs of snapshots. */
#ifndef Q2SI_CHECK_NAMES_H
#define Q2SI_CHECK_NAMES_H

#include "checker.h"

/** Where a name lies in the file, and a number that equal names share. */
struct q2si_name {
	uint64_t hash;
	uint64_t at;
	uint16_t len;
};

/** @name is at hand, and lies at @at. */
struct q2si_name q2si_name_note(const uint8_t *name, uint16_t len, q2s_host at);

/**
 * Sort @names, and report @id where one is like an earlier one.
 *
 * @what  where they lie, for what cannot be read again
 */
void q2si_check_names(struct q2si_checker *ck, struct q2si_name *names, size_t count,
		      enum q2si_finding_id id, const char *what);

#endif
