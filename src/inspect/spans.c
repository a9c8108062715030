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

static uint64_t
get(const uint8_t *raw, uint32_t size)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < size; i++)
		value = value << 8 | raw[i];
	return value;
}

enum q2s_err
span_put_fields(struct spans *spans, const char *record, const struct span_field *fields,
		size_t count, const uint8_t *raw, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	for (size_t i = 0; i < count && err == Q2S_OK; i++) {
		const uint64_t value = get(raw, fields[i].size);
		char name[SPAN_NAME];

		snprintf(name, sizeof(name), "%s %s", record, fields[i].name);
		err = span_put(spans, fields[i].size, diag, name, "%" PRIu64 " (0x%" PRIx64 ")",
			       value, value);
		raw += fields[i].size;
	}
	return err;
}

static enum q2s_err
cut(struct spans *spans, struct q2s_diag *diag)
{
	switch (spans->region->kind) {
	case REGION_HEADER:
		return spans_header(spans, diag);
	case REGION_REFBLOCK:
		return spans_refcounts(spans, diag);
	case REGION_SNAPSHOTS:
		return spans_snapshots(spans, diag);
	case REGION_BITMAP_DIRECTORY:
		return spans_bitmaps(spans, diag);
	case REGION_BITMAP_DATA:
		return span_put(spans, spans->region->len, diag, "bitmap bits",
				"of bitmap %" PRIu32 ", entry %" PRIu64 " of its table",
				spans->region->owner, spans->region->index);
	case REGION_LUKS:
		return spans_luks(spans, diag);
	default:
		return spans_table(spans, diag);
	}
}

enum q2s_err
spans_visit(const struct subject *subject, const struct region *region, span_visit visit,
	    void *opaque, struct q2s_diag *diag)
{
	const uint64_t size = q2s_file_size(subject->file);
	const uint64_t padded = q2si_round_up(region->len, subject->geom.cluster_size);
	struct spans spans = { .subject = subject,
			       .region = region,
			       .visit = visit,
			       .opaque = opaque,
			       .at = region->at.v };
	enum q2s_err err;

	if (region->at.v >= size)
		return Q2S_OK;
	spans.end = region->at.v + q2si_min(region->len, size - region->at.v);
	err = cut(&spans, diag);
	if (err == Q2S_OK)
		err = span_put_until(&spans, spans.end, diag, "not understood");
	spans.end = region->at.v + q2si_min(padded, size - region->at.v);
	if (err == Q2S_OK)
		err = span_put_until(&spans, spans.end, diag, "padding");
	return err;
}
