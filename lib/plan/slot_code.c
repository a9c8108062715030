/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/diag.h"
#include "plan/slot_code.h"

/* The low three bits of a run's first byte. */
enum slot_class {
	CLASS_ABSENT,
	CLASS_DATA,       /* all subclusters are data */
	CLASS_ZERO,       /* all read as zero, no host cluster */
	CLASS_KEPT,       /* a host cluster, nothing in it */
	CLASS_ZERO_KEPT,  /* a host cluster, all read as zero */
	CLASS_MIXED,      /* host cluster; both bitmaps follow */
	CLASS_MIXED_BARE, /* no host cluster; both bitmaps follow */
	CLASS_COMPRESSED, /* the stream's length follows; 0: shared, and the distance follows too */
};

#define CLASS_BITS 3
#define COUNT_FOLLOWS 31u /* in the five upper bits: the count is a number of its own */

static enum slot_class
classify(const struct q2s_slot *slot, uint32_t mask)
{
	if (slot->comp_bytes || slot->back)
		return CLASS_COMPRESSED;
	if (slot->host && slot->alloc == mask)
		return CLASS_DATA;
	if (!slot->alloc && !slot->zero)
		return slot->host ? CLASS_KEPT : CLASS_ABSENT;
	if (slot->zero == mask)
		return slot->host ? CLASS_ZERO_KEPT : CLASS_ZERO;
	return slot->host ? CLASS_MIXED : CLASS_MIXED_BARE;
}

/* Seven bits a byte, lowest first, the top bit says that more follow. */
static enum q2s_err
put_number(struct q2si_store *store, uint64_t value, struct q2s_diag *diag)
{
	while (value >= 0x80) {
		Q2SI_TRY(q2si_store_put(store, (uint8_t)(value | 0x80), diag));
		value >>= 7;
	}
	return q2si_store_put(store, (uint8_t)value, diag);
}

static uint64_t
get_number(const struct q2si_store *store, uint64_t *pos)
{
	uint64_t value = 0;
	uint8_t byte;

	/* Ten bytes hold any number; more, in a plan from elsewhere, are not followed. */
	for (unsigned shift = 0; shift < 64; shift += 7) {
		byte = q2si_store_get(store, (*pos)++);
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			break;
	}
	return value;
}

enum q2s_err
q2si_slot_put(struct q2si_store *store, const struct q2si_slot_run *run, uint32_t mask,
	      struct q2s_diag *diag)
{
	const enum slot_class class = classify(&run->slot, mask);
	const bool small = run->count < COUNT_FOLLOWS;
	const unsigned head = small ? (unsigned)run->count : COUNT_FOLLOWS;

	Q2SI_TRY(q2si_store_put(store, (uint8_t)(head << CLASS_BITS | class), diag));
	if (!small)
		Q2SI_TRY(put_number(store, run->count, diag));
	if (class == CLASS_COMPRESSED)
		Q2SI_TRY(put_number(store, run->slot.comp_bytes, diag));
	if (run->slot.back)
		return put_number(store, run->slot.back, diag);
	if (class != CLASS_MIXED && class != CLASS_MIXED_BARE)
		return Q2S_OK;
	Q2SI_TRY(put_number(store, run->slot.alloc, diag));
	return put_number(store, run->slot.zero, diag);
}

void
q2si_slot_get(const struct q2si_store *store, uint64_t *pos, uint32_t mask,
	      struct q2si_slot_run *out)
{
	const uint8_t first = q2si_store_get(store, (*pos)++);
	const enum slot_class class = first & ((1u << CLASS_BITS) - 1);

	*out = (struct q2si_slot_run){ .count = first >> CLASS_BITS };
	if (out->count == COUNT_FOLLOWS)
		out->count = get_number(store, pos);
	out->slot.host = class == CLASS_DATA || class == CLASS_KEPT || class == CLASS_ZERO_KEPT ||
			 class == CLASS_MIXED;
	if (class == CLASS_DATA) {
		out->slot.alloc = mask;
	} else if (class == CLASS_ZERO || class == CLASS_ZERO_KEPT) {
		out->slot.zero = mask;
	} else if (class == CLASS_MIXED || class == CLASS_MIXED_BARE) {
		out->slot.alloc = (uint32_t)get_number(store, pos);
		out->slot.zero = (uint32_t)get_number(store, pos);
	} else if (class == CLASS_COMPRESSED) {
		out->slot.comp_bytes = (uint32_t)get_number(store, pos);
		if (out->slot.comp_bytes == 0)
			out->slot.back = get_number(store, pos);
	}
}
