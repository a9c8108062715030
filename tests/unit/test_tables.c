/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables that are read whole: snapshots and bitmaps, right and wrong. */
#include <string.h>

#include <q2s/image.h>

#include "made.h"
#include "unit.h"

#define KIB 1024ull
#define MIB (KIB << 10)

/* Open @made; the caller closes. */
static enum q2s_err
open_made(struct made *made, unsigned flags, struct q2s_image **out, struct q2s_diag *diag)
{
	struct q2s_store *file = made_file(made);
	const enum q2s_err err = q2s_image_open(file, flags, out, diag);

	q2s_store_unref(file);
	return err;
}

/* ---- snapshots --------------------------------------------------------------------------- */

#define SNAPSHOTS 1500

/* Records of many lengths: the table is far longer than one read. */
static void
put_snapshots(struct made *made, uint32_t count)
{
	static uint8_t table[512 * KIB];
	uint8_t text[300];
	size_t pos = 0;

	memset(table, 0, sizeof(table));
	memset(text, 'n', sizeof(text));
	for (uint32_t i = 0; i < count; i++) {
		const struct q2s_snapshot snapshot = {
			.l1_offset = { 4096 },
			.l1_entries = 1,
			.id = text,
			.id_len = (uint16_t)(1 + i % 7),
			.name = text,
			.name_len = (uint16_t)(i % 300),
			.date_sec = i,
			.has_disk_size = true,
			.disk_size = 512ull * i,
		};
		size_t used;

		assert_ok(q2s_snapshot_encode(&made->geom, &snapshot, table + pos,
					      sizeof(table) - pos, &used, &diag));
		pos += used;
	}
	made->header.snapshots_offset = made_clusters(made, table, pos);
	made->header.nb_snapshots = count;
	made_finish(made);
}

START_TEST(all_snapshots_are_read)
{
	struct made made = made_v3(12, false, 512);
	struct q2s_snapshots all;
	struct q2s_image *image;
	uint64_t at;

	put_snapshots(&made, SNAPSHOTS);
	assert_ok(open_made(&made, 0, &image, &diag));
	assert_ok(q2s_image_snapshots(image, &all, &diag));
	ck_assert_uint_eq(all.count, SNAPSHOTS);
	at = made.header.snapshots_offset.v;
	for (uint32_t i = 0; i < SNAPSHOTS; i++) {
		ck_assert_uint_eq(all.list[i].date_sec, i);
		ck_assert_uint_eq(all.list[i].disk_size, 512ull * i);
		ck_assert_uint_eq(all.list[i].name_len, i % 300);
		ck_assert(i % 300 == 0 || all.list[i].name[i % 300 - 1] == 'n');
		ck_assert_uint_eq(all.at[i].v, at);
		at += (71ull + all.list[i].id_len + all.list[i].name_len) & ~7ull;
	}
	ck_assert_uint_eq(all.bytes, at - made.header.snapshots_offset.v);
	q2s_snapshots_free(&all);
	q2s_image_close(image);
	made_free(&made);
}
END_TEST

static enum q2s_err
snapshots_refused(struct made *made, uint64_t *at)
{
	struct q2s_diag diag = { 0 };
	struct q2s_snapshots all = { 0 };
	struct q2s_image *image;
	enum q2s_err err;

	ck_assert_int_eq(open_made(made, Q2S_IMAGE_DAMAGED, &image, &diag), Q2S_OK);
	err = q2s_image_snapshots(image, &all, &diag);
	ck_assert_ptr_null(all.list);
	ck_assert_int_eq(diag.err, err);
	*at = diag.at.v;
	q2s_image_close(image);
	return err;
}

START_TEST(wrong_snapshot_tables_are_refused)
{
	struct made made = made_v3(12, false, 512);
	uint64_t table, at;

	put_snapshots(&made, 3);
	table = made.header.snapshots_offset.v;
	made_put32(&made, table + 36, 1025); /* extra data */
	ck_assert_int_eq(snapshots_refused(&made, &at), Q2S_E_SNAPSHOT);
	made_put32(&made, table + 36, 24);
	made_put32(&made, 60, 4); /* one more than there are: a record of zeros */
	ck_assert_int_eq(snapshots_refused(&made, &at), Q2S_E_SNAPSHOT);
	ck_assert_uint_gt(at, table);
	made_put32(&made, 60, 65536); /* far more than the file holds */
	ck_assert_int_ne(snapshots_refused(&made, &at), Q2S_OK);
	made_put32(&made, 60, 65537);
	ck_assert_int_eq(snapshots_refused(&made, &at), Q2S_E_LIMIT);
	made_put32(&made, 60, 3);
	made_put64(&made, 64, table + 8);
	ck_assert_int_eq(snapshots_refused(&made, &at), Q2S_E_OFFSET);
	made_put64(&made, 64, 1ull << 40);
	ck_assert_int_eq(snapshots_refused(&made, &at), Q2S_E_TRUNCATED);
	ck_assert_uint_eq(at, 1ull << 40);
	made_free(&made);
}
END_TEST

/* Only the cluster in which a file ends may be partial, also in the middle of a table. */
START_TEST(a_snapshot_table_that_is_cut_is_refused)
{
	struct made made = made_v3(9, false, 512);
	uint64_t at;

	put_snapshots(&made, 100);
	made_resize(&made, made.header.snapshots_offset.v + 1024);
	ck_assert_int_eq(snapshots_refused(&made, &at), Q2S_E_TRUNCATED);
	made_free(&made);
}
END_TEST

/* ---- bitmaps ----------------------------------------------------------------------------- */

#define BITMAPS 40

static void
put_bitmaps(struct made *made, uint32_t count, uint64_t autoclear)
{
	uint8_t directory[8192] = { 0 }, raw[Q2S_EXT_BITMAPS_SIZE];
	struct q2s_ext_bitmaps ext = { .count = count };
	size_t pos = 0;

	for (uint32_t i = 0; i < count; i++) {
		const struct q2s_bitmap bitmap = {
			.table_offset = { 4096 * 9 },
			.table_entries = 1,
			.type = 1,
			.granularity_bits = 16,
			.name = (const uint8_t *)"0123456789012345678901234567890123456789" + i,
			.name_len = 5,
		};
		size_t used;

		assert_ok(q2s_bitmap_encode(&made->geom, &bitmap, directory + pos,
					    sizeof(directory) - pos, &used, &diag));
		pos += used;
	}
	ext.directory_size = pos;
	ext.directory_offset = made_clusters(made, directory, pos);
	q2s_ext_bitmaps_encode(&ext, raw);
	made_extension(made, Q2S_EXT_BITMAPS, raw, sizeof(raw));
	made->header.autoclear_features = autoclear;
	made_finish(made);
}

START_TEST(all_bitmaps_are_read)
{
	struct made made = made_v3(12, false, MIB);
	struct q2s_bitmaps all;
	struct q2s_image *image;

	put_bitmaps(&made, BITMAPS - 5, Q2S_AUTOCLEAR_BITMAPS);
	assert_ok(open_made(&made, 0, &image, &diag));
	ck_assert_uint_eq(q2s_image_bitmaps(image)->count, BITMAPS - 5);
	assert_ok(q2s_image_bitmap_directory(image, &all, &diag));
	ck_assert_uint_eq(all.count, BITMAPS - 5);
	for (uint32_t i = 0; i < all.count; i++) {
		ck_assert_uint_eq(all.list[i].name[0], '0' + i % 10);
		ck_assert_uint_eq(all.at[i].v, q2s_image_bitmaps(image)->directory_offset.v +
						       32ull * i);
	}
	q2s_bitmaps_free(&all);
	q2s_image_close(image);
	made_free(&made);
}
END_TEST

START_TEST(bitmaps_that_are_not_marked_consistent_are_none)
{
	struct made made = made_v3(12, false, MIB);
	struct q2s_bitmaps all;
	struct q2s_image *image;

	put_bitmaps(&made, 3, 0);
	assert_ok(open_made(&made, 0, &image, &diag));
	ck_assert_ptr_null(q2s_image_bitmaps(image));
	assert_ok(q2s_image_bitmap_directory(image, &all, &diag));
	ck_assert_uint_eq(all.count, 0);
	q2s_bitmaps_free(&all);
	q2s_image_close(image);
	made_free(&made);
}
END_TEST

START_TEST(a_wrong_bitmaps_extension_is_damage)
{
	struct made made = made_v3(12, false, MIB);
	struct q2s_image *image;

	put_bitmaps(&made, 3, Q2S_AUTOCLEAR_BITMAPS);
	made_put32(&made, 112 + 8, 0); /* no bitmaps */
	ck_assert_int_eq(open_made(&made, 0, &image, NULL), Q2S_E_BITMAP);
	assert_ok(open_made(&made, Q2S_IMAGE_DAMAGED, &image, &diag));
	ck_assert_ptr_null(q2s_image_bitmaps(image));
	q2s_image_close(image);
	made_free(&made);
}
END_TEST

static enum q2s_err
directory_refused(struct made *made, uint64_t *at)
{
	struct q2s_diag diag = { 0 };
	struct q2s_bitmaps all;
	struct q2s_image *image;
	enum q2s_err err;

	ck_assert_int_eq(open_made(made, 0, &image, &diag), Q2S_OK);
	err = q2s_image_bitmap_directory(image, &all, &diag);
	ck_assert_int_eq(diag.err, err);
	*at = diag.at.v;
	q2s_image_close(image);
	return err;
}

START_TEST(wrong_bitmap_directories_are_refused)
{
	struct made made = made_v3(12, false, MIB);
	uint64_t directory, at;

	put_bitmaps(&made, 3, Q2S_AUTOCLEAR_BITMAPS);
	directory = made.end - 4096;
	made_put32(&made, 112 + 8, 2); /* more bytes than records */
	ck_assert_int_eq(directory_refused(&made, &at), Q2S_E_BITMAP);
	ck_assert_uint_eq(at, directory + 64);
	made_put32(&made, 112 + 8, 3);
	made_put32(&made, directory + 32 + 16, 0x01100400); /* a name that leaves the directory */
	ck_assert_int_eq(directory_refused(&made, &at), Q2S_E_BITMAP);
	ck_assert_uint_eq(at, directory + 32);
	made_put32(&made, directory + 32 + 16, 0x01100005);
	made_put32(&made, directory + 12, 0x80000000); /* an unknown flag */
	ck_assert_int_eq(directory_refused(&made, &at), Q2S_E_BITMAP);
	made_put64(&made, 112 + 8 + 16, 1ull << 40);
	ck_assert_int_eq(directory_refused(&made, &at), Q2S_E_TRUNCATED);
	made_free(&made);
}
END_TEST

UNIT_MAIN("tables", all_snapshots_are_read, wrong_snapshot_tables_are_refused,
	  a_snapshot_table_that_is_cut_is_refused, all_bitmaps_are_read,
	  bitmaps_that_are_not_marked_consistent_are_none, a_wrong_bitmaps_extension_is_damage,
	  wrong_bitmap_directories_are_refused)
