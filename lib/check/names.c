/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding names that are there twice, with a few bytes of memory for each. */
#include "names.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"

#define PIECE 1024u

/* FNV-1a: only to find candidates, which are then compared. */
static uint64_t
name_hash(const uint8_t *name, size_t len)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ name[i]) * 0x100000001b3u;
	return hash;
}

struct q2si_name
q2si_name_note(const uint8_t *name, uint16_t len, q2s_host at)
{
	return (struct q2si_name){ .hash = name_hash(name, len), .at = at.v, .len = len };
}

static int
by_hash(const void *a, const void *b)
{
	const struct q2si_name *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

static bool
same_bytes(struct q2si_checker *ck, uint64_t a, uint64_t b, size_t len, const char *what)
{
	uint8_t bytes[2][PIECE];

	for (size_t done = 0, n; done < len; done += n) {
		n = q2si_min_size(len - done, PIECE);
		if (!q2si_read(ck, a + done, bytes[0], n, what) ||
		    !q2si_read(ck, b + done, bytes[1], n, what) ||
		    memcmp(bytes[0], bytes[1], n) != 0)
			return false;
	}
	return true;
}

void
q2si_check_names(struct q2si_checker *ck, struct q2si_name *names, size_t count,
		 enum q2si_finding_id id, const char *what)
{
	qsort(names, count, sizeof(*names), by_hash);
	for (size_t i = 1; i < count; i++) {
		const struct q2si_name *one = &names[i - 1], *two = &names[i];

		if (one->hash == two->hash && one->len == two->len &&
		    same_bytes(ck, one->at, two->at, one->len, what))
			q2si_report_place(ck, id,
					  &(const struct q2si_place){ .host = { two->at } });
	}
}
