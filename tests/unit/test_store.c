/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stores of every kind: writing, memory, and one that is implemented outside the library. */
#include <pthread.h>

#include <q2s/check.h>
#include <q2s/disk.h>
#include <q2s/io.h>

#include "base/zero.h"
#include "faulty.h"
#include "files.h"
#include "made.h"

#define KIB 1024ull
#define ROOM (1u << 20)

/* ---- a store of a program's own ------------------------------------------------------------ */

/* Bytes backwards in an array, so that nothing works by accident that goes round the functions. */
struct own {
	uint8_t bytes[ROOM];
	uint64_t length;
	bool fails;
	unsigned flushes, closed;
	uint64_t wont_need;
};

static enum q2s_err
own_read(void *self, uint64_t at, void *buf, size_t len, size_t *got, struct q2s_diag *diag)
{
	const struct own *own = self;

	(void)diag;
	if (own->fails)
		return Q2S_E_IO;
	for (*got = 0; *got < len && at + *got < own->length; ++*got)
		((uint8_t *)buf)[*got] = own->bytes[ROOM - 1 - (at + *got)];
	return Q2S_OK;
}

static uint64_t
own_length(void *self)
{
	return ((const struct own *)self)->length;
}

static enum q2s_err
own_write(void *self, uint64_t at, const void *buf, size_t len, struct q2s_diag *diag)
{
	struct own *own = self;

	if (at + len > ROOM) {
		if (diag && diag->err == Q2S_OK) {
			diag->err = Q2S_E_LIMIT;
			memcpy(diag->what, "own", 4);
			memcpy(diag->text, "full", 5);
		}
		return Q2S_E_LIMIT;
	}
	for (size_t i = 0; i < len; i++)
		own->bytes[ROOM - 1 - (at + i)] = ((const uint8_t *)buf)[i];
	if (at + len > own->length)
		own->length = at + len;
	return Q2S_OK;
}

static enum q2s_err
own_flush(void *self, struct q2s_diag *diag)
{
	(void)diag;
	((struct own *)self)->flushes++;
	return Q2S_OK;
}

static void
own_close(void *self)
{
	((struct own *)self)->closed++;
}

static void
own_wont_need(void *self, uint64_t at, uint64_t len)
{
	((struct own *)self)->wont_need = at + len;
}

static const struct q2s_store_ops own_ops = {
	.size = sizeof(own_ops),
	.read = own_read,
	.length = own_length,
	.close = own_close,
	.write = own_write,
	.flush = own_flush,
	.wont_need = own_wont_need,
};

static struct q2s_store *
own_store(struct own *own, const struct q2s_store_ops *ops)
{
	struct q2s_store *store = NULL;

	memset(own, 0, sizeof(*own));
	assert_ok(q2s_store_new(ops, own, "own", &store, &diag));
	return store;
}

static struct own own;

START_TEST(a_program_brings_its_own)
{
	struct q2s_store *store = own_store(&own, &own_ops);
	struct q2s_stretch stretch;
	uint8_t buf[100];
	size_t got;

	ck_assert_str_eq(q2s_store_name(store), "own");
	ck_assert(q2s_store_is_writable(store));
	ck_assert(!q2s_store_is_block_device(store));
	ck_assert_int_eq(q2s_store_fd(store), -1);
	assert_ok(q2s_store_write(store, 10, "abc", 3, &diag));
	ck_assert_uint_eq(q2s_store_size(store), 13);
	ck_assert_uint_eq(q2s_store_allocated(store), 13);
	assert_ok(q2s_store_read(store, 9, buf, 4, &diag));
	ck_assert_mem_eq(buf, "\0abc", 4);
	assert_ok(q2s_store_read_padded(store, 11, buf, sizeof(buf), &got, &diag));
	ck_assert_uint_eq(got, 2);
	ck_assert_mem_eq(buf, "bc\0\0", 4);
	assert_refused(Q2S_E_SHORT, 12, 1, q2s_store_read(store, 12, buf, 2, &diag));
	assert_ok(q2s_store_stretch(store, 4, &stretch, &diag));
	ck_assert(!stretch.hole);
	ck_assert_uint_eq(stretch.len, 9);
	assert_ok(q2s_store_verify(store, &diag));
	ck_assert(!q2s_store_is_cached(store, 0));
	q2s_store_will_need(store, 0, 13);
	q2s_store_forget(store, 3, 4);
	ck_assert_uint_eq(own.wont_need, 7);

	assert_ok(q2s_store_zero(store, 11, 300000, &diag)); /* written, as it cannot */
	ck_assert_uint_eq(q2s_store_size(store), 300011);
	assert_ok(q2s_store_read(store, 10, buf, 3, &diag));
	ck_assert_mem_eq(buf, "a\0\0", 3);
	ck_assert_int_eq(q2s_store_discard(store, 0, 10, NULL), Q2S_E_UNSUPPORTED);
	ck_assert_int_eq(q2s_store_set_length(store, 10, NULL), Q2S_E_UNSUPPORTED);
	assert_ok(q2s_store_flush(store, &diag));
	ck_assert_uint_eq(own.flushes, 1);

	ck_assert_ptr_eq(q2s_store_ref(store), store);
	q2s_store_unref(store);
	ck_assert_uint_eq(own.closed, 0);
	q2s_store_unref(store);
	ck_assert_uint_eq(own.closed, 1);
}
END_TEST

START_TEST(its_errors_are_completed)
{
	struct q2s_store *store = own_store(&own, &own_ops);
	struct q2s_diag diag = { 0 };
	char byte;

	own.fails = true;
	ck_assert_int_eq(q2s_store_read(store, 77, &byte, 1, &diag), Q2S_E_IO);
	ck_assert_int_eq(diag.err, Q2S_E_IO);
	ck_assert_uint_eq(diag.at.v, 77);
	ck_assert_str_eq(diag.file, "own");
	ck_assert_str_ne(diag.text, "");
	memset(&diag, 0, sizeof(diag));
	ck_assert_int_eq(q2s_store_write(store, ROOM, "x", 1, &diag), Q2S_E_LIMIT);
	ck_assert_str_eq(diag.text, "full");
	ck_assert_str_eq(diag.file, "own");
	ck_assert_int_eq(q2s_store_zero(store, ROOM, 1, NULL), Q2S_E_LIMIT);
	q2s_store_unref(store);
}
END_TEST

/* A program that was built before there were functions for writing. */
START_TEST(old_and_broken_ones)
{
	struct q2s_store_ops ops = own_ops;
	struct q2s_store *store;

	ops.size = offsetof(struct q2s_store_ops, write);
	store = own_store(&own, &ops);
	ck_assert(!q2s_store_is_writable(store));
	ck_assert_int_eq(q2s_store_write(store, 0, "x", 1, NULL), Q2S_E_USAGE);
	ck_assert_int_eq(q2s_store_zero(store, 0, 1, NULL), Q2S_E_USAGE);
	ck_assert_int_eq(q2s_store_discard(store, 0, 1, NULL), Q2S_E_USAGE);
	ck_assert_int_eq(q2s_store_flush(store, NULL), Q2S_E_USAGE);
	ck_assert_int_eq(q2s_store_set_length(store, 0, NULL), Q2S_E_USAGE);
	q2s_store_unref(store);

	store = NULL;
	ops.size--;
	ck_assert_int_eq(q2s_store_new(&ops, &own, "own", &store, NULL), Q2S_E_USAGE);
	ops = own_ops;
	ops.read = NULL;
	ck_assert_int_eq(q2s_store_new(&ops, &own, "own", &store, NULL), Q2S_E_USAGE);
	ck_assert_ptr_null(store);
}
END_TEST

START_TEST(no_two_are_the_same)
{
	static struct own other;
	struct q2s_store *a = own_store(&own, &own_ops), *b = own_store(&other, &own_ops);
	struct q2s_store_ident first, second;

	q2s_store_ident(a, &first);
	q2s_store_ident(b, &second);
	ck_assert(first.dev != second.dev || first.ino != second.ino);
	ck_assert_int_eq(first.ctime_sec, 0);
	q2s_store_unref(a);
	q2s_store_unref(b);
}
END_TEST

/* ---- every kind that can be written --------------------------------------------------------- */

static struct q2s_store *
writable_file(void)
{
	struct q2s_store *store = NULL;

	close(open(path_of("writable"), O_RDWR | O_CREAT | O_TRUNC, 0666));
	assert_ok(q2s_store_open_writable(path_of("writable"), &store, &diag));
	return store;
}

static struct q2s_store *
writable(unsigned kind)
{
	struct q2s_store *store = NULL;

	if (kind == 0)
		return writable_file();
	if (kind == 1)
		assert_ok(q2s_store_memory(NULL, 0, "memory", &store, &diag));
	else
		store = own_store(&own, &own_ops);
	return store;
}

enum { KINDS = 3 };

/* All of it, by extents too, is what @want says. */
static void
assert_holds(struct q2s_store *store, const uint8_t *want, uint64_t size)
{
	static uint8_t buf[ROOM];
	struct q2s_stretch_walk walk = { 0 };
	struct q2s_stretch stretch;

	ck_assert_uint_eq(q2s_store_size(store), size);
	assert_ok(q2s_store_read(store, 0, buf, size, &diag));
	for (uint64_t i = 0; i < size; i++)
		if (buf[i] != want[i])
			ck_abort_msg("byte %" PRIu64, i);
	for (uint64_t at = 0; at < size; at += stretch.len) {
		assert_ok(q2s_store_stretch_on(store, &walk, at, &stretch, &diag));
		quick_assert(stretch.len > 0 && stretch.len <= size - at);
		quick_assert(!stretch.hole || q2si_is_zero(want + at, stretch.len));
	}
}

/* One random change of @store and of @model. */
static void
change(struct q2s_store *store, uint8_t *model, uint64_t *size, uint64_t *seed)
{
	static uint8_t bytes[ROOM];
	const uint64_t at = unit_random(seed) % (ROOM / 2);
	const size_t len = unit_random_log(seed) % (ROOM / 2);
	const unsigned what = unit_random(seed) % 8;
	const uint64_t end = at + len > *size ? at + len : *size;
	enum q2s_err got;

	switch (what) {
	case 0:
		assert_ok(q2s_store_zero(store, at, len, &diag));
		memset(model + at, 0, len);
		*size = len > 0 ? end : *size;
		break;
	case 1:
		got = q2s_store_discard(store, at, len, NULL);
		if (got == Q2S_OK && at < *size)
			memset(model + at, 0, len < *size - at ? len : *size - at);
		else
			quick_assert(got == Q2S_OK || got == Q2S_E_UNSUPPORTED);
		break;
	case 2:
		got = q2s_store_set_length(store, at, NULL);
		if (got == Q2S_OK && at < *size)
			memset(model + at, 0, *size - at);
		if (got == Q2S_OK)
			*size = at;
		break;
	case 3:
		assert_ok(q2s_store_flush(store, &diag));
		break;
	default:
		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)unit_random(seed);
		assert_ok(q2s_store_write(store, at, bytes, len, &diag));
		memcpy(model + at, bytes, len);
		*size = len > 0 ? end : *size;
		break;
	}
}

static void
change_at_random(unsigned kind, uint64_t seed)
{
	static uint8_t model[ROOM];
	struct q2s_store *store = writable(kind);
	uint64_t size = 0;

	memset(model, 0, sizeof(model));
	ck_assert(q2s_store_is_writable(store));
	for (unsigned i = 0; i < 60; i++) {
		change(store, model, &size, &seed);
		if (i % 6 == 0)
			assert_holds(store, model, size);
	}
	assert_holds(store, model, size);
	assert_ok(q2s_store_verify(store, &diag));
	q2s_store_unref(store);
}

START_TEST(what_is_written_is_there)
{
	for (uint64_t seed = 1; seed < 6; seed++)
		for (unsigned kind = 0; kind < KINDS; kind++)
			change_at_random(kind, seed);
}
END_TEST

START_TEST(calls_that_do_less_are_made_again)
{
	faulty.most = 5000;
	faulty.interrupt = true;
	change_at_random(0, 77);
	faulty.fallocate = EOPNOTSUPP;
	change_at_random(0, 78);
	faulty.fallocate = EINVAL;
	change_at_random(0, 79);
}
END_TEST

START_TEST(a_range_that_cannot_be_is_refused)
{
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct q2s_store *store = writable(kind);

		ck_assert_int_eq(q2s_store_write(store, UINT64_MAX, "x", 1, NULL), Q2S_E_OVERFLOW);
		ck_assert_int_eq(q2s_store_zero(store, INT64_MAX, 1, NULL), Q2S_E_OVERFLOW);
		ck_assert_int_eq(q2s_store_discard(store, 1, UINT64_MAX, NULL), Q2S_E_OVERFLOW);
		ck_assert_int_eq(q2s_store_set_length(store, UINT64_MAX, NULL), Q2S_E_OVERFLOW);
		ck_assert_uint_eq(q2s_store_size(store), 0);
		q2s_store_unref(store);
	}
}
END_TEST

/* ---- files ---------------------------------------------------------------------------------- */

START_TEST(what_is_read_only_stays_so)
{
	struct q2s_store *store = NULL;
	struct q2s_diag why = { 0 };
	int fd;

	put_file(path_of("file"), "abc", 3);
	assert_ok(q2s_store_open(path_of("file"), &store, &diag));
	ck_assert(!q2s_store_is_writable(store));
	ck_assert_int_eq(q2s_store_write(store, 0, "x", 1, &why), Q2S_E_USAGE);
	ck_assert_str_eq(why.file, path_of("file"));
	q2s_store_unref(store);

	store = NULL;
	fd = open(path_of("file"), O_RDONLY);
	ck_assert_int_eq(q2s_store_from_fd_writable(fd, "file", &store, NULL), Q2S_E_USAGE);
	close(fd);
	fd = open(path_of("file"), O_RDWR);
	assert_ok(q2s_store_from_fd_writable(fd, "file", &store, &diag));
	ck_assert_int_eq(q2s_store_fd(store), fd);
	assert_ok(q2s_store_write(store, 3, "d", 1, &diag));
	ck_assert_uint_eq(q2s_store_size(store), 4);
	q2s_store_unref(store);
	store = NULL;
	ck_assert_int_eq(q2s_store_open_writable(path_of("missing"), &store, NULL), Q2S_E_IO);
	ck_assert(!file_exists(path_of("missing")));
}
END_TEST

START_TEST(space_is_given_back)
{
	static uint8_t bytes[ROOM];
	struct q2s_store *store = writable_file();
	struct stat before, after;

	memset(bytes, 1, sizeof(bytes));
	assert_ok(q2s_store_write(store, 0, bytes, sizeof(bytes), &diag));
	assert_ok(q2s_store_flush(store, &diag));
	ck_assert_int_eq(fstat(q2s_store_fd(store), &before), 0);
	if (q2s_store_discard(store, 0, sizeof(bytes) / 2, NULL) == Q2S_OK) {
		assert_ok(q2s_store_flush(store, &diag));
		ck_assert_int_eq(fstat(q2s_store_fd(store), &after), 0);
		ck_assert_int_lt(after.st_blocks, before.st_blocks);
		ck_assert_int_eq(after.st_size, before.st_size);
	}
	q2s_store_unref(store);

	assert_ok(q2s_store_memory(bytes, sizeof(bytes), "memory", &store, &diag));
	ck_assert_uint_eq(q2s_store_allocated(store), ROOM);
	assert_ok(q2s_store_discard(store, 0, sizeof(bytes) / 2, &diag));
	ck_assert_uint_eq(q2s_store_allocated(store), ROOM / 2);
	q2s_store_unref(store);
}
END_TEST

START_TEST(a_full_disk_is_an_error)
{
	struct q2s_store *store = writable_file();
	struct q2s_diag diag = { 0 };
	char byte = 1;

	faulty.fallocate = ENOSPC;
	ck_assert_int_eq(q2s_store_zero(store, 0, 4096, &diag), Q2S_E_IO);
	ck_assert_int_eq(diag.sys_errno, ENOSPC);
	faulty.fallocate = 0;
	ck_assert_int_eq(q2s_store_write(store, INT64_MAX - 1, &byte, 1, NULL), Q2S_E_IO);
	q2s_store_unref(store);
}
END_TEST

/* ---- threads -------------------------------------------------------------------------------- */

struct part {
	struct q2s_store *store;
	unsigned index;
};

/* Writes and reads every eighth block of 4000 bytes, so that blocks of all threads touch. */
static void *
write_part(void *opaque)
{
	const struct part *part = opaque;
	uint8_t buf[4000], got[4000];

	memset(buf, (int)part->index + 1, sizeof(buf));
	for (unsigned i = 0; i < 100; i++) {
		const uint64_t at = (i * 4ull + part->index) * sizeof(buf);

		if (q2s_store_write(part->store, at, buf, sizeof(buf), NULL) != Q2S_OK ||
		    q2s_store_read(part->store, at, got, sizeof(got), NULL) != Q2S_OK ||
		    memcmp(buf, got, sizeof(buf)) != 0)
			return part->store;
		if (i % 10 == 9 && q2s_store_flush(part->store, NULL) != Q2S_OK)
			return part->store;
	}
	return NULL;
}

START_TEST(threads_write_beside_each_other)
{
	for (unsigned kind = 0; kind < 2; kind++) {
		struct q2s_store *store = writable(kind);
		struct part parts[4];
		pthread_t threads[4];
		void *failed;

		for (unsigned i = 0; i < 4; i++) {
			parts[i] = (struct part){ store, i };
			ck_assert_int_eq(pthread_create(&threads[i], NULL, write_part, &parts[i]),
					 0);
		}
		for (unsigned i = 0; i < 4; i++) {
			ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
			ck_assert_ptr_null(failed);
		}
		ck_assert_uint_eq(q2s_store_size(store), 1600000);
		q2s_store_unref(store);
	}
}
END_TEST

/* ---- what is above stores ------------------------------------------------------------------- */

/* A store without a descriptor is read; for one that has one the sink still does better. */
static void
copy_to(struct q2s_sink *sink, struct q2s_store *store, struct q2s_store *file)
{
	assert_ok(q2s_sink_copy(sink, store, 1000, 70000, &diag));
	assert_ok(q2s_sink_copy(sink, file, 0, 3, &diag));
	assert_ok(q2s_sink_copy(sink, store, 0, 5, &diag));
	ck_assert(!q2s_sink_copies_by_hand(sink));
}

START_TEST(sinks_read_what_has_no_descriptor)
{
	static uint8_t bytes[100000], got[100000];
	struct q2s_store *store, *file;
	struct q2s_sink *sink;
	int ends[2];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i % 251);
	put_file(path_of("file"), "abc", 3);
	assert_ok(q2s_store_open(path_of("file"), &file, &diag));
	assert_ok(q2s_store_memory(bytes, sizeof(bytes), "memory", &store, &diag));

	faulty.remote = true;
	assert_ok(q2s_sink_open(path_of("out"), 0, 70008, &sink, &diag));
	copy_to(sink, store, file);
	assert_ok(q2s_sink_commit(sink, &diag));
	ck_assert_uint_eq(get_file(path_of("out"), got, sizeof(got)), 70008);
	ck_assert_mem_eq(got, bytes + 1000, 70000);
	ck_assert_mem_eq(got + 70000, "abc", 3);
	ck_assert_mem_eq(got + 70003, bytes, 5);

	ck_assert_int_eq(pipe(ends), 0);
	assert_ok(q2s_sink_from_fd(ends[1], "pipe", 0, &sink, &diag));
	copy_to(sink, store, file);
	assert_ok(q2s_sink_commit(sink, &diag));
	for (size_t at = 0; at < 70008;) {
		const ssize_t n = read(ends[0], got + at, 70008 - at);

		ck_assert_int_gt(n, 0);
		at += (size_t)n;
	}
	ck_assert_mem_eq(got, bytes + 1000, 70000);
	ck_assert_mem_eq(got + 70000, "abc", 3);
	assert_ok(q2s_sink_open(path_of("short"), 0, 10, &sink, &diag));
	ck_assert_int_eq(q2s_sink_copy(sink, store, 99999, 2, NULL), Q2S_E_CHANGED);
	q2s_sink_abort(sink);
	q2s_store_unref(store);
	q2s_store_unref(file);
}
END_TEST

/* An image, byte for byte, in a store of kind @kind. */
static struct q2s_store *
image_in(unsigned kind)
{
	struct made made = made_v3(14, true, 100 * KIB);
	struct q2s_store *file, *store = writable(kind);
	uint8_t buf[4096];

	made_data(&made, 16384, 0x55);
	made_finish(&made);
	file = made_file(&made);
	for (uint64_t at = 0; at < q2s_store_size(file); at += sizeof(buf)) {
		assert_ok(q2s_store_read_padded(file, at, buf, sizeof(buf), NULL, &diag));
		assert_ok(q2s_store_write(store, at, buf, sizeof(buf), &diag));
	}
	q2s_store_unref(file);
	made_free(&made);
	return store;
}

START_TEST(images_and_disks_lie_in_any_store)
{
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct q2s_store *store = image_in(kind);
		struct q2s_disk *disk, *raw;
		struct q2s_cursor *cursor;
		struct q2s_extent extent;
		struct q2s_comparison comparison;
		uint8_t buf[2];

		assert_ok(q2s_disk_qcow2(store, NULL, &disk, &diag));
		assert_ok(q2s_cursor_open(disk, &cursor, &diag));
		assert_ok(q2s_cursor_read(cursor, (q2s_guest){ 16383 }, buf, 2, &diag));
		ck_assert_mem_eq(buf, "\0\x55", 2);
		assert_ok(q2s_cursor_extent(cursor, (q2s_guest){ 16384 }, 100, &extent, &diag));
		ck_assert_int_eq(extent.state, Q2S_DATA);
		ck_assert_ptr_eq(extent.file, store);
		q2s_cursor_close(cursor);
		assert_ok(q2s_disk_verify(disk, &diag));
		assert_ok(q2s_disk_raw(store, &raw, &diag));
		assert_ok(q2s_disk_compare(raw, raw, NULL, &comparison, &diag));
		ck_assert(comparison.same);
		q2s_disk_close(raw);
		q2s_disk_close(disk);
		q2s_store_unref(store);
	}
}
END_TEST

FILES_MAIN("store", a_program_brings_its_own, its_errors_are_completed, old_and_broken_ones,
	   no_two_are_the_same, what_is_written_is_there, calls_that_do_less_are_made_again,
	   a_range_that_cannot_be_is_refused, what_is_read_only_stays_so, space_is_given_back,
	   a_full_disk_is_an_error, threads_write_beside_each_other,
	   sinks_read_what_has_no_descriptor, images_and_disks_lie_in_any_store)
