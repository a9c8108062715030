/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts in pages of changing width, against a plain array. */
#include "check/counts.h"
#include "check/counts_page.h"
#include "unit.h"

#define LIMIT 20000u /* not a whole number of pages */

static const uint64_t ROOM = 1ull << 30;

static uint64_t
saturated(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Add to both; says what q2si_counts_add() must say about @touched. */
static void
add(struct q2si_counts *counts, uint64_t *model, uint64_t first, uint64_t n, uint64_t k)
{
	bool touched = false, expected = false;

	for (uint64_t i = first; k > 0 && i < first + n; i++) {
		expected |= model[i] != 0;
		model[i] = saturated(model[i], k);
	}
	ck_assert_int_eq(q2si_counts_add(counts, first, n, k, &touched), Q2S_OK);
	ck_assert_int_eq(touched, expected);
}

static void
assert_same(const struct q2si_counts *counts, const uint64_t *model)
{
	uint64_t end = 0;

	for (uint64_t i = 0; i < LIMIT; i++) {
		ck_assert_uint_eq(q2si_counts_get(counts, i), model[i]);
		if (model[i])
			end = i + 1;
	}
	ck_assert_uint_eq(q2si_counts_end(counts), end);
}

/* Whole-range questions, about ranges and values that chance picks. */
static void
assert_questions(const struct q2si_counts *counts, const uint64_t *model, uint64_t *state)
{
	for (unsigned round = 0; round < 200; round++) {
		const uint64_t first = unit_random(state) % LIMIT;
		const uint64_t n = 1 + unit_random(state) % (LIMIT - first);
		const uint64_t some = model[first + unit_random(state) % n];
		const uint64_t value = round % 3 ? some : unit_random_log(state);
		bool all = true, none = true;

		for (uint64_t i = first; i < first + n; i++) {
			all &= model[i] == value;
			none &= model[i] != value;
		}
		ck_assert_int_eq(q2si_counts_all(counts, first, n, value), all);
		ck_assert_int_eq(q2si_counts_none(counts, first, n, value), none);
		q2si_counts_prefetch(counts, first);
	}
}

/* A sum that every width meets on the way: small adds, large ones, whole pages, single counts. */
START_TEST(as_a_plain_array)
{
	static uint64_t model[LIMIT];
	uint64_t state = 88172645463325252u + (uint64_t)_i;
	struct q2si_budget budget = { ROOM };
	struct q2si_counts counts;

	memset(model, 0, sizeof(model));
	ck_assert_int_eq(q2si_counts_init(&counts, LIMIT, &budget), Q2S_OK);
	for (unsigned round = 0; round < 400; round++) {
		const uint64_t first = unit_random(&state) % LIMIT;
		const uint64_t most = unit_random(&state) % 3 ? 70 : LIMIT;
		const uint64_t n = 1 + unit_random(&state) % most;
		const uint64_t k =
			unit_random(&state) % 4 ? 1 : 1 + (unit_random_log(&state) >> (_i + 1));

		add(&counts, model, first, n < LIMIT - first ? n : LIMIT - first, k);
	}
	assert_same(&counts, model);
	assert_questions(&counts, model, &state);
	q2si_counts_free(&counts);
	ck_assert_uint_le(budget.left, ROOM);
}
END_TEST

/* Ranges that q2si_counts_all() and _none() are asked about where all counts are alike. */
START_TEST(uniform)
{
	static uint64_t model[LIMIT];
	static const uint64_t values[] = {
		1, 2, 3, 15, 16, 255, 256, 65535, 65536, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX
	};
	uint64_t state = 1;

	for (size_t i = 0; i < COUNT(values); i++) {
		struct q2si_budget budget = { ROOM };
		struct q2si_counts counts;

		memset(model, 0, sizeof(model));
		ck_assert_int_eq(q2si_counts_init(&counts, LIMIT, &budget), Q2S_OK);
		add(&counts, model, 0, LIMIT, values[i]);
		ck_assert(q2si_counts_all(&counts, 0, LIMIT, values[i]));
		ck_assert(q2si_counts_none(&counts, 0, LIMIT, values[i] - 1));
		add(&counts, model, 12345, 1, 1);
		assert_questions(&counts, model, &state);
		assert_same(&counts, model);
		q2si_counts_free(&counts);
	}
}
END_TEST

/* Each difference once, in order, whatever the two pages look like. */
START_TEST(differences)
{
	static uint64_t model_a[LIMIT], model_b[LIMIT];
	uint64_t state = 4711;
	struct q2si_budget budget = { ROOM };
	struct q2si_counts a, b;
	struct q2si_count_diff diff = { 0 };
	uint64_t from = 0;

	ck_assert_int_eq(q2si_counts_init(&a, LIMIT, &budget), Q2S_OK);
	ck_assert_int_eq(q2si_counts_init(&b, LIMIT, &budget), Q2S_OK);
	add(&a, model_a, 0, LIMIT, 1);
	add(&b, model_b, 0, 100, 1);
	add(&b, model_b, 100, LIMIT - 100, 1);
	for (unsigned i = 0; i < 60; i++) {
		add(&a, model_a, unit_random(&state) % LIMIT, 1, unit_random_log(&state));
		add(&b, model_b, unit_random(&state) % LIMIT, 1, 1);
	}
	for (uint64_t i = 0; i < LIMIT; i++) {
		if (model_a[i] == model_b[i])
			continue;
		ck_assert(q2si_counts_next_diff(&a, &b, from, &diff));
		ck_assert_uint_eq(diff.cluster, i);
		ck_assert_uint_eq(diff.a, model_a[i]);
		ck_assert_uint_eq(diff.b, model_b[i]);
		from = i + 1;
	}
	ck_assert(!q2si_counts_next_diff(&a, &b, from, &diff));
	q2si_counts_free(&a);
	q2si_counts_free(&b);
}
END_TEST

/* A terabyte in clusters of 64 KiB: no page where all is alike, a bit each where it is not. */
START_TEST(small)
{
	const uint64_t clusters = 1ull << 24;
	struct q2si_budget budget = { ROOM };
	struct q2si_counts counts;
	bool touched = false;

	ck_assert_int_eq(q2si_counts_init(&counts, clusters, &budget), Q2S_OK);
	ck_assert_int_eq(q2si_counts_add(&counts, 0, clusters, 1, &touched), Q2S_OK);
	ck_assert_uint_le(ROOM - budget.left, 100 << 10);
	q2si_counts_free(&counts);

	budget.left = ROOM;
	ck_assert_int_eq(q2si_counts_init(&counts, clusters, &budget), Q2S_OK);
	for (uint64_t first = 5; first < clusters; first += 8193)
		ck_assert_int_eq(q2si_counts_add(&counts, first,
						 8192 < clusters - first ? 8192 : clusters - first,
						 1, &touched),
				 Q2S_OK);
	ck_assert_uint_le(ROOM - budget.left, (2 << 20) + (100 << 10));
	ck_assert(!touched);
	q2si_counts_free(&counts);
}
END_TEST

/* What does not fit is refused, and what was there stays right. */
START_TEST(bounded)
{
	/* two nodes with what belongs to them, whatever a pointer takes, and no third one */
	struct q2si_budget budget = { sizeof(struct q2si_count_node) * 5 / 2 };
	struct q2si_counts counts;
	bool touched = false;

	ck_assert_int_eq(q2si_counts_init(&counts, UINT64_MAX, &budget), Q2S_E_LIMIT);
	q2si_counts_free(&counts);
	ck_assert_int_eq(q2si_counts_init(&counts, 1u << 30, &budget), Q2S_OK);
	ck_assert_int_eq(q2si_counts_add(&counts, 7, 2, 3, &touched), Q2S_OK);
	ck_assert_int_eq(q2si_counts_add(&counts, 1u << 25, 2, 3, &touched), Q2S_OK);
	ck_assert_int_eq(q2si_counts_add(&counts, 1u << 28, 2, 3, &touched), Q2S_E_LIMIT);
	ck_assert_uint_eq(q2si_counts_get(&counts, 8), 3);
	ck_assert_uint_eq(q2si_counts_get(&counts, 9), 0);
	ck_assert_uint_eq(q2si_counts_get(&counts, 1u << 31), 0);
	q2si_counts_free(&counts);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("counts");
	TCase *tcase = tcase_create("counts");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, as_a_plain_array, 0, 60);
	tcase_add_test(tcase, uniform);
	tcase_add_test(tcase, differences);
	tcase_add_test(tcase, small);
	tcase_add_test(tcase, bounded);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
