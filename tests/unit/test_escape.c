/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What reaches a terminal: text as it is, everything that could steer it as \xNN. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/utf8.h"

#define BYTES(text) text, sizeof(text) - 1

static const struct {
	const char *data;
	size_t len;
	const char *shown;
} cases[] = {
	{ BYTES(""), "" },
	{ BYTES("plain name.qcow2"), "plain name.qcow2" },
	{ BYTES("h\xc3\xb6he \xe2\x82\xac \xf0\x9f\x98\x80"),
	  "h\xc3\xb6he \xe2\x82\xac \xf0\x9f\x98\x80" },
	{ BYTES("\x1b[31mred\x07\x7f"), "\\x1b[31mred\\x07\\x7f" },
	{ BYTES("a\0b"), "a\\x00b" },
	{ BYTES("two\nlines\t\r"), "two\\x0alines\\x09\\x0d" },
	{ BYTES("\xc2\x9b"
		"31m"),
	  "\\xc2\\x9b31m" }, /* C1: CSI */
	{ BYTES("\xe2\x80\xae"
		"txt"),
	  "\\xe2\\x80\\xaetxt" },                     /* right-to-left override */
	{ BYTES("\xe2\x80\xa8"), "\\xe2\\x80\\xa8" }, /* line separator */
	{ BYTES("\xff\xfe"), "\\xff\\xfe" },
	{ BYTES("\x80"), "\\x80" },
	{ BYTES("\xc3"), "\\xc3" }, /* cut */
	{ BYTES("\xc3("), "\\xc3(" },
	{ BYTES("\xc0\xaf"), "\\xc0\\xaf" }, /* overlong */
	{ BYTES("\xe0\x80\xaf"), "\\xe0\\x80\\xaf" },
	{ BYTES("\xed\xa0\x80"), "\\xed\\xa0\\x80" },          /* surrogate */
	{ BYTES("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80" }, /* past U+10FFFF */
	{ BYTES("\xf8\x88\x80\x80\x80"), "\\xf8\\x88\\x80\\x80\\x80" },
};

START_TEST(bytes_are_escaped)
{
	char *const shown = escape_bytes(cases[_i].data, cases[_i].len);

	ck_assert_str_eq(shown, cases[_i].shown);
	free(shown);
}
END_TEST

START_TEST(printing_agrees)
{
	char *text = NULL;
	size_t size = 0;
	FILE *const out = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(out);
	escape_print(out, cases[_i].data, cases[_i].len);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_str_eq(text, cases[_i].shown);
	free(text);
}
END_TEST

/* The encoding of @code, by the table of RFC 3629. */
static size_t
encode(uint32_t code, uint8_t raw[4])
{
	const size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	for (size_t i = len; i-- > 1;)
		raw[i] = (uint8_t)(0x80 | (code >> 6 * (len - 1 - i) & 0x3f));
	raw[0] = (uint8_t)(len == 1 ? code : 0xf00u >> len | code >> 6 * (len - 1));
	return len;
}

/* Decoded as itself from all of its bytes, and not at all from fewer? */
static bool
decodes(uint32_t code)
{
	uint8_t raw[4];
	uint32_t got = 0;
	const size_t len = encode(code, raw);

	if (utf8_decode(raw, len, &got) != len || got != code)
		return false;
	return len == 1 || utf8_decode(raw, len - 1, &got) == 0;
}

START_TEST(every_code_point_decodes_to_itself)
{
	for (uint32_t code = 0; code <= 0x10ffff; code++)
		if (decodes(code) == (code >= 0xd800 && code <= 0xdfff))
			ck_abort_msg("U+%04x", code);
}
END_TEST

int
main(void)
{
	const int count = (int)(sizeof(cases) / sizeof(cases[0]));
	Suite *suite = suite_create("escape");
	TCase *tcase = tcase_create("escape");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_loop_test(tcase, bytes_are_escaped, 0, count);
	tcase_add_loop_test(tcase, printing_agrees, 0, count);
	tcase_add_test(tcase, every_code_point_decodes_to_itself);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
