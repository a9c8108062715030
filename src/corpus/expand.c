/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the lines of a corpus to single images: each value of each variable that a line uses. */
#include "corpus/expand.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <q2s/format.h>

#include "common/fault.h"
#include "common/size.h"

#define VARIABLES 16u
#define VALUES 64u
#define WORDS 64u
#define CLUSTER_DEFAULT (1u << Q2S_CLUSTER_BITS_DEFAULT)

/* @at: the value that stands for it now; @used: by this line. The words lie in @text. */
struct variable {
	const char *name;
	const char *values[VALUES];
	size_t count;
	size_t at;
	bool used;
};

struct expansion {
	struct variable variables[VARIABLES];
	size_t count;
	unsigned line;
	expand_image *image;
	void *opaque;
	struct q2s_diag *diag;
};

static enum q2s_err
wrong(const struct expansion *ex, const char *why, const char *word)
{
	return fault(ex->diag, Q2S_E_USAGE, "corpus", "line %u: %s '%.64s'", ex->line, why, word);
}

/* ---- words ------------------------------------------------------------------------------- */

/* Cut a line into words; how many there are, at most WORDS. */
static size_t
split(char *line, char *words[WORDS])
{
	size_t count = 0;
	char *rest = NULL;

	for (char *word = strtok_r(line, " \t", &rest); word && count < WORDS;
	     word = strtok_r(NULL, " \t", &rest))
		words[count++] = word;
	return count;
}

static enum q2s_err
define(struct expansion *ex, char **words, size_t count)
{
	struct variable *const variable = &ex->variables[ex->count];

	if (count < 2 || count - 1 > VALUES || ex->count == VARIABLES)
		return wrong(ex, "too few or too many values for", count ? words[0] : "");
	ex->count++;
	variable->name = words[0];
	variable->count = count - 1;
	for (size_t i = 1; i < count; i++)
		variable->values[i - 1] = words[i];
	return Q2S_OK;
}

/* ---- variables --------------------------------------------------------------------------- */

/* The variable at *@text, which is moved behind its name; the longest name counts. */
static struct variable *
variable_at(struct expansion *ex, const char **text)
{
	size_t len = 0;

	while (islower((unsigned char)(*text)[len]))
		len++;
	for (size_t i = 0; i < ex->count; i++)
		if (strlen(ex->variables[i].name) == len &&
		    strncmp(ex->variables[i].name, *text, len) == 0) {
			*text += len;
			return &ex->variables[i];
		}
	return NULL;
}

/* Replace each $NAME. */
static enum q2s_err
substitute(struct expansion *ex, const char *line, FILE *out)
{
	while (*line) {
		struct variable *variable;

		if (*line != '$') {
			fputc(*line++, out);
			continue;
		}
		line++;
		variable = variable_at(ex, &line);
		if (!variable)
			return wrong(ex, "no such variable:", line);
		variable->used = true;
		fputs(variable->values[variable->at], out);
	}
	return Q2S_OK;
}

/* Go on to the next combination of the variables that are used; false after the last one. */
static bool
advance(struct expansion *ex)
{
	for (size_t i = 0; i < ex->count; i++) {
		struct variable *const variable = &ex->variables[i];

		if (!variable->used)
			continue;
		if (++variable->at < variable->count)
			return true;
		variable->at = 0;
	}
	return false;
}

/* ---- clusters ---------------------------------------------------------------------------- */

static uint64_t
cluster_size(const char *line)
{
	static const char key[] = "cluster_size=";
	const char *const found = strstr(line, key);
	uint64_t size = CLUSTER_DEFAULT;
	char text[16];

	if (!found)
		return size;
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(found + sizeof(key) - 1, ", "),
		 found + sizeof(key) - 1);
	return size_parse(text, &size) ? CLUSTER_DEFAULT : size;
}

/* Replace each [N] and [N.M]. */
static enum q2s_err
measure(const struct expansion *ex, const char *line, FILE *out)
{
	const uint64_t size = cluster_size(line);

	while (*line) {
		uint64_t clusters, subs = 0;
		char *end;

		if (*line != '[') {
			fputc(*line++, out);
			continue;
		}
		clusters = strtoull(line + 1, &end, 10);
		if (*end == '.')
			subs = strtoull(end + 1, &end, 10);
		if (*end != ']')
			return wrong(ex, "no number of clusters:", line);
		fprintf(out, "%" PRIu64, clusters * size + subs * (size / Q2S_SUBCLUSTERS));
		line = end + 1;
	}
	return Q2S_OK;
}

/* ---- lines ------------------------------------------------------------------------------- */

/* Run one of the two replacements; the result is to be freed. */
static enum q2s_err
rewrite(struct expansion *ex, bool clusters, const char *line, char **out)
{
	size_t len = 0;
	FILE *file;
	enum q2s_err err;

	*out = NULL;
	file = open_memstream(out, &len);
	if (!file)
		return fault_nomem(ex->diag, "corpus");
	err = clusters ? measure(ex, line, file) : substitute(ex, line, file);
	if (fclose(file) != 0 && err == Q2S_OK)
		err = fault_nomem(ex->diag, "corpus");
	if (err != Q2S_OK) {
		free(*out);
		*out = NULL;
	}
	return err;
}

/* The name at the start of a line without "-$NAME". */
static void
kind_of(const char *line, char *out, size_t size)
{
	size_t len = 0;

	while (*line && *line != ' ' && len + 1 < size) {
		if (strncmp(line, "-$", 2) == 0) {
			line += 2;
			line += strspn(line, "abcdefghijklmnopqrstuvwxyz");
		} else {
			out[len++] = *line++;
		}
	}
	out[len] = '\0';
}

/* The image of the present values. */
static enum q2s_err
one_image(struct expansion *ex, const char *line)
{
	char *values = NULL, *sizes = NULL, *words[WORDS], kind[64];
	enum q2s_err err = rewrite(ex, false, line, &values);

	if (err == Q2S_OK)
		err = rewrite(ex, true, values, &sizes);
	if (err == Q2S_OK) {
		const size_t count = split(sizes, words);

		kind_of(line, kind, sizeof(kind));
		err = count > 1 && count < WORDS
			      ? ex->image(ex->opaque, kind, words, count, ex->diag)
			      : wrong(ex, "too few or too many words:", line);
	}
	free(values);
	free(sizes);
	return err;
}

static enum q2s_err
all_images(struct expansion *ex, const char *line)
{
	enum q2s_err err;

	for (size_t i = 0; i < ex->count; i++) {
		ex->variables[i].at = 0;
		ex->variables[i].used = false;
	}
	do {
		err = one_image(ex, line);
	} while (err == Q2S_OK && advance(ex));
	return err;
}

static enum q2s_err
one_line(struct expansion *ex, char *line)
{
	static const char let[] = "let ", image[] = "image ";
	char *words[WORDS];

	if (*line == '\0' || *line == '#')
		return Q2S_OK;
	if (strncmp(line, image, sizeof(image) - 1) == 0)
		return all_images(ex, line + sizeof(image) - 1);
	if (strncmp(line, let, sizeof(let) - 1) == 0)
		return define(ex, words, split(line + sizeof(let) - 1, words));
	return wrong(ex, "no statement:", line);
}

enum q2s_err
expand(const char *text, expand_image *image, void *opaque, struct q2s_diag *diag)
{
	struct expansion ex = { .image = image, .opaque = opaque, .diag = diag };
	char *const copy = strdup(text);
	enum q2s_err err = copy ? Q2S_OK : fault_nomem(diag, "corpus");
	char *next = copy;

	while (next && err == Q2S_OK) {
		char *const line = next;
		char *const end = strchr(line, '\n');

		next = end ? end + 1 : NULL;
		if (end)
			*end = '\0';
		ex.line++;
		err = one_line(&ex, line);
	}
	free(copy);
	return err;
}
