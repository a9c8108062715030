/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* L1 entries: where the L2 table of a range lies. */
#include <q2s/format.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "format/check.h"

#define L1_RESERVED (~(Q2S_ENTRY_COPIED | Q2S_ENTRY_HOST_MASK))

enum q2s_err
q2s_l1_decode(const struct q2s_geom *geom, const uint8_t *raw, q2s_host at,
	      struct q2s_l1_entry *out, struct q2s_diag *diag)
{
	const uint64_t entry = q2si_get_be64(raw);
	const q2s_host l2 = { entry & Q2S_ENTRY_HOST_MASK };

	if (entry & L1_RESERVED)
		return q2si_fail(diag, Q2S_E_RESERVED, "L1 entry", at, entry, "reserved bit set");
	Q2SI_TRY(q2si_check_cluster(geom, l2, "L1 entry", at, entry, diag));
	*out = (struct q2s_l1_entry){
		.l2 = l2,
		.copied = l2.v && entry & Q2S_ENTRY_COPIED, /* of nothing: no meaning, dropped */
	};
	return Q2S_OK;
}

bool
q2s_l1_target(const struct q2s_geom *geom, const uint8_t *raw, q2s_host *out)
{
	out->v = q2si_get_be64(raw) & Q2S_ENTRY_HOST_MASK;
	return out->v != 0 && q2si_is_aligned(out->v, geom->cluster_size);
}

enum q2s_err
q2s_l1_encode(const struct q2s_geom *geom, const struct q2s_l1_entry *in, uint8_t *raw,
	      struct q2s_diag *diag)
{
	Q2SI_TRY(q2si_check_cluster(geom, in->l2, "L1 entry", Q2S_NOWHERE, in->l2.v, diag));
	if (in->copied && in->l2.v == 0)
		return q2si_fail_at(diag, Q2S_E_COPIED, "L1 entry", Q2S_NOWHERE,
				    "COPIED without an L2 table");
	q2si_put_be64(raw, in->l2.v | (in->copied ? Q2S_ENTRY_COPIED : 0));
	return Q2S_OK;
}
