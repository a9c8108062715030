/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another width of refcounts. New blocks and a new table, which describe themselves too, are
 * written behind all that is in use; one write of the header puts them in place; then the old ones
 * are freed.
 */
#include "edit/edit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/diag.h"

/**
 * @geom    of the image with the new width
 * @end     clusters below are as they were; the new blocks come from here on, then the new table
 */
struct width {
	struct q2s_geom geom;
	uint64_t end;
	struct q2s_refcount_size size;
};

/* Where what is in use ends; and does each count fit? */
static enum q2s_err
counts_survey(struct q2s_edit *edit, struct width *width, struct q2s_diag *diag)
{
	const uint64_t covers = q2si_refcount_covers(edit);
	const uint64_t in_slice = (uint64_t)edit->cache.slice_size * 8 >> edit->geom.refcount_order;

	width->end = q2si_div_up(edit->file_end, edit->geom.cluster_size);
	for (uint64_t cluster = 0; cluster < covers; cluster += in_slice) {
		struct q2si_slice *slice;

		Q2SI_TRY(q2si_refcount_slice(edit, cluster, &slice, diag));
		for (uint32_t i = 0; slice && i < in_slice; i++) {
			const uint64_t count = q2s_refcount_get(&edit->geom, slice->data, i);

			if (count > 0)
				width->end = q2si_max(width->end, cluster + i + 1);
			if (count <= width->geom.refcount_max)
				continue;
			q2si_cache_put(slice);
			return q2si_fail(
				diag, Q2S_E_LIMIT, "refcount",
				(q2s_host){ (cluster + i) << edit->geom.cluster_bits }, count,
				"refcount_bits=%u hold no larger count than %" PRIu64,
				width->geom.refcount_bits, width->geom.refcount_max);
		}
		if (slice)
			q2si_cache_put(slice);
	}
	return Q2S_OK;
}

/* Block @index of the new ones: the counts as they are, and of the new clusters themselves 1. */
static enum q2s_err
block_fill(struct q2s_edit *edit, const struct width *width, uint64_t index, uint8_t *block,
	   struct q2s_diag *diag)
{
	const uint64_t first = index << width->geom.block_bits;
	const uint64_t limit = width->end + width->size.blocks + width->size.table_clusters;

	memset(block, 0, edit->geom.cluster_size);
	for (uint32_t i = 0; i < width->geom.block_entries && first + i < limit; i++) {
		uint64_t count = 1;

		if (first + i < width->end)
			Q2SI_TRY(q2si_refcount_get(edit, first + i, &count, diag));
		if (count)
			Q2SI_TRY(q2s_refcount_set(&width->geom, block, i, count, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
table_write(struct q2s_edit *edit, const struct width *width, uint8_t *buf, struct q2s_diag *diag)
{
	const uint32_t bits = edit->geom.cluster_bits;
	const uint64_t per = edit->geom.cluster_size / Q2S_REFTABLE_ENTRY_SIZE;

	for (uint64_t i = 0; i < width->size.table_clusters; i++) {
		memset(buf, 0, edit->geom.cluster_size);
		for (uint64_t k = 0; k < per && i * per + k < width->size.blocks; k++)
			q2si_put_be64(buf + k * Q2S_REFTABLE_ENTRY_SIZE,
				      (width->end + i * per + k) << bits);
		Q2SI_TRY(q2si_meta_write(edit, (width->end + width->size.blocks + i) << bits, buf,
					 edit->geom.cluster_size, diag));
	}
	return Q2S_OK;
}

static enum q2s_err
width_write(struct q2s_edit *edit, const struct width *width, struct q2s_diag *diag)
{
	const uint32_t bits = edit->geom.cluster_bits;
	const uint64_t len = (width->size.blocks + width->size.table_clusters) << bits;
	Q2SI_AUTO_FREE uint8_t *buf = malloc(edit->geom.cluster_size);

	if (!buf)
		return q2si_fail_nomem(diag, "refcount block");
	Q2SI_TRY(q2si_overlap_check(edit, width->end << bits, len, "refcount table", diag));
	q2si_cache_forget(&edit->cache, width->end << bits, len);
	for (uint64_t i = 0; i < width->size.blocks; i++) {
		Q2SI_TRY(block_fill(edit, width, i, buf, diag));
		Q2SI_TRY(q2si_meta_write(edit, (width->end + i) << bits, buf,
					 edit->geom.cluster_size, diag));
	}
	Q2SI_TRY(table_write(edit, width, buf, diag));
	edit->file_end = q2si_max(edit->file_end, (width->end << bits) + len);
	return q2si_overlap_add(edit, width->end << bits, len, diag);
}

/* The old table says which blocks there were; it goes last. */
static enum q2s_err
old_free(struct q2s_edit *edit, uint64_t table, uint32_t clusters, struct q2s_diag *diag)
{
	const uint64_t bytes = (uint64_t)clusters << edit->geom.cluster_bits;

	for (uint64_t done = 0; done < bytes; done += Q2S_REFTABLE_ENTRY_SIZE) {
		struct q2si_slice *slice;
		uint64_t block;

		Q2SI_TRY(q2si_cache_get(&edit->cache, table + done, Q2SI_SLICE_REFTABLE, &slice,
					diag));
		block = q2si_get_be64(q2si_slice_at(&edit->cache, slice, table + done));
		q2si_cache_put(slice);
		if (block)
			Q2SI_TRY(q2si_area_free(edit, block, edit->geom.cluster_size, diag));
		Q2SI_TRY(q2si_flush_if_full(edit, diag));
	}
	return q2si_area_free(edit, table, bytes, diag);
}

static enum q2s_err
width_set(struct q2s_edit *edit, uint32_t order, struct q2s_diag *diag)
{
	const struct q2s_geom_params params = {
		.version = edit->geom.version,
		.cluster_bits = edit->geom.cluster_bits,
		.refcount_order = order,
		.extended = edit->geom.extended,
		.data_file = edit->geom.data_file,
		.size = edit->geom.size,
	};
	const struct q2s_header old = edit->header;
	struct q2s_header header = edit->header;
	struct width width = { .end = 0 };

	if (edit->geom.refcount_order == order)
		return Q2S_OK;
	Q2SI_TRY(q2s_geom_init(&params, &width.geom, diag));
	Q2SI_TRY(counts_survey(edit, &width, diag));
	Q2SI_TRY(q2si_sound(edit, diag));
	Q2SI_TRY(q2s_refcount_size_solve(&width.geom, width.end, &width.size, diag));
	Q2SI_TRY(width_write(edit, &width, diag));
	header.refcount_order = order;
	header.refcount_table_offset.v = (width.end + width.size.blocks) << edit->geom.cluster_bits;
	header.refcount_table_clusters = (uint32_t)width.size.table_clusters;
	Q2SI_TRY(q2si_header_switch(edit, &header, diag));
	return old_free(edit, old.refcount_table_offset.v, old.refcount_table_clusters, diag);
}

enum q2s_err
q2s_edit_set_refcount_bits(struct q2s_edit *edit, uint64_t bits, struct q2s_diag *diag)
{
	uint32_t order = 0;

	while (order <= Q2S_REFCOUNT_ORDER_MAX && UINT64_C(1) << order != bits)
		order++;
	if (order > Q2S_REFCOUNT_ORDER_MAX)
		return q2si_fail(diag, Q2S_E_USAGE, "refcount_bits", Q2S_NOWHERE, bits,
				 "must be a power of two, at most 64");
	Q2SI_TRY(q2si_whole_begin(edit, diag));
	return q2si_whole_end(edit, width_set(edit, order, diag), diag);
}
