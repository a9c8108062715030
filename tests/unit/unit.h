/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What unit tests share: running a suite, a fixed source of chance, and judging a refusal. */
#ifndef Q2S_TESTS_UNIT_H
#define Q2S_TESTS_UNIT_H

#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <q2s/base.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Run @tests in @tcase as one suite; the exit status of the program. */
static inline int
unit_run_case(const char *name, TCase *tcase, const TTest *const *tests, size_t count)
{
	Suite *suite = suite_create(name);
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 120); /* the default would be a timing assert on a busy machine */
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static inline int
unit_run(const char *name, const TTest *const *tests, size_t count)
{
	return unit_run_case(name, tcase_create(name), tests, count);
}

#define UNIT_MAIN(name, ...)                                                                      \
	int main(void)                                                                            \
	{                                                                                         \
		const TTest *const tests[] = { __VA_ARGS__ };                                     \
		return unit_run(name, tests, COUNT(tests));                                       \
	}

/* xorshift64*: the same numbers on every machine. @state starts as any number but 0. */
static inline uint64_t
unit_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

/* As unit_random(), but with as many significant bits as chance wants: small numbers are common. */
static inline uint64_t
unit_random_log(uint64_t *state)
{
	return unit_random(state) >> (unit_random(state) % 64);
}

/*
 * As ck_assert() and ck_assert_uint_eq(), for loops over millions: libcheck notes each assert that
 * it passes in a file, which would make these tests take minutes.
 */
#define quick_assert(condition)                                                                   \
	do {                                                                                      \
		if (!(condition))                                                                 \
			ck_abort_msg("not true: %s", #condition);                                 \
	} while (0)
#define quick_assert_eq(a, b)                                                                     \
	do {                                                                                      \
		const uint64_t quick_a_ = (a), quick_b_ = (b);                                    \
		if (quick_a_ != quick_b_)                                                         \
			ck_abort_msg("%s == %s: 0x%" PRIx64 " is not 0x%" PRIx64, #a, #b,         \
				     quick_a_, quick_b_);                                         \
	} while (0)

#define NOWHERE UINT64_MAX

static inline void
unit_judge(const char *call, enum q2s_err err, const struct q2s_diag *diag, enum q2s_err code,
	   uint64_t at, uint64_t value)
{
	if (err != code)
		ck_abort_msg("%s: '%s' instead of '%s' (%s: %s)", call, q2s_err_name(err),
			     q2s_err_name(code), diag->what, diag->text);
	if (diag->err != code || !diag->what[0] || !diag->text[0])
		ck_abort_msg("%s: the diagnostic is empty or has another code", call);
	if (diag->at.v != at)
		ck_abort_msg("%s: at 0x%" PRIx64 " instead of 0x%" PRIx64, call, diag->at.v, at);
	if (!diag->has_value || diag->value != value)
		ck_abort_msg("%s: value 0x%" PRIx64 " instead of 0x%" PRIx64, call, diag->value,
			     value);
}

/* @call, which gives its diagnostic to `&diag`, must fail with this code, place and value. */
#define assert_refused(code, at, value, call)                                                     \
	do {                                                                                      \
		struct q2s_diag diag = { 0 };                                                     \
		const enum q2s_err err = (call);                                                  \
		unit_judge(#call, err, &diag, code, at, value);                                   \
	} while (0)

/* @call, which gives its diagnostic to `&diag`, must succeed and leave the diagnostic alone. */
#define assert_ok(call)                                                                           \
	do {                                                                                      \
		struct q2s_diag diag = { 0 };                                                     \
		const enum q2s_err err = (call);                                                  \
		if (err != Q2S_OK || diag.err != Q2S_OK)                                          \
			ck_abort_msg("%s: %s: %s (0x%" PRIx64 ")", #call, diag.what, diag.text,   \
				     diag.value);                                                 \
	} while (0)

#endif
