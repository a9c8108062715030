/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Backing file names as text: which denote a local file, and which are never understood. */
#include "image/name.h"
#include "unit.h"

static const q2s_host at = { 0x200 };

static struct q2s_bytes
bytes_of(const char *name, size_t len)
{
	return (struct q2s_bytes){ .data = (const uint8_t *)name, .len = len };
}

static void
assert_name(const char *name, const char *path, const char *format)
{
	struct q2si_local_name got;

	assert_ok(q2si_name_parse(bytes_of(name, strlen(name)), "backing file", at, &got, &diag));
	ck_assert_str_eq(got.path, path);
	ck_assert_str_eq(got.format, format);
	free(got.path);
}

static void
assert_no_name(const char *name, size_t len)
{
	struct q2si_local_name got = { 0 };
	struct q2s_diag diag = { 0 };

	ck_assert_msg(q2si_name_parse(bytes_of(name, len), "backing file", at, &got, &diag) ==
			      Q2S_E_UNSUPPORTED,
		      "%s", name);
	ck_assert_int_eq(diag.err, Q2S_E_UNSUPPORTED);
	ck_assert_uint_eq(diag.at.v, at.v);
	ck_assert(diag.text[0]);
	ck_assert_ptr_null(got.path);
}

START_TEST(plain_names)
{
	assert_name("base.raw", "base.raw", "");
	assert_name("/a/b", "/a/b", "");
	assert_name("../up", "../up", "");
	assert_name("./nbd:x", "./nbd:x", ""); /* a colon behind a slash is just a colon */
	assert_name("file:base.raw", "base.raw", "");
	assert_name("file:json:{}", "json:{}", "");
	assert_name("file:///a/b", "///a/b", "");
	assert_name(" odd\nname", " odd\nname", "");
}
END_TEST

START_TEST(protocols_are_no_files)
{
	static const char *const names[] = { "nbd:localhost:10809",
					     "nbd://host/export",
					     "http://host/x",
					     "ssh://host/x",
					     "fat:rw:/etc",
					     "blkdebug::x",
					     "host_device:/dev/sda",
					     "a:b",
					     ":x",
					     "file:",
					     "JSON:{\"filename\":\"x\"}" };

	for (size_t i = 0; i < COUNT(names); i++)
		assert_no_name(names[i], strlen(names[i]));
	assert_no_name("a\0b", 3);
	assert_no_name("", 0);
}
END_TEST

START_TEST(names_in_json_of_local_files)
{
	assert_name("json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"b\"}}",
		    "b", "qcow2");
	assert_name("json:{\"driver\":\"raw\",\"file.driver\":\"file\",\"file.filename\":\"/x/b\"}",
		    "/x/b", "raw");
	assert_name("json:{\"file.filename\":\"b\"}", "b", "");
	assert_name("json:{\"file\":{\"filename\":\"file:b\"}}", "b", "");
	assert_name("json:{\"filename\":\"b\",\"driver\":\"qcow2\"}", "b", "qcow2");
	assert_name("json: {\"driver\":\"file\",\"filename\":\"b\"}", "b", "raw");
	assert_name("json:{\"driver\":\"raw\",\"file\":{\"driver\":\"host_device\","
		    "\"filename\":\"/dev/x\"}}", "/dev/x", "raw");
	/* With the driver of the file given, its name is only a name. */
	assert_name("json:{\"file\":{\"driver\":\"file\",\"filename\":\"nbd:x\"}}", "nbd:x", "");
	assert_name("json:{\"driver\":\"qcow2\",\"node-name\":\"n\",\"read-only\":true,"
		    "\"cache\":{\"direct\":false},"
		    "\"file\":{\"filename\":\"b\",\"locking\":\"off\"}}", "b", "qcow2");
}
END_TEST

START_TEST(names_in_json_that_are_something_else)
{
	static const char *const names[] = {
		"json:",
		"json:{",
		"json:[]",
		"json:\"b\"",
		"json:{}",
		"json:{\"driver\":\"qcow2\"}",
		"json:{\"file\":\"node\"}",
		"json:{\"filename\":7}",
		"json:{\"filename\":\"\"}",
		"json:{\"filename\":\"nbd:x\"}",
		"json:{\"file\":{\"filename\":\"json:{}\"}}",
		"json:{\"filename\":\"a\\u0000b\"}",
		"json:{\"filename\":\"a\",\"file\":{\"filename\":\"b\"}}",
		"json:{\"file.filename\":\"a\",\"file\":{\"filename\":\"b\"}}",
		"json:{\"filename\":\"a\",\"filename\":\"b\"}",
		"json:{\"driver\":\"nbd\",\"host\":\"h\",\"port\":\"1\"}",
		"json:{\"driver\":\"raw\",\"file\":{\"driver\":\"nbd\",\"filename\":\"b\"}}",
		"json:{\"driver\":\"0123456789abcdef\",\"filename\":\"b\"}",
		/* options that would make it another disk */
		"json:{\"driver\":\"raw\",\"offset\":512,\"file\":{\"filename\":\"b\"}}",
		"json:{\"driver\":\"qcow2\",\"backing\":null,\"file\":{\"filename\":\"b\"}}",
		"json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"raw\",\"file\":{\"filename\":\"b\"}}}",
		"json:{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":"
		"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{"
		"\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}",
		"json:{\"0123456789012345678901234567890123456789012345678901234567890123\":1}",
		"json:{\"file\":{\"01234567890123456789012345678901234567890123456789012345678\":{}}}",
	};

	for (size_t i = 0; i < COUNT(names); i++)
		assert_no_name(names[i], strlen(names[i]));
}
END_TEST

START_TEST(a_literal_name_is_not_understood_at_all)
{
	struct q2si_local_name got;

	assert_ok(q2si_name_literal(bytes_of("json:{\"filename\":\"x\"}", 21), "external data file",
				    at, &got, &diag));
	ck_assert_str_eq(got.path, "json:{\"filename\":\"x\"}");
	ck_assert_str_eq(got.format, "");
	free(got.path);
	assert_ok(q2si_name_literal(bytes_of("nbd:x", 5), "external data file", at, &got, &diag));
	ck_assert_str_eq(got.path, "nbd:x");
	free(got.path);
}
END_TEST

UNIT_MAIN("name", plain_names, protocols_are_no_files, names_in_json_of_local_files,
	  names_in_json_that_are_something_else, a_literal_name_is_not_understood_at_all)
