/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules of doc/rules, one by one. */
#ifndef CORPUS_RULES_H
#define CORPUS_RULES_H

#include <stdbool.h>

#define RULE_TEXT 512

/**
 * @structure  what it is about
 * @section    of the format's text; "none": it is a limit of programs
 * @text       the rule
 */
struct test_image_rule {
	char structure[64];
	char section[128];
	char text[RULE_TEXT];
};

/** Find a rule by its id. False when there is none, or one that is not written as it should be. */
bool test_image_rule(const char *id, struct test_image_rule *out);

#endif
