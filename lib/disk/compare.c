/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Do two disks show the same? Reads only where one of them holds data that the other may not. */
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"
#include "disk/side.h"

#define BUFFER_SIZE (1u << 20)
/* What is skipped between two looks at the observer may be more; what is read is not. */
#define STEP (64u << 20)

struct comparison {
	struct q2si_side a, b;
	uint8_t *a_buf, *b_buf;
	uint64_t total; /* of the longer one */
	const struct q2s_observer *observer;
};

/* The first of @len bytes that differs, or @len. */
static size_t
first_difference(const uint8_t *a, const uint8_t *b, size_t len)
{
	size_t i = 0;

	if (memcmp(a, b, len) == 0)
		return len;
	while (a[i] == b[i])
		i++;
	return i;
}

static enum q2s_err
read_side(struct q2si_side *side, uint64_t at, uint8_t *buf, size_t len, struct q2s_diag *diag)
{
	if (side->extent.state == Q2S_DATA)
		return q2s_cursor_read(side->cursor, (q2s_guest){ at }, buf, len, diag);
	memset(buf, 0, len);
	return Q2S_OK;
}

/* Compare @len bytes by reading them; at most a buffer full. */
static enum q2s_err
compare_bytes(struct comparison *comparison, uint64_t at, size_t len, struct q2s_comparison *out,
	      struct q2s_diag *diag)
{
	uint8_t *const a = comparison->a_buf, *const b = comparison->b_buf;

	Q2SI_TRY(read_side(&comparison->a, at, a, len, diag));
	Q2SI_TRY(read_side(&comparison->b, at, b, len, diag));

	const size_t same = first_difference(a, b, len);

	if (same < len)
		*out = (struct q2s_comparison){ .same = false, .at = { at + same } };
	return Q2S_OK;
}

static enum q2s_err
observe(const struct comparison *comparison, uint64_t done, struct q2s_diag *diag)
{
	const struct q2s_observer *observer = comparison->observer;

	if (!observer || observer->step(observer->opaque, Q2S_PHASE_COMPARE, done,
					comparison->total))
		return Q2S_OK;
	return q2si_fail_at(diag, Q2S_E_CANCELLED, "source", Q2S_NOWHERE, "stopped on request");
}

static enum q2s_err
compare(struct comparison *comparison, struct q2s_comparison *out, struct q2s_diag *diag)
{
	struct q2si_side *a = &comparison->a, *b = &comparison->b;
	uint64_t next_look = 0;

	*out = (struct q2s_comparison){ .same = true };
	for (uint64_t at = 0; at < comparison->total && out->same;) {
		if (at >= next_look) {
			Q2SI_TRY(observe(comparison, at, diag));
			next_look = at + STEP;
		}
		Q2SI_TRY(q2si_side_cover(a, at, diag));
		Q2SI_TRY(q2si_side_cover(b, at, diag));

		uint64_t len = q2si_min(q2si_min(a->extent.len, b->extent.len),
					comparison->total - at);

		if (!q2si_surely_same(a, b)) {
			len = q2si_min(len, BUFFER_SIZE);
			Q2SI_TRY(compare_bytes(comparison, at, len, out, diag));
		}
		at += len;
	}
	return observe(comparison, comparison->total, diag);
}

static enum q2s_err
verify(const struct comparison *comparison, struct q2s_diag *diag)
{
	Q2SI_TRY(q2s_disk_verify(comparison->a.disk, diag));
	return q2s_disk_verify(comparison->b.disk, diag);
}

enum q2s_err
q2s_disk_compare(struct q2s_disk *a, struct q2s_disk *b, const struct q2s_observer *observer,
		 struct q2s_comparison *out, struct q2s_diag *diag)
{
	struct comparison comparison = {
		.total = q2si_max(q2s_disk_size(a), q2s_disk_size(b)),
		.observer = observer,
		.a_buf = malloc(BUFFER_SIZE),
		.b_buf = malloc(BUFFER_SIZE),
	};
	enum q2s_err err = comparison.a_buf && comparison.b_buf ?
				   Q2S_OK :
				   q2si_fail_nomem(diag, "buffer");

	if (err == Q2S_OK)
		err = q2si_side_open(&comparison.a, a, diag);
	if (err == Q2S_OK)
		err = q2si_side_open(&comparison.b, b, diag);
	if (err == Q2S_OK)
		err = compare(&comparison, out, diag);
	if (err == Q2S_OK)
		err = verify(&comparison, diag);
	q2si_side_close(&comparison.a);
	q2si_side_close(&comparison.b);
	free(comparison.a_buf);
	free(comparison.b_buf);
	return err;
}
