/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `qemu-img measure` would say of this data, beside the exact length of the stream. */
#include "base/arith.h"
#include "format/refcount_size.h"
#include "plan/plan.h"

/* Clusters of all metadata but refcounts when every guest cluster is allocated, as QEMU counts. */
static uint64_t
full_metadata(const struct q2s_geom *geom)
{
	const uint64_t l2_bytes =
		q2si_div_up(geom->clusters, geom->l2_entries) << geom->cluster_bits;
	const uint64_t l1_bytes = (l2_bytes >> geom->cluster_bits) * Q2S_L1_ENTRY_SIZE;

	return 1 + (l2_bytes >> geom->cluster_bits) + q2si_div_up(l1_bytes, geom->cluster_size);
}

enum q2s_err
q2s_plan_measure(const struct q2s_plan *plan, struct q2s_measure *out, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &plan->spec.geom;
	/* With a data file, or over a backing file, QEMU counts as if all were allocated. */
	const bool all = plan->spec.backing_name.data != NULL;
	const uint64_t data = all ? geom->clusters : plan->alloc->clusters - plan->alloc->spare;
	const uint64_t metadata = full_metadata(geom);
	/* A fully allocated image may be one that nobody could write: it is measured all the same. */
	const struct q2s_refcount_size refs = q2si_refcount_size(geom, metadata + geom->clusters);
	const uint64_t fixed =
		metadata + refs.blocks + refs.table_clusters + plan->layout.luks_clusters;

	(void)diag;
	*out = (struct q2s_measure){
		.required = (fixed + data) << geom->cluster_bits,
		.fully_allocated = (fixed + geom->clusters) << geom->cluster_bits,
		.bitmaps = plan->bitmaps.full_bytes,
		.length = plan->layout.length,
	};
	return Q2S_OK;
}
