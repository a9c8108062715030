/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes on command lines: what is accepted means what it says, everything else is refused. */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/size.h"

static const struct {
	const char *text;
	uint64_t bytes;
} good[] = {
	{ "0", 0 },
	{ "1", 1 },
	{ "10b", 10 },
	{ "10B", 10 },
	{ "1k", 1024 },
	{ "1K", 1024 },
	{ "64KiB", 65536 },
	{ "64kib", 65536 },
	{ "3M", 3u << 20 },
	{ "3m", 3u << 20 },
	{ "1G", 1ull << 30 },
	{ "1GiB", 1ull << 30 },
	{ "2T", 2ull << 40 },
	{ "2P", 2ull << 50 },
	{ "15E", 15ull << 60 },
	{ "15EiB", 15ull << 60 },
	{ "18446744073709551615", UINT64_MAX },
	{ "18446744073709551615b", UINT64_MAX },
	{ "15.9999990463256835937500E", 0xFFFFFF0000000000ull },
	{ "0x10000", 65536 },
	{ "0XfF", 255 },
	{ "1.5G", 3ull << 29 },
	{ "0.5k", 512 },
	{ ".5k", 512 },
	{ "1.", 1 },
	{ "1.0", 1 },
	{ "1.000000000000000000000000000000000000000000000000000000000000000000000000000000", 1 },
	{ "0.0009765625k", 1 },
	{ "007", 7 },
};

static const struct {
	const char *text;
	const char *why; /* part of the reason */
} bad[] = {
	{ "", "empty" },
	{ "-1", "negative" },
	{ "-0", "negative" },
	{ "-1k", "negative" },
	{ "+1", "not a number" },
	{ " 1", "not a number" },
	{ "1 ", "unknown unit" },
	{ "1 M", "unknown unit" },
	{ "k", "not a number" },
	{ ".", "not a number" },
	{ ".k", "not a number" },
	{ "1.5", "whole number" },
	{ "1.5b", "whole number" },
	{ "0.1k", "whole number" },
	{ "0.00000000000000000001E", "whole number" },
	{ "0.0000000000000000000000000000000000000000000000000000000000000000001E", "whole" },
	{ "1..5k", "unknown unit" },
	{ "1e3", "unexpected" },
	{ "1x", "unknown unit" },
	{ "1kk", "unexpected" },
	{ "1KB", "powers of 1000" },
	{ "1kb", "powers of 1000" },
	{ "1MB", "powers of 1000" },
	{ "1Ki", "unexpected" },
	{ "1KiBs", "unexpected" },
	{ "1biB", "unexpected" },
	{ "1Z", "unknown unit" },
	{ "0x", "no digits" },
	{ "0x10k", "no unit" },
	{ "0xg", "no digits" },
	{ "16E", "64 bits" },
	{ "16.0E", "64 bits" },
	{ "18446744073709551616", "64 bits" },
	{ "18014398509481984k", "64 bits" },
	{ "0x10000000000000000", "64 bits" },
	{ "99999999999999999999999999999999999999", "64 bits" },
};

START_TEST(good_sizes)
{
	uint64_t bytes = 12345;
	const char *const why = size_parse(good[_i].text, &bytes);

	ck_assert_msg(!why, "'%s' is refused: %s", good[_i].text, why);
	ck_assert_msg(bytes == good[_i].bytes, "'%s' is %" PRIu64, good[_i].text, bytes);
}
END_TEST

START_TEST(bad_sizes)
{
	uint64_t bytes = 12345;
	const char *const why = size_parse(bad[_i].text, &bytes);

	ck_assert_msg(why != NULL, "'%s' is accepted as %" PRIu64, bad[_i].text, bytes);
	ck_assert_msg(strstr(why, bad[_i].why), "'%s': %s", bad[_i].text, why);
	ck_assert_uint_eq(bytes, 12345);
}
END_TEST

START_TEST(numbers_take_no_unit)
{
	static const char *const refused[] = {
		"", "-1", "1k", "16b", "1.0", "1.", ".5", "1 ", "a"
	};
	uint64_t value;

	ck_assert_ptr_null(size_parse_number("16", &value));
	ck_assert_uint_eq(value, 16);
	ck_assert_ptr_null(size_parse_number("0x40", &value));
	ck_assert_uint_eq(value, 64);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		ck_assert_msg(size_parse_number(refused[i], &value) != NULL, "'%s' is accepted",
			      refused[i]);
}
END_TEST

START_TEST(sizes_for_people)
{
	char buf[SIZE_TEXT];

	ck_assert_str_eq(size_human(0, buf), "0 B");
	ck_assert_str_eq(size_human(512, buf), "512 B");
	ck_assert_str_eq(size_human(1023, buf), "0.999 KiB");
	ck_assert_str_eq(size_human(1024, buf), "1 KiB");
	ck_assert_str_eq(size_human(3ull << 29, buf), "1.5 GiB");
	ck_assert_str_eq(size_human(UINT64_MAX, buf), "16 EiB");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("size");
	TCase *tcase = tcase_create("size");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_loop_test(tcase, good_sizes, 0, sizeof(good) / sizeof(good[0]));
	tcase_add_loop_test(tcase, bad_sizes, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(tcase, numbers_take_no_unit);
	tcase_add_test(tcase, sizes_for_people);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
