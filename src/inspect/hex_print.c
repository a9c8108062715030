/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes with their names, for people and for scripts. */
#include <inttypes.h>
#include <string.h>

#include "base/arith.h"
#include "common/size.h"
#include "inspect/hex.h"

#define LINE_BYTES 16u
#define BYTES_WIDTH 48
#define NAME_WIDTH 36

void
hex_begin(struct hex_printer *printer)
{
	if (!printer->json)
		return;
	jstream_begin(&printer->stream, printer->out);
	jstream_open_object(&printer->stream, NULL);
	jstream_value(&printer->stream, "filename", text_json(printer->subject->name));
	jstream_value(&printer->stream, "file-size",
			  u64_json(q2s_store_size(printer->subject->file)));
	jstream_open_array(&printer->stream, "ranges");
}

int
hex_end(struct hex_printer *printer)
{
	return printer->json ? jstream_finish(&printer->stream) : ferror(printer->out) ? -1 : 0;
}

void
hex_title(struct hex_printer *printer, const struct q2s_structure *it)
{
	if (printer->json)
		return;
	fprintf(printer->out, "\n%s", q2s_structure_name(it->kind));
	if (it->kind == Q2S_STRUCTURE_L2)
		fprintf(printer->out, " of L1 entry %" PRIu64, it->index);
	if ((it->kind == Q2S_STRUCTURE_L1 || it->kind == Q2S_STRUCTURE_L2) && it->owner)
		fprintf(printer->out, " of snapshot record %" PRIu32, it->owner - 1);
	fputc('\n', printer->out);
}

/* ---- text -------------------------------------------------------------------------------- */

static void
print_line(FILE *out, uint64_t at, const uint8_t *raw, size_t len, const char *name,
	   const char *text)
{
	char bytes[3 * LINE_BYTES + 1] = "";

	for (size_t i = 0; i < len; i++)
		snprintf(bytes + 3 * i, sizeof(bytes) - 3 * i, "%02x ", raw[i]);
	fprintf(out, "%010" PRIx64 "  ", at);
	if (*text)
		fprintf(out, "%-*s %-*s %s\n", BYTES_WIDTH, bytes, NAME_WIDTH, name, text);
	else if (*name)
		fprintf(out, "%-*s %s\n", BYTES_WIDTH, bytes, name);
	else
		fprintf(out, "%.*s\n", (int)strlen(bytes) - 1, bytes);
}

/** The lines of a span behind the first; equal ones become one "*". */
struct lines {
	FILE *out;
	uint8_t last[LINE_BYTES];
	bool folded;
};

static void
add_line(struct lines *lines, uint64_t at, const uint8_t *raw, size_t len)
{
	if (len == LINE_BYTES && memcmp(raw, lines->last, LINE_BYTES) == 0) {
		if (!lines->folded)
			fputs("*\n", lines->out);
		lines->folded = true;
		return;
	}
	lines->folded = false;
	memcpy(lines->last, raw, len);
	print_line(lines->out, at, raw, len, "", "");
}

static enum q2s_err
print_more(struct hex_printer *printer, const struct span *span, struct lines *lines,
	   struct q2s_diag *diag)
{
	uint8_t buf[256 * LINE_BYTES];

	for (uint64_t at = LINE_BYTES; at < span->len; at += sizeof(buf)) {
		const size_t len = (size_t)q2si_min(sizeof(buf), span->len - at);
		const enum q2s_err err =
			q2s_store_read(printer->subject->file, span->at.v + at, buf, len, diag);

		if (err != Q2S_OK)
			return err;
		for (size_t i = 0; i < len; i += LINE_BYTES)
			add_line(lines, span->at.v + at + i, buf + i,
				 (size_t)q2si_min(LINE_BYTES, len - i));
	}
	return Q2S_OK;
}

static enum q2s_err
print_span(struct hex_printer *printer, const struct span *span, struct q2s_diag *diag)
{
	const size_t len = (size_t)q2si_min(LINE_BYTES, span->unit);
	struct lines lines = { .out = printer->out };
	const enum q2s_err err =
		q2s_store_read(printer->subject->file, span->at.v, lines.last, len, diag);

	if (err != Q2S_OK)
		return err;
	print_line(printer->out, span->at.v, lines.last, len, span->name, span->text);
	if (span->unit == span->len)
		return print_more(printer, span, &lines, diag);
	fputs("*\n", printer->out);
	return Q2S_OK;
}

/* ---- JSON -------------------------------------------------------------------------------- */

static json_t *
bytes_json(const uint8_t *raw, size_t len)
{
	char text[2 * LINE_BYTES + 1] = "";

	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 * i, sizeof(text) - 2 * i, "%02x", raw[i]);
	return json_string(text);
}

/* The first bytes; of several entries, those of the first. */
static enum q2s_err
print_json(struct hex_printer *printer, const char *structure, const struct span *span,
	   struct q2s_diag *diag)
{
	const size_t len = (size_t)q2si_min(LINE_BYTES, span->unit);
	uint8_t raw[LINE_BYTES];
	const enum q2s_err err = q2s_store_read(printer->subject->file, span->at.v, raw, len, diag);
	json_t *node;

	if (err != Q2S_OK)
		return err;
	node = json_pack("{s:o, s:o, s:s, s:o, s:o, s:o}", "offset", u64_json(span->at.v), "length",
			 u64_json(span->len), "structure", structure, "name", text_json(span->name),
			 "text", text_json(span->text), "bytes", bytes_json(raw, len));
	if (node && span->unit < span->len)
		json_object_set_new(node, "entries", u64_json(span->len / span->unit));
	jstream_value(&printer->stream, NULL, node);
	return Q2S_OK;
}

enum q2s_err
hex_span(struct hex_printer *printer, const char *structure, const struct span *span,
	 struct q2s_diag *diag)
{
	return printer->json ? print_json(printer, structure, span, diag)
			     : print_span(printer, span, diag);
}

void
hex_stretch(struct hex_printer *printer, const char *structure, uint64_t at, uint64_t len,
	    const char *text)
{
	char size[SIZE_TEXT];

	if (printer->json)
		jstream_value(&printer->stream, NULL,
				  json_pack("{s:o, s:o, s:s, s:s, s:s}", "offset", u64_json(at),
					    "length", u64_json(len), "structure", structure, "name",
					    structure, "text", text));
	else
		fprintf(printer->out, "\n%s\n%010" PRIx64 "  %s: %s\n", structure, at,
			size_human(len, size), text);
}
