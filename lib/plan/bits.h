/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One bit for each granule of a disk, in chunks: those that are all clean or all dirty take no
 * memory, so that it follows what the bitmap says and not how large the disk is.
 */
#ifndef Q2SI_PLAN_BITS_H
#define Q2SI_PLAN_BITS_H

#include <stdatomic.h>

#include <q2s/plan.h>

#define Q2SI_BITS_CHUNK 4096u /* bytes */

/** @chunks  NULL: all clean; a fixed place: all dirty; else bytes, with zeros behind the end */
struct q2s_bits {
	atomic_uint references;
	uint32_t granularity_bits;
	uint64_t count; /* of bits */
	uint64_t chunk_count;
	uint8_t **chunks;
};

/** What all bits of a range are. */
enum q2si_bits_kind { Q2SI_BITS_CLEAN, Q2SI_BITS_DIRTY, Q2SI_BITS_MIXED };

/** Of bits [@first, @end), not empty and on the bitmap; @first is a multiple of 8, and so is @end
 * unless it is the last bit's. */
enum q2si_bits_kind q2si_bits_kind(const struct q2s_bits *bits, uint64_t first, uint64_t end);

/** Copy @len bytes of the bitmap from byte @at on; zeros behind its end. */
void q2si_bits_copy(const struct q2s_bits *bits, uint64_t at, uint8_t *buf, size_t len);

/** The next dirty run at @from or behind it: [*@start, *@end), maximal; false when there is none. */
bool q2si_bits_next(const struct q2s_bits *bits, uint64_t from, uint64_t *start, uint64_t *end);

/** Make bits [@first, @end), which are on the bitmap, dirty. */
enum q2s_err q2si_bits_set(struct q2s_bits *bits, uint64_t first, uint64_t end,
			   struct q2s_diag *diag);

#endif
