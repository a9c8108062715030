/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The statements of the spec language that change the finished image. */
#include "damage.h"

#include <stdio.h>
#include <string.h>

#include "place.h"

enum q2s_err
do_set(struct model *model, char *rest)
{
	return assignment(model, rest);
}

enum q2s_err
do_repeat(struct model *model, char *rest)
{
	const char *text = rest;
	uint64_t rounds;
	enum q2s_err err = expression(model, &text, 0, &rounds);

	text += strspn(text, " \t");
	if (err == Q2S_OK && strncmp(text, "set ", 4) != 0)
		err = model_fail(model, "only 'set' can be repeated");
	for (model->round = 0; err == Q2S_OK && model->round < rounds; model->round++)
		err = assignment(model, text + 4);
	return err;
}

enum q2s_err
do_bytes(struct model *model, char *rest)
{
	const char *text = rest;
	uint64_t at, byte;
	uint8_t *raw;
	enum q2s_err err = model_finish(model);

	if (err == Q2S_OK)
		err = expression(model, &text, 0, &at);
	while (err == Q2S_OK && *text) {
		err = expression(model, &text, 0, &byte);
		raw = err == Q2S_OK ? model_at(model, at++, 1) : NULL;
		if (raw)
			*raw = (uint8_t)byte;
		err = model->diag.err;
	}
	return err;
}

enum q2s_err
do_size(struct model *model, char *rest)
{
	const char *text = rest;
	enum q2s_err err = model_finish(model);

	if (err == Q2S_OK)
		err = expression(model, &text, model->file_size, &model->file_size);
	return err;
}

/* ---- what is broken ---------------------------------------------------------------------- */

/* A place by itself (@l1), or a field (l2[0][1]) of the image as it is before the damage. */
static enum q2s_err
broken_place(struct model *model, const char *text)
{
	struct field field;
	enum q2s_err err;

	if (*text == '@' || *text == '#')
		return expression(model, &text, 0, &model->broken_at);
	err = place_field(model, &text, &field);
	model->broken_at = field.at;
	return err;
}

enum q2s_err
do_breaks(struct model *model, char *rest)
{
	const enum q2s_err err = model_finish(model);
	const char *place;
	size_t len;

	if (err != Q2S_OK)
		return err;
	rest += strspn(rest, " \t");
	len = strcspn(rest, " \t");
	place = rest + len + strspn(rest + len, " \t");
	if (model->rule[0])
		return model_fail(model, "an image breaks one rule");
	if (len == 0 || len >= sizeof(model->rule) || !*place)
		return model_fail(model, "a rule and a place are missing");
	snprintf(model->rule, sizeof(model->rule), "%.*s", (int)len, rest);
	return broken_place(model, place);
}
