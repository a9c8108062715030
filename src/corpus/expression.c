/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The small language of damage: "FIELD = EXPRESSION".
 *
 * An expression is terms joined by + - * / | (from left to right, all alike). A term is a number
 * (0x.. or decimal, with k M G T P), `old` (the field's value until now), `i` (the round of
 * `repeat`), `cluster` (the cluster size), #N (host cluster N), or @PLACE, the host offset of a
 * structure.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "place.h"

static void
skip_blanks(const char **text)
{
	while (isblank((unsigned char)**text))
		(*text)++;
}

static enum q2s_err
number(struct model *model, const char **text, uint64_t *out)
{
	static const char units[] = "kMGTPE";
	char *end;
	const char *unit;

	*out = strtoull(*text, &end, 0);
	if (end == *text)
		return model_fail(model, "a number is missing before '%.64s'", *text);
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		*out <<= 10 * (unit - units + 1);
		end++;
	}
	*text = end;
	return Q2S_OK;
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

static enum q2s_err
term(struct model *model, const char **text, uint64_t old, uint64_t *out)
{
	enum q2s_err err;

	skip_blanks(text);
	if (take_word(text, "old")) {
		*out = old;
		return Q2S_OK;
	}
	if (take_word(text, "i")) {
		*out = model->round;
		return Q2S_OK;
	}
	if (take_word(text, "cluster")) {
		*out = model->geom.cluster_size;
		return Q2S_OK;
	}
	if (**text == '@') {
		(*text)++;
		return place_offset(model, text, out);
	}
	if (**text != '#')
		return number(model, text, out);
	(*text)++;
	err = number(model, text, out);
	*out <<= model->geom.cluster_bits;
	return err;
}

static enum q2s_err
apply(struct model *model, char sign, uint64_t *value, uint64_t operand)
{
	switch (sign) {
	case '+':
		*value += operand;
		break;
	case '-':
		*value -= operand;
		break;
	case '*':
		*value *= operand;
		break;
	case '|':
		*value |= operand;
		break;
	default:
		if (operand == 0)
			return model_fail(model, "division by 0");
		*value /= operand;
	}
	return Q2S_OK;
}

enum q2s_err
expression(struct model *model, const char **text, uint64_t old, uint64_t *out)
{
	enum q2s_err err = term(model, text, old, out);
	uint64_t operand;

	skip_blanks(text);
	while (err == Q2S_OK && **text && strchr("+-*/|", **text)) {
		const char sign = *(*text)++;

		err = term(model, text, old, &operand);
		if (err == Q2S_OK)
			err = apply(model, sign, out, operand);
		skip_blanks(text);
	}
	return err;
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
static enum q2s_err
assign_bits(struct model *model, const struct field *field, const char **text)
{
	uint8_t *const raw = model_at(model, field->at, field->bytes);
	uint64_t whole, value;

	if (!raw)
		return model->diag.err;
	whole = load(raw, field->bytes);
	if (expression(model, text, (whole & field->mask) >> field->shift, &value) != Q2S_OK)
		return model->diag.err;
	if (value << field->shift & ~field->mask || value << field->shift >> field->shift != value)
		return model_fail(model, "0x%llx does not fit into the field",
				  (unsigned long long)value);
	store(raw, field->bytes, (whole & ~field->mask) | value << field->shift);
	return Q2S_OK;
}

static enum q2s_err
assign_refcount(struct model *model, const struct field *field, const char **text)
{
	const struct q2s_geom *const geom = &model->geom;
	uint8_t *const block = model_at(model, field->block, geom->cluster_size);
	uint64_t value;

	if (!block || expression(model, text, q2s_refcount_get(geom, block, field->index),
				 &value) != Q2S_OK)
		return model->diag.err;
	return q2s_refcount_set(geom, block, field->index, value, &model->diag);
}

enum q2s_err
assignment(struct model *model, const char *text)
{
	struct field field;
	enum q2s_err err = model_finish(model);

	skip_blanks(&text);
	if (err == Q2S_OK)
		err = place_field(model, &text, &field);
	if (err != Q2S_OK)
		return err;
	skip_blanks(&text);
	if (*text++ != '=')
		return model_fail(model, "'=' is missing");
	err = field.is_refcount ? assign_refcount(model, &field, &text)
				: assign_bits(model, &field, &text);
	skip_blanks(&text);
	if (err == Q2S_OK && *text)
		err = model_fail(model, "'%.64s' behind the value", text);
	return err;
}
