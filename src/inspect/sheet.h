/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables that are read by people or by scripts: the same rows, said as aligned text or as JSON
 * objects, one at a time, so that a table may be millions of rows long.
 */
#ifndef INSPECT_SHEET_H
#define INSPECT_SHEET_H

#include <stdio.h>

#include <q2s/image.h>

#include "common/json.h"

/** How a value is shown; in JSON: COUNT and OFFSET are numbers, RAW is a string "0x...". */
enum cell_kind {
	CELL_COUNT,  /* decimal */
	CELL_OFFSET, /* hexadecimal */
	CELL_RAW,    /* as stored: all digits of @width */
	CELL_TEXT,   /* bytes of the image, escaped and quoted */
	CELL_WORD,   /* our own word */
	CELL_FLAG,   /* the title where it is true */
};

/** @width in characters: at least so wide for people. */
struct column {
	const char *key;
	const char *title;
	enum cell_kind kind;
	int width;
};

/** One value; the members that its column's kind needs. Not @there: left out. */
struct cell {
	bool there;
	uint64_t n;
	struct q2s_bytes text;
	const char *word;
};
#define CELL_NONE ((struct cell){ .there = false })
#define CELL_N(value) ((struct cell){ .there = true, .n = (value) })
#define CELL_N_IF(is, value) ((struct cell){ .there = (is), .n = (value) })
#define CELL_W(text_) ((struct cell){ .there = true, .word = (text_) })
#define CELL_B(data_, len_) ((struct cell){ .there = true, .text = { (data_), (len_) } })

/** Output in progress. */
struct sheet {
	FILE *out;
	bool json;
	struct jstream stream;
	const struct column *columns;
	size_t column_count;
	uint64_t rows; /* of the table in progress */
	uint64_t faults;
	bool failed;
};

/** Start the whole output: in JSON, one object. */
void sheet_begin(struct sheet *sheet, FILE *out, bool json);
/** Returns 0, or -1 when something could not be written. */
int sheet_end(struct sheet *sheet);

/** JSON: open an array or object (@key NULL inside an array); nothing for people. */
void sheet_open_list(struct sheet *sheet, const char *key);
void sheet_open(struct sheet *sheet, const char *key);
void sheet_close(struct sheet *sheet);

/** JSON: a value of the innermost object; taken over. For people it is in the title. */
void sheet_fact(struct sheet *sheet, const char *key, json_t *value);

/** People: a heading, printf-like, with an empty line before it. */
void sheet_title(struct sheet *sheet, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** People: a line within a table, indented. */
void sheet_note(struct sheet *sheet, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Start a table: in JSON an array of objects behind @key. */
void sheet_table(struct sheet *sheet, const char *key, const struct column *columns, size_t count);
/**
 * One row of the table: a cell for each column. Column titles come with the first one.
 *
 * @fault  NULL or what is wrong with what the row shows: counted, and shown in place
 */
void sheet_row(struct sheet *sheet, const struct cell *cells, const struct q2s_diag *fault);
void sheet_table_end(struct sheet *sheet);

/** What is wrong with a structure as a whole: in JSON a value "error" of the innermost object. */
void sheet_fault(struct sheet *sheet, const struct q2s_diag *fault);

#endif
