/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who shares what must add up, wherever it was said: a plan comes from a file, too. */
#include "geoms.h"
#include "plan/alloc.h"
#include "unit.h"

/* A sharer without an owner, as only a caller or a damaged plan can have one. */
START_TEST(sharing_nothing_is_refused)
{
	const struct q2s_geom geom = geom_v3(16, false, false);
	const struct q2s_spec spec = { .geom = geom };
	const struct q2s_slot data = { .host = true, .alloc = 1 }, back = { .back = 1 };
	const struct q2s_slot both = { .host = true, .alloc = 1, .back = 1 };
	struct q2s_alloc *alloc = NULL;
	struct q2s_plan *plan = NULL;

	assert_ok(q2s_alloc_new(&geom, &alloc, &diag));
	ck_assert_int_eq(q2s_alloc_add(alloc, &back, 1, NULL), Q2S_E_USAGE);
	assert_ok(q2s_alloc_add(alloc, &data, 1, &diag));
	ck_assert_int_eq(q2s_alloc_add(alloc, &both, 1, NULL), Q2S_E_USAGE);
	assert_ok(q2s_alloc_add(alloc, &back, 1, &diag));
	ck_assert_int_eq(q2s_plan_new(&spec, alloc, &plan, NULL), Q2S_E_USAGE);
	q2s_alloc_free(alloc);
}
END_TEST

/* Cluster 0 is data, 1 and 2 share it, 3 is zero; @list says who is shared. */
static enum q2s_err
finish_with(struct q2si_owner *list, size_t count)
{
	static const struct q2s_slot slots[] = {
		{ .host = true, .alloc = 1 }, { .back = 1 }, { .back = 2 }, { .zero = 1 },
	};
	const struct q2s_geom geom = geom_v3(16, false, false);
	const struct q2si_owners owners = { list, count };
	struct q2s_alloc *alloc = NULL;
	enum q2s_err got;

	assert_ok(q2s_alloc_new(&geom, &alloc, &diag));
	got = q2si_alloc_set_owners(alloc, &owners, NULL);
	for (size_t i = 0; got == Q2S_OK && i < COUNT(slots); i++)
		got = q2s_alloc_add(alloc, &slots[i], 1, NULL);
	if (got == Q2S_OK)
		got = q2si_alloc_finish(alloc, NULL);
	q2s_alloc_free(alloc);
	return got;
}

START_TEST(counts_of_sharers_are_verified)
{
	static const struct {
		enum q2s_err want;
		size_t count;
		struct q2si_owner owners[2];
	} rows[] = {
		{ Q2S_OK, 1, { { .sharers = 2 } } },
		{ Q2S_E_USAGE, 0, { { 0 } } },                                /* nobody */
		{ Q2S_E_USAGE, 1, { { .sharers = 1 } } },                     /* fewer */
		{ Q2S_E_USAGE, 1, { { .sharers = 3 } } },                     /* more */
		{ Q2S_E_USAGE, 1, { { .sharers = 0 } } },
		{ Q2S_E_USAGE, 1, { { .sharers = 65535 } } },                 /* than may be */
		{ Q2S_E_USAGE, 1, { { .cluster = 1, .sharers = 2 } } },       /* a sharer */
		{ Q2S_E_USAGE, 2, { { .sharers = 2 }, { .cluster = 3, .sharers = 1 } } }, /* zero */
		{ Q2S_E_USAGE, 2, { { .sharers = 2 }, { .cluster = 99, .sharers = 1 } } },
		{ Q2S_E_USAGE, 2, { { .sharers = 2 }, { .sharers = 2 } } },   /* twice */
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct q2si_owner owners[2] = { rows[i].owners[0], rows[i].owners[1] };

		ck_assert_msg(finish_with(owners, rows[i].count) == rows[i].want, "row %zu", i);
	}
}
END_TEST

UNIT_MAIN("owners", sharing_nothing_is_refused, counts_of_sharers_are_verified)
