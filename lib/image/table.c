/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading a table in pieces. */
#include <q2s/walk.h>

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"
#include "image.h"

enum q2s_err
q2s_table_open(struct q2s_store *file, q2s_host at, uint64_t count, uint32_t entry_size,
	   const char *what, struct q2s_table *out, struct q2s_diag *diag)
{
	*out = (struct q2s_table){ .file = file, .at = at, .count = count, .entry_size = entry_size };
	if (count && at.v >= q2s_store_size(file))
		return q2si_fail_at(diag, Q2S_E_TRUNCATED, what, at,
				    "lies past the end of the file");
	out->buf = malloc(Q2S_TABLE_PIECE);
	return out->buf ? Q2S_OK : q2si_fail_nomem(diag, what);
}

void
q2s_table_close(struct q2s_table *table)
{
	free(table->buf);
	*table = (struct q2s_table){ 0 };
}

q2s_host
q2s_table_at(const struct q2s_table *table, uint64_t index)
{
	return (q2s_host){ table->at.v + index * table->entry_size };
}

static enum q2s_err
load(struct q2s_table *table, uint64_t index, struct q2s_diag *diag)
{
	const uint64_t room = Q2S_TABLE_PIECE / table->entry_size;

	table->first = index / room * room;
	table->held = q2si_min(room, table->count - table->first);
	return q2s_store_read_padded(table->file, q2s_table_at(table, table->first).v, table->buf,
				     table->held * table->entry_size, NULL, diag);
}

enum q2s_err
q2s_table_get(struct q2s_table *table, uint64_t index, const uint8_t **raw, struct q2s_diag *diag)
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
q2s_table_next(struct q2s_table *table, uint64_t *index, const uint8_t **raw,
	       struct q2s_diag *diag)
{
	for (; *index < table->count; ++*index) {
		Q2SI_TRY(q2s_table_get(table, *index, raw, diag));
		if (!is_empty(*raw, table->entry_size))
			break;
	}
	return Q2S_OK;
}

enum q2s_err
q2s_table_open_refcounts(const struct q2s_image *image, struct q2s_table *out,
			 struct q2s_diag *diag)
{
	const uint64_t bytes = (uint64_t)image->header.refcount_table_clusters
			       << image->geom.cluster_bits;

	return q2s_table_open(image->file, image->header.refcount_table_offset,
			      q2si_min(bytes, Q2S_REFTABLE_MAX_BYTES) / Q2S_REFTABLE_ENTRY_SIZE,
			      Q2S_REFTABLE_ENTRY_SIZE, "refcount table", out, diag);
}
