/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A store that fails: the request says so, the image stays consistent, and work can go on. */
#include <errno.h>

#include <q2s/store.h>

#include "base/zero.h"
#include "edited.h"

#define KIB 1024ull

static const struct kind kinds[] = {
	{ .name = "extended 16k over a base",
	  .version = 3,
	  .cluster_bits = 14,
	  .refcount_order = 4,
	  .extended = true,
	  .filled = FILLED_MIXED,
	  .size = 900 * KIB,
	  .base_size = 700 * KIB },
	{ .name = "512, 64 bit counts",
	  .version = 3,
	  .cluster_bits = 9,
	  .refcount_order = 6,
	  .filled = FILLED_NOT,
	  .size = 300 * KIB,
	  .base_size = 200 * KIB },
	{ .name = "512, a refcount table that grows",
	  .version = 3,
	  .cluster_bits = 9,
	  .refcount_order = 6,
	  .filled = FILLED_MIXED,
	  .size = 3600 * KIB },
	{ .name = "shared 4k",
	  .version = 3,
	  .cluster_bits = 12,
	  .refcount_order = 4,
	  .filled = FILLED_SHARED,
	  .size = 400 * KIB },
	{ .name = "zlib 4k",
	  .version = 2,
	  .cluster_bits = 12,
	  .refcount_order = 4,
	  .filled = FILLED_ZLIB,
	  .size = 400 * KIB },
};

/** @left  calls until they fail: those that change something or, with @flushes, flushes; @once: only one */
struct faulty {
	struct q2s_store *inner;
	bool armed, flushes, once;
	unsigned left;
	unsigned failed;
};

static enum q2s_err
fault(struct faulty *faulty, bool flush, struct q2s_diag *diag)
{
	if (!faulty->armed || faulty->flushes != flush || faulty->left-- > 0)
		return Q2S_OK;
	faulty->left = 0;
	faulty->failed++;
	faulty->armed = !faulty->once;
	if (diag && diag->err == Q2S_OK) {
		diag->err = Q2S_E_IO;
		diag->sys_errno = ENOSPC;
		snprintf(diag->text, sizeof(diag->text), "no space, says the test");
	}
	return Q2S_E_IO;
}

static enum q2s_err
faulty_read(void *self, uint64_t at, void *buf, size_t len, size_t *got, struct q2s_diag *diag)
{
	return q2s_store_read_padded(((struct faulty *)self)->inner, at, buf, len, got, diag);
}

static uint64_t
faulty_length(void *self)
{
	return q2s_store_size(((struct faulty *)self)->inner);
}

/* Half of what cannot be written is written. */
static enum q2s_err
faulty_write(void *self, uint64_t at, const void *buf, size_t len, struct q2s_diag *diag)
{
	struct faulty *faulty = self;
	const enum q2s_err err = fault(faulty, false, diag);

	if (err != Q2S_OK)
		len = len / 2 / 512 * 512;
	if (len > 0)
		(void)q2s_store_write(faulty->inner, at, buf, len, NULL);
	return err;
}

static enum q2s_err
faulty_zero(void *self, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	const enum q2s_err err = fault(self, false, diag);

	return err == Q2S_OK ? q2s_store_zero(((struct faulty *)self)->inner, at, len, diag) : err;
}

static enum q2s_err
faulty_discard(void *self, uint64_t at, uint64_t len, struct q2s_diag *diag)
{
	const enum q2s_err err = fault(self, false, diag);

	return err == Q2S_OK ? q2s_store_discard(((struct faulty *)self)->inner, at, len, diag)
			     : err;
}

static enum q2s_err
faulty_flush(void *self, struct q2s_diag *diag)
{
	return fault(self, true, diag);
}

static const struct q2s_store_ops faulty_ops = {
	.size = sizeof(faulty_ops),
	.read = faulty_read,
	.length = faulty_length,
	.write = faulty_write,
	.zero = faulty_zero,
	.discard = faulty_discard,
	.flush = faulty_flush,
};

/* Put the faulty store between the image and its edit. */
static struct q2s_store *
interpose(struct edited *e, struct faulty *faulty)
{
	struct q2s_store *inner = e->store;

	assert_ok(q2s_edit_close(e->edit, &diag));
	faulty->inner = inner;
	assert_ok(q2s_store_new(&faulty_ops, faulty, "faulty", &e->store, &diag));
	edited_open(e);
	return inner;
}

/* A request at a random place. If it fails, its range may show old bytes or new ones. */
static void
request(struct edited *e, uint64_t *seed)
{
	const uint64_t at = unit_random(seed) % e->geom.size;
	const uint64_t most = q2si_max(2 * e->geom.cluster_size, e->geom.size / 40);
	const uint64_t len = q2si_min(1 + unit_random(seed) % most, e->geom.size - at);
	const bool zero = unit_random(seed) % 4 == 0;
	uint8_t *bytes = calloc(1, len), *got = malloc(len);
	enum q2s_err done;

	for (uint64_t i = 0; !zero && i < len; i++)
		bytes[i] = (uint8_t)(unit_random(seed) >> 56);
	if (zero)
		done = q2s_edit_zero(e->edit, (q2s_guest){ at }, len, Q2S_EDIT_MAY_DISCARD, NULL);
	else
		done = q2s_edit_write(e->edit, (q2s_guest){ at }, bytes, len, NULL);
	assert_ok(q2s_edit_read(e->edit, (q2s_guest){ at }, got, len, &diag));
	for (uint64_t i = 0; i < len; i++)
		if (got[i] != bytes[i] && (done == Q2S_OK || got[i] != e->shown[at + i]))
			ck_abort_msg("%s: byte 0x%" PRIx64 " is neither old nor new (%s)",
				     e->kind->name, at + i, q2s_err_name(done));
	memcpy(e->shown + at, got, len);
	free(bytes);
	free(got);
}

/* ---- images that are dirty ------------------------------------------------------------------- */

#define DIRTY_AT 79 /* the byte with the bit */

static uint64_t
be64_at(struct q2s_store *store, uint64_t at)
{
	uint8_t raw[8];
	uint64_t value = 0;

	assert_ok(q2s_store_read(store, at, raw, sizeof(raw), &diag));
	for (unsigned i = 0; i < sizeof(raw); i++)
		value = value << 8 | raw[i];
	return value;
}

/* No count is what it should be, the last block is not known at all, and the image says so. */
static void
make_dirty(struct edited *e)
{
	const uint64_t table = be64_at(e->store, 48), size = e->geom.cluster_size;
	const uint8_t dirty = (uint8_t)(be64_at(e->store, DIRTY_AT - 7) | 1);
	const uint64_t entries = (be64_at(e->store, 56) >> 32) * size / 8;
	uint64_t last = 0, seed = 5;

	for (uint64_t i = 0; i < entries; i++) {
		const uint64_t block = be64_at(e->store, table + 8 * i);
		uint8_t *counts = calloc(1, size);

		if (block) {
			last = i;
			/* low or high, as chance has it */
			for (uint64_t k = 0; i % 2 && k < size; k++)
				counts[k] = k % 8 == 7 ? (uint8_t)(unit_random(&seed) % 3) : 0;
			assert_ok(q2s_store_write(e->store, block, counts, size, &diag));
		}
		free(counts);
	}
	assert_ok(q2s_store_write(e->store, table + 8 * last, "\0\0\0\0\0\0\0\0", 8, &diag));
	assert_ok(q2s_store_write(e->store, DIRTY_AT, &dirty, 1, &diag));
}

static enum q2s_err
open_dirty(struct edited *e, struct q2s_store *store, struct q2s_diag *why)
{
	struct q2s_edit_options options = Q2S_EDIT_OPTIONS_INIT;
	enum q2s_err err;

	options.base = e->base;
	options.cache = 1;
	err = q2s_edit_open(store, &options, &e->edit, why);
	if (err != Q2S_OK)
		e->edit = NULL;
	return err;
}

/* One that is mended is as it was; one whose mending is cut off is mended by the next who opens it. */
START_TEST(dirty_images_are_mended)
{
	uint64_t seed = 99 + (unsigned)_i, length;
	struct edited e = edited_make(&kinds[_i], &seed);
	bool done = false;
	uint8_t *bytes;

	assert_ok(q2s_edit_close(e.edit, &diag));
	make_dirty(&e);
	length = q2s_store_size(e.store);
	bytes = malloc(length);
	assert_ok(q2s_store_read(e.store, 0, bytes, length, &diag));
	for (unsigned left = 0; !done; left++) {
		struct faulty faulty = { .inner = e.store, .armed = true, .left = left / 2,
					 .flushes = left % 2 };
		struct q2s_diag why = { 0 };
		struct q2s_store *store;

		assert_ok(q2s_store_set_length(e.store, length, &diag));
		assert_ok(q2s_store_write(e.store, 0, bytes, length, &diag));
		assert_ok(q2s_store_new(&faulty_ops, &faulty, "faulty", &store, &diag));
		if (open_dirty(&e, store, NULL) == Q2S_OK) {
			done = faulty.failed == 0 && left % 2 == 0; /* so are all that follow */
			q2s_edit_unref(e.edit);
		}
		q2s_store_unref(store);
		if (open_dirty(&e, e.store, &why) != Q2S_OK)
			ck_abort_msg("%s, cut off after %u: %s", e.kind->name, left, why.text);
		quick_assert(!(be64_at(e.store, DIRTY_AT - 7) & 1));
		edited_check(&e, false);
		edited_compare(&e, 0, e.geom.size);
		assert_ok(q2s_edit_close(e.edit, &diag));
		e.edit = NULL;
	}
	edited_open(&e);
	free(bytes);
	edited_free(&e);
}
END_TEST

/* No space now and then: what failed can be done again, and nothing else suffers. */
START_TEST(without_space_work_goes_on)
{
	uint64_t seed = 4711 + (unsigned)_i;
	struct edited e = edited_make(&kinds[_i], &seed);
	struct faulty faulty = { 0 };
	struct q2s_store *inner = interpose(&e, &faulty);

	for (unsigned round = 0; round < 60; round++) {
		faulty.armed = true;
		faulty.left = (unsigned)(unit_random(&seed) % 12);
		for (unsigned i = 0; i < 6; i++) {
			request(&e, &seed);
			if (unit_random(&seed) % 3 == 0)
				(void)q2s_edit_flush(e.edit, NULL);
		}
		faulty.armed = false;
		if (round % 3 == 0)
			edited_compare(&e, 0, e.geom.size);
		assert_ok(q2s_edit_flush(e.edit, &diag));
		edited_check(&e, true);
	}
	quick_assert(faulty.failed > 50);
	edited_compare(&e, 0, e.geom.size);
	assert_ok(q2s_edit_close(e.edit, &diag));
	edited_check(&e, true);
	edited_open(&e);
	edited_compare(&e, 0, e.geom.size);
	edited_free(&e);
	q2s_store_unref(inner);
}
END_TEST

/* ---- a full disk ----------------------------------------------------------------------------- */

#define HOST_BLOCK 4096u
#define HOST_BLOCKS 4096u

/* Its L1 table is a hole. */
static const struct kind sparse = { .name = "64k, empty",
				    .version = 3,
				    .cluster_bits = 16,
				    .refcount_order = 4,
				    .filled = FILLED_NOT,
				    .size = 2000 * KIB };

/** A file on a disk with so many blocks @left for it. */
struct full {
	struct q2s_store *inner;
	bool taken[HOST_BLOCKS];
	unsigned left;
};

static enum q2s_err
full_read(void *self, uint64_t at, void *buf, size_t len, size_t *got, struct q2s_diag *why)
{
	return q2s_store_read_padded(((struct full *)self)->inner, at, buf, len, got, why);
}

static uint64_t
full_length(void *self)
{
	return q2s_store_size(((struct full *)self)->inner);
}

/* As a file system does: what has room is written. */
static enum q2s_err
full_write(void *self, uint64_t at, const void *buf, size_t len, struct q2s_diag *why)
{
	struct full *full = self;
	const uint8_t *bytes = buf;

	while (len > 0) {
		const size_t n = q2si_min_size(len, HOST_BLOCK - at % HOST_BLOCK);

		quick_assert(at / HOST_BLOCK < HOST_BLOCKS);
		if (!full->taken[at / HOST_BLOCK] && full->left == 0) {
			if (why && why->err == Q2S_OK)
				*why = (struct q2s_diag){ .err = Q2S_E_IO, .sys_errno = ENOSPC };
			return Q2S_E_IO;
		}
		full->left -= !full->taken[at / HOST_BLOCK];
		full->taken[at / HOST_BLOCK] = true;
		assert_ok(q2s_store_write(full->inner, at, bytes, n, &diag));
		at += n;
		bytes += n;
		len -= n;
	}
	return Q2S_OK;
}

/* Zeros need space too, though nothing is written. */
static enum q2s_err
full_zero(void *self, uint64_t at, uint64_t len, struct q2s_diag *why)
{
	static const uint8_t zeros[HOST_BLOCK];
	enum q2s_err err = Q2S_OK;

	for (uint64_t n; err == Q2S_OK && len > 0; at += n, len -= n) {
		n = q2si_min(len, HOST_BLOCK - at % HOST_BLOCK);
		err = full_write(self, at, zeros, n, why);
	}
	return err;
}

/* Whole blocks become holes. */
static enum q2s_err
full_discard(void *self, uint64_t at, uint64_t len, struct q2s_diag *why)
{
	struct full *full = self;

	for (uint64_t block = q2si_div_up(at, HOST_BLOCK); (block + 1) * HOST_BLOCK <= at + len; block++) {
		quick_assert(block < HOST_BLOCKS);
		full->left += full->taken[block];
		full->taken[block] = false;
	}
	return q2s_store_zero(full->inner, at, len, why);
}

static enum q2s_err
full_extent(void *self, uint64_t at, struct q2s_stretch *out, struct q2s_diag *why)
{
	(void)why;
	out->hole = !((struct full *)self)->taken[at / HOST_BLOCK];
	out->len = q2si_min(HOST_BLOCK - at % HOST_BLOCK, full_length(self) - at);
	return Q2S_OK;
}

static enum q2s_err
full_flush(void *self, struct q2s_diag *why)
{
	return q2s_store_flush(((struct full *)self)->inner, why);
}

static uint64_t
leaks_of(struct q2s_store *store)
{
	struct q2s_check_result result = { 0 };
	struct q2s_image *image;

	assert_ok(q2s_image_open(store, 0, &image, &diag));
	assert_ok(q2s_check(image, NULL, &result, &diag));
	q2s_image_close(image);
	return result.leaks;
}

/* @inner has room for @left blocks more, and nothing where it is zero. */
static struct q2s_store *
full_open(struct full *full)
{
	static const struct q2s_store_ops ops = {
		.size = sizeof(ops),
		.read = full_read,
		.length = full_length,
		.write = full_write,
		.zero = full_zero,
		.discard = full_discard,
		.extent = full_extent,
		.flush = full_flush,
	};
	struct q2s_store *store;

	for (uint64_t i = 0; i * HOST_BLOCK < q2s_store_size(full->inner); i++) {
		uint8_t block[HOST_BLOCK];

		assert_ok(q2s_store_read_padded(full->inner, i * HOST_BLOCK, block, sizeof(block),
						NULL, &diag));
		full->taken[i] = !q2si_is_zero(block, sizeof(block));
	}
	assert_ok(q2s_store_new(&ops, full, "full", &store, &diag));
	return store;
}

typedef enum q2s_err change_fn(struct edited *e);

static enum q2s_err
write_all(struct edited *e)
{
	uint8_t *bytes = malloc(e->geom.size);
	enum q2s_err err;

	memset(bytes, 0x3c, e->geom.size);
	err = q2s_edit_write(e->edit, (q2s_guest){ 0 }, bytes, e->geom.size, NULL);
	free(bytes);
	return err;
}

static enum q2s_err
make_snapshot(struct edited *e)
{
	const struct q2s_edit_snapshot snapshot = { .name = (const uint8_t *)"s", .name_len = 1 };

	return q2s_edit_snapshot_create(e->edit, &snapshot, NULL);
}

/*
 * However much room there was: what did not fit is given back, what did is there, and the image can be
 * closed in order. Returns how often @change failed.
 */
static unsigned
try_until_it_fits(const struct kind *kind, change_fn *change)
{
	enum q2s_err did = Q2S_E_IO;
	unsigned refused = 0;

	for (unsigned room = 0; did != Q2S_OK; room += 1 + room / 8) {
		uint64_t seed = 31;
		struct edited e = edited_make(kind, &seed);
		struct full full = { .inner = e.store, .left = room };

		assert_ok(q2s_edit_close(e.edit, &diag));
		e.store = full_open(&full);
		edited_open(&e);
		did = change(&e);
		assert_ok(q2s_edit_close(e.edit, &diag));
		e.edit = NULL;
		ck_assert_msg(leaks_of(e.store) == 0, "%s, room for %u blocks: %" PRIu64 " leaks",
			      e.kind->name, room, leaks_of(e.store));
		edited_check(&e, false);
		refused += did != Q2S_OK;
		edited_free(&e);
		q2s_store_unref(full.inner);
	}
	return refused;
}

START_TEST(a_full_disk_leaks_nothing)
{
	const struct kind *kind = _i < (int)COUNT(kinds) ? &kinds[_i] : &sparse;

	ck_assert_uint_gt(try_until_it_fits(kind, write_all), 10);
}
END_TEST

START_TEST(a_snapshot_without_room_changes_nothing)
{
	unsigned refused = 0;

	for (size_t i = 0; i < COUNT(kinds); i++)
		refused += try_until_it_fits(&kinds[i], make_snapshot);
	ck_assert_uint_gt(refused, 2);
}
END_TEST

/* After a flush that failed nobody knows what is durable: no more changes, and the image is sound.
 */
START_TEST(after_a_failed_flush_it_stops)
{
	uint64_t seed = 99 + (unsigned)_i;
	struct edited e = edited_make(&kinds[_i], &seed);
	struct faulty faulty = { 0 };
	struct q2s_store *inner = interpose(&e, &faulty);
	struct q2s_diag why = { 0 };

	for (unsigned i = 0; i < 20; i++)
		request(&e, &seed);
	faulty.armed = faulty.flushes = true;
	faulty.left = 4;
	while (q2s_edit_flush(e.edit, &why) == Q2S_OK)
		request(&e, &seed);
	ck_assert_int_eq(why.sys_errno, ENOSPC);
	faulty.armed = false;
	ck_assert_int_eq(q2s_edit_write(e.edit, (q2s_guest){ 0 }, "a", 1, NULL), Q2S_E_IO);
	ck_assert_int_eq(q2s_edit_zero(e.edit, (q2s_guest){ 0 }, e.geom.size, 0, NULL), Q2S_E_IO);
	ck_assert_int_eq(q2s_edit_flush(e.edit, NULL), Q2S_E_IO);
	ck_assert_int_eq(q2s_edit_close(e.edit, NULL), Q2S_E_IO);
	e.edit = NULL;
	edited_check(&e, true);
	edited_free(&e);
	q2s_store_unref(inner);
}
END_TEST

/* ---- bitmaps when a resize fails --------------------------------------------------------------- */

#define RESIZED (5120 * KIB) /* takes another entry of the bitmap's table */

static const struct kind with_bitmap = { .name = "1k with a bitmap",
					 .version = 3,
					 .cluster_bits = 10,
					 .refcount_order = 4,
					 .filled = FILLED_MIXED,
					 .size = 300 * KIB };
static const struct q2s_bytes bitmap_name = { (const uint8_t *)"b", 1 };

/* Its first sector is dirty. Returns whether it can be trusted. */
static bool
bitmap_is_true(struct q2s_store *store, uint64_t *size)
{
	struct q2s_bitmap_reader *reader = NULL;
	struct q2s_image *image;
	struct q2s_bitmap_run run;
	struct q2s_diag why = { 0 };
	enum q2s_err opened;

	assert_ok(q2s_image_open(store, 0, &image, &diag));
	*size = q2s_image_geom(image)->size;
	opened = q2s_bitmap_reader_open(image, bitmap_name, &reader, &why);
	if (opened == Q2S_OK) {
		assert_ok(q2s_bitmap_reader_run(reader, (q2s_guest){ 0 }, *size, &run, &diag));
		quick_assert(run.dirty && run.len == 512);
	} else if (!strstr(why.text, "in use")) {
		ck_abort_msg("the bitmap: %s", why.text);
	}
	q2s_bitmap_reader_close(reader);
	q2s_image_close(image);
	return opened == Q2S_OK;
}

/* A resize that fails leaves the old size and a bitmap that is true, or one that nobody trusts. */
START_TEST(a_failed_resize_leaves_true_bitmaps)
{
	uint64_t seed = 7, length, size;
	struct edited e = edited_make(&with_bitmap, &seed);
	const uint64_t to = _i ? 4 * KIB : RESIZED;
	unsigned undone = 0;
	bool done = false;
	uint8_t *bytes;

	assert_ok(q2s_edit_bitmap_add(e.edit, bitmap_name, 9, true, &diag));
	assert_ok(q2s_edit_write(e.edit, (q2s_guest){ 0 }, "a", 1, &diag));
	assert_ok(q2s_edit_close(e.edit, &diag));
	length = q2s_store_size(e.store);
	bytes = malloc(length);
	assert_ok(q2s_store_read(e.store, 0, bytes, length, &diag));
	for (unsigned left = 0; !done; left++) {
		struct faulty faulty = { .inner = e.store, .armed = true, .left = left / 4,
					 .flushes = left % 2, .once = left % 4 < 2 };
		struct q2s_store *store;
		enum q2s_err resized, closed;
		bool is_true;

		assert_ok(q2s_store_set_length(e.store, 0, &diag));
		assert_ok(q2s_store_write(e.store, 0, bytes, length, &diag));
		assert_ok(q2s_store_new(&faulty_ops, &faulty, "faulty", &store, &diag));
		assert_ok(open_dirty(&e, store, &diag));
		resized = q2s_edit_resize(e.edit, to, Q2S_EDIT_SHRINK, Q2S_PREALLOCATION_OFF, NULL);
		faulty.armed = false;
		closed = q2s_edit_close(e.edit, NULL);
		e.edit = NULL;
		q2s_store_unref(store);
		is_true = bitmap_is_true(e.store, &size);
		ck_assert(size == 300 * KIB || size == to);
		if (resized == Q2S_OK || (closed == Q2S_OK && size != to))
			ck_assert_msg(is_true, "after %u calls the bitmap is lost", left);
		undone += resized != Q2S_OK && is_true && size != to;
		edited_check(&e, resized != Q2S_OK);
		done = faulty.failed == 0 && left % 4 == 0;
	}
	ck_assert_uint_gt(undone, 0);
	edited_open(&e);
	free(bytes);
	edited_free(&e);
}
END_TEST

/* ---- data files ------------------------------------------------------------------------------ */

static const struct kind with_data_file = {
	.name = "data file",
	.version = 3,
	.cluster_bits = 14,
	.refcount_order = 4,
	.extended = true,
	.filled = FILLED_NOT,
	.size = 300 * KIB,
	.data_file = true,
};

/* Nothing in the image may refer to data that are not durable in their own file. */
START_TEST(a_data_file_is_flushed_before_l2)
{
	uint64_t seed = 8, length;
	struct edited e = edited_make(&with_data_file, &seed);
	struct q2s_store *inner = e.data;
	struct faulty faulty = { .inner = inner, .flushes = true };
	uint8_t *before, *after;

	assert_ok(q2s_edit_write(e.edit, (q2s_guest){ 0 }, "a", 1, &diag)); /* makes the L2 table */
	assert_ok(q2s_edit_close(e.edit, &diag));
	assert_ok(q2s_store_new(&faulty_ops, &faulty, "faulty", &e.data, &diag));
	edited_open(&e);
	length = q2s_store_size(e.store);
	before = malloc(length);
	after = malloc(length);
	assert_ok(q2s_store_read(e.store, 0, before, length, &diag));
	assert_ok(q2s_edit_write(e.edit, (q2s_guest){ 100 * KIB }, "b", 1, &diag));
	faulty.armed = true;
	ck_assert_int_eq(q2s_edit_flush(e.edit, NULL), Q2S_E_IO);
	ck_assert_uint_eq(faulty.failed, 1);
	ck_assert_uint_eq(q2s_store_size(e.store), length);
	assert_ok(q2s_store_read(e.store, 0, after, length, &diag));
	ck_assert_mem_eq(before, after, length);
	free(before);
	free(after);
	edited_free(&e);
	q2s_store_unref(inner);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("edit, faults");
	TCase *tcase = tcase_create("edit, faults");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 600);
	tcase_add_loop_test(tcase, without_space_work_goes_on, 0, COUNT(kinds));
	tcase_add_loop_test(tcase, a_full_disk_leaks_nothing, 0, COUNT(kinds) + 1);
	tcase_add_test(tcase, a_snapshot_without_room_changes_nothing);
	tcase_add_loop_test(tcase, dirty_images_are_mended, 0, COUNT(kinds) - 1); /* not version 2 */
	tcase_add_loop_test(tcase, after_a_failed_flush_it_stops, 0, COUNT(kinds));
	tcase_add_test(tcase, a_data_file_is_flushed_before_l2);
	tcase_add_loop_test(tcase, a_failed_resize_leaves_true_bitmaps, 0, 2); /* longer, shorter */
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
