/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lists of -o: KEY=VALUE[,KEY=VALUE...], and the tables of keys that they are judged by. */
#ifndef COMMON_KEYVAL_H
#define COMMON_KEYVAL_H

#include <stdio.h>

#include <q2s/base.h>

/** One item. @value is NULL for a bare key, which means "on" as in QEMU. */
struct keyval {
	char *key;
	char *value;
};

/** The items of all -o so far, in order; zero-initialise. @help: one of them asked for the list. */
struct keyval_list {
	struct keyval *items;
	size_t count;
	bool help;
};

/**
 * Append the items of one -o.
 *
 * In a value `,,` is a literal comma. An item `help` or `?` only sets @list->help. Empty lists,
 * items and keys are Q2S_E_USAGE; keys are judged later.
 */
enum q2s_err keyval_add(struct keyval_list *list, const char *text, struct q2s_diag *diag);

/** Append KEY=VALUE as they are, for an option that is short for it: its place counts, as -o's. */
enum q2s_err keyval_add_pair(struct keyval_list *list, const char *key, const char *value,
			     struct q2s_diag *diag);
void keyval_free(struct keyval_list *list);

enum keyval_type {
	KEYVAL_SIZE,   /* size_parse() */
	KEYVAL_NUMBER, /* size_parse_number() */
	KEYVAL_BOOL,   /* on/off, yes/no, true/false, y/n */
	KEYVAL_CHOICE, /* one of @choices */
	KEYVAL_TEXT,   /* any bytes, not empty */
};

/**
 * A key that a tool knows.
 *
 * @preset   its default, as text; NULL for none
 * @choices  for KEYVAL_CHOICE: ends with NULL; the value is the index
 * @tools    a mask: who takes it
 */
struct keyval_key {
	const char *name;
	enum keyval_type type;
	const char *preset;
	const char *meaning;
	const char *const *choices;
	unsigned tools;
};

/** A value judged by its key: @number (bool: 0 or 1; choice: its index) or, for text, @text. */
struct keyval_value {
	uint64_t number;
	const char *text; /* borrowed */
};

/**
 * Find the key of @name among @keys that @tool takes.
 *
 * Returns Q2S_OK, or Q2S_E_USAGE with the list of known keys.
 */
enum q2s_err keyval_find(const struct keyval_key *keys, size_t count, unsigned tool,
			 const char *name, const struct keyval_key **out, struct q2s_diag *diag);

/** Judge @value (NULL: a bare key) by @key. Q2S_E_USAGE names key, value, and what is expected. */
enum q2s_err keyval_judge(const struct keyval_key *key, const char *value, struct keyval_value *out,
			  struct q2s_diag *diag);

/** Print the keys that @tool takes: name, values, default, meaning. */
void keyval_help(FILE *out, const struct keyval_key *keys, size_t count, unsigned tool);

/**
 * Copy up to the first comma that is not doubled, of a doubled one half; *@text is left on that
 * comma or on the end. Returns NULL without memory; free() it.
 */
char *keyval_take_value(const char **text);

#endif
