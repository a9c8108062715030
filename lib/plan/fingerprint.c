/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/fingerprint.h"

#include "base/bytes.h"
#include "base/diag.h"
#include "base/hash.h"

/* Stretches of one state, however the disk cuts them into extents. */
struct walk {
	struct q2s_cursor *cursor;
	uint64_t size;
	uint64_t at, end; /* the stretch; empty at first */
	enum q2s_state state;
	struct q2s_extent ahead; /* begins at @end; len 0: not asked yet */
};

static enum q2s_err
look_ahead(struct walk *walk, struct q2s_diag *diag)
{
	if (walk->ahead.len > 0 || walk->end == walk->size)
		return Q2S_OK;
	return q2s_cursor_extent(walk->cursor, (q2s_guest){ walk->end }, UINT64_MAX, &walk->ahead,
				 diag);
}

/* The next stretch; an empty one at the end. */
static enum q2s_err
walk_next(struct walk *walk, struct q2s_diag *diag)
{
	walk->at = walk->end;
	Q2SI_TRY(look_ahead(walk, diag));
	walk->state = walk->ahead.state;
	while (walk->ahead.len > 0 && walk->ahead.state == walk->state) {
		walk->end += walk->ahead.len;
		walk->ahead.len = 0;
		Q2SI_TRY(look_ahead(walk, diag));
	}
	return Q2S_OK;
}

enum q2s_err
q2si_fingerprint(struct q2s_disk *disk, uint64_t *out, struct q2s_diag *diag)
{
	struct walk walk = { .size = q2s_disk_size(disk) };
	uint8_t raw[16];
	enum q2s_err err;

	Q2SI_TRY(q2s_cursor_open(disk, &walk.cursor, diag));
	*out = 0;
	while ((err = walk_next(&walk, diag)) == Q2S_OK && walk.at < walk.end) {
		q2si_put_be64(raw, walk.end);
		q2si_put_be64(raw + 8, walk.state);
		*out = q2si_hash(raw, sizeof(raw), *out);
	}
	q2s_cursor_close(walk.cursor);
	return err;
}
