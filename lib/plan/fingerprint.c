/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/fingerprint.h"

#include "base/arith.h"
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

/* All stretches, and how much of the disk is data. */
static enum q2s_err
hash_map(struct walk walk, struct q2si_fingerprint *out, uint64_t *total, struct q2s_diag *diag)
{
	uint8_t raw[16];

	*total = 0;
	out->map = 0;
	for (;;) {
		Q2SI_TRY(walk_next(&walk, diag));
		if (walk.at == walk.end)
			return Q2S_OK;
		q2si_put_be64(raw, walk.end);
		q2si_put_be64(raw + 8, walk.state);
		out->map = q2si_hash(raw, sizeof(raw), out->map);
		*total += walk.state == Q2S_DATA ? walk.end - walk.at : 0;
	}
}

static enum q2s_err
hash_sample(struct walk *walk, uint64_t at, struct q2si_fingerprint *out, struct q2s_diag *diag)
{
	uint8_t sample[Q2SI_FINGERPRINT_SAMPLE_SIZE];

	Q2SI_TRY(q2s_cursor_read(walk->cursor, (q2s_guest){ at }, sample, sizeof(sample), diag));
	out->data = q2si_hash(sample, sizeof(sample), out->data);
	return Q2S_OK;
}

/* Sample i begins at the i-th of so many equal parts of all that is data. */
static enum q2s_err
hash_data(struct walk walk, uint64_t total, struct q2si_fingerprint *out, struct q2s_diag *diag)
{
	const uint64_t samples = q2si_min(Q2SI_FINGERPRINT_SAMPLES, total);
	uint64_t before = 0; /* bytes of data before this stretch */

	out->data = 0;
	for (uint64_t i = 0; i < samples;) {
		Q2SI_TRY(walk_next(&walk, diag));
		if (walk.at == walk.end)
			break; /* it has less than it had a moment ago */
		if (walk.state != Q2S_DATA)
			continue;
		for (; i < samples; i++) {
			const uint64_t skip =
				total / samples * i + total % samples * i / samples - before;

			if (skip >= walk.end - walk.at)
				break;
			Q2SI_TRY(hash_sample(&walk, walk.at + skip, out, diag));
		}
		before += walk.end - walk.at;
	}
	return Q2S_OK;
}

enum q2s_err
q2si_fingerprint(struct q2s_disk *disk, struct q2si_fingerprint *out, struct q2s_diag *diag)
{
	struct walk walk = { .size = q2s_disk_size(disk) };
	uint64_t total;
	enum q2s_err err = q2s_cursor_open(disk, &walk.cursor, diag);

	if (err != Q2S_OK)
		return err;
	err = hash_map(walk, out, &total, diag);
	if (err == Q2S_OK)
		err = hash_data(walk, total, out, diag);
	q2s_cursor_close(walk.cursor);
	return err;
}
