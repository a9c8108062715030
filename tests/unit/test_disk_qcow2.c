/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A qcow2 image with its layers as one disk: what it shows. */
#include <zlib.h>

#include "look.h"

/* ---- chains ------------------------------------------------------------------------------ */

/* 0 top data, 1 zero over data, 2 middle data, 3 raw data, 4 raw hole, then past each end. */
START_TEST(the_first_layer_that_is_not_absent_decides)
{
	struct made made = made_over(8 * CLUSTER, "raw", "raw");
	struct look look;

	put_raw("raw", 7 * CLUSTER + 100, 1, 3, 'r');
	made_data(&made, 0, 'm');
	made_data(&made, 2 * CLUSTER, 'm');
	made_done(&made, "middle");
	made = made_over(16 * CLUSTER, "middle", "qcow2");
	made_data(&made, 0, 't');
	made_raw_entry(&made, CLUSTER, Q2S_ENTRY_ZERO, 0);
	made_done(&made, "top");
	look = look_at("top", NULL);
	ck_assert_uint_eq(q2s_disk_size(look.disk), 16 * CLUSTER);
	ck_assert_str_eq(q2s_disk_name(look.disk), "top");
	assert_extent(&look, 0, CLUSTER, Q2S_DATA);
	assert_extent(&look, CLUSTER, CLUSTER, Q2S_ZERO);
	assert_extent(&look, 2 * CLUSTER, CLUSTER, Q2S_DATA);
	assert_extent(&look, 3 * CLUSTER, CLUSTER, Q2S_DATA);
	ck_assert_str_eq(q2s_store_name(extent_at(&look, 3 * CLUSTER).file), "raw");
	ck_assert_uint_eq(extent_at(&look, 3 * CLUSTER + 5).at, 3 * CLUSTER + 5);
	assert_extent(&look, 4 * CLUSTER, 12 * CLUSTER, Q2S_ABSENT);
	assert_bytes(&look, 0, CLUSTER, 't');
	assert_bytes(&look, CLUSTER, CLUSTER, 0);
	assert_bytes(&look, 2 * CLUSTER, CLUSTER, 'm');
	assert_bytes(&look, 3 * CLUSTER, CLUSTER, 'r');
	assert_bytes(&look, 4 * CLUSTER, 12 * CLUSTER, 0);
	assert_bytes(&look, 16 * CLUSTER, CLUSTER, 0); /* past the end */
	look_end(&look);
}
END_TEST

/* A shorter layer ends what can be seen of those below it, within a cluster too. */
START_TEST(nothing_shows_behind_the_end_of_a_shorter_layer)
{
	struct made made = made_over(2 * CLUSTER + 512, "raw", "raw");
	struct look look;

	put_raw("raw", 6 * CLUSTER, 0, 6, 'r');
	made_done(&made, "middle");
	made = made_over(6 * CLUSTER, "middle", "qcow2");
	made_done(&made, "top");
	look = look_at("top", NULL);
	assert_extent(&look, 0, 2 * CLUSTER + 512, Q2S_DATA);
	assert_extent(&look, 2 * CLUSTER + 512, 4 * CLUSTER - 512, Q2S_ABSENT);
	assert_bytes(&look, 0, 2 * CLUSTER + 512, 'r');
	assert_bytes(&look, 2 * CLUSTER + 512, 4 * CLUSTER - 512, 0);
	look_end(&look);
}
END_TEST

START_TEST(a_larger_layer_below_is_cut_off)
{
	struct made made = made_over(CLUSTER, "raw", "raw");
	struct look look;

	put_raw("raw", 6 * CLUSTER + 1, 0, 6, 'r');
	made_done(&made, "top");
	look = look_at("top", NULL);
	assert_extent(&look, 0, CLUSTER, Q2S_DATA);
	assert_bytes(&look, 0, CLUSTER, 'r');
	assert_bytes(&look, CLUSTER, CLUSTER, 0);
	look_end(&look);
}
END_TEST

START_TEST(subclusters_fall_through_one_by_one)
{
	struct made made = made_v3(14, true, 32 * KIB);
	struct look look;
	uint64_t host;

	put_raw("raw", 32 * KIB, 0, 8, 'r');
	made.backing = "raw";
	made_extension(&made, Q2S_EXT_BACKING_FORMAT, "raw", 3);
	memset(buf, 't', 16 * KIB);
	host = made_clusters(&made, buf, 16 * KIB).v;
	made_raw_entry(&made, 0, host, 0x0000000200000004); /* 1 zero, 2 data, the others absent */
	made_done(&made, "top");
	look = look_at("top", NULL);
	assert_extent(&look, 0, 512, Q2S_DATA);
	assert_extent(&look, 512, 512, Q2S_ZERO);
	assert_extent(&look, 1024, 512, Q2S_DATA);
	assert_extent(&look, 1536, 32 * KIB - 1536, Q2S_DATA);
	assert_bytes(&look, 0, 512, 'r');
	assert_bytes(&look, 512, 512, 0);
	assert_bytes(&look, 1024, 512, 't');
	assert_bytes(&look, 1536, 32 * KIB - 1536, 'r');
	look_end(&look);
}
END_TEST

/* ---- extents ----------------------------------------------------------------------------- */

START_TEST(extents_go_over_tables_and_name_the_file)
{
	const uint64_t span = 512 * CLUSTER, size = 3 * span;
	struct made made = made_over(size, NULL, NULL);
	struct look look;
	uint64_t host = 0;

	/* All tables first: the data then lies in one row over all of them. */
	for (uint64_t guest = 0; guest < size; guest += span)
		made_raw_entry(&made, guest, 0, 0);
	memset(buf, 'd', sizeof(buf));
	for (uint64_t guest = 0; guest < size; guest += CLUSTER) {
		const uint64_t at = made_clusters(&made, buf, CLUSTER).v;

		made_raw_entry(&made, guest, at, 0);
		host = host ? host : at;
	}
	made_done(&made, "image");
	look = look_at("image", NULL);
	assert_extent(&look, 0, size, Q2S_DATA);
	ck_assert_uint_eq(extent_at(&look, 0).at, host);
	ck_assert_uint_eq(extent_at(&look, 777).at, host + 777);
	ck_assert_str_eq(q2s_store_name(extent_at(&look, 0).file), "image");
	look_end(&look);
}
END_TEST

START_TEST(an_extent_with_a_file_is_one_row)
{
	struct made made = made_over(3 * CLUSTER, NULL, NULL);
	struct look look;
	uint64_t host;

	memset(buf, 'd', 3 * CLUSTER);
	host = made_clusters(&made, buf, 3 * CLUSTER).v;
	for (uint64_t i = 0; i < 3; i++)
		made_raw_entry(&made, i * CLUSTER, host + (2 - i) * CLUSTER, 0);
	made_done(&made, "image");
	look = look_at("image", NULL);
	for (uint64_t i = 0; i < 3; i++) {
		assert_extent(&look, i * CLUSTER, CLUSTER, Q2S_DATA);
		ck_assert_uint_eq(extent_at(&look, i * CLUSTER).at, host + (2 - i) * CLUSTER);
	}
	look_end(&look);
}
END_TEST

START_TEST(holes_in_the_file_are_no_data)
{
	struct made made = made_over(4 * CLUSTER, NULL, NULL);
	uint64_t host;
	struct look look;

	made_data(&made, 0, 'd');
	host = made_clusters(&made, NULL, CLUSTER).v; /* preallocated, never written */
	made_raw_entry(&made, CLUSTER, host, 0);
	made_data(&made, 2 * CLUSTER, 'e');
	made_data(&made, 3 * CLUSTER, 'e');
	made_resize(&made, host + 2 * CLUSTER + 10);
	made_done(&made, "image");
	look = look_at("image", NULL);
	if (extent_at(&look, 0).len == CLUSTER) /* the file system has holes of this size */
		assert_extent(&look, CLUSTER, CLUSTER, Q2S_ZERO);
	/* The missing tail of the last cluster is zero, not data. */
	assert_bytes(&look, 3 * CLUSTER, 10, 'e');
	assert_bytes(&look, 3 * CLUSTER + 10, CLUSTER - 10, 0);
	ck_assert_uint_eq(extent_at(&look, 3 * CLUSTER).len, 10);
	assert_extent(&look, 3 * CLUSTER + 10, CLUSTER - 10, Q2S_ZERO);
	ck_assert_ptr_null(extent_at(&look, 3 * CLUSTER + 10).file);
	assert_bytes(&look, CLUSTER, CLUSTER, 0);
	look_end(&look);
}
END_TEST

START_TEST(damage_is_reported_where_it_is)
{
	struct made made = made_over(4 * CLUSTER, NULL, NULL);
	struct q2s_extent extent;
	struct look look;
	uint64_t at;

	made_data(&made, 0, 'd');
	made_raw_entry(&made, CLUSTER, 0x50200, 0);
	made_data(&made, 2 * CLUSTER, 'd');
	at = made_entry_at(&made, CLUSTER);
	made_done(&made, "image");
	look = look_at("image", NULL);
	assert_extent(&look, 0, CLUSTER, Q2S_DATA);
	assert_refused(Q2S_E_OFFSET, at, 0x50200,
		       q2s_cursor_extent(look.cursor, (q2s_guest){ CLUSTER }, 1, &extent, &diag));
	assert_refused(Q2S_E_OFFSET, at, 0x50200,
		       q2s_cursor_read(look.cursor, (q2s_guest){ 100 }, buf, CLUSTER, &diag));
	assert_bytes(&look, 2 * CLUSTER, CLUSTER, 'd');
	look_end(&look);
}
END_TEST

/* ---- compressed -------------------------------------------------------------------------- */

static void
made_deflated(struct made *made, uint64_t guest, uint8_t byte)
{
	uint8_t plain[CLUSTER], packed[CLUSTER];
	z_stream z = { .next_in = plain, .avail_in = CLUSTER, .next_out = packed,
		       .avail_out = CLUSTER };

	memset(plain, byte, sizeof(plain));
	plain[0] = (uint8_t)(byte + 1);
	ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY), Z_OK);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	made_compressed(made, guest, packed, CLUSTER - z.avail_out);
	deflateEnd(&z);
}

START_TEST(compressed_clusters_are_read_in_any_order)
{
	struct made made = made_over(8 * CLUSTER, NULL, NULL);
	struct look look;
	uint8_t byte;

	for (uint8_t i = 0; i < 8; i++)
		made_deflated(&made, i * CLUSTER, (uint8_t)('a' + i));
	made_done(&made, "image");
	look = look_at("image", NULL);
	assert_extent(&look, 0, 8 * CLUSTER, Q2S_DATA);
	ck_assert_ptr_null(extent_at(&look, 0).file);
	/* More clusters at a time than a cursor keeps, byte by byte. */
	for (unsigned k = 1; k < 200; k++) {
		const uint64_t i = k * 5 % 8;

		assert_ok(q2s_cursor_read(look.cursor, (q2s_guest){ i * CLUSTER + k }, &byte, 1,
					  &diag));
		ck_assert_uint_eq(byte, 'a' + i);
	}
	assert_ok(q2s_cursor_read(look.cursor, (q2s_guest){ CLUSTER - 1 }, buf, CLUSTER + 2,
				  &diag));
	ck_assert_mem_eq(buf, "acb", 3);
	ck_assert_mem_eq(buf + CLUSTER, "bd", 2);
	look_end(&look);
}
END_TEST

/* ---- data files -------------------------------------------------------------------------- */

START_TEST(a_data_file_holds_the_data)
{
	const struct q2s_geom_params params = { .version = 3,
						.cluster_bits = 12,
						.refcount_order = 4,
						.data_file = true,
						.size = 8 * CLUSTER };
	const struct q2s_disk_qcow2_options none = { .size = sizeof(none) };
	struct made made = made_start(&params);
	struct look look;

	put_raw("data", 4 * CLUSTER + 100, 0, 4, 'd');
	made_extension(&made, Q2S_EXT_DATA_FILE, "data", 4);
	made_raw_entry(&made, 0, Q2S_ENTRY_COPIED, 0);
	made_raw_entry(&made, 2 * CLUSTER, Q2S_ENTRY_COPIED | 2 * CLUSTER, 0);
	made_raw_entry(&made, 3 * CLUSTER, Q2S_ENTRY_COPIED | 3 * CLUSTER | Q2S_ENTRY_ZERO, 0);
	made_raw_entry(&made, 6 * CLUSTER, Q2S_ENTRY_COPIED | 6 * CLUSTER, 0);
	made_done(&made, "image");
	look = look_at("image", NULL);
	assert_extent(&look, 0, CLUSTER, Q2S_DATA);
	ck_assert_str_eq(q2s_store_name(extent_at(&look, 0).file), "data");
	ck_assert_uint_eq(extent_at(&look, 2 * CLUSTER).at, 2 * CLUSTER);
	assert_bytes(&look, 0, CLUSTER, 'd');
	assert_bytes(&look, CLUSTER, CLUSTER, 0); /* the entry rules, not the file */
	assert_bytes(&look, 2 * CLUSTER, CLUSTER, 'd');
	assert_bytes(&look, 3 * CLUSTER, 5 * CLUSTER, 0);
	assert_extent(&look, 6 * CLUSTER, CLUSTER, Q2S_ZERO); /* behind the data file's end */
	look_end(&look);
	assert_unopenable("image", &none, Q2S_E_POLICY, "image", "'data' is not opened");
}
END_TEST

/* ---- change ------------------------------------------------------------------------------ */

START_TEST(a_change_of_any_file_is_noticed)
{
	struct made made = made_over(MIB, "raw", "raw");
	struct q2s_diag found = { 0 };
	struct look look;

	put_raw("raw", MIB, 0, 8, 'r');
	made_data(&made, CLUSTER, 'i');
	made_done(&made, "image");
	look = look_at("image", NULL);
	ck_assert_int_eq(q2s_disk_verify(look.disk, &found), Q2S_OK);
	ck_assert_int_eq(truncate("raw", 2 * CLUSTER), 0);
	ck_assert_int_eq(q2s_disk_verify(look.disk, &found), Q2S_E_CHANGED);
	ck_assert_str_eq(found.file, "raw");
	memset(&found, 0, sizeof(found));
	ck_assert_int_eq(q2s_cursor_read(look.cursor, (q2s_guest){ 0 }, buf, 8 * CLUSTER, &found),
			 Q2S_E_CHANGED);
	ck_assert_str_eq(found.file, "raw");
	ck_assert_uint_eq(found.at.v, 2 * CLUSTER);
	look_end(&look);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("disk_qcow2");
	TCase *tcase = tcase_create("disk_qcow2");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_first_layer_that_is_not_absent_decides);
	tcase_add_test(tcase, nothing_shows_behind_the_end_of_a_shorter_layer);
	tcase_add_test(tcase, a_larger_layer_below_is_cut_off);
	tcase_add_test(tcase, subclusters_fall_through_one_by_one);
	tcase_add_test(tcase, extents_go_over_tables_and_name_the_file);
	tcase_add_test(tcase, an_extent_with_a_file_is_one_row);
	tcase_add_test(tcase, holes_in_the_file_are_no_data);
	tcase_add_test(tcase, damage_is_reported_where_it_is);
	tcase_add_test(tcase, compressed_clusters_are_read_in_any_order);
	tcase_add_test(tcase, a_data_file_holds_the_data);
	tcase_add_test(tcase, a_change_of_any_file_is_noticed);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
