/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The content of persistent bitmaps: every bit, whatever the clusters and the granularity. */
#include <q2s/image.h>

#include "made.h"
#include "unit.h"

#define NAME "mon"

/* What the bitmap shall say: a byte a granule. */
struct model {
	struct made made;
	uint32_t granularity_bits;
	uint64_t granules;
	uint8_t *dirty;
};

static bool
is_all(const struct model *model, uint64_t first, uint64_t end, uint8_t dirty)
{
	for (uint64_t i = first; i < end; i++)
		if (model->dirty[i] != dirty)
			return false;
	return true;
}

/* The cluster of bits from @first on; bits behind the disk's end are noise, as QEMU leaves them. */
static q2s_host
put_cluster(struct model *model, uint64_t first, uint64_t end)
{
	const uint32_t size = model->made.geom.cluster_size;
	uint8_t *const raw = malloc(size);
	q2s_host at;

	ck_assert_ptr_nonnull(raw);
	memset(raw, end < first + 8ull * size ? 0xff : 0, size);
	for (uint64_t i = first; i < end; i++) {
		raw[(i - first) / 8] &= (uint8_t) ~(1u << (i & 7));
		raw[(i - first) / 8] |= (uint8_t)(model->dirty[i] << (i & 7));
	}
	at = made_clusters(&model->made, raw, size);
	free(raw);
	return at;
}

static q2s_host
put_table(struct model *model, uint32_t *entries)
{
	const uint64_t per = 8ull * model->made.geom.cluster_size;
	const uint64_t count = (model->granules + per - 1) / per;
	uint8_t *const raw = calloc(count, Q2S_BITMAP_TABLE_ENTRY_SIZE);
	q2s_host at;

	ck_assert_ptr_nonnull(raw);
	for (uint64_t i = 0; i < count; i++) {
		const uint64_t first = i * per;
		const uint64_t end = first + per < model->granules ? first + per : model->granules;
		struct q2s_bitmap_table_entry entry = { 0 };

		if (is_all(model, first, end, 1))
			entry.ones = true;
		else if (!is_all(model, first, end, 0))
			entry.cluster = put_cluster(model, first, end);
		assert_ok(q2s_bitmap_table_encode(&model->made.geom, &entry,
						  raw + i * Q2S_BITMAP_TABLE_ENTRY_SIZE, &diag));
	}
	*entries = (uint32_t)count;
	at = made_clusters(&model->made, raw, count * Q2S_BITMAP_TABLE_ENTRY_SIZE);
	free(raw);
	return at;
}

static void
put_bitmap(struct model *model, uint32_t flags, uint64_t autoclear)
{
	struct q2s_bitmap record = {
		.type = 1,
		.flags = flags,
		.granularity_bits = (uint8_t)model->granularity_bits,
		.name = (const uint8_t *)NAME,
		.name_len = sizeof(NAME) - 1,
	};
	uint8_t directory[64], raw[Q2S_EXT_BITMAPS_SIZE];
	struct q2s_ext_bitmaps ext = { .count = 1 };
	size_t used;

	record.table_offset = put_table(model, &record.table_entries);
	assert_ok(q2s_bitmap_encode(&model->made.geom, &record, directory, sizeof(directory), &used,
				    &diag));
	ext.directory_size = used;
	ext.directory_offset = made_clusters(&model->made, directory, used);
	q2s_ext_bitmaps_encode(&ext, raw);
	made_extension(&model->made, Q2S_EXT_BITMAPS, raw, sizeof(raw));
	model->made.header.autoclear_features = autoclear;
	made_finish(&model->made);
}

static struct model
model_new(uint32_t cluster_bits, uint32_t granularity_bits, uint64_t size)
{
	struct model model = { .made = made_v3(cluster_bits, false, size),
			       .granularity_bits = granularity_bits };

	model.granules = (size + (1ull << granularity_bits) - 1) >> granularity_bits;
	model.dirty = calloc(model.granules, 1);
	ck_assert_ptr_nonnull(model.dirty);
	return model;
}

static void
model_free(struct model *model)
{
	free(model->dirty);
	made_free(&model->made);
}

/* Stretches of both kinds, long and short. */
static void
fill(struct model *model, uint64_t *rng)
{
	for (uint64_t at = 0; at < model->granules;) {
		const uint8_t dirty = unit_random(rng) & 1;
		uint64_t len = 1 + (unit_random_log(rng) & 0x3ffff);

		for (; len > 0 && at < model->granules; len--)
			model->dirty[at++] = dirty;
	}
}

static enum q2s_err
open_reader(struct model *model, const char *name, struct q2s_image **image,
	    struct q2s_bitmap_reader **reader, struct q2s_diag *why)
{
	const struct q2s_bytes bytes = { (const uint8_t *)name, strlen(name) };
	struct q2s_store *const file = made_file(&model->made);

	assert_ok(q2s_image_open(file, 0, image, &diag));
	q2s_store_unref(file);
	return q2s_bitmap_reader_open(*image, bytes, reader, why);
}

/* From the start to the end, each run maximal. */
static void
judge_all(const struct model *model, struct q2s_bitmap_reader *reader, uint64_t size)
{
	uint64_t at = 0;

	while (at < size) {
		const uint64_t first = at >> model->granularity_bits;
		uint64_t end = first;
		struct q2s_bitmap_run run;

		assert_ok(q2s_bitmap_reader_run(reader, (q2s_guest){ at }, UINT64_MAX, &run, &diag));
		while (end < model->granules && model->dirty[end] == model->dirty[first])
			end++;
		end <<= model->granularity_bits;
		ck_assert_uint_eq(run.dirty, model->dirty[first]);
		ck_assert_uint_eq(at + run.len, end < size ? end : size);
		at += run.len;
	}
}

/* From anywhere, for as much as is asked for. */
static void
judge_some(const struct model *model, struct q2s_bitmap_reader *reader, uint64_t size,
	   uint64_t *rng)
{
	for (int i = 0; i < 300; i++) {
		const uint64_t at = unit_random(rng) % size;
		const uint64_t max = 1 + unit_random_log(rng) % size;
		struct q2s_bitmap_run run;

		assert_ok(q2s_bitmap_reader_run(reader, (q2s_guest){ at }, max, &run, &diag));
		ck_assert(run.len > 0 && run.len <= max && at + run.len <= size);
		for (uint64_t k = at >> model->granularity_bits;
		     k <= (at + run.len - 1) >> model->granularity_bits; k++)
			quick_assert_eq(model->dirty[k], run.dirty);
	}
}

START_TEST(every_bit_is_read)
{
	static const struct {
		uint32_t cluster_bits, granularity_bits;
		uint64_t size;
	} shapes[] = {
		{ 9, 9, 1400ull << 20 }, /* more entries than one piece of the table */
		{ 9, 16, (50ull << 20) + 512 },  { 12, 9, (64ull << 20) + 512 },
		{ 16, 9, 512ull << 20 },         { 16, 16, 512 },
		{ 16, 31, 7ull << 30 },          { 21, 9, 8ull << 30 },
		{ 21, 16, (3ull << 40) + 1024 },
	};
	uint64_t rng = 4711;

	for (size_t i = 0; i < COUNT(shapes); i++) {
		struct model model = model_new(shapes[i].cluster_bits, shapes[i].granularity_bits,
					       shapes[i].size);
		struct q2s_bitmap_reader *reader;
		struct q2s_image *image;

		fill(&model, &rng);
		put_bitmap(&model, Q2S_BITMAP_AUTO, Q2S_AUTOCLEAR_BITMAPS);
		assert_ok(open_reader(&model, NAME, &image, &reader, &diag));
		ck_assert_uint_eq(q2s_bitmap_reader_record(reader)->granularity_bits,
				  shapes[i].granularity_bits);
		ck_assert_uint_eq(q2s_bitmap_reader_record(reader)->flags, Q2S_BITMAP_AUTO);
		judge_all(&model, reader, shapes[i].size);
		judge_some(&model, reader, shapes[i].size, &rng);
		q2s_bitmap_reader_close(reader);
		q2s_image_close(image);
		model_free(&model);
	}
}
END_TEST

static void
refused(uint32_t flags, uint64_t autoclear, const char *name, enum q2s_err want)
{
	struct model model = model_new(16, 16, 1 << 20);
	struct q2s_diag diag = { 0 };
	struct q2s_bitmap_reader *reader;
	struct q2s_image *image;

	put_bitmap(&model, flags, autoclear);
	ck_assert_int_eq(open_reader(&model, name, &image, &reader, &diag), want);
	ck_assert_int_eq(diag.err, want);
	ck_assert_int_eq(q2s_image_has_stale_bitmaps(image), autoclear == 0);
	q2s_image_close(image);
	model_free(&model);
}

START_TEST(what_may_be_wrong_is_not_read)
{
	refused(Q2S_BITMAP_IN_USE, Q2S_AUTOCLEAR_BITMAPS, NAME, Q2S_E_BITMAP);
	refused(Q2S_BITMAP_IN_USE | Q2S_BITMAP_AUTO, Q2S_AUTOCLEAR_BITMAPS, NAME, Q2S_E_BITMAP);
	refused(0, 0, NAME, Q2S_E_BITMAP);
	refused(0, Q2S_AUTOCLEAR_BITMAPS, "mo", Q2S_E_USAGE);
	refused(0, Q2S_AUTOCLEAR_BITMAPS, "mond", Q2S_E_USAGE);
	refused(0, Q2S_AUTOCLEAR_BITMAPS, "Mon", Q2S_E_USAGE);
	refused(0, Q2S_AUTOCLEAR_BITMAPS, "", Q2S_E_USAGE);
}
END_TEST

static enum q2s_err
run_with_entry(uint64_t entry)
{
	struct model model = model_new(16, 16, 1 << 20);
	struct q2s_bitmap_reader *reader;
	struct q2s_bitmap_run run;
	struct q2s_image *image;
	enum q2s_err got;

	put_bitmap(&model, 0, Q2S_AUTOCLEAR_BITMAPS);
	assert_ok(open_reader(&model, NAME, &image, &reader, &diag));
	made_put64(&model.made, q2s_bitmap_reader_record(reader)->table_offset.v, entry);
	got = q2s_bitmap_reader_run(reader, (q2s_guest){ 0 }, 1, &run, NULL);
	q2s_bitmap_reader_close(reader);
	q2s_image_close(image);
	model_free(&model);
	return got;
}

START_TEST(wrong_tables_are_refused)
{
	ck_assert_int_eq(run_with_entry(0), Q2S_OK);
	ck_assert_int_eq(run_with_entry(2), Q2S_E_RESERVED);
	ck_assert_int_eq(run_with_entry(0x10200), Q2S_E_OFFSET);
	ck_assert_int_eq(run_with_entry(0x10001), Q2S_E_BITMAP);
	ck_assert_int_eq(run_with_entry(1ull << 40), Q2S_E_TRUNCATED);
}
END_TEST

UNIT_MAIN("bitmap_reader", every_bit_is_read, what_may_be_wrong_is_not_read,
	  wrong_tables_are_refused)
