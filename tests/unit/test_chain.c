/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which snapshot, which files and which formats make up a disk, and which chains are refused. */
#include "look.h"

/* ---- snapshots --------------------------------------------------------------------------- */

static void
put_snapshots(struct made *made, const struct q2s_snapshot *list, size_t count)
{
	uint8_t table[2048];
	size_t pos = 0, used;

	for (size_t i = 0; i < count; i++) {
		assert_ok(q2s_snapshot_encode(&made->geom, &list[i], table + pos,
					      sizeof(table) - pos, &used, &diag));
		pos += used;
	}
	made->header.snapshots_offset = made_clusters(made, table, pos);
	made->header.nb_snapshots = (uint32_t)count;
}

#define TEXT(field, text) .field = (const uint8_t *)(text), .field##_len = sizeof(text) - 1

/* A table of two entries with one data cluster of @byte in each L2 table. */
static q2s_host
put_l1(struct made *made, uint8_t byte)
{
	const uint64_t l1 = made_clusters(made, NULL, CLUSTER).v;

	for (uint64_t i = 0; i < 2; i++) {
		const uint64_t l2 = made_clusters(made, NULL, CLUSTER).v;
		uint64_t data;

		memset(buf, byte, CLUSTER);
		data = made_clusters(made, buf, CLUSTER).v;
		made_put64(made, l1 + 8 * i, l2);
		made_put64(made, l2, data);
	}
	return (q2s_host){ l1 };
}

START_TEST(snapshots_are_found_by_id_then_by_name)
{
	struct made made = made_over(2 * MIB, NULL, NULL);
	const struct q2s_snapshot list[] = {
		{ TEXT(id, "1"), TEXT(name, "2"), .l1_offset = put_l1(&made, '1'), .l1_entries = 2,
		  .has_disk_size = true, .disk_size = MIB + 512 },
		{ TEXT(id, "2"), TEXT(name, "two"), .l1_offset = put_l1(&made, '2'),
		  .l1_entries = 2, .has_disk_size = true, .disk_size = 4 * MIB },
		{ TEXT(id, "3"), TEXT(name, "two"), .l1_offset = put_l1(&made, '3'),
		  .l1_entries = 1, .has_disk_size = true, .disk_size = 4 * MIB },
	};
	const struct q2s_disk_qcow2_options small = { .snapshot = "3" }, none = { .snapshot = "4" };
	struct look look;

	made_data(&made, 0, 'a');
	put_snapshots(&made, list, COUNT(list));
	made_done(&made, "image");
	look = look_at("image", "1");
	ck_assert_uint_eq(q2s_disk_size(look.disk), MIB + 512); /* the VM state is behind it */
	assert_bytes(&look, 0, CLUSTER, '1');
	assert_extent(&look, CLUSTER, MIB + 512 - CLUSTER, Q2S_ABSENT);
	look_end(&look);
	look = look_at("image", "2");
	ck_assert_uint_eq(q2s_disk_size(look.disk), 4 * MIB); /* larger than now */
	assert_bytes(&look, 0, CLUSTER, '2');
	assert_bytes(&look, 2 * MIB, CLUSTER, '2');
	look_end(&look);
	look = look_at("image", "two");
	assert_bytes(&look, 0, CLUSTER, '2');
	look_end(&look);
	look = look_at("image", NULL);
	ck_assert_uint_eq(q2s_disk_size(look.disk), 2 * MIB);
	assert_bytes(&look, 0, CLUSTER, 'a');
	look_end(&look);
	assert_unopenable("image", &none, Q2S_E_USAGE, "image", "none has the ID or name '4'");
	assert_unopenable("image", &small, Q2S_E_SNAPSHOT, "image", "1 entries is too small");
}
END_TEST

/* ---- refusals ---------------------------------------------------------------------------- */

START_TEST(encrypted_images_are_refused_plainly)
{
	const struct q2s_disk_qcow2_options none = { 0 };
	struct made made = made_over(MIB, NULL, NULL);

	made.header.crypt_method = Q2S_CRYPT_AES;
	made_done(&made, "image");
	assert_unopenable("image", &none, Q2S_E_KEY, "image", "encrypted by AES: give");
}
END_TEST

START_TEST(a_table_past_the_end_is_refused_at_once)
{
	struct made made = made_over(MIB, NULL, NULL);
	const uint64_t l1 = made.header.l1_table_offset.v;

	made_finish(&made);
	made_resize(&made, l1);
	made_save(&made, "image");
	made_free(&made);
	assert_unopenable("image", NULL, Q2S_E_TRUNCATED, "image", "the file ends at");
}
END_TEST

START_TEST(other_files_are_opened_by_policy_alone)
{
	const struct q2s_disk_qcow2_options none = { 0 };
	struct made made = made_over(MIB, "raw", "raw");
	struct look look;

	put_raw("raw", MIB, 0, 1, 'r');
	made_done(&made, "image");
	assert_unopenable("image", &none, Q2S_E_POLICY, "image",
			  "'raw' is not opened; --follow beside or --follow any would allow it");
	assert_unopenable("image", NULL, Q2S_E_POLICY, "image", "'raw' is not opened");
	look = look_at("image", NULL);
	assert_bytes(&look, 0, CLUSTER, 'r');
	look_end(&look);
}
END_TEST

START_TEST(loops_are_refused)
{
	struct made made = made_over(MIB, "image", "qcow2");
	char deep[2][16] = { "", "" };

	made_done(&made, "image");
	assert_unopenable("image", &any, Q2S_E_HEADER, "image", "already a layer");
	made = made_over(MIB, "./link", "qcow2");
	made_done(&made, "other");
	ck_assert_int_eq(symlink("other", "link"), 0);
	assert_unopenable("other", &any, Q2S_E_HEADER, "./link", "already a layer");
	made = made_over(MIB, "b", "qcow2");
	made_done(&made, "a");
	made = made_over(MIB, "json:{\"file.filename\":\"a\"}", NULL);
	made_done(&made, "b");
	assert_unopenable("a", &any, Q2S_E_HEADER, "a", "already a layer");
	for (int i = 0; i <= 200; i++) {
		made = made_over(MIB, i ? deep[(i + 1) % 2] : NULL, i ? "qcow2" : NULL);
		snprintf(deep[i % 2], sizeof(deep[0]), "deep%d", i);
		made_done(&made, deep[i % 2]);
	}
	assert_unopenable("deep200", &any, Q2S_E_LIMIT, "deep0", "more than 200 layers");
	struct look look = look_at("deep199", NULL);

	assert_extent(&look, 0, MIB, Q2S_ABSENT);
	look_end(&look);
}
END_TEST

START_TEST(the_recorded_format_is_believed)
{
	struct made made = made_over(MIB, NULL, NULL);
	struct look look;

	made_data(&made, 0, 'i');
	made_done(&made, "base");
	made = made_over(MIB, "base", "raw"); /* the bytes of the image, not its content */
	made_done(&made, "as-raw");
	made = made_over(MIB, "base", "qcow2");
	made_done(&made, "as-qcow2");
	made = made_over(MIB, "base", NULL);
	made_done(&made, "guess");
	made = made_over(MIB, "json:{\"driver\":\"raw\",\"file\":{\"filename\":\"base\"}}", NULL);
	made_done(&made, "json");
	made = made_over(MIB, "base", "vmdk");
	made_done(&made, "vmdk");
	look = look_at("as-raw", NULL);
	assert_bytes(&look, 0, 1, 'Q');
	look_end(&look);
	look = look_at("json", NULL);
	assert_bytes(&look, 0, 1, 'Q');
	look_end(&look);
	look = look_at("as-qcow2", NULL);
	assert_bytes(&look, 0, CLUSTER, 'i');
	look_end(&look);
	look = look_at("guess", NULL);
	assert_bytes(&look, 0, CLUSTER, 'i');
	look_end(&look);
	assert_unopenable("vmdk", &any, Q2S_E_UNSUPPORTED, "base", "'vmdk' is not qcow2 or raw");
	put_raw("plain", MIB, 0, 1, 'r');
	made = made_over(MIB, "plain", NULL);
	made_done(&made, "guess");
	look = look_at("guess", NULL);
	assert_bytes(&look, 0, CLUSTER, 'r');
	look_end(&look);
}
END_TEST

/* A guest that owns a raw disk may make it look like an image that refers to a neighbour. */
START_TEST(a_guessed_image_refers_to_nothing_without_the_users_word)
{
	struct made made = made_over(MIB, "secret", "raw");
	struct look look;

	put_raw("secret", MIB, 0, 1, 's');
	made_done(&made, "guests-disk");
	made = made_over(MIB, "guests-disk", NULL);
	made_done(&made, "image");
	assert_unopenable("image", &beside, Q2S_E_POLICY, "guests-disk",
			  "--follow any would allow it");
	look = look_at("image", NULL);
	assert_bytes(&look, 0, CLUSTER, 's');
	look_end(&look);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("chain");
	TCase *tcase = tcase_create("chain");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, snapshots_are_found_by_id_then_by_name);
	tcase_add_test(tcase, encrypted_images_are_refused_plainly);
	tcase_add_test(tcase, a_table_past_the_end_is_refused_at_once);
	tcase_add_test(tcase, other_files_are_opened_by_policy_alone);
	tcase_add_test(tcase, loops_are_refused);
	tcase_add_test(tcase, the_recorded_format_is_believed);
	tcase_add_test(tcase, a_guessed_image_refers_to_nothing_without_the_users_word);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
