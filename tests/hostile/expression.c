/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The small language of damage: "FIELD = EXPRESSION".
 *
 * An expression is terms joined by + - * / | (from left to right, all alike). A term is a number
 * (0x.. or decimal, with k M G T P), `old` (the field's value until now), `i` (the round of
 * `repeat`), `cluster` (the cluster size), #N (host cluster N), or @PLACE, the host offset of a
 * structure.
 */
#include "model.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "place.h"

static void
skip_blanks(const char **text)
{
	while (isblank((unsigned char)**text))
		(*text)++;
}

static uint64_t
number(const char **text)
{
	static const char units[] = "kMGTPE";
	char *end;
	uint64_t value = strtoull(*text, &end, 0);
	const char *unit;

	if (end == *text)
		die("a number is missing before '%s'", *text);
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		value <<= 10 * (unit - units + 1);
		end++;
	}
	*text = end;
	return value;
}

static bool
take_word(const char **text, const char *word)
{
	const size_t len = strlen(word);

	if (strncmp(*text, word, len) != 0 || isalnum((unsigned char)(*text)[len]))
		return false;
	*text += len;
	return true;
}

static uint64_t
term(struct model *model, const char **text, uint64_t old)
{
	skip_blanks(text);
	if (take_word(text, "old"))
		return old;
	if (take_word(text, "i"))
		return model->round;
	if (take_word(text, "cluster"))
		return model->geom.cluster_size;
	if (**text == '#') {
		(*text)++;
		return number(text) << model->geom.cluster_bits;
	}
	if (**text == '@') {
		(*text)++;
		return place_offset(model, text);
	}
	return number(text);
}

static uint64_t
divisor(uint64_t value)
{
	if (value == 0)
		die("division by 0");
	return value;
}

uint64_t
expression(struct model *model, const char **text, uint64_t old)
{
	uint64_t value = term(model, text, old);

	for (;;) {
		skip_blanks(text);
		switch (**text) {
		case '+':
			(*text)++;
			value += term(model, text, old);
			break;
		case '-':
			(*text)++;
			value -= term(model, text, old);
			break;
		case '*':
			(*text)++;
			value *= term(model, text, old);
			break;
		case '/':
			(*text)++;
			value /= divisor(term(model, text, old));
			break;
		case '|':
			(*text)++;
			value |= term(model, text, old);
			break;
		default:
			return value;
		}
	}
}

static uint64_t
load(const uint8_t *raw, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value = value << 8 | raw[i];
	return value;
}

static void
store(uint8_t *raw, unsigned bytes, uint64_t value)
{
	for (unsigned i = bytes; i > 0; i--, value >>= 8)
		raw[i - 1] = (uint8_t)value;
}

/* Replace the field's bits of the big-endian number at @field->at. */
static void
assign_bits(struct model *model, const struct field *field, const char **text)
{
	uint8_t *raw = model_at(model, field->at, field->bytes);
	const uint64_t whole = load(raw, field->bytes);
	const uint64_t old = (whole & field->mask) >> field->shift;
	const uint64_t value = expression(model, text, old);

	if (value << field->shift & ~field->mask || value << field->shift >> field->shift != value)
		die("0x%llx does not fit into the field", (unsigned long long)value);
	store(raw, field->bytes, (whole & ~field->mask) | value << field->shift);
}

static void
assign_refcount(struct model *model, const struct field *field, const char **text)
{
	const struct q2s_geom *geom = &model->geom;
	uint8_t *block = model_at(model, field->at, geom->cluster_size);
	const uint64_t old = q2s_refcount_get(geom, block, field->index);
	struct q2s_diag diag = { 0 };

	must(q2s_refcount_set(geom, block, field->index, expression(model, text, old), &diag),
	     &diag);
}

void
assignment(struct model *model, const char *text)
{
	struct field field;

	model_finish(model);
	skip_blanks(&text);
	field = place_field(model, &text);
	skip_blanks(&text);
	if (*text++ != '=')
		die("'=' is missing");
	if (field.is_refcount)
		assign_refcount(model, &field, &text);
	else
		assign_bits(model, &field, &text);
	skip_blanks(&text);
	if (*text)
		die("'%s' behind the value", text);
}
