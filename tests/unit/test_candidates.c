/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of clusters that later ones may be the same as: all of the first are found again. */
#include "plan/candidates.h"
#include "unit.h"

START_TEST(many_candidates_are_found)
{
	struct q2si_candidates candidates = { .max = 50000 };
	uint64_t seed = 8;

	ck_assert_ptr_null(q2si_candidates_next(&candidates, 5, &(size_t){ 0 }));
	for (uint32_t i = 0; i < 60000; i++) {
		const struct q2si_candidate one = { .cluster = i,
						    .tag = (uint32_t)unit_random(&seed) % 30000 };

		assert_ok(q2si_candidates_add(&candidates, &one, &diag));
	}
	ck_assert_uint_eq(candidates.count, 50000);
	seed = 8;
	for (uint32_t i = 0; i < 60000; i++) {
		const uint32_t tag = (uint32_t)unit_random(&seed) % 30000;
		size_t place = q2si_candidates_start(&candidates, tag);
		struct q2si_candidate *found;
		bool met = false;

		while ((found = q2si_candidates_next(&candidates, tag, &place))) {
			quick_assert(found->tag == tag);
			met = met || found->cluster == i;
		}
		quick_assert(met == (i < 50000));
	}
	q2si_candidates_free(&candidates);
}
END_TEST

UNIT_MAIN("candidates", many_candidates_are_found)
