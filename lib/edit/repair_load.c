/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading a plan that a person may have edited: every word is looked at. */
#include "edit/repair.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/diag.h"

#define TEXT_MAX (UINT64_C(1) << 31)

/* @line: the rest of the line under way; @number: which it is. */
struct text_reader {
	struct q2s_repair *repair;
	struct q2s_diag *diag;
	char *next;
	char *line;
	uint64_t number;
	bool in_step; /* what is indented belongs to a step that counts */
	bool struck;
	bool ended;
};

static enum q2s_err
wrong(struct text_reader *reader, const char *why)
{
	return q2si_fail(reader->diag, Q2S_E_PLAN, "repair plan", Q2S_NOWHERE, reader->number,
			 "line %" PRIu64 ": %s", reader->number, why);
}

/* ---- words --------------------------------------------------------------------------------- */

static char *
word(struct text_reader *reader)
{
	char *start = reader->line + strspn(reader->line, " \t\r");

	if (!*start)
		return NULL;
	reader->line = start + strcspn(start, " \t\r");
	if (*reader->line)
		*reader->line++ = '\0';
	return start;
}

static enum q2s_err
expect(struct text_reader *reader, const char *what)
{
	const char *got = word(reader);

	return got && strcmp(got, what) == 0 ? Q2S_OK : wrong(reader, "not as it was written");
}

static enum q2s_err
number(struct text_reader *reader, const char *name, unsigned base, uint64_t *out)
{
	const char *got;
	char *end;

	if (name)
		Q2SI_TRY(expect(reader, name));
	got = word(reader);
	if (!got || *got == '-' || *got == '+')
		return wrong(reader, "a number is missing");
	*out = strtoull(got, &end, (int)base);
	return *end ? wrong(reader, "not a number") : Q2S_OK;
}

static enum q2s_err
line_end(struct text_reader *reader)
{
	return word(reader) ? wrong(reader, "more words than there should be") : Q2S_OK;
}

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum q2s_err
hex(struct text_reader *reader, const char *from, uint8_t *to, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const int high = digit(from[2 * i]), low = high < 0 ? -1 : digit(from[2 * i + 1]);

		if (low < 0)
			return wrong(reader, "not bytes in hexadecimal");
		to[i] = (uint8_t)(high << 4 | low);
	}
	return Q2S_OK;
}

/* ---- changes ------------------------------------------------------------------------------- */

static enum q2s_err
read_stage(struct text_reader *reader, struct q2si_change *change)
{
	const char *got = word(reader);

	for (int i = 0; got && i < Q2SI_STAGES; i++)
		if (strcmp(got, q2si_stage_names[i]) == 0) {
			change->stage = (enum q2si_stage)i;
			return Q2S_OK;
		}
	return wrong(reader, "not a stage");
}

/* Nothing that a plan writes is behind the end that it says there will be. */
static enum q2s_err
check_range(struct text_reader *reader, uint64_t at, uint64_t len)
{
	if (len == 0 || at > reader->repair->new_length || len > reader->repair->new_length - at)
		return wrong(reader, "behind the end of the image");
	return Q2S_OK;
}

static enum q2s_err
read_bytes(struct text_reader *reader, struct q2si_change *change)
{
	const char *was, *is;
	uint8_t *old;
	enum q2s_err err;

	Q2SI_TRY(number(reader, "at", 0, &change->at));
	Q2SI_TRY(expect(reader, "old"));
	was = word(reader);
	Q2SI_TRY(expect(reader, "new"));
	is = word(reader);
	if (!was || !is || strlen(was) != strlen(is) || strlen(was) % 2)
		return wrong(reader, "old and new bytes are not of one length");
	change->len = strlen(was) / 2;
	Q2SI_TRY(check_range(reader, change->at, change->len));
	Q2SI_TRY(line_end(reader));
	old = q2si_change_room(change);
	if (!old)
		return q2si_fail_nomem(reader->diag, "repair plan");
	err = hex(reader, was, old, change->len);
	if (err == Q2S_OK)
		err = hex(reader, is, old + change->len, change->len);
	if (err == Q2S_OK)
		err = q2si_change_add(reader->repair, change, reader->diag);
	if (err != Q2S_OK && change->len > Q2SI_CHANGE_SMALL)
		free(change->large);
	return err;
}

static enum q2s_err
read_counts(struct text_reader *reader, struct q2si_change *change)
{
	const struct q2s_repair *repair = reader->repair;
	const uint64_t entries = (UINT64_C(8) << repair->cluster_bits) >> repair->refcount_order;
	const uint64_t max = UINT64_MAX >> (64 - (1u << repair->refcount_order));

	Q2SI_TRY(number(reader, "block", 0, &change->at));
	Q2SI_TRY(number(reader, "index", 0, &change->from));
	Q2SI_TRY(number(reader, "number", 0, &change->len));
	Q2SI_TRY(number(reader, "old", 0, &change->old));
	Q2SI_TRY(number(reader, "new", 0, &change->fresh));
	if (change->len == 0 || change->from >= entries || change->len > entries - change->from ||
	    change->old > max || change->fresh > max)
		return wrong(reader, "no such counts are in a refcount block");
	if (!q2si_is_aligned(change->at, UINT64_C(1) << repair->cluster_bits))
		return wrong(reader, "a refcount block is not cluster-aligned");
	Q2SI_TRY(check_range(reader, change->at, 1));
	Q2SI_TRY(line_end(reader));
	return q2si_change_add(reader->repair, change, reader->diag);
}

static enum q2s_err
read_new(struct text_reader *reader, struct q2si_change *change)
{
	const bool copy = change->kind == Q2SI_CHANGE_COPY;

	Q2SI_TRY(number(reader, copy ? "to" : "at", 0, &change->at));
	if (copy)
		Q2SI_TRY(number(reader, "from", 0, &change->from));
	Q2SI_TRY(number(reader, "length", 0, &change->len));
	Q2SI_TRY(check_range(reader, change->at, change->len));
	if (copy)
		Q2SI_TRY(check_range(reader, change->from, change->len));
	if (change->stage != Q2SI_STAGE_FILL)
		return wrong(reader, "new clusters come first");
	Q2SI_TRY(line_end(reader));
	return q2si_change_add(reader->repair, change, reader->diag);
}

/* ---- lines --------------------------------------------------------------------------------- */

static enum q2s_err
read_step(struct text_reader *reader)
{
	struct q2si_step step = { .structure = "", .why = "", .loss = "" };
	uint64_t which;

	Q2SI_TRY(number(reader, NULL, 10, &which));
	step.id = word(reader);
	if (!step.id)
		return wrong(reader, "a step without the id of a finding");
	Q2SI_TRY(line_end(reader));
	reader->in_step = true;
	reader->struck = false;
	return q2si_step_begin(reader->repair, &step, reader->diag);
}

static bool
is_one_of(const char *got, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(got, *words) == 0)
			return true;
	return false;
}

static enum q2s_err
read_in_step(struct text_reader *reader, const char *first)
{
	static const char *const for_people[] = { "where", "why", "also", "kept", "may",
						  "loss", "sure", "proof", NULL };
	static const char *const kinds[] = { "bytes", "counts", "copy", "zero" };
	struct q2si_change change = { 0 };

	if (is_one_of(first, for_people))
		return Q2S_OK;
	for (int kind = 0; kind < 4; kind++) {
		if (strcmp(first, kinds[kind]) != 0)
			continue;
		change.kind = (enum q2si_change_kind)kind;
		Q2SI_TRY(read_stage(reader, &change));
		if (change.kind == Q2SI_CHANGE_BYTES)
			return read_bytes(reader, &change);
		return change.kind == Q2SI_CHANGE_COUNTS ? read_counts(reader, &change)
							 : read_new(reader, &change);
	}
	return wrong(reader, "not a line of a step");
}

/* A step's first line behind a # strikes it out. */
static void
read_comment(struct text_reader *reader)
{
	const char *first;

	reader->line += strspn(reader->line, "# \t");
	first = word(reader);
	if (first && strcmp(first, "step") == 0)
		reader->struck = true;
}

static enum q2s_err
read_line(struct text_reader *reader)
{
	const bool indented = reader->line[0] == ' ' || reader->line[0] == '\t';
	const char *first;

	if (reader->line[0] == '#') {
		read_comment(reader);
		return Q2S_OK;
	}
	first = word(reader);
	if (!first || (indented && reader->struck))
		return Q2S_OK;
	if (reader->ended)
		return wrong(reader, "something follows the end");
	if (strcmp(first, "step") == 0)
		return read_step(reader);
	if (strcmp(first, "end") == 0) {
		reader->ended = true;
		return line_end(reader);
	}
	if (!indented || !reader->in_step)
		return wrong(reader, "not a line of a plan");
	return read_in_step(reader, first);
}

static bool
next_line(struct text_reader *reader)
{
	char *end;

	if (!*reader->next)
		return false;
	reader->line = reader->next;
	end = strchr(reader->line, '\n');
	reader->next = end ? end + 1 : reader->line + strlen(reader->line);
	if (end)
		*end = '\0';
	reader->number++;
	return true;
}

/* ---- the head ------------------------------------------------------------------------------ */

static enum q2s_err
head_line(struct text_reader *reader, const char *first)
{
	do {
		if (!next_line(reader))
			return wrong(reader, "the plan ends before its first step");
	} while (reader->line[0] == '#');
	return expect(reader, first);
}

static enum q2s_err
read_head(struct text_reader *reader)
{
	struct q2s_repair *repair = reader->repair;
	uint64_t version, bits, order;

	Q2SI_TRY(head_line(reader, "q2s-repair-plan"));
	Q2SI_TRY(number(reader, NULL, 10, &version));
	if (version != 1)
		return wrong(reader, "a plan of another version");
	Q2SI_TRY(head_line(reader, "length"));
	Q2SI_TRY(number(reader, "old", 0, &repair->old_length));
	Q2SI_TRY(number(reader, "new", 0, &repair->new_length));
	if (repair->new_length < repair->old_length || repair->new_length > INT64_MAX)
		return wrong(reader, "no such lengths");
	Q2SI_TRY(head_line(reader, "clusters"));
	Q2SI_TRY(number(reader, "bits", 10, &bits));
	Q2SI_TRY(number(reader, "refcount-order", 10, &order));
	if (bits < Q2S_CLUSTER_BITS_MIN || bits > Q2S_CLUSTER_BITS_MAX ||
	    order > Q2S_REFCOUNT_ORDER_MAX)
		return wrong(reader, "no such clusters or refcounts");
	repair->cluster_bits = (uint32_t)bits;
	repair->refcount_order = (uint32_t)order;
	Q2SI_TRY(head_line(reader, "digest"));
	Q2SI_TRY(number(reader, NULL, 16, &repair->digest));
	Q2SI_TRY(head_line(reader, "steps"));
	return number(reader, NULL, 10, &repair->total);
}

static enum q2s_err
read_all(struct text_reader *reader)
{
	Q2SI_TRY(read_head(reader));
	while (next_line(reader))
		Q2SI_TRY(read_line(reader));
	if (!reader->ended)
		return wrong(reader, "the plan is cut off: it does not end with 'end'");
	q2si_step_end(reader->repair);
	return Q2S_OK;
}

enum q2s_err
q2s_repair_load(struct q2s_store *text, struct q2s_repair **out, struct q2s_diag *diag)
{
	const uint64_t size = q2s_store_size(text);
	struct text_reader reader = { .diag = diag };
	enum q2s_err err;

	if (size > TEXT_MAX)
		return q2si_fail(diag, Q2S_E_PLAN, "repair plan", Q2S_NOWHERE, size,
				 "larger than any plan");
	reader.repair = calloc(1, sizeof(*reader.repair));
	if (!reader.repair)
		return q2si_fail_nomem(diag, "repair plan");
	reader.repair->arena = reader.next = malloc(q2si_size(size + 1));
	err = reader.next ? q2s_store_read(text, 0, reader.next, size, diag)
			  : q2si_fail_nomem(diag, "repair plan");
	if (err == Q2S_OK) {
		reader.next[size] = '\0';
		err = read_all(&reader);
	}
	if (err == Q2S_OK)
		*out = reader.repair;
	else
		q2s_repair_free(reader.repair);
	return err;
}
