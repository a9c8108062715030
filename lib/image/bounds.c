/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The end of the file: the one rule about what may be missing there. */
#include "image.h"

#include <inttypes.h>

#include "base/arith.h"
#include "base/diag.h"

enum q2s_err
q2si_image_ends(const struct q2s_image *image, q2s_host at, uint64_t len, const char *what,
		struct q2s_diag *diag)
{
	Q2SI_TRY(q2s_store_failure(image->file, diag));
	return q2si_fail(diag, Q2S_E_TRUNCATED, what, at, len, "the file ends at 0x%" PRIx64,
			 q2s_store_size(image->file));
}

/*
 * QEMU reads zeros for anything past the end, so that a download that was cut converts with
 * success. Correct writers leave at most the tail of the last cluster out.
 */
enum q2s_err
q2si_image_holds(const struct q2s_image *image, q2s_host at, uint64_t len, const char *what,
		 struct q2s_diag *diag)
{
	uint64_t behind;

	if (q2si_add(at.v, len, &behind) &&
	    behind <= q2si_round_up(q2s_store_size_until(image->file, behind),
				    image->geom.cluster_size))
		return Q2S_OK;
	return q2si_image_ends(image, at, len, what, diag);
}

enum q2s_err
q2si_image_read(const struct q2s_image *image, q2s_host at, void *buf, size_t len,
		const char *what, struct q2s_diag *diag)
{
	Q2SI_TRY(q2si_image_holds(image, at, len, what, diag));
	return q2s_store_read_padded(image->file, at.v, buf, len, NULL, diag);
}

/* L1 entries that a disk of l1->size bytes needs, as far as the table has them. */
static uint64_t
entries_needed(const struct q2s_image *image, const struct q2s_l1_table *l1)
{
	return q2si_min(q2si_div_up(l1->size, image->geom.l2_span), l1->entries);
}

enum q2s_err
q2si_l1_check(const struct q2s_image *image, const struct q2s_l1_table *l1, struct q2s_diag *diag)
{
	const uint64_t needed = entries_needed(image, l1);

	Q2SI_TRY(q2si_image_sound(image, diag));
	if ((uint64_t)l1->entries * Q2S_L1_ENTRY_SIZE > Q2S_L1_MAX_BYTES)
		return q2si_fail(diag, Q2S_E_LIMIT, "L1 table", l1->at, l1->entries,
				 "more than 32 MiB of entries");
	if (!q2si_is_aligned(l1->at.v, image->geom.cluster_size))
		return q2si_fail(diag, Q2S_E_OFFSET, "L1 table", l1->at, l1->at.v,
				 "not cluster-aligned");
	if (needed == 0)
		return Q2S_OK;
	if (l1->at.v == 0)
		return q2si_fail_at(diag, Q2S_E_OFFSET, "L1 table", l1->at, "lies on the header");
	return q2si_image_holds(image, l1->at, needed * Q2S_L1_ENTRY_SIZE, "L1 table", diag);
}
