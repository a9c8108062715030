/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the metadata lie, so that no guest data are ever written over them. A sound image needs
 * none of this; one with a count that is too low would otherwise lose its tables.
 */
#include "edit/edit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/search.h"

/*
 * Each span is 16 bytes. An image whose L2 tables are so many and so scattered that they would need
 * more is guarded without them: memory does not follow the numbers in an image.
 */
#define SPANS_MAX (128u << 10)

#define READ_BYTES 65536u

/* ---- the list ------------------------------------------------------------------------------ */

/* Index of the first span that ends at or behind @at. */
static size_t
span_find(const struct q2si_spans *spans, uint64_t at)
{
	return Q2SI_COUNT_FIRST(i, spans->count, spans->list[i].end < at);
}

static enum q2s_err
room_make(struct q2si_spans *spans, struct q2s_diag *diag)
{
	const size_t room = spans->room ? 2 * spans->room : 64;
	struct q2si_span *list;

	if (spans->count < spans->room)
		return Q2S_OK;
	list = realloc(spans->list, room * sizeof(*list));
	if (!list)
		return q2si_fail_nomem(diag, "list of metadata");
	spans->list = list;
	spans->room = room;
	return Q2S_OK;
}

static void
list_close_gap(struct q2si_spans *spans, size_t first, size_t last)
{
	memmove(spans->list + first, spans->list + last,
		(spans->count - last) * sizeof(*spans->list));
	spans->count -= last - first;
}

static enum q2s_err
span_add(struct q2si_spans *spans, uint64_t start, uint64_t end, struct q2s_diag *diag)
{
	const size_t first = span_find(spans, start);
	size_t last = first;

	/* What it touches becomes one with it. */
	while (last < spans->count && spans->list[last].start <= end)
		last++;
	if (last > first) {
		struct q2si_span *span = &spans->list[first];

		end = q2si_max(end, spans->list[last - 1].end);
		span->start = q2si_min(span->start, start);
		span->end = end;
		list_close_gap(spans, first + 1, last);
		return Q2S_OK;
	}
	Q2SI_TRY(room_make(spans, diag));
	memmove(spans->list + first + 1, spans->list + first,
		(spans->count - first) * sizeof(*spans->list));
	spans->list[first] = (struct q2si_span){ start, end };
	spans->count++;
	return Q2S_OK;
}

enum q2s_err
q2si_overlap_add(struct q2s_edit *edit, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	const uint64_t unit = edit->geom.cluster_size;
	uint64_t end;

	if (!q2si_add(at, len, &end) || end > Q2S_HOST_OFFSET_LIMIT)
		return q2si_fail(diag, Q2S_E_OFFSET, "metadata", (q2s_host){ at }, len,
				 "ends beyond 2^56");
	return len ? span_add(&edit->metadata, q2si_round_down(at, unit), q2si_round_up(end, unit),
			      diag)
		   : Q2S_OK;
}

/* A table that is given up: it is a whole cluster, so at most one span is cut in two. */
void
q2si_overlap_remove(struct q2s_edit *edit, uint64_t at, uint64_t len)
{
	struct q2si_spans *spans = &edit->metadata;
	const size_t i = span_find(spans, at + 1);
	struct q2si_span *span = spans->list + i;
	const uint64_t end = at + len;

	if (i == spans->count || span->start > at || span->end < end)
		return;
	if (span->start == at && span->end == end) {
		list_close_gap(spans, i, i + 1);
	} else if (span->start == at) {
		span->start = end;
	} else if (span->end == end) {
		span->end = at;
	} else {
		const uint64_t behind = span->end;

		span->end = at;
		/* Without memory the part behind is no longer guarded, and that is all. */
		(void)span_add(spans, end, behind, NULL);
	}
}

enum q2s_err
q2si_overlap_check(struct q2s_edit *edit, uint64_t at, uint64_t len, const char *what,
		   struct q2s_diag *diag)
{
	const struct q2si_spans *spans = &edit->metadata;
	const size_t i = span_find(spans, at + 1);
	struct q2s_diag why = { 0 };

	if (i == spans->count || spans->list[i].start >= at + len ||
	    !Q2SI_KEEPS(Q2SI_CHECK_OVERLAP))
		return Q2S_OK;
	q2si_fail(&why, Q2S_E_OFFSET, what, (q2s_host){ at }, spans->list[i].start,
		  "metadata lie where it would be written: the image is corrupt");
	q2si_header_mark_corrupt(edit);
	if (diag && diag->err == Q2S_OK)
		*diag = why;
	return q2si_stop(edit, Q2S_E_OFFSET, &why);
}

/* ---- the image as it was opened ------------------------------------------------------------ */

/*
 * What each entry of a table (L1 or refcount table) points to: one cluster of metadata.
 *
 * @mask  bits of an entry that are the offset
 * @most  give up beyond so many spans
 */
static enum q2s_err
table_add(struct q2s_edit *edit, uint64_t at, uint64_t entries, uint64_t mask, size_t most,
	  struct q2s_diag *diag)
{
	const uint64_t cluster_size = edit->geom.cluster_size;
	uint8_t *buf = malloc(READ_BYTES);
	enum q2s_err err = buf ? Q2S_OK : q2si_fail_nomem(diag, "table");

	for (uint64_t done = 0; done < entries && err == Q2S_OK;) {
		const uint64_t n = q2si_min(entries - done, READ_BYTES / 8);

		err = q2s_store_read_padded(q2si_meta(edit)->store, at + done * 8, buf, n * 8, NULL,
					    diag);
		for (uint64_t i = 0; i < n && err == Q2S_OK; i++) {
			const uint64_t host = q2si_get_be64(buf + i * 8) & mask;

			/* A bad offset fails whoever follows it, with more to say about it. */
			if (host && q2si_is_aligned(host, cluster_size) &&
			    host < Q2S_HOST_OFFSET_LIMIT && edit->metadata.count < most)
				err = q2si_overlap_add(edit, host, cluster_size, diag);
		}
		done += n;
	}
	free(buf);
	return err;
}

static enum q2s_err
snapshots_add(struct q2s_edit *edit, struct q2s_diag *diag)
{
	struct q2s_snapshots snapshots;
	enum q2s_err err;

	if (edit->header.nb_snapshots == 0)
		return Q2S_OK;
	Q2SI_TRY(q2s_image_snapshots(edit->image, &snapshots, diag));
	err = q2si_overlap_add(edit, edit->header.snapshots_offset.v, snapshots.bytes, diag);
	for (uint32_t i = 0; i < snapshots.count && err == Q2S_OK; i++)
		err = q2si_overlap_add(edit, snapshots.list[i].l1_offset.v,
				       (uint64_t)snapshots.list[i].l1_entries * Q2S_L1_ENTRY_SIZE,
				       diag);
	q2s_snapshots_free(&snapshots);
	return err;
}

static enum q2s_err
bitmaps_add(struct q2s_edit *edit, struct q2s_diag *diag)
{
	const struct q2s_ext_bitmaps *ext = q2s_image_bitmaps(edit->image);
	struct q2s_bitmaps bitmaps;
	enum q2s_err err;

	if (!ext)
		return Q2S_OK;
	Q2SI_TRY(q2s_image_bitmap_directory(edit->image, &bitmaps, diag));
	err = q2si_overlap_add(edit, ext->directory_offset.v, ext->directory_size, diag);
	for (uint32_t i = 0; i < bitmaps.count && err == Q2S_OK; i++)
		err = q2si_overlap_add(edit, bitmaps.list[i].table_offset.v,
				       (uint64_t)bitmaps.list[i].table_entries *
					       Q2S_BITMAP_TABLE_ENTRY_SIZE,
				       diag);
	q2s_bitmaps_free(&bitmaps);
	return err;
}

enum q2s_err
q2si_overlap_init(struct q2s_edit *edit, struct q2s_diag *diag)
{
	const struct q2s_header *header = &edit->header;
	const struct q2s_ext_crypto *crypto = q2s_image_crypto(edit->image);
	const uint64_t table_bytes = (uint64_t)header->refcount_table_clusters
				     << edit->geom.cluster_bits;

	Q2SI_TRY(q2si_overlap_add(edit, 0, edit->geom.cluster_size, diag));
	Q2SI_TRY(q2si_overlap_add(edit, header->refcount_table_offset.v, table_bytes, diag));
	Q2SI_TRY(q2si_overlap_add(edit, header->l1_table_offset.v,
				  (uint64_t)header->l1_size * Q2S_L1_ENTRY_SIZE, diag));
	if (crypto)
		Q2SI_TRY(q2si_overlap_add(edit, crypto->offset.v, crypto->length, diag));
	Q2SI_TRY(snapshots_add(edit, diag));
	Q2SI_TRY(bitmaps_add(edit, diag));
	Q2SI_TRY(table_add(edit, header->refcount_table_offset.v,
			   table_bytes / Q2S_REFTABLE_ENTRY_SIZE, UINT64_MAX, SIZE_MAX, diag));
	return table_add(edit, header->l1_table_offset.v, header->l1_size, Q2S_ENTRY_HOST_MASK,
			 SPANS_MAX, diag);
}
