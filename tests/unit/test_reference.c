/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which files an image may make us open, by policy and by what lies there. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <q2s/image.h>

#include "image/walk.h"
#include "made.h"
#include "unit.h"

/* The folder of the test: an image in in/, files around it. */
static char top[] = "/tmp/q2s-reference.XXXXXX";

static void
setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
	ck_assert_int_eq(mkdir("in", 0700), 0);
	ck_assert_int_eq(mkdir("in/below", 0700), 0);
	ck_assert_int_eq(mkdir("in-2", 0700), 0);
}

static void
teardown(void)
{
	char command[128];

	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	ck_assert_int_eq(system(command), 0);
}

/* A file whose content is its name. */
static void
put_file(const char *path)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(path, file), 0);
	ck_assert_int_eq(fclose(file), 0);
}

/* An image at @path that refers to @name. */
static void
put_image(const char *path, enum q2s_reference kind, const char *name)
{
	const struct q2s_geom_params params = { .version = 3,
						.cluster_bits = 12,
						.refcount_order = 4,
						.data_file = kind == Q2S_DATA_FILE,
						.size = 4096 };
	struct made made = made_start(&params);

	if (kind == Q2S_DATA_FILE)
		made_extension(&made, Q2S_EXT_DATA_FILE, name, (uint32_t)strlen(name));
	else
		made.backing = name;
	made_finish(&made);
	made_save(&made, path);
	made_free(&made);
}

/* Open the reference of the image @path; what the file holds in @content. */
static enum q2s_err
follow(const char *path, enum q2s_reference kind, enum q2s_follow policy, char content[64],
       char text[512])
{
	struct q2s_diag diag = { 0 };
	struct q2s_store *file, *target = NULL;
	struct q2s_image *image;
	enum q2s_err err;

	ck_assert_int_eq(q2s_store_open(path, &file, &diag), Q2S_OK);
	ck_assert_int_eq(q2s_image_open(file, 0, &image, &diag), Q2S_OK);
	err = q2s_reference_open(image, kind, policy, &target, NULL, &diag);
	ck_assert_int_eq(diag.err, err);
	if (err == Q2S_OK) {
		memset(content, 0, 64);
		ck_assert_int_eq(q2s_store_read_padded(target, 0, content, 63, NULL, &diag),
				 Q2S_OK);
		q2s_store_unref(target);
	} else {
		ck_assert_str_eq(diag.file, path);
		q2s_diag_format(&diag, text, 512);
	}
	q2s_image_close(image);
	q2s_store_unref(file);
	return err;
}

/* The image in/image with the backing file @name must open the file with content @want. */
static void
opens(enum q2s_follow policy, const char *name, const char *want)
{
	char content[64], text[512] = "";

	put_image("in/image", Q2S_BACKING_FILE, name);
	ck_assert_msg(follow("in/image", Q2S_BACKING_FILE, policy, content, text) == Q2S_OK,
		      "%s: %s", name, text);
	ck_assert_str_eq(content, want);
}

static void
refuses(enum q2s_follow policy, const char *name, enum q2s_err err, const char *message)
{
	char content[64], text[512] = "";
	enum q2s_err got;

	put_image("in/image", Q2S_BACKING_FILE, name);
	got = follow("in/image", Q2S_BACKING_FILE, policy, content, text);
	ck_assert_msg(got == err, "%s: %s: %s", name, q2s_err_name(got), text);
	ck_assert_msg(strstr(text, message) != NULL, "%s: '%s' without '%s'", name, text, message);
}

#define NONE Q2S_FOLLOW_NONE
#define BESIDE Q2S_FOLLOW_BESIDE
#define ANY Q2S_FOLLOW_ANY

START_TEST(none_opens_nothing)
{
	put_file("in/base");
	refuses(NONE, "base", Q2S_E_POLICY,
		"'in/base' is not opened");
	refuses(NONE, "nowhere", Q2S_E_POLICY, "is not opened");
	refuses(NONE, "nbd:x", Q2S_E_UNSUPPORTED, "'nbd:x' is no local file");
}
END_TEST

/* The policy that is advised has to help. */
START_TEST(a_refusal_says_which_policy_would_allow_it)
{
	static const struct {
		enum q2s_follow policy, least;
		const char *name;
	} rows[] = {
		{ NONE, BESIDE, "base" },        { NONE, BESIDE, "../in/base" },
		{ NONE, BESIDE, "nowhere" },     { NONE, ANY, "../base" },
		{ NONE, ANY, "/etc/passwd" },    { NONE, ANY, "link" },
		{ NONE, ANY, "/nowhere" },       { BESIDE, ANY, "../base" },
		{ BESIDE, ANY, "/etc/passwd" },  { BESIDE, ANY, "link" },
	};

	put_file("base");
	put_file("in/base");
	ck_assert_int_eq(symlink("../base", "in/link"), 0);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct q2s_diag diag = { 0 };
		struct q2s_store *file, *target;
		struct q2s_image *image;

		put_image("in/image", Q2S_BACKING_FILE, rows[i].name);
		ck_assert_int_eq(q2s_store_open("in/image", &file, &diag), Q2S_OK);
		ck_assert_int_eq(q2s_image_open(file, 0, &image, &diag), Q2S_OK);
		ck_assert_int_eq(q2s_reference_open(image, Q2S_BACKING_FILE, rows[i].policy,
						    &target, NULL, &diag), Q2S_E_POLICY);
		ck_assert_msg(diag.follow == rows[i].least, "%s", rows[i].name);
		ck_assert_msg(!strstr(diag.text, "--"), "'%s'", diag.text);
		q2s_image_close(image);
		q2s_store_unref(file);
	}
}
END_TEST

START_TEST(beside_is_the_folder_of_the_image_and_below)
{
	put_file("base");
	put_file("in/base");
	put_file("in/below/base");
	put_file("in-2/base");
	opens(BESIDE, "base", "in/base");
	opens(BESIDE, "below/base", "in/below/base");
	opens(BESIDE, "below/../base", "in/base");
	opens(BESIDE, "../in/base", "in/base");
	opens(BESIDE, "file:base", "in/base");
	opens(BESIDE, "json:{\"file.filename\":\"base\"}", "in/base");
	refuses(BESIDE, "../base", Q2S_E_POLICY,
		"'in/../base' lies outside the image's folder");
	refuses(BESIDE, "../in-2/base", Q2S_E_POLICY, "outside");
	refuses(BESIDE, "/etc/passwd", Q2S_E_POLICY, "outside");
	refuses(BESIDE, "json:{\"file.filename\":\"/etc/passwd\"}", Q2S_E_POLICY, "outside");
	refuses(BESIDE, "nowhere", Q2S_E_IO, "No such file");
	opens(ANY, "../base", "base");
	opens(ANY, "../in-2/base", "in-2/base");
}
END_TEST

START_TEST(an_absolute_name_may_be_beside_too)
{
	char name[128];

	put_file("in/base");
	snprintf(name, sizeof(name), "%s/in/base", top);
	opens(BESIDE, name, "in/base");
	opens(ANY, name, "in/base");
}
END_TEST

START_TEST(links_are_resolved_before_the_policy)
{
	put_file("base");
	put_file("in/base");
	ck_assert_int_eq(symlink("../base", "in/out"), 0);
	ck_assert_int_eq(symlink("base", "in/inner"), 0);
	ck_assert_int_eq(symlink("..", "in/up"), 0);
	ck_assert_int_eq(symlink("in/base", "back"), 0);
	refuses(BESIDE, "out", Q2S_E_POLICY, "outside");
	refuses(BESIDE, "up/base", Q2S_E_POLICY, "outside");
	opens(BESIDE, "inner", "in/base");
	opens(BESIDE, "up/back", "in/base");
	opens(BESIDE, "up/in/base", "in/base");
	opens(ANY, "out", "base");
}
END_TEST

/* The lookup starts where the user named the image; the folder that counts is where it lies. */
START_TEST(an_image_that_is_named_by_a_link)
{
	char content[64], text[512];

	put_file("base");
	put_file("in/base");
	put_image("in/image", Q2S_BACKING_FILE, "base");
	ck_assert_int_eq(symlink("in/image", "link"), 0);
	ck_assert_int_eq(follow("link", Q2S_BACKING_FILE, ANY, content, text), Q2S_OK);
	ck_assert_str_eq(content, "base"); /* as in QEMU */
	ck_assert_int_eq(follow("link", Q2S_BACKING_FILE, BESIDE, content, text), Q2S_E_POLICY);
	ck_assert_int_eq(unlink("base"), 0);
	ck_assert_int_eq(symlink("in/base", "base"), 0);
	ck_assert_int_eq(follow("link", Q2S_BACKING_FILE, BESIDE, content, text), Q2S_OK);
	ck_assert_str_eq(content, "in/base");
}
END_TEST

START_TEST(only_regular_files_are_opened)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "in/socket" };
	const int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(mkfifo("in/fifo", 0600), 0);
	ck_assert_int_eq(symlink("/dev/zero", "in/zero"), 0);
	for (int i = 0; i < 2; i++) {
		const enum q2s_follow policy = i ? ANY : BESIDE;

		refuses(policy, "fifo", Q2S_E_UNSUPPORTED, "neither a regular file nor");
		refuses(policy, "socket", Q2S_E_UNSUPPORTED, "neither a regular file nor");
		refuses(policy, "below", Q2S_E_UNSUPPORTED, "neither a regular file nor");
	}
	refuses(BESIDE, "zero", Q2S_E_POLICY, "outside");
	refuses(ANY, "zero", Q2S_E_UNSUPPORTED, "neither a regular file nor");
	refuses(ANY, "/dev/tty", Q2S_E_UNSUPPORTED, "neither a regular file nor");
	close(fd);
}
END_TEST

START_TEST(a_data_file_is_looked_up_literally)
{
	static const char name[] = "json:{\"file.filename\":\"base\"}";
	char content[64], text[512], path[64];

	put_file("in/base");
	put_image("in/image", Q2S_DATA_FILE, name);
	ck_assert_int_eq(follow("in/image", Q2S_DATA_FILE, ANY, content, text), Q2S_E_IO);
	snprintf(path, sizeof(path), "in/%s", name);
	put_file(path);
	ck_assert_int_eq(follow("in/image", Q2S_DATA_FILE, BESIDE, content, text), Q2S_OK);
	ck_assert_str_eq(content, path);
	put_image("in/image", Q2S_DATA_FILE, "nbd:localhost:1");
	ck_assert_int_eq(follow("in/image", Q2S_DATA_FILE, ANY, content, text), Q2S_E_IO);
	put_image("in/image", Q2S_DATA_FILE, "");
	ck_assert_int_eq(follow("in/image", Q2S_DATA_FILE, ANY, content, text), Q2S_E_UNSUPPORTED);
	put_image("in/image", Q2S_DATA_FILE, "../in-2/data");
	ck_assert_int_eq(follow("in/image", Q2S_DATA_FILE, NONE, content, text), Q2S_E_POLICY);
	put_file("in-2/data");
	ck_assert_int_eq(follow("in/image", Q2S_DATA_FILE, BESIDE, content, text), Q2S_E_POLICY);
}
END_TEST

/* A file that came as a descriptor has a name for messages, which may be that of another file. */
START_TEST(beside_needs_to_know_where_the_image_lies)
{
	static const char *const names[] = { "nowhere", "base", "in/base" };

	put_file("base");
	put_file("in/base");
	put_image("in/image", Q2S_BACKING_FILE, "base");
	for (size_t i = 0; i < COUNT(names); i++) {
		struct q2s_diag diag = { 0 };
		struct q2s_store *file, *target;
		struct q2s_image *image;

		ck_assert_int_eq(q2s_store_from_fd(open("in/image", O_RDONLY | O_CLOEXEC), names[i],
						   &file, &diag),
				 Q2S_OK);
		ck_assert_int_eq(q2s_image_open(file, 0, &image, &diag), Q2S_OK);
		ck_assert_int_eq(q2s_reference_open(image, Q2S_BACKING_FILE, BESIDE, &target, NULL,
						    &diag), Q2S_E_POLICY);
		ck_assert_ptr_nonnull(strstr(diag.text, "own folder is not known"));
		q2s_image_close(image);
		q2s_store_unref(file);
	}
}
END_TEST

/* What realpath() said may be wrong a moment later: no link is followed at any step. */
START_TEST(the_walk_follows_no_link)
{
	char path[160];
	int fd;

	put_file("in/base");
	ck_assert_int_eq(symlink("in", "folder"), 0);
	ck_assert_int_eq(symlink("base", "in/link"), 0);
	snprintf(path, sizeof(path), "%s/in/base", top);
	fd = q2si_walk_open(path, true, false);
	ck_assert_int_ge(fd, 0);
	close(fd);
	snprintf(path, sizeof(path), "%s/folder/base", top);
	ck_assert_int_lt(q2si_walk_open(path, true, false), 0);
	snprintf(path, sizeof(path), "%s/in/link", top);
	ck_assert_int_lt(q2si_walk_open(path, true, false), 0);
	fd = q2si_walk_open(path, false, false);
	ck_assert_int_ge(fd, 0);
	close(fd);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("reference");
	TCase *tcase = tcase_create("reference");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, none_opens_nothing);
	tcase_add_test(tcase, a_refusal_says_which_policy_would_allow_it);
	tcase_add_test(tcase, beside_is_the_folder_of_the_image_and_below);
	tcase_add_test(tcase, an_absolute_name_may_be_beside_too);
	tcase_add_test(tcase, links_are_resolved_before_the_policy);
	tcase_add_test(tcase, an_image_that_is_named_by_a_link);
	tcase_add_test(tcase, only_regular_files_are_opened);
	tcase_add_test(tcase, a_data_file_is_looked_up_literally);
	tcase_add_test(tcase, beside_needs_to_know_where_the_image_lies);
	tcase_add_test(tcase, the_walk_follows_no_link);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
