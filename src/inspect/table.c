/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading a table in pieces. */
#include "inspect/table.h"

#include <stdlib.h>

#include "base/arith.h"
#include "common/fault.h"

enum q2s_err
table_open(struct q2s_file *file, q2s_host at, uint64_t count, uint32_t entry_size,
	   const char *what, struct table *out, struct q2s_diag *diag)
{
	*out = (struct table){ .file = file, .at = at, .count = count, .entry_size = entry_size };
	if (count && at.v >= q2s_file_size(file)) {
		fault(diag, Q2S_E_TRUNCATED, what, "lies past the end of the file");
		if (diag)
			diag->at = at;
		return Q2S_E_TRUNCATED;
	}
	out->buf = malloc(TABLE_PIECE);
	return out->buf ? Q2S_OK : fault_nomem(diag, what);
}

void
table_close(struct table *table)
{
	free(table->buf);
	*table = (struct table){ 0 };
}

q2s_host
table_at(const struct table *table, uint64_t index)
{
	return (q2s_host){ table->at.v + index * table->entry_size };
}

static enum q2s_err
load(struct table *table, uint64_t index, struct q2s_diag *diag)
{
	const uint64_t room = TABLE_PIECE / table->entry_size;

	table->first = index / room * room;
	table->held = q2si_min(room, table->count - table->first);
	return q2s_file_read_padded(table->file, table_at(table, table->first).v, table->buf,
				    table->held * table->entry_size, NULL, diag);
}

enum q2s_err
table_get(struct table *table, uint64_t index, const uint8_t **raw, struct q2s_diag *diag)
{
	enum q2s_err err = Q2S_OK;

	if (index < table->first || index - table->first >= table->held)
		err = load(table, index, diag);
	if (err == Q2S_OK)
		*raw = table->buf + (index - table->first) * table->entry_size;
	else
		table->held = 0;
	return err;
}

static bool
is_empty(const uint8_t *raw, uint32_t size)
{
	uint8_t any = 0;

	for (uint32_t i = 0; i < size; i++)
		any |= raw[i];
	return any == 0;
}

enum q2s_err
table_next(struct table *table, uint64_t index, uint64_t *out, struct q2s_diag *diag)
{
	const uint8_t *raw;

	for (; index < table->count; index++) {
		const enum q2s_err err = table_get(table, index, &raw, diag);

		if (err != Q2S_OK)
			return err;
		if (!is_empty(raw, table->entry_size))
			break;
	}
	*out = index;
	return Q2S_OK;
}
