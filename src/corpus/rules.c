/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading doc/rules: "ID  STRUCTURE", then indented lines, of which the first names the section
 * ("in: SECTION") and the others are the rule. A line that is not indented ends it.
 */
#include "corpus/rules.h"

#include <stdio.h>
#include <string.h>

#include "corpus/test_image.h"

static const char *
next_line(const char *line)
{
	const char *const end = strchr(line, '\n');

	return end ? end + 1 : line + strlen(line);
}

static void
copy_line(char *out, size_t size, const char *line)
{
	snprintf(out, size, "%.*s", (int)strcspn(line, "\n"), line);
}

/* The line behind "ID  ", or NULL. */
static const char *
find_head(const char *id)
{
	const size_t len = strlen(id);

	for (const char *line = test_image_rules; *line; line = next_line(line))
		if (strncmp(line, id, len) == 0 && strncmp(line + len, "  ", 2) == 0)
			return line + len + 2;
	return NULL;
}

bool
test_image_rule(const char *id, struct test_image_rule *out)
{
	static const char in[] = "    in: ";
	const char *line = find_head(id);
	size_t used = 0;

	*out = (struct test_image_rule){ 0 };
	if (!line)
		return false;
	copy_line(out->structure, sizeof(out->structure), line);
	line = next_line(line);
	if (strncmp(line, in, sizeof(in) - 1) != 0)
		return false;
	copy_line(out->section, sizeof(out->section), line + sizeof(in) - 1);
	for (line = next_line(line); *line == ' '; line = next_line(line)) {
		const char *const words = line + strspn(line, " ");

		if (used && used + 1 < sizeof(out->text))
			out->text[used++] = ' ';
		copy_line(out->text + used, sizeof(out->text) - used, words);
		used += strlen(out->text + used);
	}
	return used > 0;
}
