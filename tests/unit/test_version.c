/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The version that the library reports, and the pattern that other unit tests follow. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <q2s/version.h>

START_TEST(version_is_three_numbers)
{
	unsigned int major, minor, patch;
	char again[64];

	ck_assert_int_eq(sscanf(q2s_version(), "%u.%u.%u", &major, &minor, &patch), 3);
	snprintf(again, sizeof(again), "%u.%u.%u", major, minor, patch);
	ck_assert_str_eq(again, q2s_version());
}
END_TEST

START_TEST(headers_and_library_agree)
{
	char mine[64];

	snprintf(mine, sizeof(mine), "%d.%d.%d", Q2S_VERSION_MAJOR, Q2S_VERSION_MINOR,
		 Q2S_VERSION_PATCH);
	ck_assert_str_eq(mine, q2s_version());
}
END_TEST

#define MAJOR Q2S_VERSION_MAJOR
#define MINOR Q2S_VERSION_MINOR
#define PATCH Q2S_VERSION_PATCH

START_TEST(versions_compare)
{
	ck_assert(Q2S_VERSION_AT_LEAST(MAJOR, MINOR, PATCH));
	ck_assert(!Q2S_VERSION_AT_LEAST(MAJOR, MINOR, PATCH + 1));
	ck_assert(!Q2S_VERSION_AT_LEAST(MAJOR, MINOR + 1, 0));
	ck_assert(!Q2S_VERSION_AT_LEAST(MAJOR + 1, 0, 0));
	ck_assert(Q2S_VERSION_AT_LEAST(MAJOR - 1, 99, 99));
	ck_assert(Q2S_VERSION_AT_LEAST(MAJOR, MINOR - 1, 99));
}
END_TEST

START_TEST(each_feature_is_named_once_with_its_state)
{
	static const char *const names[] = { "libdeflate", "libisal", "libgcrypt", "libnbd",
					     "libcurl" };
	const char *at = q2s_version_features();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ck_assert_msg(*at == '+' || *at == '-', "no state before '%s'", at);
		at++;
		ck_assert_msg(strncmp(at, names[i], strlen(names[i])) == 0, "'%s' is not %s", at,
			      names[i]);
		at += strlen(names[i]);
		ck_assert_int_eq(*at, i + 1 < sizeof(names) / sizeof(names[0]) ? ' ' : '\0');
		at++;
	}
}
END_TEST

START_TEST(features_agree_with_configure)
{
#ifdef HAVE_LIBNBD
	ck_assert_ptr_nonnull(strstr(q2s_version_features(), "+libnbd"));
#else
	ck_assert_ptr_nonnull(strstr(q2s_version_features(), "-libnbd"));
#endif
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("version");
	TCase *tcase = tcase_create("version");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, version_is_three_numbers);
	tcase_add_test(tcase, headers_and_library_agree);
	tcase_add_test(tcase, versions_compare);
	tcase_add_test(tcase, each_feature_is_named_once_with_its_state);
	tcase_add_test(tcase, features_agree_with_configure);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
