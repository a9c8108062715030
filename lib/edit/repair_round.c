/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the steps of one round have in common: new clusters, orphans, and the reading of the draft. */
#include "edit/repair.h"

#include "base/arith.h"
#include "base/diag.h"

enum q2s_err
q2si_round_alloc(struct q2si_round *round, uint64_t clusters, uint64_t *host)
{
	const struct q2s_geom *geom = round->ck->geom;
	const uint64_t len = clusters << geom->cluster_bits;
	const bool device = q2s_store_is_block_device(round->repair->file);

	if (*round->next_free == 0)
		*round->next_free = device ? round->ck->result.image_end_offset
					   : q2si_round_up(round->ck->file_size, geom->cluster_size);
	if (device && len > round->repair->old_length - q2si_min(*round->next_free,
								   round->repair->old_length))
		return q2si_fail(round->diag, Q2S_E_LIMIT, "block device",
				 (q2s_host){ *round->next_free }, len,
				 "no room for new tables behind the image");
	if (len > Q2S_HOST_OFFSET_LIMIT - *round->next_free)
		return q2si_fail(round->diag, Q2S_E_LIMIT, "image",
				 (q2s_host){ *round->next_free }, len, "no room behind its end");
	*host = *round->next_free;
	if (round->repair->first_new == 0)
		round->repair->first_new = *host;
	*round->next_free += len;
	return Q2S_OK;
}

bool
q2si_round_orphan(const struct q2si_round *round, uint64_t cluster, uint64_t refs)
{
	return cluster > 0 && cluster < round->ck->file_clusters &&
	       q2si_counts_get(&round->ck->stored, cluster) == refs &&
	       q2si_counts_get(&round->ck->counted, cluster) == 0;
}

enum q2s_err
q2si_round_claim(struct q2si_round *round, uint64_t cluster, uint64_t refs)
{
	bool touched = false;

	return q2si_counts_add(&round->ck->counted, cluster, 1, refs, &touched);
}

enum q2s_err
q2si_round_step(struct q2si_round *round, const struct q2si_case *found, enum q2s_sure sure,
		const char *why, const char *loss)
{
	const struct q2si_finding_kind *kind = &q2si_finding_kinds[found->id];
	const struct q2si_step step = {
		.id = kind->id,
		.structure = kind->structure,
		.host = found->host,
		.has_guest = found->has_guest,
		.guest = found->guest,
		.sure = sure,
		.why = why,
		.loss = loss,
	};

	return q2si_step_begin(round->repair, &step, round->diag);
}

enum q2s_err
q2si_round_read(struct q2si_round *round, uint64_t at, void *buf, size_t len)
{
	return q2s_store_read_padded(round->repair->draft, at, buf, len, NULL, round->diag);
}
