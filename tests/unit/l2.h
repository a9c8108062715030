/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of plain and of compressed L2 entries share. */
#ifndef Q2S_TESTS_L2_H
#define Q2S_TESTS_L2_H

#include "base/bytes.h"
#include "geoms.h"
#include "unit.h"

static const q2s_host AT = { 0x50008 };

#define COPIED Q2S_ENTRY_COPIED
#define COMPRESSED Q2S_ENTRY_COMPRESSED

static inline void
put_l2(uint8_t *raw, uint64_t desc, uint64_t map)
{
	q2si_put_be64(raw, desc);
	q2si_put_be64(raw + 8, map);
}

static inline enum q2s_err
decode_l2(const struct q2s_geom *geom, uint64_t desc, uint64_t map, struct q2s_l2_entry *out,
	  struct q2s_diag *diag)
{
	uint8_t raw[16];

	put_l2(raw, desc, map);
	return q2s_l2_decode(geom, raw, AT, out, diag);
}

static inline enum q2s_err
decode_l2_lenient(const struct q2s_geom *geom, uint64_t desc, uint64_t map,
		  struct q2s_l2_entry *out, struct q2s_diag *diag)
{
	uint8_t raw[16];

	put_l2(raw, desc, map);
	return q2s_l2_decode_lenient(geom, raw, AT, out, diag);
}

static inline void
assert_same_l2(const struct q2s_l2_entry *a, const struct q2s_l2_entry *b)
{
	quick_assert(a->compressed == b->compressed);
	quick_assert(a->copied == b->copied);
	quick_assert(a->has_host == b->has_host);
	quick_assert_eq(a->host.v, b->host.v);
	quick_assert_eq(a->alloc, b->alloc);
	quick_assert_eq(a->zero, b->zero);
	quick_assert_eq(a->comp_at.v, b->comp_at.v);
	quick_assert_eq(a->comp_bytes, b->comp_bytes);
}

#endif
