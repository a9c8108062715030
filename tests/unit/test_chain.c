/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which snapshot, which files and which formats make up a disk, and which chains are refused. */
#include <errno.h>
#include <sys/resource.h>

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
	const struct q2s_disk_qcow2_options small = { .size = sizeof(small), .snapshot = "3" },
					    none = { .size = sizeof(none), .snapshot = "4" };
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
	const struct q2s_disk_qcow2_options none = { .size = sizeof(none) };
	struct made made = made_over(MIB, NULL, NULL);

	made.header.crypt_method = Q2S_CRYPT_AES;
	made_done(&made, "image");
	assert_unopenable("image", &none, Q2S_E_KEY, "image", "encrypted by AES, and there is no key");
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
	const struct q2s_disk_qcow2_options none = { .size = sizeof(none) };
	struct made made = made_over(MIB, "raw", "raw");
	struct look look;

	put_raw("raw", MIB, 0, 1, 'r');
	made_done(&made, "image");
	assert_unopenable("image", &none, Q2S_E_POLICY, "image",
			  "'raw' is not opened");
	assert_unopenable("image", NULL, Q2S_E_POLICY, "image", "'raw' is not opened");
	look = look_at("image", NULL);
	assert_bytes(&look, 0, CLUSTER, 'r');
	look_end(&look);
}
END_TEST

START_TEST(loops_are_refused)
{
	struct made made = made_over(MIB, "image", "qcow2");

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
}
END_TEST

/* ---- depth ------------------------------------------------------------------------------- */

enum { DEEP = 500 };

/* deep0 is raw and holds a cluster of d; deep1 to deep499 hold nothing. */
static void
put_deep(void)
{
	char name[2][16] = { "deep0", "" };

	put_raw(name[0], MIB, 0, 1, 'd');
	for (int i = 1; i < DEEP; i++) {
		struct made made = made_over(MIB, name[(i + 1) % 2], i > 1 ? "qcow2" : "raw");

		snprintf(name[i % 2], sizeof(name[0]), "deep%d", i);
		made_done(&made, name[i % 2]);
	}
}

static struct q2s_store *
open_store(const char *path)
{
	struct q2s_store *file = NULL;

	assert_ok(q2s_store_open(path, &file, &diag));
	return file;
}

START_TEST(a_chain_is_as_deep_as_it_is)
{
	struct look look;

	put_deep();
	look = look_at("deep499", NULL);
	assert_extent(&look, 0, CLUSTER, Q2S_DATA);
	assert_bytes(&look, 0, CLUSTER, 'd');
	look_end(&look);
}
END_TEST

/* Where the system sets a limit, what is above it is still known. */
START_TEST(a_chain_that_is_too_deep_is_known_as_far_as_it_goes)
{
	const struct q2s_chain_options how = { .size = sizeof(how),
					       .follow = Q2S_FOLLOW_ANY, .partial = true };
	const struct q2s_chain_options strict = { .size = sizeof(strict),
						  .follow = Q2S_FOLLOW_ANY };
	const struct rlimit few = { 60, 60 };
	struct q2s_diag why = { 0 };
	struct q2s_chain *chain;
	struct q2s_store *file;

	put_deep();
	file = open_store("deep499");
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	ck_assert_int_eq(q2s_chain_open(file, &strict, &chain, NULL), Q2S_E_IO);
	assert_ok(q2s_chain_open(file, &how, &chain, &diag));
	ck_assert_uint_gt(q2s_chain_count(chain), 20);
	ck_assert_uint_lt(q2s_chain_count(chain), 60);
	ck_assert_int_eq(q2s_chain_end(chain, &why), Q2S_E_IO);
	ck_assert_int_eq(why.sys_errno, EMFILE);
	q2s_chain_unref(chain);
	q2s_store_unref(file);
}
END_TEST

/* ---- the object -------------------------------------------------------------------------- */

START_TEST(a_chain_says_what_it_is_made_of)
{
	const struct q2s_chain_options how = { .size = sizeof(how), .follow = Q2S_FOLLOW_ANY };
	struct made made = made_over(MIB, "raw", "raw");
	struct q2s_chain *chain, *other;
	struct q2s_store *file;

	put_raw("raw", 1000, 0, 0, 'r');
	made_done(&made, "image");
	file = open_store("image");
	assert_ok(q2s_chain_open(file, &how, &chain, &diag));
	q2s_store_unref(file);
	other = q2s_chain_ref(chain);
	q2s_chain_unref(chain);
	ck_assert_uint_eq(q2s_chain_count(other), 2);
	ck_assert_uint_eq(q2s_chain_layer(other, 0)->size, MIB);
	ck_assert_ptr_nonnull(q2s_chain_layer(other, 0)->image);
	ck_assert_str_eq(q2s_store_name(q2s_chain_layer(other, 1)->file), "raw");
	ck_assert_ptr_null(q2s_chain_layer(other, 1)->image);
	/* QEMU counts in sectors. */
	ck_assert_uint_eq(q2s_chain_layer(other, 1)->size, 1024);
	ck_assert_int_eq(q2s_chain_end(other, NULL), Q2S_OK);
	q2s_chain_unref(other);
}
END_TEST

START_TEST(a_chain_ends_where_it_must_not_go_on)
{
	const struct q2s_chain_options partial = { .size = sizeof(partial), .partial = true },
				       strict = Q2S_CHAIN_OPTIONS_INIT,
				       raw = { .size = sizeof(raw), .format = "raw" };
	struct made made = made_over(MIB, "raw", "raw");
	struct q2s_diag why = { 0 };
	struct q2s_chain *chain;
	struct q2s_store *file;

	put_raw("raw", MIB, 0, 0, 'r');
	made_done(&made, "image");
	file = open_store("image");
	ck_assert_int_eq(q2s_chain_open(file, &strict, &chain, &why), Q2S_E_POLICY);
	ck_assert_int_eq(why.follow, Q2S_FOLLOW_BESIDE);
	assert_ok(q2s_chain_open(file, &partial, &chain, &diag));
	ck_assert_uint_eq(q2s_chain_count(chain), 1);
	why = (struct q2s_diag){ 0 };
	ck_assert_int_eq(q2s_chain_end(chain, &why), Q2S_E_POLICY);
	ck_assert_str_eq(why.file, "image");
	q2s_chain_unref(chain);
	assert_ok(q2s_chain_open(file, &raw, &chain, &diag));
	ck_assert_ptr_null(q2s_chain_layer(chain, 0)->image);
	ck_assert_int_eq(q2s_chain_end(chain, NULL), Q2S_OK);
	q2s_chain_unref(chain);
	q2s_store_unref(file);
}
END_TEST

/* Another description of the same file holds what a machine holds that writes to it. */
START_TEST(a_layer_that_is_written_to_is_refused)
{
	const struct q2s_chain_options how = { .size = sizeof(how), .follow = Q2S_FOLLOW_ANY },
				       forced = { .size = sizeof(forced), .follow = Q2S_FOLLOW_ANY,
						  .force_share = true };
	static const char *const names[] = { "image", "base", "data" };
	struct made made = made_over(MIB, "base", "qcow2");
	struct q2s_store *file, *writer, *data;
	struct q2s_chain *chain;
	struct q2s_diag why;

	made_done(&made, "image");
	made = made_over(MIB, NULL, NULL);
	made.header.incompatible_features |= Q2S_INCOMPAT_DATA_FILE;
	made_extension(&made, Q2S_EXT_DATA_FILE, "data", 4);
	made_done(&made, "base");
	put_raw("data", MIB, 0, 1, 'd');
	file = open_store("image");
	for (size_t i = 0; i < COUNT(names); i++) {
		const bool layer = i < 2;
		enum q2s_err got;

		why = (struct q2s_diag){ 0 };
		writer = open_store(names[i]);
		assert_ok(q2s_store_lock(writer, Q2S_LOCK_WRITE, 0, &diag));
		got = q2s_chain_open(file, &how, &chain, &why);
		ck_assert_int_eq(got, layer ? Q2S_E_BUSY : Q2S_OK);
		if (!layer) {
			ck_assert_int_eq(q2s_chain_data_file(chain, 1, &data, &why), Q2S_E_BUSY);
			q2s_chain_unref(chain);
		}
		ck_assert_str_eq(why.file, names[i]);
		assert_ok(q2s_chain_open(file, &forced, &chain, &diag));
		assert_ok(q2s_chain_data_file(chain, 1, &data, &diag));
		q2s_chain_unref(chain);
		q2s_store_unref(writer);
	}
	/* And nobody may begin to write while it is open. */
	assert_ok(q2s_chain_open(file, &how, &chain, &diag));
	writer = open_store("base");
	ck_assert_int_eq(q2s_store_lock(writer, Q2S_LOCK_WRITE, 0, NULL), Q2S_E_BUSY);
	q2s_chain_unref(chain);
	assert_ok(q2s_store_lock(writer, Q2S_LOCK_WRITE, 0, &diag));
	q2s_store_unref(writer);
	q2s_store_unref(file);
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
	/* The recorded format counts more than the driver of a json: name, as in QEMU. */
	made = made_over(MIB, "json:{\"driver\":\"qcow2\",\"file\":{\"filename\":\"base\"}}", "raw");
	made_done(&made, "json");
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
	/* QEMU would guess as well, and not take it for raw. */
	put_raw("plain", MIB, 0, 1, 0);
	ck_assert_int_eq(system("printf KDMV | dd of=plain conv=notrunc status=none"), 0);
	assert_unopenable("guess", &any, Q2S_E_UNSUPPORTED, "plain", "begins as VMDK");
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
	assert_unopenable("image", &beside, Q2S_E_POLICY, "guests-disk", "recorded nowhere");
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

	tcase_set_timeout(tcase, 120); /* the default would be a timing assert on a busy machine */
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, snapshots_are_found_by_id_then_by_name);
	tcase_add_test(tcase, encrypted_images_are_refused_plainly);
	tcase_add_test(tcase, a_table_past_the_end_is_refused_at_once);
	tcase_add_test(tcase, other_files_are_opened_by_policy_alone);
	tcase_add_test(tcase, loops_are_refused);
	tcase_add_test(tcase, a_chain_is_as_deep_as_it_is);
	tcase_add_test(tcase, a_chain_that_is_too_deep_is_known_as_far_as_it_goes);
	tcase_add_test(tcase, a_chain_says_what_it_is_made_of);
	tcase_add_test(tcase, a_chain_ends_where_it_must_not_go_on);
	tcase_add_test(tcase, a_layer_that_is_written_to_is_refused);
	tcase_add_test(tcase, the_recorded_format_is_believed);
	tcase_add_test(tcase, a_guessed_image_refers_to_nothing_without_the_users_word);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
