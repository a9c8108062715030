/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images in a folder of the test, and what the disk that they make shows. */
#ifndef Q2S_TESTS_LOOK_H
#define Q2S_TESTS_LOOK_H

#include <stdio.h>
#include <unistd.h>

#include <q2s/disk.h>

#include "made.h"
#include "unit.h"

#define KIB 1024ull
#define MIB (KIB << 10)
#define CLUSTER (4 * KIB)

static char top[] = "/tmp/q2s-disk.XXXXXX";

static inline void
setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
}

static inline void
teardown(void)
{
	char command[128];

	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	ck_assert_int_eq(system(command), 0);
}

/* ---- making ------------------------------------------------------------------------------ */

static inline struct made
made_over(uint64_t size, const char *backing, const char *format)
{
	struct made made = made_v3(12, false, size);

	made.backing = backing;
	if (format)
		made_extension(&made, Q2S_EXT_BACKING_FORMAT, format, (uint32_t)strlen(format));
	return made;
}

static inline void
made_done(struct made *made, const char *path)
{
	made_finish(made);
	made_save(made, path);
	made_free(made);
}

/* @count clusters at cluster @first of a raw file, each filled with @byte. */
static inline void
put_raw(const char *path, uint64_t size, uint64_t first, uint64_t count, int byte)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fseek(file, (long)(first * CLUSTER), SEEK_SET), 0);
	for (uint64_t i = 0; i < count * CLUSTER; i++)
		ck_assert_int_ne(fputc(byte, file), EOF);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_eq(truncate(path, (off_t)size), 0);
}

/* ---- looking ----------------------------------------------------------------------------- */

static inline enum q2s_err
disk_open(const char *path, const struct q2s_disk_qcow2_options *options, struct q2s_disk **out,
	  struct q2s_diag *diag)
{
	struct q2s_store *file;
	enum q2s_err err;

	ck_assert_int_eq(q2s_store_open(path, &file, diag), Q2S_OK);
	err = q2s_disk_qcow2(file, options, out, diag);
	q2s_store_unref(file);
	return err;
}

struct look {
	struct q2s_disk *disk;
	struct q2s_cursor *cursor;
};

static inline struct look
look_at(const char *path, const char *snapshot)
{
	const struct q2s_disk_qcow2_options options = { .size = sizeof(options),
							.follow = Q2S_FOLLOW_ANY,
							.snapshot = snapshot };
	struct look look;

	assert_ok(disk_open(path, &options, &look.disk, &diag));
	assert_ok(q2s_cursor_open(look.disk, &look.cursor, &diag));
	return look;
}

static inline void
look_end(struct look *look)
{
	q2s_cursor_close(look->cursor);
	q2s_disk_close(look->disk);
}

static inline struct q2s_extent
extent_at(struct look *look, uint64_t guest)
{
	struct q2s_extent extent;

	assert_ok(q2s_cursor_extent(look->cursor, (q2s_guest){ guest }, UINT64_MAX, &extent,
				    &diag));
	return extent;
}

#define assert_extent(look, guest, want_len, want_state)                                          \
	do {                                                                                      \
		const struct q2s_extent got = extent_at(look, guest);                             \
		ck_assert_uint_eq(got.len, want_len);                                             \
		ck_assert_int_eq(got.state, want_state);                                          \
	} while (0)

static uint8_t buf[4 * MIB];

/* Bytes [from, from + len) must all be @byte, read whole and in odd pieces. */
static inline void
assert_bytes(struct look *look, uint64_t from, uint64_t len, uint8_t byte)
{
	static const size_t steps[] = { sizeof(buf), 1000, 4096 };

	for (size_t i = 0; i < COUNT(steps); i++) {
		for (uint64_t at = from; at < from + len;) {
			const size_t left = (size_t)(from + len - at);
			const size_t n = left < steps[i] ? left : steps[i];

			memset(buf, ~byte, n);
			assert_ok(q2s_cursor_read(look->cursor, (q2s_guest){ at }, buf, n, &diag));
			for (size_t k = 0; k < n; k++)
				ck_assert_msg(buf[k] == byte, "at 0x%" PRIx64 ": %02x", at + k,
					      buf[k]);
			at += n;
		}
	}
}

/* Opening @path fails with @err, and the message has @text in it and is about @file. */
static inline void
assert_unopenable(const char *path, const struct q2s_disk_qcow2_options *options,
		  enum q2s_err err, const char *file, const char *text)
{
	struct q2s_diag diag = { 0 };
	struct q2s_disk *disk;
	const enum q2s_err got = disk_open(path, options, &disk, &diag);

	ck_assert_msg(got == err, "%s: %s", q2s_err_name(got), diag.text);
	ck_assert_msg(strstr(diag.text, text) != NULL, "'%s'", diag.text);
	ck_assert_str_eq(diag.file, file);
}

static const struct q2s_disk_qcow2_options any = { .size = sizeof(any), .follow = Q2S_FOLLOW_ANY };
static const struct q2s_disk_qcow2_options beside = { .size = sizeof(beside),
						      .follow = Q2S_FOLLOW_BESIDE };

#endif
