/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rows as text or as JSON. */
#include "inspect/sheet.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "inspect/show.h"

#define FAULT_LINE 1024

void
sheet_begin(struct sheet *sheet, FILE *out, bool json)
{
	*sheet = (struct sheet){ .out = out, .json = json };
	if (!json)
		return;
	jstream_begin(&sheet->stream, out);
	jstream_open_object(&sheet->stream, NULL);
}

int
sheet_end(struct sheet *sheet)
{
	if (sheet->json && jstream_finish(&sheet->stream) != 0)
		sheet->failed = true;
	return sheet->failed || ferror(sheet->out) ? -1 : 0;
}

void
sheet_open_list(struct sheet *sheet, const char *key)
{
	if (sheet->json)
		jstream_open_array(&sheet->stream, key);
}

void
sheet_open(struct sheet *sheet, const char *key)
{
	if (sheet->json)
		jstream_open_object(&sheet->stream, key);
}

void
sheet_close(struct sheet *sheet)
{
	if (sheet->json)
		jstream_close(&sheet->stream);
}

void
sheet_fact(struct sheet *sheet, const char *key, json_t *value)
{
	if (sheet->json)
		jstream_value(&sheet->stream, key, value);
	else
		json_decref(value);
}

void
sheet_title(struct sheet *sheet, const char *fmt, ...)
{
	va_list args;

	if (sheet->json)
		return;
	fputc('\n', sheet->out);
	va_start(args, fmt);
	vfprintf(sheet->out, fmt, args);
	va_end(args);
	fputc('\n', sheet->out);
}

void
sheet_note(struct sheet *sheet, const char *fmt, ...)
{
	va_list args;

	if (sheet->json)
		return;
	fputs("    ", sheet->out);
	va_start(args, fmt);
	vfprintf(sheet->out, fmt, args);
	va_end(args);
	fputc('\n', sheet->out);
}

/* ---- text -------------------------------------------------------------------------------- */

static bool
is_left(enum cell_kind kind)
{
	return kind == CELL_TEXT || kind == CELL_WORD || kind == CELL_FLAG;
}

static void
print_titles(const struct sheet *sheet)
{
	for (size_t i = 0; i < sheet->column_count; i++) {
		const struct column *const it = &sheet->columns[i];

		const int width = is_left(it->kind) ? -it->width : it->width;

		if (i + 1 == sheet->column_count && is_left(it->kind))
			fprintf(sheet->out, "  %s", it->title);
		else
			fprintf(sheet->out, "  %*s", width, it->title);
	}
	fputc('\n', sheet->out);
}

#define CELL_LINE 64

/* The text of @cell: in @buf, or @*owned where it may be long. */
static const char *
cell_text(const struct column *column, const struct cell *cell, char buf[CELL_LINE], char **owned)
{
	switch (column->kind) {
	case CELL_COUNT:
		snprintf(buf, CELL_LINE, "%" PRIu64, cell->n);
		return buf;
	case CELL_OFFSET:
		return show_hex(cell->n, buf);
	case CELL_RAW:
		snprintf(buf, CELL_LINE, "0x%0*" PRIx64, column->width - 2, cell->n);
		return buf;
	case CELL_WORD:
		return cell->word;
	case CELL_FLAG:
		return cell->n ? column->title : "";
	case CELL_TEXT:
		*owned = escape_bytes(cell->text.data, cell->text.len);
		return *owned ? *owned : "?";
	}
	return "";
}

/* Print one cell; @pad: spaces that are due before it, and on return before the next one. */
static void
print_cell(FILE *out, const struct column *column, const struct cell *cell, int *pad)
{
	char buf[CELL_LINE], *owned = NULL;
	const char *const text = cell->there ? cell_text(column, cell, buf, &owned) : "";
	const bool is_quoted = cell->there && column->kind == CELL_TEXT;
	const int len = (int)strlen(text) + 2 * is_quoted;
	const int gap = len < column->width ? column->width - len : 0;
	const int before = *pad + 2 + (is_left(column->kind) ? 0 : gap);

	if (len == 0) {
		*pad += 2 + column->width;
	} else {
		fprintf(out, is_quoted ? "%*s\"%s\"" : "%*s%s", before, "", text);
		*pad = is_left(column->kind) ? gap : 0;
	}
	free(owned);
}

static void
format_fault(const struct q2s_diag *fault, char line[FAULT_LINE])
{
	q2s_diag_format(fault, line, FAULT_LINE);
}

/* ---- JSON -------------------------------------------------------------------------------- */

/* @value is taken over. */
static void
put_value(struct sheet *sheet, json_t *value)
{
	if (!value || json_dumpf(value, sheet->out, JSON_ENCODE_ANY) != 0)
		sheet->failed = true;
	json_decref(value);
}

static void
put_cell(struct sheet *sheet, const struct column *column, const struct cell *cell)
{
	FILE *const out = sheet->out;

	switch (column->kind) {
	case CELL_COUNT:
	case CELL_OFFSET:
		/* As u64_json() has it: jansson reads no integer of 2^63 or more. */
		fprintf(out, cell->n > INT64_MAX ? "\"%" PRIu64 "\"" : "%" PRIu64, cell->n);
		break;
	case CELL_RAW:
		fprintf(out, "\"0x%0*" PRIx64 "\"", column->width - 2, cell->n);
		break;
	case CELL_WORD:
		fprintf(out, "\"%s\"", cell->word);
		break;
	case CELL_FLAG:
		fputs(cell->n ? "true" : "false", out);
		break;
	case CELL_TEXT:
		put_value(sheet, utf8_json(cell->text.data, cell->text.len));
		break;
	}
}

static json_t *
fault_json(const struct q2s_diag *fault)
{
	char line[FAULT_LINE];

	format_fault(fault, line);
	return json_pack("{s:s, s:o}", "id", q2s_err_name(fault->err), "text", text_json(line));
}

/* Printed without building it first: there may be a row for each cluster of the disk. */
static void
put_row(struct sheet *sheet, const struct cell *cells, const struct q2s_diag *fault)
{
	FILE *const out = sheet->out;
	const char *lead = "{";

	jstream_raw(&sheet->stream, NULL);
	for (size_t i = 0; i < sheet->column_count; i++) {
		if (!cells[i].there)
			continue;
		fprintf(out, "%s\"%s\": ", lead, sheet->columns[i].key);
		put_cell(sheet, &sheet->columns[i], &cells[i]);
		lead = ", ";
	}
	if (fault) {
		fprintf(out, "%s\"error\": ", lead);
		put_value(sheet, fault_json(fault));
	}
	fputc('}', out);
}

/* ---- tables ------------------------------------------------------------------------------ */

void
sheet_table(struct sheet *sheet, const char *key, const struct column *columns, size_t count)
{
	sheet->columns = columns;
	sheet->column_count = count;
	sheet->rows = 0;
	if (sheet->json)
		jstream_open_array(&sheet->stream, key);
}

void
sheet_row(struct sheet *sheet, const struct cell *cells, const struct q2s_diag *fault)
{
	char line[FAULT_LINE];
	int pad = 0;

	if (fault)
		sheet->faults++;
	if (sheet->json) {
		put_row(sheet, cells, fault);
		return;
	}
	if (sheet->rows++ == 0)
		print_titles(sheet);
	for (size_t i = 0; i < sheet->column_count; i++)
		print_cell(sheet->out, &sheet->columns[i], &cells[i], &pad);
	fputc('\n', sheet->out);
	if (fault) {
		format_fault(fault, line);
		fprintf(sheet->out, "    ^ wrong: %s\n", line);
	}
}

void
sheet_table_end(struct sheet *sheet)
{
	if (sheet->json)
		jstream_close(&sheet->stream);
	else if (sheet->rows == 0)
		fputs("  (all zeros)\n", sheet->out);
}

void
sheet_fault(struct sheet *sheet, const struct q2s_diag *fault)
{
	char line[FAULT_LINE];

	sheet->faults++;
	if (sheet->json) {
		jstream_value(&sheet->stream, "error", fault_json(fault));
		return;
	}
	format_fault(fault, line);
	fprintf(sheet->out, "  wrong: %s\n", line);
}
