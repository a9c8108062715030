/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of findings and the page that explains them say the same. */
#include <ctype.h>
#include <stdio.h>

#include "check/findings.h"
#include "unit.h"

static char page[256 << 10];

static void
load_page(void)
{
	const char *src = getenv("Q2S_SRC");
	char path[4096];
	FILE *file;

	ck_assert_msg(src != NULL, "run tests through make check or ./run");
	snprintf(path, sizeof(path), "%s/doc/findings", src);
	file = fopen(path, "r");
	ck_assert_msg(file != NULL, "%s", path);
	page[fread(page, 1, sizeof(page) - 1, file)] = '\0';
	fclose(file);
}

/* The paragraph that starts with "ID  SEVERITY", with its blanks and line ends made one blank. */
static const char *
entry(const char *id, const char *severity, char *out, size_t size)
{
	char head[128];
	const char *at, *end;
	size_t len = 0;

	snprintf(head, sizeof(head), "\n%s  %s\n    ", id, severity);
	at = strstr(page, head);
	ck_assert_msg(at != NULL, "doc/findings has no '%s  %s'", id, severity);
	end = strstr(at + 1, "\n\n");
	ck_assert_ptr_nonnull(end);
	for (at += strlen(head); at < end && len + 1 < size; at++)
		if (!isspace((unsigned char)*at))
			out[len++] = *at;
		else if (len && out[len - 1] != ' ')
			out[len++] = ' ';
	out[len] = '\0';
	return out;
}

START_TEST(each_is_explained)
{
	static const char *const severities[] = {
		[Q2S_SEVERITY_CORRUPTION] = "corruption",
		[Q2S_SEVERITY_LEAK] = "leak",
		[Q2S_SEVERITY_NOTE] = "note",
		[Q2S_SEVERITY_UNREADABLE] = "unreadable",
	};

	load_page();
	for (size_t i = 0; i < Q2SI_FINDINGS; i++) {
		const struct q2si_finding_kind *kind = &q2si_finding_kinds[i];
		char text[4096];

		entry(kind->id, severities[kind->severity], text, sizeof(text));
		/* It begins with what the tool prints, but for a capital letter. */
		ck_assert_int_eq(tolower((unsigned char)text[0]),
				 tolower((unsigned char)kind->text[0]));
		ck_assert_msg(strncmp(text + 1, kind->text + 1, strlen(kind->text) - 1) == 0,
			      "%s: '%s'", kind->id, text);
	}
}
END_TEST

/* A line of the page that starts an entry. */
static bool
is_entry(const char *line)
{
	const size_t id = strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return id > 0 && strncmp(line + id, "  ", 2) == 0 && isalpha((unsigned char)line[id + 2]);
}

START_TEST(nothing_else_is_explained)
{
	size_t entries = 0;

	load_page();
	for (const char *line = page; line; line = strchr(line, '\n'))
		entries += is_entry(line += *line == '\n');
	ck_assert_uint_eq(entries, Q2SI_FINDINGS);
}
END_TEST

START_TEST(ids_are_stable_words)
{
	for (size_t i = 0; i < Q2SI_FINDINGS; i++) {
		const char *id = q2si_finding_kinds[i].id;

		ck_assert_uint_eq(strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(id));
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(id, q2si_finding_kinds[j].id);
	}
}
END_TEST

UNIT_MAIN("findings", each_is_explained, nothing_else_is_explained, ids_are_stable_words)
