/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON output: valid whatever the bytes, and the same whether printed at once or in pieces. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

static char *text;
static size_t size;
static FILE *out;

static void
set_up(void)
{
	out = open_memstream(&text, &size);
	ck_assert_ptr_nonnull(out);
}

static void
tear_down(void)
{
	free(text);
}

static const char *
printed(void)
{
	ck_assert_int_eq(fclose(out), 0);
	return text;
}

START_TEST(values_are_indented_as_by_qemu)
{
	ck_assert_int_eq(output_json(out, json_pack("{s:i, s:[{s:b}]}", "a", 1, "b", "c", 1)), 0);
	ck_assert_str_eq(printed(), "{\n"
				    "    \"a\": 1,\n"
				    "    \"b\": [\n"
				    "        {\n"
				    "            \"c\": true\n"
				    "        }\n"
				    "    ]\n"
				    "}\n");
}
END_TEST

START_TEST(arbitrary_bytes_stay_valid)
{
	static const char bytes[] = "a\0\x1b\xff\xc3\xb6\xed\xa0\x80\xf0\x9f";

	ck_assert_int_eq(output_json(out, utf8_json(bytes, sizeof(bytes) - 1)), 0);
	ck_assert_str_eq(printed(), "\"a\\u0000\\u001B\xef\xbf\xbd\xc3\xb6"
				    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
				    "\xef\xbf\xbd\xef\xbf\xbd\"\n");
}
END_TEST

START_TEST(every_byte_makes_valid_json)
{
	json_error_t error;
	uint8_t bytes[512];
	json_t *value;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	ck_assert_int_eq(output_json(out, utf8_json(bytes, sizeof(bytes))), 0);
	value = json_loads(printed(), JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	ck_assert_msg(value != NULL, "%s", error.text);
	json_decref(value);
}
END_TEST

START_TEST(integers_beyond_jansson)
{
	json_t *const small = u64_json(INT64_MAX), *const large = u64_json(1ull << 63);

	ck_assert(json_is_integer(small));
	ck_assert_int_eq(json_integer_value(small), INT64_MAX);
	ck_assert_str_eq(json_string_value(large), "9223372036854775808");
	json_decref(small);
	json_decref(large);
}
END_TEST

START_TEST(a_missing_value_is_a_failure)
{
	struct jstream stream;

	ck_assert_int_eq(output_json(out, NULL), -1);
	jstream_begin(&stream, out);
	jstream_open_array(&stream, NULL);
	jstream_value(&stream, NULL, NULL);
	ck_assert_int_eq(jstream_finish(&stream), -1);
	printed();
}
END_TEST

START_TEST(a_full_disk_is_a_failure)
{
	FILE *const full = fopen("/dev/full", "w");
	struct jstream stream;

	printed();
	if (!full)
		return;
	jstream_begin(&stream, full);
	jstream_open_array(&stream, NULL);
	for (int i = 0; i < 10000; i++)
		jstream_value(&stream, NULL, json_integer(i));
	ck_assert_int_eq(jstream_finish(&stream), -1);
	fclose(full);
}
END_TEST

START_TEST(a_stream_of_items)
{
	struct jstream stream;

	jstream_begin(&stream, out);
	jstream_open_array(&stream, NULL);
	jstream_value(&stream, NULL, json_pack("{s:i, s:b}", "start", 0, "data", 1));
	jstream_value(&stream, NULL, json_pack("{s:i, s:b}", "start", 8, "data", 0));
	ck_assert_int_eq(jstream_finish(&stream), 0);
	ck_assert_str_eq(printed(), "[\n"
				    "    {\"start\": 0, \"data\": true},\n"
				    "    {\"start\": 8, \"data\": false}\n"
				    "]\n");
}
END_TEST

START_TEST(nested_streams)
{
	struct jstream stream;

	jstream_begin(&stream, out);
	jstream_open_object(&stream, NULL);
	jstream_value(&stream, "na\"me", text_json("x"));
	jstream_open_array(&stream, "empty");
	jstream_close(&stream);
	jstream_open_array(&stream, "list");
	jstream_value(&stream, NULL, json_integer(1));
	jstream_open_object(&stream, NULL);
	jstream_value(&stream, "a", json_true());
	jstream_close(&stream);
	jstream_close(&stream);
	jstream_value(&stream, "last", json_null());
	ck_assert_int_eq(jstream_finish(&stream), 0);
	ck_assert_str_eq(printed(), "{\n"
				    "    \"na\\\"me\": \"x\",\n"
				    "    \"empty\": [],\n"
				    "    \"list\": [\n"
				    "        1,\n"
				    "        {\n"
				    "            \"a\": true\n"
				    "        }\n"
				    "    ],\n"
				    "    \"last\": null\n"
				    "}\n");
}
END_TEST

START_TEST(too_deep_or_unbalanced_is_a_failure)
{
	struct jstream stream;

	jstream_begin(&stream, out);
	for (int i = 0; i <= JSTREAM_DEPTH; i++)
		jstream_open_array(&stream, NULL);
	ck_assert_int_eq(jstream_finish(&stream), -1);
	jstream_begin(&stream, out);
	jstream_close(&stream);
	ck_assert_int_eq(jstream_finish(&stream), -1);
	printed();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("json");
	TCase *tcase = tcase_create("json");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, values_are_indented_as_by_qemu);
	tcase_add_test(tcase, arbitrary_bytes_stay_valid);
	tcase_add_test(tcase, every_byte_makes_valid_json);
	tcase_add_test(tcase, integers_beyond_jansson);
	tcase_add_test(tcase, a_missing_value_is_a_failure);
	tcase_add_test(tcase, a_full_disk_is_a_failure);
	tcase_add_test(tcase, a_stream_of_items);
	tcase_add_test(tcase, nested_streams);
	tcase_add_test(tcase, too_deep_or_unbalanced_is_a_failure);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
