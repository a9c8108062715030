/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `report`: the page, which is page/page.html with the data in the place of its marker line. */
#include "inspect/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARKER "@DATA@\n"

/*
 * In JSON these characters stand in strings alone, where they can be written otherwise: so that no
 * word of an image ends the script element, or starts a comment in it.
 */
static int
put_safely(const char *text, size_t len, void *opaque)
{
	FILE *const out = opaque;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '<' || text[i] == '>' || text[i] == '&')
			fprintf(out, "\\u%04x", (unsigned)text[i]);
		else
			putc(text[i], out);
	}
	return ferror(out) ? -1 : 0;
}

static bool
put_page(FILE *out, const json_t *data)
{
	bool ok = true;

	for (const char *const *line = report_html; *line; line++) {
		if (strcmp(*line, MARKER) != 0) {
			fputs(*line, out);
			continue;
		}
		ok = json_dump_callback(data, put_safely, out, JSON_COMPACT | JSON_ENSURE_ASCII) ==
		     0;
		putc('\n', out);
	}
	return ok && !ferror(out);
}

char *
report_page(json_t *data, size_t *len)
{
	char *page = NULL;
	FILE *const out = data ? open_memstream(&page, len) : NULL;
	bool ok;

	if (!out) {
		json_decref(data);
		return NULL;
	}
	ok = put_page(out, data);
	json_decref(data);
	if (fclose(out) != 0 || !ok) {
		free(page);
		return NULL;
	}
	return page;
}
