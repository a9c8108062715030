/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A window that moves when less than the largest record is left in it. */
#include "records.h"

#include "base/arith.h"

/* A snapshot's fixed part and extra data, and two strings with 16-bit lengths, fit easily. */
#define RECORD_ROOM (160u << 10)
_Static_assert(RECORD_ROOM < Q2SI_WINDOW, "a window holds a record");

const uint8_t *
q2si_record(struct q2si_checker *ck, struct q2si_records *records, size_t *len, const char *what)
{
	const uint64_t want = q2si_min(records->end - records->pos, RECORD_ROOM);

	if (records->pos < records->loaded || records->pos + want > records->behind) {
		const uint64_t size = q2si_min(records->end - records->pos, Q2SI_WINDOW);

		if (!q2si_read(ck, records->pos, ck->window, (size_t)size, what))
			return NULL;
		records->loaded = records->pos;
		records->behind = records->pos + size;
	}
	*len = (size_t)(records->behind - records->pos);
	return ck->window + (records->pos - records->loaded);
}
