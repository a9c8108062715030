/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening a disk by its name: which format, which other files, and what is refused. */
#include <pthread.h>

#include <q2s/builder.h>

#include "files.h"

#define SIZE (1u << 20)

/* An image of zeros and one byte, which names a backing file if @backing is not NULL. */
static void
put_image(const char *path, const char *backing)
{
	const struct q2s_pattern region = { .len = 1, .state = Q2S_DATA, .fill = 7 };
	struct q2s_builder_options options = Q2S_BUILDER_OPTIONS_INIT;
	struct q2s_builder *builder = NULL;
	struct q2s_disk *disk = NULL;
	struct q2s_spec spec;

	assert_ok(q2s_disk_pattern(SIZE, &region, 1, &disk, &diag));
	assert_ok(q2s_spec_init(&spec, SIZE, &diag));
	if (backing) {
		spec.backing_name = (struct q2s_bytes){ (const uint8_t *)backing, strlen(backing) };
		spec.backing_format = (struct q2s_bytes){ (const uint8_t *)"raw", 3 };
	}
	options.spec = &spec;
	assert_ok(q2s_builder_new(disk, &options, &builder, &diag));
	assert_ok(q2s_builder_commit(builder, path, 0, &diag));
	q2s_builder_free(builder);
	q2s_disk_close(disk);
}

static enum q2s_err
open_as(const char *path, const char *format, const struct q2s_disk_qcow2_options *qcow2,
	struct q2s_disk **out)
{
	struct q2s_disk_open_options options = Q2S_DISK_OPEN_OPTIONS_INIT;
	struct q2s_diag why = { 0 };
	enum q2s_err err;

	options.format = format;
	options.qcow2 = qcow2;
	err = q2s_disk_open(path, &options, out, &why);
	ck_assert_int_eq(why.err, err);
	return err;
}

START_TEST(the_bytes_decide_unless_somebody_knows)
{
	char path[256];
	struct q2s_disk *disk = NULL;

	snprintf(path, sizeof(path), "%s", path_of("image"));
	put_image(path, NULL);
	assert_ok(q2s_disk_open(path, NULL, &disk, &diag));
	ck_assert_uint_eq(q2s_disk_size(disk), SIZE);
	q2s_disk_close(disk);
	ck_assert_int_eq(open_as(path, "raw", NULL, &disk), Q2S_OK);
	ck_assert_uint_ne(q2s_disk_size(disk), SIZE);
	q2s_disk_close(disk);
	ck_assert_int_eq(open_as(path, "vmdk", NULL, &disk), Q2S_E_UNSUPPORTED);
	ck_assert_int_eq(open_as(path_of("missing"), NULL, NULL, &disk), Q2S_E_IO);
}
END_TEST

START_TEST(another_container_is_no_disk)
{
	const char *const path = path_of("gzip");
	const uint8_t magic[] = { 0x1f, 0x8b, 8, 0 };
	struct q2s_disk *disk = NULL;
	FILE *const file = fopen(path, "w");

	ck_assert_uint_eq(fwrite(magic, sizeof(magic), 1, file), 1);
	fclose(file);
	ck_assert_int_eq(open_as(path, NULL, NULL, &disk), Q2S_E_UNSUPPORTED);
	ck_assert_int_eq(open_as(path, "raw", NULL, &disk), Q2S_OK);
	ck_assert_uint_eq(q2s_disk_size(disk), sizeof(magic));
	q2s_disk_close(disk);
}
END_TEST

START_TEST(other_files_need_leave)
{
	struct q2s_disk_qcow2_options beside = Q2S_DISK_QCOW2_OPTIONS_INIT;
	struct q2s_disk *disk = NULL;
	char path[256];

	snprintf(path, sizeof(path), "%s", path_of("top"));
	put_image(path, "below");
	fclose(fopen(path_of("below"), "w"));
	beside.follow = Q2S_FOLLOW_BESIDE;
	ck_assert_int_eq(open_as(path, NULL, NULL, &disk), Q2S_E_POLICY);
	ck_assert_int_eq(open_as(path, NULL, &beside, &disk), Q2S_OK);
	q2s_disk_close(disk);
	/* what only an image has */
	beside.snapshot = "1";
	ck_assert_int_eq(open_as(path_of("below"), NULL, &beside, &disk), Q2S_E_USAGE);
	ck_assert_int_eq(open_as("nbd://localhost", NULL, &beside, &disk), Q2S_E_USAGE);
	ck_assert_int_eq(open_as("nbd://localhost", "qcow2", NULL, &disk), Q2S_E_UNSUPPORTED);
}
END_TEST

static void *
feed(void *path)
{
	FILE *const fifo = fopen(path, "w");

	fputs("0123456789", fifo);
	fclose(fifo);
	return NULL;
}

START_TEST(a_fifo_is_read_to_its_end)
{
	char path[256], got[4];
	struct q2s_store *store = NULL;
	pthread_t thread;

	snprintf(path, sizeof(path), "%s", path_of("fifo"));
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, feed, path), 0);
	assert_ok(q2s_store_open_any(path, NULL, &store, &diag));
	pthread_join(thread, NULL);
	ck_assert_uint_eq(q2s_store_size(store), 10);
	assert_ok(q2s_store_read(store, 3, got, sizeof(got), &diag));
	ck_assert_mem_eq(got, "3456", 4);
	q2s_store_unref(store);
}
END_TEST

/* The last owner ends it. */
START_TEST(a_disk_is_counted)
{
	struct q2s_disk *disk = NULL;

	assert_ok(q2s_disk_empty(SIZE, &disk, &diag));
	ck_assert_ptr_eq(q2s_disk_ref(disk), disk);
	q2s_disk_close(disk);
	ck_assert_uint_eq(q2s_disk_size(disk), SIZE);
	q2s_disk_close(disk);
}
END_TEST

FILES_MAIN("open", the_bytes_decide_unless_somebody_knows, another_container_is_no_disk,
	  other_files_need_leave, a_fifo_is_read_to_its_end, a_disk_is_counted)
