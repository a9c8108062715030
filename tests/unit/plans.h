/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random plans, beside the plain array of slots that they were made from. */
#ifndef Q2S_TESTS_PLANS_H
#define Q2S_TESTS_PLANS_H

#include <q2s/plan.h>

#include "geoms.h"
#include "slots.h"

struct planned {
	struct q2s_geom geom;
	struct q2s_slot *slots; /* geom.clusters of them */
	struct q2s_plan *plan;
	const struct q2s_layout *layout;
};

/* A random disk size for this kind of image: a few tables where they are small, never large. */
static inline uint64_t
planned_size(const struct q2s_geom *geom, uint64_t *seed)
{
	const uint64_t most = geom->l2_entries < 3000 ? 3 * geom->l2_entries : 3000;

	return ((unit_random_log(seed) % most) << geom->cluster_bits) +
	       512 * (unit_random(seed) % (geom->cluster_size / 512));
}

static inline void
planned_fill(struct planned *p, struct q2s_alloc *alloc, uint64_t *seed)
{
	for (uint64_t at = 0; at < p->geom.clusters;) {
		const struct q2s_slot slot = random_slot(&p->geom, false, seed);
		const uint64_t want = 1 + unit_random_log(seed) % 60, left = p->geom.clusters - at;
		const uint64_t n = want < left ? want : left;

		assert_ok(q2s_alloc_add(alloc, &slot, n, &diag));
		for (uint64_t i = 0; i < n; i++)
			p->slots[at++] = slot;
	}
}

/* A plan for kind @index of image (see geoms.h); false when there is no such kind. */
static inline bool
planned_make(struct planned *p, unsigned index, uint64_t *seed)
{
	struct q2s_geom_params params = geom_params(index, 0);
	struct q2s_spec spec = { 0 };
	struct q2s_alloc *alloc = NULL;

	*p = (struct planned){ 0 };
	if (q2s_geom_init(&params, &p->geom, NULL) != Q2S_OK)
		return false;
	params.size = planned_size(&p->geom, seed);
	assert_ok(q2s_geom_init(&params, &p->geom, &diag));
	p->slots = calloc(p->geom.clusters + 1, sizeof(*p->slots));
	assert_ok(q2s_alloc_new(&p->geom, &alloc, &diag));
	planned_fill(p, alloc, seed);
	spec.geom = p->geom;
	spec.data_first = unit_random(seed) % 3 == 0;
	if (p->geom.data_file)
		spec.data_file_name = (struct q2s_bytes){ (const uint8_t *)"data", 4 };
	assert_ok(q2s_plan_new(&spec, alloc, &p->plan, &diag));
	p->layout = q2s_plan_layout(p->plan);
	return true;
}

static inline void
planned_free(struct planned *p)
{
	q2s_plan_free(p->plan);
	free(p->slots);
}

#endif
