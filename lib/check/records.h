/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records of no fixed length, one behind the other: the snapshot table, the bitmap directory. */
#ifndef Q2SI_CHECK_RECORDS_H
#define Q2SI_CHECK_RECORDS_H

#include "checker.h"

/**
 * The place in a table that is read through the window. Start with @start and @end alone.
 *
 * @start, @end      of the table; @end may lie past the end of the file
 * @pos              of the next record
 * @loaded, @behind  what is in the window
 */
struct q2si_records {
	uint64_t start;
	uint64_t end;
	uint64_t pos;
	uint64_t loaded;
	uint64_t behind;
};

/**
 * The bytes at @records->pos: all up to the table's end, or as many as any record of a legal
 * image has. NULL when they cannot be read, which is then reported. Valid until the window is
 * used for something else.
 */
const uint8_t *q2si_record(struct q2si_checker *ck, struct q2si_records *records, size_t *len,
			   const char *what);

#endif
