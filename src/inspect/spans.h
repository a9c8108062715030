/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names for bytes: a structure of the image cut into spans, each with what it is called and what
 * it says. The spans of a structure leave nothing out and do not overlap.
 */
#ifndef INSPECT_SPANS_H
#define INSPECT_SPANS_H

#include <q2s/fields.h>

#include "inspect/subject.h"

#define SPAN_NAME 96
#define SPAN_TEXT 256

/**
 * Some bytes with one name.
 *
 * @len    bytes, more than 0
 * @unit   bytes of one of the entries that are told together; else @len
 * @name   "L2 entry 5", "header field version"
 * @text   what it says, safe for a terminal; may be empty
 */
struct span {
	q2s_host at;
	uint64_t len;
	uint64_t unit;
	char name[SPAN_NAME];
	char text[SPAN_TEXT];
};

typedef enum q2s_err (*span_visit)(void *opaque, const struct span *span, struct q2s_diag *diag);

/**
 * Visit the spans of @in and of the padding behind it, in order, up to the end of its last
 * cluster or of the file.
 */
enum q2s_err spans_visit(const struct subject *subject, const struct q2s_structure *in,
			 span_visit visit, void *opaque, struct q2s_diag *diag);

/* ---- between the files that name bytes ---------------------------------------------------- */

/** One structure being cut. @at: where the next span starts; @end: where the structure ends. */
struct spans {
	const struct subject *subject;
	const struct q2s_structure *in;
	span_visit visit;
	void *opaque;
	uint64_t at;
	uint64_t end;
};

/** The next @len bytes are this; cut to what is left. @text: printf-like, safe for a terminal. */
enum q2s_err span_put(struct spans *spans, uint64_t len, struct q2s_diag *diag, const char *name,
		      const char *text, ...) __attribute__((format(printf, 5, 6)));

/** As span_put() for several entries of @unit bytes that are told together. */
enum q2s_err span_put_units(struct spans *spans, uint64_t len, uint64_t unit, const char *name,
			    const char *text, struct q2s_diag *diag);

/** As span_put() for all bytes up to @at; nothing when that is reached already. */
enum q2s_err span_put_until(struct spans *spans, uint64_t at, struct q2s_diag *diag,
			    const char *name);

/** As span_put() for a string of the image, shown in quotation marks. */
enum q2s_err span_put_bytes(struct spans *spans, struct q2s_bytes bytes, struct q2s_diag *diag,
			    const char *name);

/**
 * Put the fields of a @record of @len bytes that starts where the next span does.
 *
 * @title  in front of their names
 * @raw    its bytes, for the values; NULL: names alone
 */
enum q2s_err span_put_fields(struct spans *spans, const char *title, enum q2s_record record,
			     uint64_t len, const uint8_t *raw, struct q2s_diag *diag);

enum q2s_err spans_header(struct spans *spans, struct q2s_diag *diag);
enum q2s_err spans_table(struct spans *spans, struct q2s_diag *diag);
enum q2s_err spans_refcounts(struct spans *spans, struct q2s_diag *diag);
enum q2s_err spans_snapshots(struct spans *spans, struct q2s_diag *diag);
enum q2s_err spans_bitmaps(struct spans *spans, struct q2s_diag *diag);
enum q2s_err spans_luks(struct spans *spans, struct q2s_diag *diag);

#endif
