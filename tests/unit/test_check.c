/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the specs of bad images cannot say: files that fail or change while they are checked,
 * watchers that stop the check, and images that ask for too much. What is found in which image is
 * the matter of tests/hostile.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <q2s/check.h>

#include "made.h"
#include "unit.h"

#define MIB (1ull << 20)

/* Reads that touch [bad_from, bad_to) fail: a bad sector. */
static uint64_t bad_from, bad_to;

ssize_t
pread(int fd, void *buf, size_t len, off_t at)
{
	if ((uint64_t)at < bad_to && (uint64_t)at + len > bad_from) {
		errno = EIO;
		return -1;
	}
	return syscall(SYS_pread64, fd, buf, len, at);
}

/* What a check said: how often the id that a test is about, and how much in all. */
struct heard {
	const char *id;
	unsigned of_id;
	unsigned all;
	struct q2s_check_result result;
	struct q2s_diag diag;
};

static void
hear(void *opaque, const struct q2s_finding *finding)
{
	struct heard *heard = opaque;

	heard->all++;
	heard->of_id += strcmp(finding->id, heard->id) == 0;
	ck_assert_ptr_nonnull(finding->text);
	ck_assert_ptr_nonnull(finding->structure);
}

static enum q2s_err
check(const struct made *made, struct heard *heard, const struct q2s_observer *observer)
{
	const struct q2s_check_options options = { .size = sizeof(options), .finding = hear,
						   .opaque = heard,
						   .observer = observer };
	struct q2s_store *file = made_file(made);
	struct q2s_image *image;
	enum q2s_err got;

	assert_ok(q2s_image_open(file, Q2S_IMAGE_DAMAGED, &image, &diag));
	got = q2s_check(image, &options, &heard->result, &heard->diag);
	ck_assert_int_eq(got, heard->diag.err);
	q2s_image_close(image);
	q2s_store_unref(file);
	return got;
}

static struct made
some_image(void)
{
	struct made made = made_v3(12, false, 16 * MIB);

	for (uint64_t guest = 0; guest < 16 * MIB; guest += 128 << 10)
		made_data(&made, guest, 1);
	made_finish(&made);
	return made;
}

START_TEST(unreadable_table)
{
	struct made made = some_image();
	struct heard heard = { .id = "unreadable" };
	const uint64_t table = made_entry_at(&made, 0);

	bad_from = table & ~4095ull;
	bad_to = bad_from + 1;
	ck_assert_int_eq(check(&made, &heard, NULL), Q2S_OK);
	bad_to = 0;
	ck_assert_uint_ge(heard.of_id, 1);
	ck_assert_uint_eq(heard.result.check_errors, heard.of_id);
	made_free(&made);
}
END_TEST

static bool
write_to_it(void *opaque, enum q2s_phase phase, uint64_t done, uint64_t total)
{
	const struct made *made = opaque;

	ck_assert_int_eq(phase, Q2S_PHASE_CHECK);
	ck_assert_uint_le(done, total);
	ck_assert_int_eq(ftruncate(made->fd, 5000), 0);
	return true;
}

START_TEST(changed_under_us)
{
	struct made made = some_image();
	const struct q2s_observer observer = { .step = write_to_it, .opaque = &made };
	struct heard heard = { .id = "file-changed" };

	ck_assert_int_eq(check(&made, &heard, &observer), Q2S_OK);
	ck_assert_uint_eq(heard.of_id, 1);
	made_free(&made);
}
END_TEST

static bool
stop(void *opaque, enum q2s_phase phase, uint64_t done, uint64_t total)
{
	(void)opaque;
	(void)phase;
	(void)done;
	(void)total;
	return false;
}

START_TEST(cancelled)
{
	struct made made = some_image();
	const struct q2s_observer observer = { .step = stop };
	struct heard heard = { .id = "" };

	ck_assert_int_eq(check(&made, &heard, &observer), Q2S_E_CANCELLED);
	made_free(&made);
}
END_TEST

/* 2^53 clusters in one small file: neither memory nor time for them. */
START_TEST(too_many_clusters)
{
	struct made made = made_v3(9, false, MIB);
	struct heard heard = { .id = "" };

	made_finish(&made);
	made_resize(&made, 1ull << 62);
	ck_assert_int_eq(check(&made, &heard, NULL), Q2S_E_LIMIT);
	made_free(&made);
}
END_TEST

/* The counts are the same when nobody listens. */
START_TEST(nobody_listens)
{
	struct made made = some_image();
	struct heard heard = { .id = "refcount-zero" };
	struct q2s_store *file = made_file(&made);
	struct q2s_check_result result;
	struct q2s_image *image;

	ck_assert_int_eq(check(&made, &heard, NULL), Q2S_OK);
	assert_ok(q2s_image_open(file, Q2S_IMAGE_DAMAGED, &image, &diag));
	assert_ok(q2s_check(image, NULL, &result, &diag));
	ck_assert_mem_eq(&result, &heard.result, sizeof(result));
	ck_assert_uint_gt(heard.of_id, 0);
	ck_assert_uint_eq(heard.all,
			  result.corruptions + result.leaks + result.notes + result.check_errors);
	q2s_image_close(image);
	q2s_store_unref(file);
	made_free(&made);
}
END_TEST

UNIT_MAIN("check", unreadable_table, changed_under_us, cancelled, too_many_clusters, nobody_listens)
