/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Splitting the lists of -o, and judging their items by a table of keys. */
#include "common/keyval.h"

#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/size.h"
#include "common/words.h"

static enum q2s_err
append(struct keyval_list *list, char *key, char *value, struct q2s_diag *diag)
{
	struct keyval *const grown =
		reallocarray(list->items, list->count + 1, sizeof(*list->items));

	if (!grown) {
		free(key);
		free(value);
		return fault_nomem(diag, "option list");
	}
	list->items = grown;
	list->items[list->count++] = (struct keyval){ .key = key, .value = value };
	return Q2S_OK;
}

char *
keyval_take_value(const char **text)
{
	char *const value = malloc(strlen(*text) + 1);
	char *to = value;

	if (!value)
		return NULL;
	for (; **text != '\0'; (*text)++) {
		if (**text == ',' && *++*text != ',') {
			(*text)--;
			break;
		}
		*to++ = **text;
	}
	*to = '\0';
	return value;
}

/* One item at *@text, which is left on the comma behind it or on the end. */
static enum q2s_err
take_item(struct keyval_list *list, const char **text, struct q2s_diag *diag)
{
	const size_t len = strcspn(*text, "=,");
	char *key, *value = NULL;

	if (len == 0)
		return fault(diag, Q2S_E_USAGE, "-o", "a key is missing before '%.32s'", *text);
	key = strndup(*text, len);
	if (!key)
		return fault_nomem(diag, "option list");
	*text += len;
	if (**text == '=') {
		(*text)++;
		value = keyval_take_value(text);
		if (!value) {
			free(key);
			return fault_nomem(diag, "option list");
		}
	} else if (strcmp(key, "help") == 0 || strcmp(key, "?") == 0) {
		free(key);
		list->help = true;
		return Q2S_OK;
	}
	return append(list, key, value, diag);
}

enum q2s_err
keyval_add(struct keyval_list *list, const char *text, struct q2s_diag *diag)
{
	for (;;) {
		enum q2s_err err;

		if (*text == '\0')
			return fault(diag, Q2S_E_USAGE, "-o", "KEY=VALUE expected, found the end");
		err = take_item(list, &text, diag);
		if (err != Q2S_OK || *text == '\0')
			return err;
		text++; /* the comma */
	}
}

enum q2s_err
keyval_add_pair(struct keyval_list *list, const char *key, const char *value,
		struct q2s_diag *diag)
{
	char *const key_copy = strdup(key), *const value_copy = strdup(value);

	if (key_copy && value_copy)
		return append(list, key_copy, value_copy, diag);
	free(key_copy);
	free(value_copy);
	return fault_nomem(diag, "option list");
}

void
keyval_free(struct keyval_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].key);
		free(list->items[i].value);
	}
	free(list->items);
	*list = (struct keyval_list){ 0 };
}

/* As many of the names as fit, separated by spaces. */
static void
join_names(const struct keyval_key *keys, size_t count, unsigned tool, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		const size_t len = strlen(keys[i].name);

		if (!(keys[i].tools & tool) || used + len + 2 > size)
			continue;
		if (used > 0)
			buf[used++] = ' ';
		memcpy(buf + used, keys[i].name, len + 1);
		used += len;
	}
}

#define NAMES_MAX 32

enum q2s_err
keyval_find(const struct keyval_key *keys, size_t count, unsigned tool, const char *name,
	    const struct keyval_key **out, struct q2s_diag *diag)
{
	const char *near[NAMES_MAX + 1] = { NULL };
	char known[Q2S_DIAG_TEXT - 48], hint[WORDS_HINT];
	size_t names = 0;

	for (size_t i = 0; i < count; i++) {
		if ((keys[i].tools & tool) && strcmp(keys[i].name, name) == 0) {
			*out = &keys[i];
			return Q2S_OK;
		}
	}
	for (size_t i = 0; i < count && names < NAMES_MAX; i++) {
		if (keys[i].tools & tool)
			near[names++] = keys[i].name;
	}
	words_hint(name, near, hint);
	join_names(keys, count, tool, known, sizeof(known) - strlen(hint));
	return fault(diag, Q2S_E_USAGE, "-o", "unknown key '%.24s'; known: %s%s", name,
		     known, hint);
}

static enum q2s_err
judge_number(const struct keyval_key *key, const char *value, uint64_t *out, struct q2s_diag *diag)
{
	const char *const why =
		key->type == KEYVAL_SIZE ? size_parse(value, out) : size_parse_number(value, out);

	if (!why)
		return Q2S_OK;
	return fault(diag, Q2S_E_USAGE, key->name, "'%.48s' is no %s: %s", value,
		     key->type == KEYVAL_SIZE ? "size" : "number", why);
}

static enum q2s_err
judge_bool(const struct keyval_key *key, const char *value, uint64_t *out, struct q2s_diag *diag)
{
	static const char *const words[][2] = {
		{ "off", "on" }, { "no", "yes" }, { "false", "true" }, { "n", "y" }
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		for (unsigned state = 0; state < 2; state++) {
			if (strcmp(value, words[i][state]) == 0) {
				*out = state;
				return Q2S_OK;
			}
		}
	}
	return fault(diag, Q2S_E_USAGE, key->name, "'%.48s' is neither on nor off", value);
}

static enum q2s_err
judge_choice(const struct keyval_key *key, const char *value, uint64_t *out, struct q2s_diag *diag)
{
	char known[128] = "", hint[WORDS_HINT];

	for (size_t i = 0; key->choices[i]; i++) {
		if (strcmp(value, key->choices[i]) == 0) {
			*out = i;
			return Q2S_OK;
		}
		if (i > 0)
			strncat(known, ", ", sizeof(known) - strlen(known) - 1);
		strncat(known, key->choices[i], sizeof(known) - strlen(known) - 1);
	}
	return fault(diag, Q2S_E_USAGE, key->name, "'%.48s' is none of %s%s", value, known,
		     words_hint(value, key->choices, hint));
}

enum q2s_err
keyval_judge(const struct keyval_key *key, const char *value, struct keyval_value *out,
	     struct q2s_diag *diag)
{
	*out = (struct keyval_value){ 0 };
	if (!value && key->type != KEYVAL_BOOL)
		return fault(diag, Q2S_E_USAGE, key->name, "needs a value: %s=...", key->name);
	if (!value)
		value = "on";
	switch (key->type) {
	case KEYVAL_SIZE:
	case KEYVAL_NUMBER:
		return judge_number(key, value, &out->number, diag);
	case KEYVAL_BOOL:
		return judge_bool(key, value, &out->number, diag);
	case KEYVAL_CHOICE:
		return judge_choice(key, value, &out->number, diag);
	case KEYVAL_TEXT:
		break;
	}
	if (*value == '\0')
		return fault(diag, Q2S_E_USAGE, key->name, "must not be empty");
	out->text = value;
	return Q2S_OK;
}

static void
help_values(FILE *out, const struct keyval_key *key)
{
	static const char *const forms[] = {
		[KEYVAL_SIZE] = "SIZE",
		[KEYVAL_NUMBER] = "N",
		[KEYVAL_BOOL] = "on|off",
		[KEYVAL_TEXT] = "TEXT",
	};

	if (key->type != KEYVAL_CHOICE) {
		fputs(forms[key->type], out);
		return;
	}
	for (size_t i = 0; key->choices[i]; i++)
		fprintf(out, "%s%s", i > 0 ? "|" : "", key->choices[i]);
}

void
keyval_help(FILE *out, const struct keyval_key *keys, size_t count, unsigned tool)
{
	for (size_t i = 0; i < count; i++) {
		if (!(keys[i].tools & tool))
			continue;
		fprintf(out, "  %s=", keys[i].name);
		help_values(out, &keys[i]);
		if (keys[i].preset)
			fprintf(out, " (default: %s)", keys[i].preset);
		fprintf(out, "\n        %s\n", keys[i].meaning);
	}
}
