/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lists of -o, and the creation options that they set. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/image_options.h"
#include "common/keyval.h"

/* One -o, and its items as "key=value" or "key" each, ended by NULL. */
static const struct {
	const char *text;
	const char *items[4];
} lists[] = {
	{ "a=1", { "a=1" } },
	{ "a=1,b=2", { "a=1", "b=2" } },
	{ "a=", { "a=" } },
	{ "a=,b=2", { "a=", "b=2" } },
	{ "a", { "a" } },
	{ "a,b=2,c", { "a", "b=2", "c" } },
	{ "a=x,,y", { "a=x,y" } },
	{ "a=,,", { "a=," } },
	{ "a=,,,b=1", { "a=,", "b=1" } },
	{ "a=x,,,,y,b", { "a=x,,y", "b" } },
	{ "a=b=c", { "a=b=c" } },
	{ "a=1,a=2", { "a=1", "a=2" } },
	{ "help=1", { "help=1" } },
};

static const char *const bad_lists[] = { "", ",", ",a=1", "a=1,", "=1", "a=1,=2", "a,,b=1", "a," };

START_TEST(lists_are_split)
{
	struct keyval_list list = { 0 };
	size_t count = 0;

	ck_assert_int_eq(keyval_add(&list, lists[_i].text, NULL), Q2S_OK);
	for (; lists[_i].items[count]; count++) {
		char item[32];

		ck_assert_uint_lt(count, list.count);
		snprintf(item, sizeof(item), "%s%s%s", list.items[count].key,
			 list.items[count].value ? "=" : "",
			 list.items[count].value ? list.items[count].value : "");
		ck_assert_str_eq(item, lists[_i].items[count]);
	}
	ck_assert_uint_eq(list.count, count);
	ck_assert(!list.help);
	keyval_free(&list);
}
END_TEST

START_TEST(bad_lists_are_refused)
{
	struct keyval_list list = { 0 };
	struct q2s_diag diag = { 0 };

	ck_assert_int_eq(keyval_add(&list, bad_lists[_i], &diag), Q2S_E_USAGE);
	ck_assert_int_eq(diag.err, Q2S_E_USAGE);
	ck_assert_str_eq(diag.what, "-o");
	keyval_free(&list);
}
END_TEST

START_TEST(lists_add_up_and_may_ask_for_help)
{
	struct keyval_list list = { 0 };

	ck_assert_int_eq(keyval_add(&list, "a=1", NULL), Q2S_OK);
	ck_assert_int_eq(keyval_add(&list, "b=2,help", NULL), Q2S_OK);
	ck_assert_uint_eq(list.count, 2);
	ck_assert(list.help);
	keyval_free(&list);
	ck_assert(!list.help);
	ck_assert_int_eq(keyval_add(&list, "?", NULL), Q2S_OK);
	ck_assert_uint_eq(list.count, 0);
	ck_assert(list.help);
	keyval_free(&list);
}
END_TEST

/* ---- creation options -------------------------------------------------------------------- */

static struct image_options options;
static struct q2s_diag diag;

static void
set_up(void)
{
	image_options_init(&options);
	memset(&diag, 0, sizeof(diag));
}

static void
tear_down(void)
{
	image_options_free(&options);
}

static enum q2s_err
set(const char *key, const char *value)
{
	memset(&diag, 0, sizeof(diag));
	return image_options_set(&options, IMAGE_OPTIONS_CREATE, key, value, &diag);
}

START_TEST(options_have_the_defaults_of_qemu)
{
	struct q2s_spec spec;

	ck_assert_int_eq(image_options_spec(&options, 1000, &spec, &diag), Q2S_OK);
	ck_assert_uint_eq(spec.geom.version, 3);
	ck_assert_uint_eq(spec.geom.cluster_size, 65536);
	ck_assert_uint_eq(spec.geom.refcount_bits, 16);
	ck_assert_uint_eq(spec.geom.size, 1024);
	ck_assert(!spec.geom.extended && !spec.geom.data_file);
	ck_assert(!spec.lazy_refcounts && !spec.data_file_raw);
	ck_assert_uint_eq(spec.compression_type, Q2S_COMPRESSION_ZLIB);
	ck_assert_ptr_null(spec.backing_name.data);
	ck_assert_ptr_null(spec.backing_format.data);
	ck_assert_ptr_null(spec.data_file_name.data);
}
END_TEST

START_TEST(options_reach_the_specification)
{
	static const struct keyval given[] = {
		{ (char *)"compat", (char *)"1.1" },
		{ (char *)"cluster_size", (char *)"32k" },
		{ (char *)"refcount_bits", (char *)"64" },
		{ (char *)"extended_l2", NULL },
		{ (char *)"lazy_refcounts", (char *)"y" },
		{ (char *)"compression_type", (char *)"zstd" },
		{ (char *)"backing_file", (char *)"base" },
		{ (char *)"backing_fmt", (char *)"raw" },
		{ (char *)"data_file", (char *)"data" },
		{ (char *)"size", (char *)"1M" },
	};
	struct q2s_spec spec;

	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
		ck_assert_int_eq(set(given[i].key, given[i].value), Q2S_OK);
	ck_assert(options.has_size);
	ck_assert_int_eq(image_options_spec(&options, options.size, &spec, &diag), Q2S_OK);
	ck_assert_uint_eq(spec.geom.version, 3);
	ck_assert_uint_eq(spec.geom.cluster_bits, 15);
	ck_assert_uint_eq(spec.geom.refcount_order, 6);
	ck_assert_uint_eq(spec.geom.size, 1 << 20);
	ck_assert(spec.geom.extended && spec.geom.data_file && spec.lazy_refcounts);
	ck_assert_uint_eq(spec.compression_type, Q2S_COMPRESSION_ZSTD);
	ck_assert_mem_eq(spec.backing_name.data, "base", spec.backing_name.len);
	ck_assert_mem_eq(spec.backing_format.data, "raw", spec.backing_format.len);
	ck_assert_mem_eq(spec.data_file_name.data, "data", spec.data_file_name.len);
}
END_TEST

START_TEST(switches_take_the_words_of_qemu)
{
	static const char *const on[] = { "on", "yes", "true", "y", NULL };
	static const char *const off[] = { "off", "no", "false", "n" };
	static const char *const neither[] = { "On", "1", "0", "", "TRUE" };

	for (size_t i = 0; i < sizeof(on) / sizeof(on[0]); i++) {
		options.lazy_refcounts = false;
		ck_assert_int_eq(set("lazy_refcounts", on[i]), Q2S_OK);
		ck_assert(options.lazy_refcounts);
	}
	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		options.lazy_refcounts = true;
		ck_assert_int_eq(set("lazy_refcounts", off[i]), Q2S_OK);
		ck_assert(!options.lazy_refcounts);
	}
	for (size_t i = 0; i < sizeof(neither) / sizeof(neither[0]); i++)
		ck_assert_int_eq(set("lazy_refcounts", neither[i]), Q2S_E_USAGE);
	options.lazy_refcounts = true;
	ck_assert_int_eq(set("nolazy_refcounts", NULL), Q2S_OK);
	ck_assert(!options.lazy_refcounts);
}
END_TEST

START_TEST(the_last_value_wins)
{
	ck_assert_int_eq(set("cluster_size", "4k"), Q2S_OK);
	ck_assert_int_eq(set("cluster_size", "8k"), Q2S_OK);
	ck_assert_uint_eq(options.cluster_size, 8192);
	ck_assert_int_eq(set("backing_file", "a"), Q2S_OK);
	ck_assert_int_eq(set("backing_file", "b"), Q2S_OK);
	ck_assert_str_eq(options.backing_file, "b");
}
END_TEST

START_TEST(an_unknown_key_names_the_known_ones)
{
	ck_assert_int_eq(set("clustersize", "4k"), Q2S_E_USAGE);
	ck_assert_ptr_nonnull(strstr(diag.text, "'clustersize'"));
	ck_assert_ptr_nonnull(strstr(diag.text, "cluster_size"));
	ck_assert_ptr_nonnull(strstr(diag.text, "data_file_raw"));
	ck_assert_int_eq(set("nosize", NULL), Q2S_E_USAGE);
	ck_assert_int_eq(set("", "1"), Q2S_E_USAGE);
}
END_TEST

START_TEST(a_streamed_image_takes_fewer_keys)
{
	ck_assert_int_eq(
		image_options_set(&options, IMAGE_OPTIONS_STREAM, "cluster_size", "4k", &diag),
		Q2S_OK);
	ck_assert_int_eq(
		image_options_set(&options, IMAGE_OPTIONS_STREAM, "backing_file", "b", &diag),
		Q2S_E_USAGE);
	ck_assert_ptr_null(strstr(diag.text, "nocow"));
}
END_TEST

static const struct {
	const char *key, *value;
	enum q2s_err err;
} bad_values[] = {
	{ "cluster_size", NULL, Q2S_E_USAGE },
	{ "cluster_size", "", Q2S_E_USAGE },
	{ "cluster_size", "64KB", Q2S_E_USAGE },
	{ "refcount_bits", "16k", Q2S_E_USAGE },
	{ "refcount_bits", "1.0", Q2S_E_USAGE },
	{ "compat", "v4", Q2S_E_USAGE },
	{ "compat", "V3", Q2S_E_USAGE },
	{ "compat", NULL, Q2S_E_USAGE },
	{ "compression_type", "lz4", Q2S_E_USAGE },
	{ "backing_file", "", Q2S_E_USAGE },
	{ "preallocation", "none", Q2S_E_USAGE },
	{ "nocow", "perhaps", Q2S_E_USAGE },
	{ "extent_size_hint", "4G", Q2S_E_USAGE },
	{ "encrypt.format", "aes", Q2S_E_UNSUPPORTED },
	{ "encrypt.format", "qed", Q2S_E_USAGE },
	{ "encrypt.key-secret", "s", Q2S_E_UNSUPPORTED },
	{ "encrypt.cipher-alg", "aes", Q2S_E_USAGE },
	{ "encrypt.iter-time", "soon", Q2S_E_USAGE },
	{ "encryption", "on", Q2S_E_UNSUPPORTED },
};

START_TEST(bad_values_are_refused)
{
	ck_assert_int_eq(set(bad_values[_i].key, bad_values[_i].value), bad_values[_i].err);
	ck_assert_str_eq(diag.what, bad_values[_i].key);
}
END_TEST

/* Sets of options that QEMU refuses, as one -o each. */
static const struct {
	const char *text;
	const char *what; /* the option that is blamed */
} refused[] = {
	{ "cluster_size=256", "cluster_size" },
	{ "cluster_size=4M", "cluster_size" },
	{ "cluster_size=1000", "cluster_size" },
	{ "cluster_size=0", "cluster_size" },
	{ "refcount_bits=0", "refcount_bits" },
	{ "refcount_bits=3", "refcount_bits" },
	{ "refcount_bits=128", "refcount_bits" },
	{ "extended_l2=on,cluster_size=8k", "extended_l2" },
	{ "extended_l2=on,compat=v2", "compat" },
	{ "lazy_refcounts=on,compat=0.10", "compat" },
	{ "refcount_bits=8,compat=v2", "compat" },
	{ "compression_type=zstd,compat=v2", "compat" },
	{ "data_file=x,compat=v2", "compat" },
	{ "data_file_raw=on", "data_file_raw" },
	{ "data_file=x,data_file_raw=on,backing_file=b,backing_fmt=raw", "data_file_raw" },
	{ "backing_fmt=raw", "backing_fmt" },
	{ "backing_file=b", "backing_file" },
	{ "backing_file=b,backing_fmt=blah", "backing_fmt" },
	{ "backing_file=b,backing_fmt=raw,preallocation=metadata", "preallocation" },
};

START_TEST(refused_combinations)
{
	struct keyval_list list = { 0 };
	struct q2s_spec spec;
	enum q2s_err err;

	ck_assert_int_eq(keyval_add(&list, refused[_i].text, &diag), Q2S_OK);
	ck_assert_int_eq(image_options_apply(&options, IMAGE_OPTIONS_CREATE, &list, &diag), Q2S_OK);
	err = image_options_spec(&options, 1 << 20, &spec, &diag);
	ck_assert_msg(err != Q2S_OK, "'%s' is accepted", refused[_i].text);
	ck_assert_int_eq(q2s_err_class(err), Q2S_CLASS_USAGE);
	ck_assert_str_eq(diag.what, refused[_i].what);
	keyval_free(&list);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof((array)[0]))

int
main(void)
{
	Suite *suite = suite_create("keyval");
	TCase *splitting = tcase_create("splitting"), *judging = tcase_create("options");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_loop_test(splitting, lists_are_split, 0, COUNT(lists));
	tcase_add_loop_test(splitting, bad_lists_are_refused, 0, COUNT(bad_lists));
	tcase_add_test(splitting, lists_add_up_and_may_ask_for_help);
	suite_add_tcase(suite, splitting);
	tcase_add_checked_fixture(judging, set_up, tear_down);
	tcase_add_test(judging, options_have_the_defaults_of_qemu);
	tcase_add_test(judging, options_reach_the_specification);
	tcase_add_test(judging, switches_take_the_words_of_qemu);
	tcase_add_test(judging, the_last_value_wins);
	tcase_add_test(judging, an_unknown_key_names_the_known_ones);
	tcase_add_test(judging, a_streamed_image_takes_fewer_keys);
	tcase_add_loop_test(judging, bad_values_are_refused, 0, COUNT(bad_values));
	tcase_add_loop_test(judging, refused_combinations, 0, COUNT(refused));
	suite_add_tcase(suite, judging);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
