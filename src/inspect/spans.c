/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cutting a structure into spans: what all kinds have in common. */
#include "inspect/spans.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "common/escape.h"
#include "common/fault.h"

/* @span is filled but for its place. */
static enum q2s_err
put(struct spans *spans, struct span *span, uint64_t len, uint64_t unit, struct q2s_diag *diag)
{
	len = q2si_min(len, spans->end - spans->at);
	if (len == 0)
		return Q2S_OK;
	span->at.v = spans->at;
	span->len = len;
	span->unit = q2si_min(unit, len);
	spans->at += len;
	return spans->visit(spans->opaque, span, diag);
}

enum q2s_err
span_put(struct spans *spans, uint64_t len, struct q2s_diag *diag, const char *name,
	 const char *text, ...)
{
	struct span span;
	va_list args;

	snprintf(span.name, sizeof(span.name), "%s", name);
	va_start(args, text);
	vsnprintf(span.text, sizeof(span.text), text, args);
	va_end(args);
	return put(spans, &span, len, len, diag);
}

enum q2s_err
span_put_units(struct spans *spans, uint64_t len, uint64_t unit, const char *name, const char *text,
	       struct q2s_diag *diag)
{
	struct span span;

	snprintf(span.name, sizeof(span.name), "%s", name);
	snprintf(span.text, sizeof(span.text), "%s", text);
	return put(spans, &span, len, unit, diag);
}

enum q2s_err
span_put_until(struct spans *spans, uint64_t at, struct q2s_diag *diag, const char *name)
{
	if (at <= spans->at)
		return Q2S_OK;
	return span_put(spans, at - spans->at, diag, name, "%s", "");
}

enum q2s_err
span_put_bytes(struct spans *spans, struct q2s_bytes bytes, struct q2s_diag *diag, const char *name)
{
	char *const shown = escape_bytes(bytes.data, bytes.len);
	enum q2s_err err;

	if (!shown)
		return fault_nomem(diag, name);
	err = span_put(spans, bytes.len, diag, name, "\"%s\"", shown);
	free(shown);
	return err;
}

enum q2s_err
span_put_fields(struct spans *spans, const char *title, enum q2s_record record, uint64_t len,
		const uint8_t *raw, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;
	size_t count;
	const struct q2s_field *const fields = q2s_fields(record, &count);

	for (size_t i = 0; i < count && err == Q2S_OK; i++) {
		const struct q2s_field *const field = &fields[i];
		char name[SPAN_NAME];

		if (field->at + field->size > len)
			break;
		snprintf(name, sizeof(name), "%s %s", title, field->meaning);
		if (!raw)
			err = span_put(spans, field->size, diag, name, "%s", "");
		else
			err = span_put(spans, field->size, diag, name, "%" PRIu64 " (0x%" PRIx64 ")",
				       q2s_field_get(field, raw), q2s_field_get(field, raw));
	}
	return err;
}

static enum q2s_err
cut(struct spans *spans, struct q2s_diag *diag)
{
	switch (spans->in->kind) {
	case Q2S_STRUCTURE_HEADER:
		return spans_header(spans, diag);
	case Q2S_STRUCTURE_REFCOUNT_BLOCK:
		return spans_refcounts(spans, diag);
	case Q2S_STRUCTURE_SNAPSHOT_TABLE:
		return spans_snapshots(spans, diag);
	case Q2S_STRUCTURE_BITMAP_DIRECTORY:
		return spans_bitmaps(spans, diag);
	case Q2S_STRUCTURE_BITMAP_DATA:
		return span_put(spans, spans->in->len, diag, "bitmap bits",
				"of bitmap %" PRIu32 ", entry %" PRIu64 " of its table",
				spans->in->owner, spans->in->index);
	case Q2S_STRUCTURE_CRYPTO:
		return spans_luks(spans, diag);
	default:
		return spans_table(spans, diag);
	}
}

enum q2s_err
spans_visit(const struct subject *subject, const struct q2s_structure *in, span_visit visit,
	    void *opaque, struct q2s_diag *diag)
{
	const uint64_t size = q2s_store_size(subject->file);
	const uint64_t padded = q2si_round_up(in->len, subject->geom->cluster_size);
	struct spans spans = { .subject = subject,
			       .in = in,
			       .visit = visit,
			       .opaque = opaque,
			       .at = in->at.v };
	enum q2s_err err;

	if (in->at.v >= size)
		return Q2S_OK;
	spans.end = in->at.v + q2si_min(in->len, size - in->at.v);
	err = cut(&spans, diag);
	if (err == Q2S_OK)
		err = span_put_until(&spans, spans.end, diag, "not understood");
	spans.end = in->at.v + q2si_min(padded, size - in->at.v);
	if (err == Q2S_OK)
		err = span_put_until(&spans, spans.end, diag, "padding");
	return err;
}
