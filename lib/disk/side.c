/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/side.h"

#include "base/diag.h"

enum q2s_err
q2si_side_open(struct q2si_side *side, struct q2s_disk *disk, struct q2s_diag *diag)
{
	*side = (struct q2si_side){ .disk = disk };
	return q2s_cursor_open(disk, &side->cursor, diag);
}

void
q2si_side_close(struct q2si_side *side)
{
	q2s_cursor_close(side->cursor);
}

enum q2s_err
q2si_side_cover(struct q2si_side *side, uint64_t at, struct q2s_diag *diag)
{
	struct q2s_extent found = { .len = UINT64_MAX - at };
	const uint64_t start = side->end - side->extent.len;

	if (at >= start && at < side->end) {
		side->extent.len -= at - start;
		side->extent.at += at - start;
		return Q2S_OK;
	}
	if (at < q2s_disk_size(side->disk))
		Q2SI_TRY(q2s_cursor_extent(side->cursor, (q2s_guest){ at }, UINT64_MAX, &found,
					   diag));
	side->extent = found;
	side->end = at + found.len;
	return Q2S_OK;
}

/* The same file may have been opened twice, as a layer of both chains. */
static bool
is_same_file(const struct q2s_store *a, const struct q2s_store *b)
{
	struct q2s_store_ident ident;

	if (!a || !b || a == b)
		return a && a == b;
	q2s_store_ident(b, &ident);
	return q2si_same_file(a, &ident);
}

bool
q2si_surely_same(const struct q2si_side *a, const struct q2si_side *b)
{
	if (a->extent.state != Q2S_DATA && b->extent.state != Q2S_DATA)
		return true;
	return a->extent.at == b->extent.at && is_same_file(a->extent.file, b->extent.file);
}
