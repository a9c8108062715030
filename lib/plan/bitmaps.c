/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Persistent bitmaps as a part of the plan: for each a table and those clusters of bits that are
 * neither all clean nor all dirty, then the directory of all.
 */
#include "plan/bitmaps.h"

#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/search.h"
#include "plan/bits.h"
#include "plan/plan.h"

#define RECORD_MAX (Q2S_BITMAP_FIXED_SIZE + Q2S_BITMAP_NAME_MAX + 8u)

static uint64_t
bits_of(const struct q2s_geom *geom, const struct q2s_spec_bitmap *bitmap)
{
	return q2si_div_up(geom->size, 1ull << bitmap->granularity_bits);
}

/* ---- rules --------------------------------------------------------------------------------- */

static enum q2s_err
wrong(struct q2s_diag *diag, enum q2s_err err, const struct q2s_spec_bitmap *bitmap,
      const char *why)
{
	return q2si_fail_at(diag, err, "bitmap", Q2S_NOWHERE, "'%.*s' %s",
			    (int)q2si_min(bitmap->name.len, 128), (const char *)bitmap->name.data,
			    why);
}

static enum q2s_err
check_one(const struct q2s_geom *geom, const struct q2s_spec_bitmap *bitmap, struct q2s_diag *diag)
{
	const uint32_t shift = bitmap->granularity_bits;

	if (bitmap->name.len == 0 || bitmap->name.len > Q2S_BITMAP_NAME_MAX)
		return q2si_fail(diag, Q2S_E_USAGE, "bitmap name", Q2S_NOWHERE, bitmap->name.len,
				 "has not from 1 to %u bytes", Q2S_BITMAP_NAME_MAX);
	if (shift < Q2S_BITMAP_GRANULARITY_BITS_MIN || shift > Q2S_BITMAP_GRANULARITY_BITS_MAX)
		return wrong(diag, Q2S_E_USAGE, bitmap,
			     "has a granularity that is no power of two from 512 bytes to 2 GiB");
	if (geom->size == 0)
		return wrong(diag, Q2S_E_CONFLICT, bitmap, "is for a disk without any bytes");
	if (bits_of(geom, bitmap) > 8 * Q2S_BITMAP_MAX_BYTES)
		return wrong(diag, Q2S_E_LIMIT, bitmap,
			     "would take more than 512 MiB; use a larger granularity");
	if (bitmap->bits && (bitmap->bits->granularity_bits != shift ||
			     bitmap->bits->count != bits_of(geom, bitmap)))
		return wrong(diag, Q2S_E_USAGE, bitmap,
			     "has bits for another size or granularity");
	return Q2S_OK;
}

static int
compare_names(const void *a, const void *b)
{
	const struct q2s_bytes *x = &(*(const struct q2s_spec_bitmap *const *)a)->name;
	const struct q2s_bytes *y = &(*(const struct q2s_spec_bitmap *const *)b)->name;
	const int order = memcmp(x->data, y->data, q2si_min_size(x->len, y->len));

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

static enum q2s_err
check_names(const struct q2s_spec *spec, struct q2s_diag *diag)
{
	Q2SI_AUTO_FREE const struct q2s_spec_bitmap **sorted =
		calloc(spec->bitmap_count, sizeof(const struct q2s_spec_bitmap *));

	if (!sorted)
		return q2si_fail_nomem(diag, "bitmaps");
	for (size_t i = 0; i < spec->bitmap_count; i++)
		sorted[i] = &spec->bitmaps[i];
	qsort(sorted, spec->bitmap_count, sizeof(const struct q2s_spec_bitmap *), compare_names);
	for (size_t i = 1; i < spec->bitmap_count; i++)
		if (compare_names(&sorted[i - 1], &sorted[i]) == 0)
			return wrong(diag, Q2S_E_USAGE, sorted[i], "is there twice");
	return Q2S_OK;
}

static uint64_t
record_size(const struct q2s_spec_bitmap *bitmap)
{
	return q2si_round_up(Q2S_BITMAP_FIXED_SIZE + bitmap->name.len, 8);
}

enum q2s_err
q2si_bitmaps_check(const struct q2s_spec *spec, struct q2s_diag *diag)
{
	uint64_t bytes = 0;

	if (spec->bitmap_count == 0)
		return Q2S_OK;
	if (spec->bitmap_count > Q2S_BITMAPS_MAX)
		return q2si_fail(diag, Q2S_E_LIMIT, "bitmaps", Q2S_NOWHERE, spec->bitmap_count,
				 "more than %u", Q2S_BITMAPS_MAX);
	for (size_t i = 0; i < spec->bitmap_count; i++) {
		Q2SI_TRY(check_one(&spec->geom, &spec->bitmaps[i], diag));
		bytes += record_size(&spec->bitmaps[i]);
	}
	if (bytes > Q2S_BITMAP_DIRECTORY_MAX_BYTES)
		return q2si_fail(diag, Q2S_E_LIMIT, "bitmap directory", Q2S_NOWHERE, bytes,
				 "over 1024 * 65535 bytes");
	return check_names(spec, diag);
}

/* ---- places -------------------------------------------------------------------------------- */

static enum q2s_err
copy_spec(struct q2s_spec *spec, struct q2si_bitmaps *out, struct q2s_diag *diag)
{
	size_t names = 0;
	uint8_t *to;

	for (size_t i = 0; i < spec->bitmap_count; i++)
		names += spec->bitmaps[i].name.len;
	out->names = malloc(names + 1);
	out->spec = calloc(spec->bitmap_count, sizeof(*out->spec));
	out->list = calloc(spec->bitmap_count, sizeof(*out->list));
	if (!out->names || !out->spec || !out->list)
		return q2si_fail_nomem(diag, "bitmaps");
	to = out->names;
	for (; out->count < spec->bitmap_count; out->count++) {
		struct q2s_spec_bitmap *copy = &out->spec[out->count];

		*copy = spec->bitmaps[out->count];
		memcpy(to, copy->name.data, copy->name.len);
		copy->name.data = to;
		to += copy->name.len;
		if (copy->bits)
			(void)q2s_bits_ref(copy->bits);
	}
	spec->bitmaps = out->spec;
	return Q2S_OK;
}

/* What the bits of table entry @index are, which is below the number of entries. */
static enum q2si_bits_kind
kind_of(const struct q2s_geom *geom, const struct q2s_spec_bitmap *spec, uint64_t index)
{
	const uint64_t per = 8ull * geom->cluster_size;

	if (!spec->bits)
		return Q2SI_BITS_CLEAN;
	return q2si_bits_kind(spec->bits, index * per,
			      q2si_min((index + 1) * per, spec->bits->count));
}

/* Which clusters have to be stored. */
static enum q2s_err
find_stored(const struct q2s_geom *geom, const struct q2s_spec_bitmap *spec,
	    struct q2si_bitmap *bitmap, struct q2s_diag *diag)
{
	for (uint64_t i = 0; i < bitmap->entries; i++)
		bitmap->data_count += kind_of(geom, spec, i) == Q2SI_BITS_MIXED;
	bitmap->stored = calloc(q2si_size(bitmap->data_count + 1), sizeof(*bitmap->stored));
	if (!bitmap->stored)
		return q2si_fail_nomem(diag, "bitmaps");
	bitmap->data_count = 0;
	for (uint64_t i = 0; i < bitmap->entries; i++)
		if (kind_of(geom, spec, i) == Q2SI_BITS_MIXED)
			bitmap->stored[bitmap->data_count++] = (uint32_t)i;
	return Q2S_OK;
}

enum q2s_err
q2si_bitmaps_make(struct q2s_spec *spec, struct q2si_bitmaps *out, struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &spec->geom;
	uint64_t next = 0, record = 0, full = 0;

	if (spec->bitmap_count == 0)
		return Q2S_OK;
	Q2SI_TRY(copy_spec(spec, out, diag));
	for (size_t i = 0; i < out->count; i++) {
		struct q2si_bitmap *bitmap = &out->list[i];

		bitmap->entries = q2si_div_up(bits_of(geom, &out->spec[i]),
					      8ull * geom->cluster_size);
		Q2SI_TRY(find_stored(geom, &out->spec[i], bitmap, diag));
		bitmap->table = next;
		next += q2si_div_up(bitmap->entries * Q2S_BITMAP_TABLE_ENTRY_SIZE,
				    geom->cluster_size);
		bitmap->data = next;
		full += next - bitmap->table + bitmap->entries;
		next += bitmap->data_count;
		record += record_size(&out->spec[i]);
		bitmap->record_end = record;
	}
	out->directory = next;
	out->directory_bytes = record;
	out->clusters = next + q2si_div_up(record, geom->cluster_size);
	out->full_bytes = (full + out->clusters - next) << geom->cluster_bits;
	return Q2S_OK;
}

void
q2si_bitmaps_free(struct q2si_bitmaps *bitmaps)
{
	for (size_t i = 0; i < bitmaps->count; i++) {
		q2s_bits_unref(bitmaps->spec[i].bits);
		free(bitmaps->list[i].stored);
	}
	free(bitmaps->spec);
	free(bitmaps->list);
	free(bitmaps->names);
	*bitmaps = (struct q2si_bitmaps){ 0 };
}

/* ---- bytes --------------------------------------------------------------------------------- */

static q2s_host
host_of(const struct q2s_plan *plan, uint64_t cluster)
{
	return (q2s_host){ plan->layout.bitmaps.v + (cluster << plan->spec.geom.cluster_bits) };
}

/* Cluster @index of a bitmap's table. */
static enum q2s_err
table_cluster(const struct q2s_plan *plan, size_t number, uint64_t index, uint8_t *buf,
	      struct q2s_diag *diag)
{
	const struct q2s_geom *geom = &plan->spec.geom;
	const struct q2si_bitmap *bitmap = &plan->bitmaps.list[number];
	const uint64_t per = geom->cluster_size / Q2S_BITMAP_TABLE_ENTRY_SIZE;
	const uint64_t first = index * per, end = q2si_min(first + per, bitmap->entries);
	uint64_t stored = Q2SI_COUNT_FIRST(k, bitmap->data_count, bitmap->stored[k] < first);

	for (uint64_t i = first; i < end; i++) {
		struct q2s_bitmap_table_entry entry = { 0 };

		if (stored < bitmap->data_count && bitmap->stored[stored] == i)
			entry.cluster = host_of(plan, bitmap->data + stored++);
		else
			entry.ones = kind_of(geom, &plan->bitmaps.spec[number], i) ==
				     Q2SI_BITS_DIRTY;
		Q2SI_TRY(q2s_bitmap_table_encode(geom, &entry,
						 buf + (i - first) * Q2S_BITMAP_TABLE_ENTRY_SIZE,
						 diag));
	}
	return Q2S_OK;
}

static enum q2s_err
encode_record(const struct q2s_plan *plan, size_t number, uint8_t *raw, size_t *used,
	      struct q2s_diag *diag)
{
	const struct q2s_spec_bitmap *spec = &plan->bitmaps.spec[number];
	const struct q2s_bitmap record = {
		.table_offset = host_of(plan, plan->bitmaps.list[number].table),
		.table_entries = (uint32_t)plan->bitmaps.list[number].entries,
		.flags = spec->enabled ? Q2S_BITMAP_AUTO : 0,
		.type = 1, /* dirty tracking */
		.granularity_bits = (uint8_t)spec->granularity_bits,
		.name = spec->name.data,
		.name_len = (uint16_t)spec->name.len,
	};

	return q2s_bitmap_encode(&plan->spec.geom, &record, raw, RECORD_MAX, used, diag);
}

/* Cluster @index of the directory; a record may lie in several. */
static enum q2s_err
directory_cluster(const struct q2s_plan *plan, uint64_t index, uint8_t *buf, struct q2s_diag *diag)
{
	const struct q2si_bitmaps *bitmaps = &plan->bitmaps;
	const uint32_t size = plan->spec.geom.cluster_size;
	const uint64_t start = index * size, end = start + size;
	uint8_t raw[RECORD_MAX];

	for (size_t i = Q2SI_COUNT_FIRST(k, bitmaps->count, bitmaps->list[k].record_end <= start);
	     i < bitmaps->count; i++) {
		const uint64_t at = i > 0 ? bitmaps->list[i - 1].record_end : 0;
		size_t used;

		if (at >= end)
			break;
		Q2SI_TRY(encode_record(plan, i, raw, &used, diag));
		const uint64_t from = q2si_max(at, start), until = q2si_min(at + used, end);

		memcpy(buf + (from - start), raw + (from - at), until - from);
	}
	return Q2S_OK;
}

enum q2s_err
q2si_bitmaps_cluster(const struct q2s_plan *plan, uint64_t index, uint8_t *buf,
		     struct q2s_diag *diag)
{
	const struct q2si_bitmaps *bitmaps = &plan->bitmaps;
	const uint32_t size = plan->spec.geom.cluster_size;

	memset(buf, 0, size);
	if (index >= bitmaps->directory)
		return directory_cluster(plan, index - bitmaps->directory, buf, diag);
	const size_t number = Q2SI_COUNT_FIRST(k, bitmaps->count, bitmaps->list[k].table <= index) - 1;
	const struct q2si_bitmap *bitmap = &bitmaps->list[number];

	if (index < bitmap->data)
		return table_cluster(plan, number, index - bitmap->table, buf, diag);
	q2si_bits_copy(bitmaps->spec[number].bits,
		       (uint64_t)bitmap->stored[index - bitmap->data] * size, buf, size);
	return Q2S_OK;
}
