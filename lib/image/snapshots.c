/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The snapshot table, read whole: its length stands nowhere but in its records. */
#include "image.h"

#include <stdlib.h>

#include "base/arith.h"
#include "base/diag.h"

#define CHUNK 65536u

/* The table, read as far as was needed until now. */
struct reader {
	const struct q2s_image *image;
	uint8_t *buf;
	size_t have;
};

static enum q2s_err
reader_grow(struct reader *table, size_t need, struct q2s_diag *diag)
{
	const q2s_host at = table->image->header.snapshots_offset;
	const uint64_t end =
		q2si_round_up(q2s_store_size(table->image->file), table->image->geom.cluster_size);
	uint64_t want;
	uint8_t *buf;

	if (need > Q2S_SNAPSHOT_TABLE_MAX_BYTES)
		return q2si_fail(diag, Q2S_E_LIMIT, "snapshot table", at, need,
				 "over 64 MiB long");
	Q2SI_TRY(q2si_image_holds(table->image, at, need, "snapshot table", diag));
	want = q2si_max(need, q2si_max(2 * table->have, CHUNK));
	want = q2si_min(want, q2si_min(end - at.v, Q2S_SNAPSHOT_TABLE_MAX_BYTES));
	buf = realloc(table->buf, q2si_size(want));
	if (!buf)
		return q2si_fail_nomem(diag, "snapshot table");
	table->buf = buf;
	Q2SI_TRY(q2si_image_read(table->image, (q2s_host){ at.v + table->have },
				 buf + table->have, want - table->have, "snapshot table", diag));
	table->have = want;
	return Q2S_OK;
}

/* Decode the record at @pos of the table, reading on as it says how long it is. */
static enum q2s_err
record_decode(struct reader *table, size_t pos, struct q2s_snapshot *out, size_t *used,
	      struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &table->image->geom;
	const q2s_host at = { table->image->header.snapshots_offset.v + pos };
	enum q2s_err err;

	if (table->have < pos + Q2S_SNAPSHOT_FIXED_SIZE)
		Q2SI_TRY(reader_grow(table, pos + Q2S_SNAPSHOT_FIXED_SIZE, diag));
	for (;;) {
		const size_t len = table->have - pos;

		err = q2s_snapshot_decode(geom, table->buf + pos, len, at, out, used, NULL);
		if (err != Q2S_E_SHORT || *used <= len)
			break;
		Q2SI_TRY(reader_grow(table, pos + *used, diag));
	}
	if (err != Q2S_OK) /* once more, for the words */
		err = q2s_snapshot_decode(geom, table->buf + pos, table->have - pos, at, out, used,
					  diag);
	return err;
}

static enum q2s_err
snapshots_fill(const struct q2s_image *image, struct reader *table, struct q2s_snapshots *out,
	       struct q2s_diag *diag)
{
	struct q2s_snapshot scratch;
	size_t pos = 0, used;

	/* First only the length: the strings point into the buffer, which must not move then. */
	for (uint32_t i = 0; i < out->count; i++) {
		Q2SI_TRY(record_decode(table, pos, &scratch, &used, diag));
		pos += used;
	}
	out->bytes = pos;
	out->list = calloc(out->count, sizeof(*out->list));
	out->at = calloc(out->count, sizeof(*out->at));
	if (!out->list || !out->at)
		return q2si_fail_nomem(diag, "snapshot list");
	pos = 0;
	for (uint32_t i = 0; i < out->count; i++) {
		out->at[i] = (q2s_host){ image->header.snapshots_offset.v + pos };
		Q2SI_TRY(record_decode(table, pos, &out->list[i], &used, diag));
		pos += used;
	}
	return Q2S_OK;
}

enum q2s_err
q2s_image_snapshots(const struct q2s_image *image, struct q2s_snapshots *out,
		    struct q2s_diag *diag)
{
	const struct q2s_header *header = &image->header;
	struct reader table = { .image = image };
	struct q2s_snapshots list = { .count = header->nb_snapshots };
	enum q2s_err err;

	*out = (struct q2s_snapshots){ 0 };
	if (list.count == 0)
		return Q2S_OK;
	if (list.count > Q2S_SNAPSHOTS_MAX)
		return q2si_fail(diag, Q2S_E_LIMIT, "nb_snapshots", Q2S_NOWHERE, list.count,
				 "more than %u snapshots", Q2S_SNAPSHOTS_MAX);
	if (header->snapshots_offset.v == 0 ||
	    !q2si_is_aligned(header->snapshots_offset.v, image->geom.cluster_size))
		return q2si_fail(diag, Q2S_E_OFFSET, "snapshots_offset", Q2S_NOWHERE,
				 header->snapshots_offset.v, "not a cluster behind the header");
	err = snapshots_fill(image, &table, &list, diag);
	list.buf = table.buf;
	if (err != Q2S_OK) {
		q2s_snapshots_free(&list);
		return err;
	}
	*out = list;
	return Q2S_OK;
}

void
q2s_snapshots_free(struct q2s_snapshots *snapshots)
{
	free(snapshots->buf);
	free(snapshots->list);
	free(snapshots->at);
	*snapshots = (struct q2s_snapshots){ 0 };
}
