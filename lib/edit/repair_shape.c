/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Does a cluster look like an L2 table of this image? */
#include "edit/repair.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"

/* A table that was in use has COPIED on each cluster that nobody shares: chance has not. */
static void
look_at_entry(const struct q2si_round *round, const uint8_t *raw, struct q2si_shape *out)
{
	const struct q2si_checker *ck = round->ck;
	const struct q2s_geom *geom = ck->geom;
	struct q2s_l2_entry entry;
	uint64_t host, stored;
	bool orphan;

	if (q2s_l2_decode(geom, raw, Q2S_NOWHERE, &entry, NULL) != Q2S_OK) {
		out->bad++;
		return;
	}
	/* Flags alone could be anything, so they count for nothing. */
	if (!entry.compressed && !entry.has_host) {
		out->bad += entry.zero == 0 && q2si_get_be64(raw) != 0;
		return;
	}
	host = entry.compressed ? entry.comp_at.v : entry.host.v;
	if (!geom->data_file && host >> geom->cluster_bits >= ck->file_clusters) {
		out->bad++;
		return;
	}
	out->good++;
	stored = q2si_counts_get(&ck->stored, host >> geom->cluster_bits);
	orphan = geom->data_file || q2si_counts_get(&ck->counted, host >> geom->cluster_bits) == 0;
	out->orphans += orphan && stored != 0;
	out->freed += orphan && stored == 0 && (entry.compressed || entry.copied);
	if (entry.compressed)
		out->owned += orphan && stored != 0;
	else
		out->owned += entry.copied && (geom->data_file || (orphan && stored == 1));
}

enum q2s_err
q2si_shape_look(struct q2si_round *round, uint64_t cluster, uint32_t entries,
		struct q2si_shape *out)
{
	const struct q2s_geom *geom = round->ck->geom;
	uint8_t *const raw = malloc(geom->cluster_size);
	enum q2s_err err;

	*out = (struct q2si_shape){ 0 };
	if (!raw)
		return q2si_fail_nomem(round->diag, "L2 table");
	err = q2si_round_read(round, cluster << geom->cluster_bits, raw, geom->cluster_size);
	for (uint32_t i = 0; err == Q2S_OK && i < entries; i++) {
		const uint8_t *at = raw + (size_t)i * geom->l2_entry_size;

		if (q2si_get_be64(at) || (geom->extended && q2si_get_be64(at + 8)))
			look_at_entry(round, at, out);
		/* Guest data shows within a few words what it is. */
		if (out->bad > 64 && out->bad > 16 * out->good)
			break;
	}
	free(raw);
	return err;
}
