/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random slots of every class that an image may have, for tests of the planner. */
#ifndef Q2S_TESTS_SLOTS_H
#define Q2S_TESTS_SLOTS_H

#include <q2s/plan.h>

#include "unit.h"

static inline bool
slots_equal(const struct q2s_slot *a, const struct q2s_slot *b)
{
	return a->host == b->host && a->alloc == b->alloc && a->zero == b->zero &&
	       a->comp_bytes == b->comp_bytes && a->back == b->back;
}

/* A legal slot for @geom; all that such an image can have come up. @compressed: those too. */
static inline struct q2s_slot
random_slot(const struct q2s_geom *geom, bool compressed, uint64_t *seed)
{
	const uint32_t mask = geom->sub_mask;
	const uint32_t bits = (uint32_t)unit_random(seed) & mask;
	struct q2s_slot slot = { 0 };

	switch (unit_random(seed) % (compressed ? 9 : 8)) {
	case 0:
		break;
	case 1:
	case 2:
		slot = (struct q2s_slot){ .host = true, .alloc = mask };
		break;
	case 3:
		slot.zero = mask;
		break;
	case 4:
		slot = (struct q2s_slot){ .host = true, .zero = mask };
		break;
	case 5: /* kept without content: only an extended entry can say so */
		slot.host = geom->extended;
		break;
	case 6:
		slot = (struct q2s_slot){ .host = true, .alloc = bits ? bits : 1 };
		slot.zero = (uint32_t)unit_random(seed) & mask & ~slot.alloc;
		break;
	case 7:
		slot.zero = bits;
		break;
	default:
		slot.comp_bytes = 1 + (uint32_t)(unit_random_log(seed) % (geom->cluster_size - 1));
		break;
	}
	if (geom->version < 3 && slot.zero)
		slot = (struct q2s_slot){ 0 };
	return slot;
}

#endif
