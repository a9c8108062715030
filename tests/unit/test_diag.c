/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors and diagnostics: what people read when something fails, and what it must never do. */
#include <errno.h>
#include <stdio.h>

#include "base/diag.h"
#include "base/text.h"
#include "unit.h"

static char line[512];

static const char *
shown(const struct q2s_diag *diag)
{
	q2s_diag_format(diag, line, sizeof(line));
	return line;
}

START_TEST(place_value_and_rule_are_shown)
{
	struct q2s_diag diag = { 0 };

	ck_assert_int_eq(q2si_fail(&diag, Q2S_E_OFFSET, "L2 entry", (q2s_host){ 0x50008 },
				   0x8000000000050200, "host offset not cluster-%s", "aligned"),
			 Q2S_E_OFFSET);
	ck_assert_int_eq(diag.err, Q2S_E_OFFSET);
	ck_assert_str_eq(shown(&diag), "L2 entry at host offset 0x50008: host offset not "
				       "cluster-aligned (found 0x8000000000050200)");
}
END_TEST

START_TEST(parts_that_are_not_there_are_left_out)
{
	struct q2s_diag no_value = { 0 }, no_place = { 0 }, start = { 0 }, nothing = { 0 };

	q2si_fail_at(&no_value, Q2S_E_MAGIC, "magic", (q2s_host){ 4 }, "not qcow2");
	ck_assert_str_eq(shown(&no_value), "magic at host offset 0x4: not qcow2");
	q2si_fail(&no_place, Q2S_E_LIMIT, "size", Q2S_NOWHERE, 7, "too big");
	ck_assert_str_eq(shown(&no_place), "size: too big (found 0x7)");
	q2si_fail(&start, Q2S_E_SHORT, "header", (q2s_host){ 0 }, 0, "empty");
	ck_assert_str_eq(shown(&start), "header at host offset 0x0: empty (found 0x0)");
	nothing.err = Q2S_E_CANCELLED;
	ck_assert_str_eq(shown(&nothing), "cancelled");
}
END_TEST

START_TEST(a_system_error_is_named)
{
	struct q2s_diag diag = { 0 }, memory = { 0 };

	ck_assert_int_eq(q2si_fail_errno(&diag, EIO, "L1 table", (q2s_host){ 0x30000 }, "read"),
			 Q2S_E_IO);
	ck_assert_int_eq(diag.sys_errno, EIO);
	ck_assert_str_eq(shown(&diag), "L1 table at host offset 0x30000: read: Input/output error");
	ck_assert_int_eq(q2si_fail_errno(&memory, ENOMEM, "cache", Q2S_NOWHERE, "mmap"),
			 Q2S_E_NOMEM);
}
END_TEST

START_TEST(the_first_failure_wins)
{
	struct q2s_diag diag = { 0 };

	q2si_fail(&diag, Q2S_E_OFFSET, "cause", Q2S_NOWHERE, 1, "first");
	ck_assert_int_eq(q2si_fail_nomem(&diag, "buffer"), Q2S_E_NOMEM);
	ck_assert_int_eq(q2si_fail_errno(&diag, EIO, "a", Q2S_NOWHERE, "b"), Q2S_E_IO);
	ck_assert_int_eq(q2si_fail_at(&diag, Q2S_E_DATA, "a", Q2S_NOWHERE, "b"), Q2S_E_DATA);
	ck_assert_int_eq(diag.err, Q2S_E_OFFSET);
	ck_assert_int_eq(diag.sys_errno, 0);
	ck_assert_str_eq(shown(&diag), "cause: first (found 0x1)");
}
END_TEST

START_TEST(nobody_has_to_listen)
{
	ck_assert_int_eq(q2si_fail(NULL, Q2S_E_DATA, "a", Q2S_NOWHERE, 0, "b"), Q2S_E_DATA);
	ck_assert_int_eq(q2si_fail_at(NULL, Q2S_E_DATA, "a", Q2S_NOWHERE, "b"), Q2S_E_DATA);
	ck_assert_int_eq(q2si_fail_errno(NULL, EIO, "a", Q2S_NOWHERE, "b"), Q2S_E_IO);
	ck_assert_int_eq(q2si_fail_nomem(NULL, "a"), Q2S_E_NOMEM);
	ck_assert_int_eq(q2si_in_file(NULL, Q2S_E_DATA, "a"), Q2S_E_DATA);
}
END_TEST

START_TEST(the_innermost_file_is_named)
{
	struct q2s_diag diag = { 0 }, fine = { 0 };

	q2si_fail_nomem(&diag, "buffer");
	ck_assert_int_eq(q2si_in_file(&diag, Q2S_E_NOMEM, "base.qcow2"), Q2S_E_NOMEM);
	q2si_in_file(&diag, Q2S_E_NOMEM, "overlay.qcow2");
	ck_assert_str_eq(diag.file, "base.qcow2");
	q2si_in_file(&fine, Q2S_OK, "base.qcow2");
	ck_assert_str_eq(fine.file, "");
}
END_TEST

START_TEST(what_could_steer_a_terminal_is_escaped)
{
	static const struct {
		const char *text, *shown;
	} rows[] = {
		{ "plain", "x: plain" },
		{ "\x1b[2J\n\t\x7f", "x: \\x1b[2J\\x0a\\x09\\x7f" },
		{ "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
		  "x: gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "\xc2\x9b", "x: \\xc2\\x9b" },                 /* C1: CSI in one character */
		{ "\x9b" "31m", "x: \\x9b31m" },                 /* not UTF-8 */
		{ "\xc0\x8a", "x: \\xc0\\x8a" },                 /* an overlong newline */
		{ "\xe0\x80\x8a", "x: \\xe0\\x80\\x8a" },        /* the same in three bytes */
		{ "\xed\xa0\x80", "x: \\xed\\xa0\\x80" },        /* a surrogate */
		{ "\xf4\x90\x80\x80", "x: \\xf4\\x90\\x80\\x80" }, /* beyond U+10FFFF */
		{ "\xf5\x80\x80\x80", "x: \\xf5\\x80\\x80\\x80" },
		{ "\xc1\xbf", "x: \\xc1\\xbf" },                 /* overlong to the edge */
		{ "\xe0\x9f\xbf", "x: \\xe0\\x9f\\xbf" },
		{ "\xf0\x8f\xbf\xbf", "x: \\xf0\\x8f\\xbf\\xbf" },
		{ "cut\xe2\x82", "x: cut\\xe2\\x82" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct q2s_diag diag = { 0 };

		q2si_fail_at(&diag, Q2S_E_POLICY, "x", Q2S_NOWHERE, "%s", rows[i].text);
		ck_assert_str_eq(shown(&diag), rows[i].shown);
	}
}
END_TEST

/* As RFC 3629 says, also for the numbers that it forbids. */
static void
encode_utf8(uint32_t code, char *out)
{
	const unsigned more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
	static const uint8_t leads[] = { 0, 0xc0, 0xe0, 0xf0 };

	for (unsigned i = more; i > 0; i--, code >>= 6)
		out[i] = (char)(0x80 | (code & 0x3f));
	out[0] = (char)(leads[more] | code);
	out[more + 1] = '\0';
}

static void
escape_all(const char *bytes, char *out)
{
	for (; *bytes; bytes++)
		out += sprintf(out, "\\x%02x", (uint8_t)*bytes);
}

START_TEST(each_character_is_shown_or_escaped)
{
	for (uint32_t code = 1; code < 0x140000; code++) {
		const bool control = code < 0x20 || (code >= 0x7f && code <= 0x9f);
		const bool surrogate = code >= 0xd800 && code <= 0xdfff;
		char bytes[5], expected[32], out[32];
		struct q2si_text text = q2si_text_init(out, sizeof(out));

		encode_utf8(code, bytes);
		if (control || surrogate || code > 0x10ffff)
			escape_all(bytes, expected);
		else
			strcpy(expected, bytes);
		if (out[0] != '\0')
			ck_abort_msg("a new text is not empty");
		q2si_text_add_escaped(&text, bytes);
		if (strcmp(out, expected) != 0) /* an assert a character would take seconds */
			ck_abort_msg("U+%04X: %s", code, out);
	}
}
END_TEST

START_TEST(no_buffer_is_overrun)
{
	struct q2s_diag diag = { .sys_errno = 0 };
	char whole[512], buf[512];

	q2si_fail(&diag, Q2S_E_DATA, "w\n", (q2s_host){ 0xabc }, 0xdef, "\x01t\xc3\xbc");
	diag.sys_errno = EIO;
	q2s_diag_format(&diag, whole, sizeof(whole));
	for (size_t size = 0; size <= strlen(whole) + 1; size++) {
		memset(buf, '#', sizeof(buf));
		q2s_diag_format(&diag, buf, size);
		ck_assert_int_eq(buf[size], '#');
		if (size > 0)
			ck_assert_uint_lt(strlen(buf), size);
	}
	ck_assert_str_eq(buf, whole);
	q2s_diag_format(&diag, NULL, 0);
}
END_TEST

START_TEST(long_words_are_cut_not_overrun)
{
	struct q2s_diag diag = { 0 };
	char name[2000];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	q2si_fail_at(&diag, Q2S_E_POLICY, name, Q2S_NOWHERE, "%s", name);
	q2si_in_file(&diag, Q2S_E_POLICY, name);
	ck_assert_uint_eq(strlen(diag.what), Q2S_DIAG_WHAT - 1);
	ck_assert_uint_eq(strlen(diag.text), Q2S_DIAG_TEXT - 1);
	ck_assert_uint_eq(strlen(diag.file), Q2S_DIAG_FILE - 1);
}
END_TEST

/* Room for more than there will be: a number that is no code is "unknown". */
#define CODES 1000

static bool
is_code(unsigned err)
{
	return strcmp(q2s_err_name((enum q2s_err)err), "unknown") != 0;
}

START_TEST(each_code_has_its_own_name)
{
	unsigned seen = 0;

	for (unsigned a = 0; a < CODES; a++) {
		const char *name = q2s_err_name((enum q2s_err)a);

		ck_assert_uint_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name));
		for (unsigned b = 0; b < a && is_code(a); b++)
			ck_assert_str_ne(name, q2s_err_name((enum q2s_err)b));
		seen += is_code(a);
	}
	ck_assert_uint_eq(seen, 32);
	ck_assert_str_eq(q2s_err_name(Q2S_E_SUBCLUSTER), "subcluster");
	ck_assert_str_eq(q2s_err_name(Q2S_E_ZERO_FLAG), "zero-flag");
	ck_assert_str_eq(q2s_err_name((enum q2s_err)CODES), "unknown");
}
END_TEST

/* The hundreds of a code are its class; within it codes follow each other, as base.h lists them. */
START_TEST(each_code_has_its_class)
{
	static const struct {
		enum q2s_err last;
		enum q2s_err_class class;
	} classes[] = {
		{ Q2S_OK, Q2S_CLASS_OK },
		{ Q2S_E_EXISTS, Q2S_CLASS_USAGE },
		{ Q2S_E_BUSY, Q2S_CLASS_IO },
		{ Q2S_E_KEY, Q2S_CLASS_UNSUPPORTED },
		{ Q2S_E_OVERFLOW, Q2S_CLASS_LIMIT },
		{ Q2S_E_CRYPTO, Q2S_CLASS_CORRUPT },
	};

	for (unsigned err = 0; err < CODES; err++) {
		const bool within = err / 100 < COUNT(classes) &&
				    err <= (unsigned)classes[err / 100].last;

		ck_assert_msg(is_code(err) == within, "%u", err);
		if (within)
			ck_assert_int_eq(q2s_err_class((enum q2s_err)err),
					 classes[err / 100].class);
	}
}
END_TEST

UNIT_MAIN("diag", place_value_and_rule_are_shown, parts_that_are_not_there_are_left_out,
	  a_system_error_is_named, the_first_failure_wins, nobody_has_to_listen,
	  the_innermost_file_is_named, what_could_steer_a_terminal_is_escaped,
	  each_character_is_shown_or_escaped,
	  no_buffer_is_overrun, long_words_are_cut_not_overrun, each_code_has_its_own_name,
	  each_code_has_its_class)
