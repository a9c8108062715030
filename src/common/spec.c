/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parsing SPECs. Whether a region fits the image is judged elsewhere. */
#include "common/spec.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/size.h"

static const struct {
	const char *name;
	bool takes_arg;
} kinds[] = {
	[REGION_DATA] = { "data", true },
	[REGION_ZERO] = { "zero", false },
	[REGION_DISCARD] = { "discard", false },
	[REGION_ZERO_ALLOC] = { "zero-alloc", false },
	[REGION_COMPRESSED] = { "compressed", true },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

const char *
region_kind_name(enum region_kind kind)
{
	return kinds[kind].name;
}

enum q2s_err
spec_fault(struct q2s_diag *diag, enum q2s_err err, const struct region *region, const char *fmt,
	   ...)
{
	char what[Q2S_DIAG_WHAT], why[Q2S_DIAG_TEXT];
	va_list args;

	snprintf(what, sizeof(what), "%s", region->word);
	if (region->file)
		snprintf(what, sizeof(what), "%.40s, line %u", region->file, region->line);
	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	return fault(diag, err, what, "'%.100s' %s", region->text, why);
}

/* ---- one region -------------------------------------------------------------------------- */

static enum q2s_err
parse_kind(struct region *out, const char *name, struct q2s_diag *diag)
{
	for (size_t i = 0; i < KINDS; i++)
		if (strcmp(kinds[i].name, name) == 0) {
			out->kind = (enum region_kind)i;
			return Q2S_OK;
		}
	return spec_fault(diag, Q2S_E_USAGE, out,
			  "has no known kind; use data, zero, discard, zero-alloc or compressed");
}

static enum q2s_err
parse_size(const struct region *region, const char *what, const char *text, uint64_t *out,
	   struct q2s_diag *diag)
{
	const char *const wrong = size_parse(text, out);

	if (!wrong)
		return Q2S_OK;
	return spec_fault(diag, Q2S_E_USAGE, region, "has no valid %s: %s", what, wrong);
}

/* 0xNN, two digits: the value of each byte. Any other number: a seed. */
static enum q2s_err
parse_arg(struct region *out, const char *arg, struct q2s_diag *diag)
{
	const char *wrong;
	uint64_t value = 0;

	out->seeded = true;
	if (!arg)
		return Q2S_OK;
	if (!kinds[out->kind].takes_arg)
		return spec_fault(diag, Q2S_E_USAGE, out, "takes nothing after ':'");
	wrong = size_parse_number(arg, &value);
	if (wrong)
		return spec_fault(diag, Q2S_E_USAGE, out, "has no valid seed or byte 0xNN: %s",
				  wrong);
	out->seed = value;
	if (strlen(arg) == 4 && (strncmp(arg, "0x", 2) == 0 || strncmp(arg, "0X", 2) == 0)) {
		out->seeded = false;
		out->fill = (uint8_t)value;
	}
	return Q2S_OK;
}

/* Cut @words at the first @mark; what is behind it, or NULL. */
static char *
cut(char *words, char mark)
{
	char *const found = strchr(words, mark);

	if (!found)
		return NULL;
	*found = '\0';
	return found + 1;
}

/* @words is cut to pieces. */
static enum q2s_err
parse_region(struct region *out, char *words, struct q2s_diag *diag)
{
	char *const place = cut(words, '@');
	char *const arg = place ? cut(place, ':') : NULL;
	char *const len = place ? cut(place, '+') : NULL;
	enum q2s_err err;

	if (!len)
		return spec_fault(diag, Q2S_E_USAGE, out, "is not KIND@OFFSET+LENGTH[:ARG]");
	err = parse_kind(out, words, diag);
	if (err == Q2S_OK)
		err = parse_size(out, "offset", place, &out->start, diag);
	if (err == Q2S_OK)
		err = parse_size(out, "length", len, &out->len, diag);
	if (err == Q2S_OK)
		err = parse_arg(out, arg, diag);
	if (err == Q2S_OK && out->len == 0)
		err = spec_fault(diag, Q2S_E_USAGE, out, "is empty");
	if (err == Q2S_OK && out->start + out->len < out->start)
		err = spec_fault(diag, Q2S_E_USAGE, out, "ends beyond 64 bits");
	return err;
}

/* ---- lists ------------------------------------------------------------------------------- */

static const char *
word_of(const struct spec_list *list)
{
	return list->word ? list->word : "--write";
}

static struct region *
append(struct spec_list *list)
{
	if (list->count == list->room) {
		const size_t room = list->room ? 2 * list->room : 16;
		struct region *const items = reallocarray(list->items, room, sizeof(*items));

		if (!items)
			return NULL;
		list->items = items;
		list->room = room;
	}
	list->items[list->count] = (struct region){ 0 };
	return &list->items[list->count++];
}

static enum q2s_err
add_region(struct spec_list *list, char *words, const char *file, unsigned line,
	   struct q2s_diag *diag)
{
	struct region *const region = append(list);

	if (!region || !(region->text = strdup(words)))
		return fault_nomem(diag, word_of(list));
	region->word = word_of(list);
	region->file = file;
	region->line = line;
	return parse_region(region, words, diag);
}

/* @words is cut to pieces. */
static enum q2s_err
add_words(struct spec_list *list, char *words, const char *file, unsigned line,
	  struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	while (words && err == Q2S_OK) {
		char *const rest = cut(words, ',');

		err = add_region(list, words, file, line, diag);
		words = rest;
	}
	return err;
}

enum q2s_err
spec_add(struct spec_list *list, const char *text, struct q2s_diag *diag)
{
	char *const words = strdup(text);
	enum q2s_err err;

	if (!words)
		return fault_nomem(diag, word_of(list));
	err = add_words(list, words, NULL, 0, diag);
	free(words);
	return err;
}

/* A line without its comment, and without blanks around it. */
static char *
trim(char *line)
{
	static const char blanks[] = " \t\r\n";
	size_t len;

	line[strcspn(line, "#")] = '\0';
	line += strspn(line, blanks);
	for (len = strlen(line); len > 0 && strchr(blanks, line[len - 1]); len--)
		;
	line[len] = '\0';
	return line;
}

static enum q2s_err
add_lines(struct spec_list *list, FILE *file, const char *path, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;
	char *line = NULL;
	size_t room = 0;
	unsigned number = 0;

	while (err == Q2S_OK && getline(&line, &room, file) >= 0) {
		char *const words = trim(line);

		number++;
		if (*words)
			err = add_words(list, words, path, number, diag);
	}
	free(line);
	if (err == Q2S_OK && (ferror(file) || !feof(file)))
		err = fault_errno(diag, "--write-file", "cannot be read");
	return err;
}

enum q2s_err
spec_add_file(struct spec_list *list, const char *path, struct q2s_diag *diag)
{
	FILE *const file = fopen(path, "re");
	enum q2s_err err;

	if (!file)
		err = fault_errno(diag, "--write-file", "cannot be opened");
	else
		err = add_lines(list, file, path, diag);
	if (file)
		fclose(file);
	return fault_in(diag, err, path);
}

void
spec_free(struct spec_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].text);
	free(list->items);
	*list = (struct spec_list){ 0 };
}
