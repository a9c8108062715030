/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An explanation, told step by step: what was read, how it was calculated, which rule was applied.
 * For people it is text as it goes; for scripts the same steps become one JSON value.
 */
#ifndef INSPECT_STORY_H
#define INSPECT_STORY_H

#include <stdio.h>

#include <jansson.h>
#include <q2s/base.h>

/**
 * A story in progress.
 *
 * @out    for people, else NULL
 * @list   JSON: the steps so far; NULL for people
 * @step   JSON: the step in progress, borrowed from @list
 * @count  steps so far, over all lists
 */
struct story {
	FILE *out;
	json_t *list;
	json_t *step;
	unsigned count;
};

/** Tell people, on @out, or collect JSON where @out is NULL. */
void story_begin(struct story *story, FILE *out);

/** Begin a new list of steps (a layer, for example): takes the steps so far; NULL for people. */
json_t *story_take(struct story *story);

/** A new step. @id is stable, for scripts. */
void story_step(struct story *story, const char *id, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** A calculation: "L1 index = 7 / 8192 = 0". */
void story_formula(struct story *story, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Bytes of the file that were read for this step. */
void story_bytes(struct story *story, const char *what, q2s_host at, const uint8_t *raw,
		 size_t len);

/** Bits of the value that was read, taken apart: "bit 63", 1, "COPIED". */
void story_bits(struct story *story, const char *bits, uint64_t value, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/**
 * A bit field that holds an offset without its low bits, which are zero by its alignment: the
 * number in the field, and @value, which it means when shifted.
 */
void story_offset(struct story *story, const char *bits, unsigned shift, uint64_t value,
		  const char *meaning);

/** The rule of the format that was applied, as a sentence. */
void story_rule(struct story *story, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** What is wrong here. */
void story_fault(struct story *story, const struct q2s_diag *fault);

/** A result of the step under a stable key; nothing for people, who have the formulas. */
void story_result(struct story *story, const char *key, uint64_t value);
void story_result_text(struct story *story, const char *key, const char *text);

#endif
